//! `Save Latents`.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::DType;
use dc_diffusion::checkpoint::write_safetensors;
use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::values::{LATENTS, Latents, node_error};
use crate::function::function_node;
use crate::image::path_pattern::{inside, place};

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Save Latents", "diffusion", "Writes latents to a safetensors file in the output folder.")
        .with_effect()
        .input(InputSpec::required("latents", LATENTS, "What to write, in float32."))
        .input(InputSpec::with_default("path", "latents.safetensors", "Where to, below the output folder."))
        .input(InputSpec::with_default("tensor", "latents", "The tensor's name in the file."))
        .output("path", PortType::Text, "The written file.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let latents = inputs.native::<Latents>("latents")?.0.clone();
    let path = place(context.output_dir(), &inside(inputs.text("path")?)?)?;
    let shapes = BTreeMap::from([(inputs.text("tensor")?.to_string(), latents.dims().to_vec())]);
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_safetensors(&path, &metadata, DType::F32, &shapes, |_, _| Ok(latents.clone().into_data()))
        .map_err(node_error)?;
    context.wrote(&path);
    Ok(Outputs::one("path", Value::text(path.display().to_string())))
}
