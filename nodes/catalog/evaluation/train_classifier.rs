//! `Train Classifier`.

use std::sync::Arc;

use burn::tensor::DType;
use dc_diffusion::classifier::{Classifier, ClassifierConfig, save_classifier};
use dc_diffusion::training::{ClassifierTask, Initial, Kept, Parameters, train};
use dc_diffusion::weights::Weights;
use dc_graph_node_api::{InputSpec, Inputs, LogLevel, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::questions::{SCENE, TREATMENT, answers, right};
use crate::diffusion::runtime::Runtime;
use crate::diffusion::values::{input_error, node_error};
use crate::training::settings::{self, Defaults, count};
use crate::training::values::{Dataset, TRIPLETS};
use crate::training::watching::Watch;

/// Pictures that the result is measured on.
const MEASURED: usize = 8192;

const DEFAULTS: Defaults = Defaults {
    folder: "classifier",
    steps: 4000,
    batch_size: 64,
    learning_rate: 2e-3,
    warmup_steps: 100,
    show_every: 500,
};

struct TrainClassifier {
    spec: NodeSpec,
    runtime: Arc<Runtime>,
}

pub(crate) fn node(runtime: Arc<Runtime>) -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Train Classifier",
        "evaluation",
        "Trains a small classifier of scene and treatment on real pictures of the sticker world.",
    )
    .input(InputSpec::required(
        "triplets",
        TRIPLETS,
        "The world: its pictures, and what their captions say of them.",
    ));
    let spec = settings::ports(spec, &DEFAULTS)
        .output("path", PortType::Text, "The weights, for `Classify Images`; in f16.")
        .output("scene_accuracy", PortType::Number, "On pictures of held-out subjects, 0 to 1.")
        .output("treatment_accuracy", PortType::Number, "The same of treatments.")
        .output("steps", PortType::Integer, "How many steps have been taken.");
    Arc::new(TrainClassifier { spec, runtime })
}

impl Node for TrainClassifier {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn key_salt(&self) -> String {
        self.runtime.class()
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let data = inputs.native::<Dataset>("triplets")?.0.clone();
        let [height, width] = data.size();
        if height != width {
            return Err(NodeError::input("triplets", "the pictures are not square"));
        }
        let device = self.runtime.get()?.device.clone();
        let (seed, batch_size) = (count(inputs, "seed")?, count(inputs, "batch_size")? as usize);
        let folder = settings::folder(inputs, context)?;
        let config = ClassifierConfig { size: height, widths: [16, 32, 64, 96], hidden: 96, answers: answers() };
        let load = |w: &Weights| Classifier::load(w, &config);
        let initial = Weights::new(Arc::new(Initial::classifier(seed)), &device, DType::F32);
        let classifier = load(&initial).map_err(input_error("triplets"))?;
        let mut parameters = Parameters::of(&classifier, load, |_| false).map_err(node_error)?;
        context.log(LogLevel::Info, &format!("{} parameters", parameters.num_trained()));
        let identity = format!("classifier {config:?} batch {batch_size} seed {seed} data {}", data.identity());
        let task = ClassifierTask {
            data,
            config: config.clone(),
            understand: right,
            device: device.clone(),
            batch_size,
            seed,
        };
        let mut watch = Watch::new(context, &folder);
        let steps = train(
            &task,
            classifier.clone(),
            &mut parameters,
            &device,
            &settings::schedule(inputs)?,
            &settings::habits(inputs)?,
            (&folder, &identity),
            |event| watch.hear(event),
        )
        .map_err(node_error)?;

        let path = folder.join("classifier.safetensors");
        save_classifier(&path, &config, &parameters.tensors(Kept::Average), DType::F16).map_err(node_error)?;
        context.wrote(&path);
        // Measured as it is written, in half precision.
        let (written, _) = dc_diffusion::classifier::load_classifier(&path, &device).map_err(node_error)?;
        let accuracy = task.accuracy(&written, MEASURED).map_err(node_error)?;
        let of = |question: &str| accuracy.get(question).copied().unwrap_or(0.0);
        let (scene, treatment) = (of(SCENE), of(TREATMENT));
        context
            .log(LogLevel::Info, &format!("held-out scenes {scene:.4}, treatments {treatment:.4} after {steps} steps"));
        Ok(Outputs::one("path", Value::text(path.display().to_string()))
            .with("scene_accuracy", scene)
            .with("treatment_accuracy", treatment)
            .with("steps", steps as i64))
    }
}
