//! `Save Cache`.

use std::sync::Arc;

use dc_diffusion::dreamcache::save_cache;
use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::values::{Cache, REFERENCE_CACHE, node_error};
use crate::function::function_node;
use crate::image::path_pattern::{inside, place};

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Save Cache",
        "diffusion",
        "Writes a reference cache to a safetensors file in the output folder.",
    )
    .with_effect()
    .input(InputSpec::required("cache", REFERENCE_CACHE, "What to write: about 6 MB for Stable Diffusion at 512x512."))
    .input(InputSpec::with_default("path", "cache.safetensors", "Where to, below the output folder."))
    .output("path", PortType::Text, "The written file.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let cache = inputs.native::<Cache>("cache")?;
    let path = place(context.output_dir(), &inside(inputs.text("path")?)?)?;
    save_cache(&path, &cache.cache, &cache.origin).map_err(node_error)?;
    context.wrote(&path);
    Ok(Outputs::one("path", Value::text(path.display().to_string())))
}
