//! `Load Latents`.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use dc_diffusion::checkpoint::SafeTensors;
use dc_diffusion::weights::{TensorSource, Weights};
use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::values::{LATENTS, Latents, input_error};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Load Latents",
        "diffusion",
        "Reads latents, or any tensor of their shape, from a safetensors file.",
    )
    .input(InputSpec::required("path", PortType::Path, "A .safetensors file."))
    .input(InputSpec::with_default("tensor", "latents", "The tensor's name in the file."))
    .output("latents", LATENTS, "[batch, channels, height, width] as in the file, in f32.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let file = SafeTensors::open(Path::new(inputs.path("path")?)).map_err(input_error("path"))?;
    let name = inputs.text("tensor")?;
    let Some(shape) = file.info(name).map(|info| info.shape) else {
        let names = file.names();
        let known: Vec<_> = names.iter().take(8).map(|n| format!("`{n}`")).collect();
        return Err(NodeError::input("tensor", format!("there is no tensor `{name}` in {}", file.origin()))
            .with_hint(format!("there is {}{}", known.join(", "), if names.len() > 8 { ", .." } else { "" })));
    };
    let Ok(shape) = <[usize; 4]>::try_from(shape.as_slice()) else {
        return Err(NodeError::input("tensor", format!("`{name}` has the shape {shape:?}, latents have four axes")));
    };
    let weights = Weights::new(Arc::new(file), &Device::flex(), DType::F32);
    let latents = weights.tensor(name, shape).map_err(input_error("tensor"))?;
    Ok(Outputs::one("latents", Value::native(Latents(latents))))
}
