//! `Load Cache`.

use std::path::Path;
use std::sync::Arc;

use dc_diffusion::dreamcache::load_cache;
use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::values::{Cache, MODEL, Model, REFERENCE_CACHE, input_error};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Load Cache", "diffusion", "Reads a reference cache that `Save Cache` wrote.")
        .on_device()
        .input(InputSpec::required("model", MODEL, "The base model that it was built with."))
        .input(InputSpec::required("path", PortType::Path, "A .safetensors file."))
        .output("cache", REFERENCE_CACHE, "The subject.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let base = &model.0;
    let path = Path::new(inputs.path("path")?);
    let made_by = (base.digest.as_str(), base.family);
    let (cache, origin) =
        load_cache(path, &base.unet_config, made_by, &base.device, base.dtype).map_err(input_error("path"))?;
    Ok(Outputs::one("cache", Value::native(Cache::new(cache, origin))))
}
