//! `Embed Images`.

use std::sync::Arc;

use dc_graph_node_api::{Image, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::descriptor::{self, SIDE};
use super::values::{EMBEDDINGS, Embeddings, Part};
use crate::cut::lab::lab;
use crate::function::function_node;
use crate::image::pixels::Samples;
use crate::image::resample::{Filter, resample};

/// From a picture's CIELAB values, `[SIDE, SIDE, 3]`, to numbers of length 1.
type Describe = fn(&[[f32; 3]]) -> Vec<f32>;

/// What can embed pictures, and its parts.
const EMBEDDERS: &[(&str, &[(&str, Describe)])] = &[
    ("descriptor", &[("color", descriptor::color), ("shape", descriptor::shape)]),
    ("color", &[("color", descriptor::color)]),
    ("shape", &[("shape", descriptor::shape)]),
];

pub(crate) fn node() -> Arc<dyn Node> {
    let names: Vec<&str> = EMBEDDERS.iter().map(|e| e.0).collect();
    let spec = NodeSpec::new(
        "Embed Images",
        "evaluation",
        "Describes the subject of each picture by numbers, near for pictures of the same subject.",
    )
    .input(InputSpec::required("images", PortType::Image.list(), "The pictures, each of one subject."))
    .input(
        InputSpec::with_default(
            "embedder",
            "descriptor",
            "`descriptor` is no network: a histogram of the subject's colors in CIELAB and, in equal parts, gradient orientations and coverage of its shape; mirror images are the same to it. `color` and `shape` are its parts.",
        )
        .choices(&names),
    )
    .output("embeddings", EMBEDDINGS, "A row for each picture.")
    .output("count", PortType::Integer, "Number of pictures.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let wanted = inputs.text("embedder")?;
    let (embedder, described) = EMBEDDERS
        .iter()
        .find(|e| e.0 == wanted)
        .ok_or_else(|| NodeError::input("embedder", format!("there is no `{wanted}`")))?;
    let images = inputs.images("images")?;
    let mut parts: Vec<Part> = described.iter().map(|(name, _)| Part { name, rows: Vec::new() }).collect();
    for (i, image) in images.iter().enumerate() {
        context.check_cancelled()?;
        context.progress(i as u64, images.len() as u64);
        let lab = lab(&square(image));
        for (part, (_, describe)) in parts.iter_mut().zip(*described) {
            part.rows.push(describe(&lab));
        }
    }
    let embeddings = Embeddings { embedder, parts, len: images.len() };
    Ok(Outputs::one("embeddings", Value::native(embeddings)).with("count", images.len() as i64))
}

/// A picture on white, brought to `SIDE` by `SIDE` pixels.
fn square(image: &Image) -> Samples {
    let picture = Samples::of(image).into_rgb_over([1.0; 3]);
    if (picture.width, picture.height) == (SIDE, SIDE) {
        picture
    } else {
        resample(&picture, SIDE, SIDE, Filter::Lanczos)
    }
}
