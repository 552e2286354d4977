//! `Sample Subjects`.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use dc_diffusion::dreamcache::cache::CacheConfig;
use dc_diffusion::dreamcache::{Denoiser, Personalisation, ProjectedCache, ReferenceCache, Steps};
use dc_diffusion::random::TorchGenerator;
use dc_diffusion::sampling::{initial_latents, sample};
use dc_diffusion::schedulers::{Sampler, Schedule};
use dc_graph_node_api::{Image, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::compare::indices;
use crate::diffusion::denoising::guidance;
use crate::diffusion::pictures::{from_tensor, list, to_tensor};
use crate::diffusion::values::{ADAPTERS, Adapters, MODEL, Model, input_error, node_error};
use crate::function::function_node;
use crate::image::pixels::{Depth, Samples};
use crate::image::resample::{Filter, resample};

pub(crate) fn node() -> Arc<dyn Node> {
    let samplers = Sampler::ALL.map(Sampler::name);
    let spec = NodeSpec::new(
        "Sample Subjects",
        "evaluation",
        "Draws many pictures of many subjects: a cache for each reference, a picture for each caption.",
    )
    .on_device()
    .input(InputSpec::required("model", MODEL, "Draws the pictures."))
    .input(InputSpec::optional("adapters", ADAPTERS, "Attend to the references. Without them the plain model draws."))
    .input(InputSpec::required(
        "references",
        PortType::Image.list(),
        "The subjects on white; they are brought to the model's native size.",
    ))
    .input(InputSpec::required("captions", PortType::Text.list(), "What to draw, picture by picture."))
    .input(InputSpec::required(
        "subjects",
        PortType::Integer.list(),
        "For each picture the number of its reference, from 0; in ascending order this is fastest.",
    ))
    .input(InputSpec::with_default("sampler", "ddim", "How to walk from noise to pictures.").choices(&samplers))
    .input(InputSpec::with_default("num_inference_steps", 30_i64, "Steps of the walk.").range(1.0..=1000.0))
    .input(
        InputSpec::with_default(
            "guidance",
            "joint",
            "`joint` weighs prompt and cache together, `combined` and `text_first` against each other.",
        )
        .choices(&["joint", "combined", "text_first"]),
    )
    .input(InputSpec::with_default("guidance_scale", 4.0, "How strongly the caption is followed.").range(0.0..=100.0))
    .input(
        InputSpec::with_default(
            "image_guidance_scale",
            2.0,
            "Of `combined` and `text_first`: how strongly the reference is followed.",
        )
        .range(0.0..=100.0),
    )
    .input(
        InputSpec::with_default("adapter_strength", 1.0, "How much of the adapters' contribution is taken.")
            .range(0.0..=4.0),
    )
    .input(
        InputSpec::with_default("timestep", 1_i64, "How noisy the reference is, 0 (least) to 999.").range(0.0..=999.0),
    )
    .input(InputSpec::with_default(
        "caption_while_caching",
        false,
        "Whether references are cached with the caption instead of the empty one: the paper's Table 6.",
    ))
    .input(
        InputSpec::with_default("batch_size", 32_i64, "Pictures of one subject that are drawn at once.")
            .range(1.0..=1024.0),
    )
    .input(
        InputSpec::with_default("seed", 0_i64, "Of the noise; each picture's follows from its number alone.")
            .range(0.0..=u32::MAX.into()),
    )
    .output("images", PortType::Image.list(), "One for each caption.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let base = &model.0;
    let adapters = inputs.optional_native::<Adapters>("adapters")?;
    if let Some(adapters) = &adapters
        && (adapters.family != base.family
            || adapters.adapters.points() != adapters.adapters.config().placement.points(&base.unet_config))
    {
        return Err(NodeError::input("adapters", "belong to a model of another structure"));
    }
    let references = inputs.images("references")?;
    let captions = texts(inputs, "captions")?;
    let subjects = indices(inputs, "subjects")?;
    if captions.len() != subjects.len() {
        let message = format!("{} for {} captions", subjects.len(), captions.len());
        return Err(NodeError::input("subjects", message).with_hint("give one for each caption"));
    }
    if let Some(wrong) = subjects.iter().find(|s| **s >= references.len()) {
        return Err(NodeError::input("subjects", format!("{wrong} is no reference: there are {}", references.len())));
    }
    let sampler = inputs.text("sampler")?.parse::<Sampler>().map_err(input_error("sampler"))?;
    let steps = inputs.integer("num_inference_steps")?.max(1) as usize;
    let schedule = Schedule::new(&base.scheduler, sampler, steps, 0.0).map_err(input_error("num_inference_steps"))?;
    let guidance = guidance(inputs)?;
    let strength = inputs.number("adapter_strength")?;
    let batch_size = inputs.integer("batch_size")?.max(1) as usize;
    let seed = inputs.integer("seed")? as u64;
    let timestep = inputs.integer("timestep")?.max(0) as usize;

    let uncond = base.text_encoder.forward(&[base.tokenizer.encode("").ids]).map_err(node_error)?;
    let captioned = inputs.boolean("caption_while_caching")?;
    // Pictures with equal keys share a cache.
    let keys: Vec<_> = (subjects.iter().zip(&captions))
        .map(|(subject, caption)| match (&adapters, captioned) {
            (None, _) => (0, ""),
            (Some(_), false) => (*subject, ""),
            (Some(_), true) => (*subject, caption.as_str()),
        })
        .collect();
    let batches = batches(&keys, batch_size);
    let folded = adapters.as_ref().map(|adapters| adapters.folded(&model));
    let mut cached: Option<((usize, &str), ProjectedCache)> = None;
    let mut images = Vec::with_capacity(captions.len());
    let total = (batches.len() * steps) as u64;
    for (number, batch) in batches.iter().enumerate() {
        let key = keys[batch.start];
        if let Some(adapters) = &adapters
            && cached.as_ref().is_none_or(|(of, _)| *of != key)
        {
            let config = CacheConfig { placement: adapters.adapters.config().placement, timestep };
            let caption = base.text_encoder.forward(&[base.tokenizer.encode(key.1).ids]).map_err(node_error)?;
            let cache = cache(&model, references[key.0], config, seed, &caption)?;
            cached = Some((key, ProjectedCache::new(&adapters.adapters, &cache).map_err(node_error)?));
        }
        let ids: Vec<_> = captions[batch.clone()].iter().map(|c| base.tokenizer.encode(c).ids).collect();
        let denoiser =
            Denoiser {
                unet: &base.unet,
                cond: base.text_encoder.forward(&ids).map_err(node_error)?,
                uncond: uncond.clone(),
                guidance,
                personalisation: (adapters.as_ref().zip(cached.as_ref())).map(|(adapters, (_, cache))| {
                    Personalisation { adapters: &adapters.adapters, cache, folded: folded.as_deref(), strength }
                }),
            };
        let mut denoiser = Steps::new(denoiser, &schedule.timesteps());
        let shape = [1, base.unet_config.in_channels, base.unet_config.sample_size, base.unet_config.sample_size];
        let starts = batch.clone().map(|picture| {
            let mut generator = TorchGenerator::new(seed.wrapping_mul(1_000_003).wrapping_add(picture as u64));
            initial_latents(&schedule, shape, &mut generator, &base.device)
        });
        let start = Tensor::cat(starts.collect(), 0);
        let latents = sample(
            &schedule,
            start,
            &mut TorchGenerator::new(seed),
            |latents, _, step| denoiser.predict(&latents, step, true, None),
            |step| {
                if context.is_cancelled() {
                    return Err(dc_diffusion::Error::Cancelled);
                }
                context.progress((number * steps + step.step) as u64, total);
                Ok(())
            },
        );
        let decoded = base.vae.decode(base.vae.unscale(latents.map_err(node_error)?.cast(base.dtype)));
        images.extend(from_tensor(decoded.map_err(node_error)?)?);
    }
    Ok(Outputs::one("images", list(images)))
}

/// What is drawn together: neighbours with the same key.
fn batches<K: PartialEq>(keys: &[K], size: usize) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    for i in 0..keys.len() {
        match batches.last_mut() {
            Some(last) if last.len() < size && keys[last.start] == keys[i] => last.end = i + 1,
            _ => batches.push(i..i + 1),
        }
    }
    batches
}

/// The cache of a reference, as `Build Cache` makes it.
fn cache(
    model: &Model,
    reference: &Image,
    config: CacheConfig,
    seed: u64,
    context: &Tensor<3>,
) -> Result<ReferenceCache, NodeError> {
    let base = &model.0;
    let native = base.native_size();
    let reference = match (reference.width() as usize, reference.height() as usize) {
        (width, height) if (width, height) == (native, native) => to_tensor(reference, &base.device, base.dtype),
        _ => {
            let resized = resample(&Samples::of(reference).into_rgb_over([1.0; 3]), native, native, Filter::Bilinear);
            to_tensor(&resized.into_image(Depth::U8)?, &base.device, base.dtype)
        }
    };
    let posterior = base.vae.encode(reference).map_err(input_error("references"))?;
    let latents = base.vae.scale(posterior.mean.cast(DType::F32));
    let noise = TorchGenerator::new(seed).randn(latents.dims(), &base.device, DType::F32);
    let alphas = base.scheduler.alphas_cumprod().map_err(node_error)?;
    ReferenceCache::build(&base.unet, &latents, &noise, &alphas, context.clone(), config).map_err(node_error)
}

/// The texts at a port.
pub(super) fn texts(inputs: &Inputs, port: &str) -> Result<Vec<String>, NodeError> {
    let text = |value: &Value| match value {
        Value::Text(text) => Ok(text.to_string()),
        other => Err(NodeError::input(port, format!("expected `core:text`, found `{}`", other.port_type()))),
    };
    inputs.list(port)?.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_subject_go_together() {
        assert_eq!(batches(&[0, 0, 0, 1, 1, 0], 2), [0..2, 2..3, 3..5, 5..6]);
        assert_eq!(batches(&[0; 5], 2), [0..2, 2..4, 4..5]);
        assert!(batches::<u8>(&[], 2).is_empty());
    }
}
