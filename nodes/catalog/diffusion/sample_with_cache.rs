//! `Sample With Cache`.

use std::sync::Arc;

use dc_graph_node_api::{Inputs, Node, NodeError, NodeSpec, Outputs, RunContext, Value};

use super::denoising::{cache_ports, denoise, guidance, sampling_ports, subject};
use super::values::LATENTS;
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Sample With Cache",
        "diffusion",
        "Draws latents of the subject in a reference cache. Without a cache, at adapter strength 0, or with no step that uses the cache, it draws exactly what `Sample` draws.",
    );
    let spec = cache_ports(sampling_ports(spec));
    function_node(
        spec.output("latents", LATENTS, "[batch, 4, height / 8, width / 8]; `Decode VAE` makes pictures of them."),
        run,
    )
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let subject = subject(inputs, context)?;
    Ok(Outputs::one("latents", Value::native(denoise(inputs, context, guidance(inputs)?, subject.as_ref(), None)?)))
}
