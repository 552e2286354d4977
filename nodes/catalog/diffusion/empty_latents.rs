//! `Empty Latents`.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::values::{LATENTS, Latents, MODEL, Model};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let side =
        |what: &str| format!("{what} of the pictures in pixels, a multiple of 8; the model's native size when absent.");
    let spec = NodeSpec::new("Empty Latents", "diffusion", "Gives a sampler the size and number of pictures to draw.")
        .on_device()
        .input(InputSpec::required("model", MODEL, "Its device and native size are used."))
        .input(InputSpec::optional("width", PortType::Integer, &side("Width")).range(8.0..=4096.0))
        .input(InputSpec::optional("height", PortType::Integer, &side("Height")).range(8.0..=4096.0))
        .input(InputSpec::with_default("batch_size", 1_i64, "Number of pictures.").range(1.0..=64.0))
        .output("latents", LATENTS, "Zeros, [batch, 4, height / 8, width / 8].");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let step = model.0.vae.config().downscale();
    let side = |name: &str| {
        let pixels = match inputs.get(name) {
            Some(_) => inputs.integer(name)?.max(0) as usize,
            None => model.0.native_size(),
        };
        if pixels == 0 || !pixels.is_multiple_of(step) {
            let nearest = (pixels / step).max(1) * step;
            return Err(NodeError::input(name, format!("{pixels} is not a multiple of {step}"))
                .with_hint(format!("take {nearest}")));
        }
        Ok(pixels / step)
    };
    let (height, width) = (side("height")?, side("width")?);
    let batch = inputs.integer("batch_size")?.max(1) as usize;
    let shape = [batch, model.0.unet_config.in_channels, height, width];
    let zeros = Tensor::<4>::zeros(shape, (&model.0.device, DType::F32));
    Ok(Outputs::one("latents", Value::native(Latents(zeros))))
}
