//! `Train Autoencoder`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::DType;
use dc_diffusion::Error;
use dc_diffusion::checkpoint::{self, Component, Part, is_pocket, open_autoencoder, pocket_digest, write_tensors};
use dc_diffusion::training::{AutoencoderTask, Initial, Kept, Parameters, train};
use dc_diffusion::vae::{Vae, VaeConfig};
use dc_diffusion::weights::Weights;
use dc_graph_node_api::{
    InputProblem, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value,
};

use super::settings::{self, Defaults, count, numbers};
use super::values::{Dataset, TRIPLETS};
use super::watching::Watch;
use crate::diffusion::runtime::Runtime;
use crate::diffusion::values::{input_error, node_error};

struct TrainAutoencoder {
    spec: NodeSpec,
    runtime: Arc<Runtime>,
}

const DEFAULTS: Defaults = Defaults {
    folder: "autoencoder",
    steps: 10_000,
    batch_size: 16,
    learning_rate: 1e-3,
    warmup_steps: 100,
    show_every: 500,
};

pub(crate) fn node(runtime: Arc<Runtime>) -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Train Autoencoder",
        "training",
        "Trains a small autoencoder from nothing on the pictures of a data set.",
    )
    .input(InputSpec::required("triplets", TRIPLETS, "Targets and references are learned from; captions are not."))
    .input(InputSpec::optional(
        "autoencoder",
        PortType::Path,
        "One to go on from: a folder that this node wrote, or a base model. Its shapes count then, not `widths` and `latent_channels`.",
    ))
    .input(InputSpec::with_default(
        "decoder_only",
        false,
        "Whether the encoder of `autoencoder` stays as it is, to the last bit, so that what was trained on its latents remains right.",
    ))
    .input(InputSpec::with_default(
        "widths",
        "32,64,64",
        "Channels of each level, from the picture inwards; every level but the last halves height and width.",
    ))
    .input(InputSpec::with_default("latent_channels", 8_i64, "Channels of the latents.").range(1.0..=64.0))
    .input(
        InputSpec::with_default(
            "kl_weight",
            3e-4,
            "How much latents are drawn to a normal distribution, against the mean squared error.",
        )
        .range(0.0..=1.0),
    );
    let spec = settings::ports(spec, &DEFAULTS)
        .output("autoencoder", PortType::Text, "The folder of the result, with `config.json` and weights in f16.")
        .output("steps", PortType::Integer, "How many steps have been taken.");
    Arc::new(TrainAutoencoder { spec, runtime })
}

/// The autoencoder that the ports describe.
fn config(inputs: &Inputs) -> Result<VaeConfig, NodeError> {
    let widths = numbers(inputs, "widths")?;
    let levels = widths.len();
    let config = VaeConfig {
        latent_channels: count(inputs, "latent_channels")? as usize,
        block_out_channels: widths,
        layers_per_block: 1,
        norm_num_groups: 8,
        scaling_factor: 1.0,
        down_block_types: vec!["DownEncoderBlock2D".into(); levels],
        up_block_types: vec!["UpDecoderBlock2D".into(); levels],
        mid_block_add_attention: false,
        ..VaeConfig::default()
    };
    config.validate().map_err(input_error("widths"))?;
    Ok(config)
}

impl Node for TrainAutoencoder {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn key_salt(&self) -> String {
        self.runtime.class()
    }

    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        files(known)
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let data = inputs.native::<Dataset>("triplets")?;
        let decoder_only = inputs.boolean("decoder_only")?;
        let given = match inputs.get("autoencoder") {
            Some(_) => Some(open(inputs.path("autoencoder")?).map_err(input_error("autoencoder"))?.0),
            None if decoder_only => {
                return Err(NodeError::input("decoder_only", "there is no encoder to keep")
                    .with_hint("give the `autoencoder` that it belongs to"));
            }
            None => None,
        };
        let config = given.as_ref().map_or_else(|| config(inputs), |given| Ok(given.config.clone()))?;
        let resolved = self.runtime.get()?;
        let device = &resolved.device;
        let (seed, batch_size) = (count(inputs, "seed")?, count(inputs, "batch_size")? as usize);
        let kl_weight = inputs.number("kl_weight")?;
        let folder = settings::folder(inputs, context)?;

        let load = |w: &Weights| Vae::load(w, &config);
        let vae = match &given {
            Some(given) => given.load(Vae::load, device, DType::F32).map_err(input_error("autoencoder"))?,
            None => {
                load(&Weights::new(Arc::new(Initial::autoencoder(seed)), device, DType::F32)).map_err(node_error)?
            }
        };
        let is_encoder = |name: &str| name.starts_with("encoder.") || name.starts_with("quant_conv.");
        let mut parameters = Parameters::of(&vae, load, |name| decoder_only && is_encoder(name)).map_err(node_error)?;
        let task = AutoencoderTask::new(data.0.clone(), config.clone(), device, (batch_size, seed, kl_weight))
            .map_err(input_error("triplets"))?;
        let shape = serde_json::to_string(&config).map_err(|e| NodeError::failed(e.to_string()))?;
        let from = match inputs.get("autoencoder") {
            Some(_) => digest(inputs.path("autoencoder")?, context)?,
            None => "nothing".into(),
        };
        let identity = format!(
            "autoencoder {shape} from {from} decoder only {decoder_only} kl {kl_weight} batch {batch_size} seed {seed} data {}",
            data.0.identity()
        );
        let mut watch = Watch::new(context, &folder);
        let steps = train(
            &task,
            vae.clone(),
            &mut parameters,
            device,
            &settings::schedule(inputs)?,
            &settings::habits(inputs)?,
            (&folder, &identity),
            |event| watch.hear(event),
        )
        .map_err(node_error)?;

        let trained = parameters.assign(vae, Kept::Average, device, false);
        let (config, tensors) = match decoder_only {
            true => (config, parameters.tensors(Kept::Average)),
            false => task.normalized(&trained, &parameters).map_err(node_error)?,
        };
        let result = folder.join("model");
        write_tensors(&result, Part::Vae, &config, &tensors, DType::F16).map_err(node_error)?;
        context.wrote(&result);
        let result = Value::text(result.display().to_string());
        Ok(Outputs::one("autoencoder", result).with("steps", steps as i64))
    }
}

/// The autoencoder of a folder of its own, or that of a base model; with the files behind it.
pub(super) fn open(path: &str) -> Result<(Component<VaeConfig>, Vec<PathBuf>), Error> {
    if Path::new(path).join("config.json").is_file() {
        return open_autoencoder(Path::new(path));
    }
    let checkpoint = checkpoint::open(path, None)?;
    Ok((checkpoint.vae, checkpoint.files))
}

/// What tells an autoencoder from others.
pub(super) fn digest(path: &str, context: &dyn RunContext) -> Result<String, NodeError> {
    if is_pocket(path) {
        return Ok(pocket_digest().into());
    }
    if Path::new(path).exists() { context.digest(Path::new(path)) } else { Ok(path.into()) }
}

/// The files behind the port `autoencoder`.
pub(super) fn files(known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
    let Some(Value::Path(path)) = known.get("autoencoder") else { return Ok(Vec::new()) };
    match open(path) {
        Ok((_, files)) => Ok(files),
        Err(e) => Err(vec![InputProblem::new("autoencoder", e.to_string()).with_hint("run `Train Autoencoder` first")]),
    }
}
