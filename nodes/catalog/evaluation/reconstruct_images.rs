//! `Reconstruct Images`.

use std::sync::Arc;

use burn::tensor::Tensor;
use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use crate::diffusion::pictures::{from_tensor, list, to_tensor};
use crate::diffusion::values::{MODEL, Model, input_error, node_error};
use crate::function::function_node;

const AT_ONCE: usize = 16;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Reconstruct Images",
        "evaluation",
        "Sends pictures through a model's autoencoder: the best that the model could draw.",
    )
    .on_device()
    .input(InputSpec::required("model", MODEL, "Its autoencoder is used."))
    .input(InputSpec::required("images", PortType::Image.list(), "Pictures of one size."))
    .output("images", PortType::Image.list(), "What the autoencoder makes of them.")
    .output("psnr", PortType::Number, "Peak signal-to-noise ratio over all pictures, in decibels.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let base = &model.0;
    let images = inputs.images("images")?;
    let size = |i: &dc_graph_node_api::Image| (i.width(), i.height());
    let Some(first) = images.first() else { return Err(NodeError::input("images", "no pictures are given")) };
    if images.iter().any(|i| size(i) != size(first)) {
        return Err(NodeError::input("images", "the pictures are of different sizes"));
    }
    let mut decoded = Vec::with_capacity(images.len());
    let mut squares = 0.0;
    let mut samples = 0_usize;
    for (batch, some) in images.chunks(AT_ONCE).enumerate() {
        context.check_cancelled()?;
        context.progress((batch * AT_ONCE) as u64, images.len() as u64);
        let pictures = Tensor::cat(some.iter().map(|i| to_tensor(i, &base.device, base.dtype)).collect(), 0);
        let posterior = base.vae.encode(pictures.clone()).map_err(input_error("images"))?;
        let output = from_tensor(base.vae.decode(posterior.mean).map_err(node_error)?)?;
        for (before, after) in from_tensor(pictures)?.iter().zip(&output) {
            let (before, after) = (before.to_u8(), after.to_u8());
            samples += before.len();
            squares += before.iter().zip(&after).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum::<f64>();
        }
        decoded.extend(output);
    }
    let mean = squares / samples.max(1) as f64;
    let psnr = 10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10();
    Ok(Outputs::one("images", list(decoded)).with("psnr", psnr))
}
