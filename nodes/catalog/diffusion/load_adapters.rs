//! `Load Adapters`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use dc_diffusion::checkpoint::{is_pocket, load_adapters, open_file, pocket_digest};
use dc_graph_node_api::{
    InputProblem, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value,
};

use super::values::{ADAPTERS, Adapters, MODEL, Model, input_error};

struct LoadAdapters {
    spec: NodeSpec,
}

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Load Adapters",
        "diffusion",
        "Loads the trained conditioning adapters that attend to a reference cache.",
    )
    .on_device()
    .input(InputSpec::required("model", MODEL, "The base model that they were trained for."))
    .input(InputSpec::required(
        "adapters",
        PortType::Path,
        "A released checkpoint (.pt), a .safetensors file, `pocket` (those of the small model inside the program), or random weights: `random:sd15-tiny`, `random:sd21-tiny`.",
    ))
    .output("adapters", ADAPTERS, "The adapters, on the model's device.")
    .output("num_parameters", PortType::Integer, "25,207,040 for Stable Diffusion 1.5 and 2.1.")
    .output("placement", PortType::Text, "Where they sit, for `Build Cache`: `middle+decoder` for released checkpoints.");
    Arc::new(LoadAdapters { spec })
}

impl Node for LoadAdapters {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn key_salt(&self) -> String {
        pocket_digest().into()
    }

    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        match known.get("adapters") {
            Some(Value::Path(path)) if !path.starts_with("random:") && !is_pocket(path) => {
                let file = PathBuf::from(&**path);
                // Opening checks the header only.
                match open_file(Path::new(&file)) {
                    Ok(_) => Ok(vec![file]),
                    Err(e) => Err(vec![
                        InputProblem::new("adapters", e.to_string())
                            .with_hint("give a `.pt` or `.safetensors` file, or `random:sd15-tiny`"),
                    ]),
                }
            }
            _ => Ok(Vec::new()),
        }
    }

    fn run(&self, inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let model = inputs.native::<Model>("model")?;
        let (base, origin) = (&model.0, inputs.path("adapters")?);
        let adapters = load_adapters(origin, &base.unet_config, base.family, &base.device, base.dtype)
            .map_err(input_error("adapters"))?;
        let num_parameters = adapters.num_params() as i64;
        let placement = adapters.config().placement.to_string();
        let adapters = Adapters::new(adapters, base.family, origin.into());
        Ok(Outputs::one("adapters", Value::native(adapters))
            .with("num_parameters", num_parameters)
            .with("placement", Value::text(placement)))
    }
}
