//! `Attention Maps`.

use std::sync::Arc;

use dc_diffusion::dreamcache::AttentionMaps;
use dc_diffusion::dreamcache::maps::AttentionMap;
use dc_graph_node_api::{Image, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::denoising::{cache_ports, denoise, guidance, latent_size, sampling_ports, subject};
use super::pictures::list;
use super::values::{LATENTS, input_error};
use crate::function::function_node;
use crate::image::pixels::{Depth, Samples, luma};
use crate::image::resample::{Filter, resample};

/// Side of a map that lies over no reference picture, in pixels.
const SIDE: usize = 256;
/// Dark to bright, in steps of a quarter: black, purple, red, orange, pale yellow.
const HEAT: [[f32; 3]; 5] =
    [[0.0, 0.0, 0.02], [0.34, 0.06, 0.43], [0.73, 0.21, 0.33], [0.98, 0.56, 0.03], [0.99, 1.0, 0.64]];
/// How much of the reference shows through.
const REFERENCE: f32 = 0.35;

pub(crate) fn node() -> Arc<dyn Node> {
    let place = |axis: &str, side: &str| {
        format!(
            "Where in the new picture to look from: {axis} from the {side} edge as a part of it, 0 to 1. Everywhere when both are absent."
        )
    };
    let spec = NodeSpec::new(
        "Attention Maps",
        "diffusion",
        "Samples like `Sample With Cache` and shows what the adapters look at: heat maps over the reference, one a layer, averaged over heads and steps (the paper's Figure 5).",
    );
    let spec = cache_ports(sampling_ports(spec))
        .input(InputSpec::optional(
            "reference",
            PortType::Image,
            "The picture that the cache was built of, to lay the maps over.",
        ))
        .input(InputSpec::optional("x", PortType::Number, &place("distance", "left")).range(0.0..=1.0))
        .input(InputSpec::optional("y", PortType::Number, &place("distance", "upper")).range(0.0..=1.0))
        .output("maps", PortType::Image.list(), "One picture a cached layer, brightest where most is looked at.")
        .output("labels", PortType::Text.list(), "The layers' names, in the order of the maps.")
        .output("latents", LATENTS, "What `Sample With Cache` gives for the same inputs.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let Some(subject) = subject(inputs, context)? else {
        return Err(NodeError::input("cache", "there is nothing to look at without a cache")
            .with_hint("connect a `Build Cache` or `Load Cache` node"));
    };
    let size = latent_size(inputs)?;
    let mut maps = match (inputs.get("x"), inputs.get("y")) {
        (None, None) => AttentionMaps::everywhere(size),
        _ => {
            let cell = |name: &str, cells: usize| {
                let part = if inputs.get(name).is_some() { inputs.number(name)? } else { 0.5 };
                Ok::<_, NodeError>(((part * cells as f64) as usize).min(cells - 1))
            };
            AttentionMaps::at(size, [cell("y", size[0])?, cell("x", size[1])?]).map_err(input_error("x"))?
        }
    };
    let latents = denoise(inputs, context, guidance(inputs)?, Some(&subject), Some(&mut maps))?;
    let maps = maps.finish(subject.projected.references()).map_err(input_error("cache"))?;
    if maps.is_empty() {
        return Err(NodeError::input("adapter_strength", "no step looked at the cache")
            .with_hint("raise `adapter_strength` above 0, or widen `start_step` to `end_step`"));
    }
    let reference = inputs.get("reference").map(|_| inputs.image("reference")).transpose()?;
    let several = subject.projected.references().len() > 1;
    let labels = maps.iter().map(|map| {
        let name = &map.point.name;
        Value::text(if several { format!("{name}, reference {}", map.reference + 1) } else { name.clone() })
    });
    let labels = Value::list(PortType::Text, labels.collect::<Vec<_>>());
    let pictures = maps.iter().map(|map| heat(map, reference.map(|r| &**r))).collect::<Result<Vec<_>, _>>()?;
    Ok(Outputs::one("maps", list(pictures)).with("labels", labels).with("latents", Value::native(latents)))
}

/// A map as a picture.
fn heat(map: &AttentionMap, reference: Option<&Image>) -> Result<Image, NodeError> {
    let [height, width] = map.size;
    let largest = map.values.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(*v));
    let values = map.values.iter().map(|v| v / largest).collect();
    let under = reference.map(|image| Samples::of(image).into_rgb_over([1.0; 3]));
    let (w, h) = under.as_ref().map_or((SIDE, SIDE), |u| (u.width, u.height));
    let strength = resample(&Samples { width, height, channels: 1, values }, w, h, Filter::Bilinear);
    let mut picture = Samples::filled(w, h, &[0.0; 3]);
    for (i, (pixel, strength)) in picture.values.chunks_exact_mut(3).zip(&strength.values).enumerate() {
        let shade = under.as_ref().map(|u| luma(&u.values[i * 3..i * 3 + 3]));
        for (c, out) in pixel.iter_mut().enumerate() {
            let hot = ramp(*strength, c);
            *out = shade.map_or(hot, |shade| hot * (1.0 - REFERENCE) + shade * REFERENCE);
        }
    }
    picture.into_image(Depth::U8)
}

/// One channel of the heat's colour at a strength of 0 to 1.
fn ramp(strength: f32, channel: usize) -> f32 {
    let at = strength.clamp(0.0, 1.0) * (HEAT.len() - 1) as f32;
    let low = (at as usize).min(HEAT.len() - 2);
    let part = at - low as f32;
    HEAT[low][channel] * (1.0 - part) + HEAT[low + 1][channel] * part
}
