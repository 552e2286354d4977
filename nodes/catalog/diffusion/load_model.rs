//! `Load Model`.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::DType;
use dc_diffusion::checkpoint::{self, pocket_digest};
use dc_diffusion::model::BaseModel;
use dc_diffusion::schedulers::PredictionType;
use dc_graph_node_api::{
    InputProblem, InputSpec, Inputs, LogLevel, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value,
};

use super::runtime::Runtime;
use super::values::{MODEL, Model, input_error};

struct LoadModel {
    spec: NodeSpec,
    runtime: Arc<Runtime>,
}

pub(crate) fn node(runtime: Arc<Runtime>) -> Arc<dyn Node> {
    let spec = NodeSpec::new("Load Model", "diffusion", "Loads a Stable Diffusion 1.x or 2.x base model to the device.")
        .on_device()
        .input(InputSpec::required(
            "model",
            PortType::Path,
            "A diffusers folder, a single file (.safetensors, .ckpt), `pocket` (the small model inside the program), or random weights: `random:sd15-tiny`, `random:sd21-tiny`.",
        ))
        .input(
            InputSpec::with_default(
                "prediction_type",
                "auto",
                "What the denoiser was trained to predict; `auto` takes what the model says, and epsilon for single files, which say nothing.",
            )
            .choices(&["auto", "epsilon", "v_prediction"]),
        )
        .input(
            InputSpec::with_default("dtype", "auto", "Number type: that of the run, or `f32`, which training needs.")
                .choices(&["auto", "f32"]),
        )
        .output("model", MODEL, "Text encoder, denoiser and autoencoder.")
        .output("size", PortType::Integer, "Side of the pictures that it was trained on, in pixels.");
    Arc::new(LoadModel { spec, runtime })
}

impl Node for LoadModel {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn key_salt(&self) -> String {
        format!("{} {}", self.runtime.class(), pocket_digest())
    }

    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        let Some(Value::Path(path)) = known.get("model") else { return Ok(Vec::new()) };
        // Opening reads configurations and headers, no weights.
        checkpoint::open(path, None).map(|checkpoint| checkpoint.files).map_err(|e| {
            vec![InputProblem::new("model", e.to_string()).with_hint(
                "give a diffusers folder (with `model_index.json`), a `.safetensors` or `.ckpt` file, `pocket`, or `random:sd15-tiny`",
            )]
        })
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let prediction_type = match inputs.text("prediction_type")? {
            "epsilon" => Some(PredictionType::Epsilon),
            "v_prediction" => Some(PredictionType::VPrediction),
            _ => None,
        };
        let resolved = self.runtime.get()?;
        context.log(LogLevel::Info, &format!("device: {}", resolved.label));
        if let Some(note) = resolved.note() {
            context.log(LogLevel::Info, note);
        }
        let dtype = if inputs.text("dtype")? == "f32" { DType::F32 } else { resolved.dtype };
        let model = BaseModel::load(inputs.path("model")?, &resolved.device, dtype, prediction_type)
            .map_err(input_error("model"))?;
        for note in &model.notes {
            context.log(LogLevel::Warning, note);
        }
        let size = model.native_size() as i64;
        Ok(Outputs::one("model", Value::native(Model(model))).with("size", size))
    }
}
