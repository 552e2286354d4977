//! `Encode VAE`.

use std::sync::Arc;

use burn::tensor::DType;
use dc_diffusion::random::TorchGenerator;
use dc_graph_node_api::{Image, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::pictures::to_tensor;
use super::values::{LATENTS, Latents, MODEL, Model, input_error};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Encode VAE", "diffusion", "Encodes a picture as latents.")
        .on_device()
        .input(InputSpec::required("model", MODEL, "Its autoencoder is used."))
        .input(InputSpec::required(
            "image",
            PortType::Image,
            "The picture; sides that are multiples of 8 pixels. Alpha is laid over white.",
        ))
        .input(latents_mode())
        .input(seed("Of the sample, when `latents_mode` is `sample`; the same numbers as PyTorch's CPU generator."))
        .output("latents", LATENTS, "[1, 4, height / 8, width / 8], scaled as the denoiser takes them.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let mut generator = TorchGenerator::new(inputs.integer("seed")? as u64);
    let latents = encode(&model, ("image", inputs.image("image")?), inputs.text("latents_mode")?, &mut generator)?;
    Ok(Outputs::one("latents", Value::native(latents)))
}

/// The port that chooses between the posterior's mean and a draw from it.
pub(super) fn latents_mode() -> InputSpec {
    InputSpec::with_default(
        "latents_mode",
        "mean",
        "`mean` of the encoder's posterior, the same every time, or a seeded `sample` of it (the released code samples).",
    )
    .choices(&["mean", "sample"])
}

/// The port of a seed.
pub(super) fn seed(description: &str) -> InputSpec {
    InputSpec::with_default("seed", 0_i64, description).range(0.0..=9_007_199_254_740_991.0)
}

/// The latents of the picture at a port, scaled, in f32.
pub(super) fn encode(
    model: &Model,
    (port, image): (&'static str, &Image),
    mode: &str,
    generator: &mut TorchGenerator,
) -> Result<Latents, NodeError> {
    let model = &model.0;
    let picture = to_tensor(image, &model.device, model.dtype);
    let posterior = model.vae.encode(picture).map_err(|e| {
        input_error(port)(e).with_hint("put a `Resize` or `Segment Reference` node in front of this one")
    })?;
    let latents = match mode {
        "sample" => {
            let noise = generator.randn(posterior.mean.dims(), &model.device, posterior.mean.dtype());
            posterior.sample(noise)
        }
        _ => posterior.mean,
    };
    Ok(Latents(model.vae.scale(latents.cast(DType::F32))))
}
