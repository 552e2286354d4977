//! `Sample`.

use std::sync::Arc;

use dc_diffusion::dreamcache::Guidance;
use dc_graph_node_api::{Inputs, Node, NodeError, NodeSpec, Outputs, RunContext, Value};

use super::denoising::{denoise, sampling_ports};
use super::values::LATENTS;
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Sample",
        "diffusion",
        "Draws latents from noise by the plain model, with classifier-free guidance.",
    );
    let spec = sampling_ports(spec).output(
        "latents",
        LATENTS,
        "[batch, 4, height / 8, width / 8]; `Decode VAE` makes pictures of them.",
    );
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let guidance = Guidance::Joint { scale: inputs.number("guidance_scale")? };
    Ok(Outputs::one("latents", Value::native(denoise(inputs, context, guidance, None, None)?)))
}
