//! `Decode VAE`.

use std::sync::Arc;

use dc_diffusion::device::free_bytes;
use dc_diffusion::model::BaseModel;
use dc_diffusion::vae::Tiling;
use dc_graph_node_api::{InputSpec, Inputs, LogLevel, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::pictures::{from_tensor, list};
use super::values::{LATENTS, Latents, MODEL, Model, input_error};
use crate::function::function_node;

/// Latents larger than this on a side are decoded in tiles by `auto`: 1024 pixels.
const LARGE: usize = 128;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Decode VAE", "diffusion", "Decodes latents to pictures.")
        .on_device()
        .input(InputSpec::required("model", MODEL, "Its autoencoder is used."))
        .input(InputSpec::required("latents", LATENTS, "What a sampler gives."))
        .input(
            InputSpec::with_default(
                "tiling",
                "auto",
                "Whether to decode tile by tile, which bounds memory and changes pictures a little: `auto` above 1024 pixels and where memory is short, `always` or `never`.",
            )
            .choices(&["auto", "always", "never"]),
        )
        .output("images", PortType::Image.list(), "One RGB picture of 8 bits a sample for each of the batch.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let latents = inputs.native::<Latents>("latents")?.0.clone();
    let (model, vae) = (&model.0, &model.0.vae);
    let [batch, channels, height, width] = latents.dims();
    let tiled = match inputs.text("tiling")? {
        "always" => true,
        "never" => false,
        _ => height.max(width) > LARGE || is_short(model, [height, width], context),
    };
    let mut images = Vec::with_capacity(batch);
    // One picture at a time: the decoder's activations are the largest there are.
    for i in 0..batch {
        context.check_cancelled()?;
        context.progress(i as u64, batch as u64);
        let one = latents.clone().slice([i..i + 1, 0..channels, 0..height, 0..width]);
        let one = vae.unscale(one.to_device(&model.device)).cast(model.dtype);
        let decoded = if tiled { vae.decode_tiled(one, Tiling::default()) } else { vae.decode(one) };
        images.extend(from_tensor(decoded.map_err(input_error("latents"))?)?);
    }
    context.progress(batch as u64, batch as u64);
    Ok(Outputs::one("images", list(images)))
}

/// Whether the device has no memory to decode latents of this size in one piece; then says so.
fn is_short(model: &BaseModel, size: [usize; 2], context: &dyn RunContext) -> bool {
    let needed = model.vae.config().decode_bytes(size);
    let Some(free) = free_bytes(&model.device).filter(|free| *free < needed) else { return false };
    let [needed, free] = [needed, free].map(|bytes| bytes / 1_000_000);
    let message = format!("decoded in tiles: {free} MB of memory are free, one piece takes about {needed} MB");
    context.log(LogLevel::Warning, &message);
    true
}
