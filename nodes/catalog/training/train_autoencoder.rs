//! `Train Autoencoder`.

use std::sync::Arc;

use burn::tensor::DType;
use dc_diffusion::checkpoint::{Part, write_tensors};
use dc_diffusion::training::{AutoencoderTask, Initial, Kept, Parameters, train};
use dc_diffusion::vae::{Vae, VaeConfig};
use dc_diffusion::weights::Weights;
use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::settings::{self, Defaults, count, numbers, require_f32};
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

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let data = inputs.native::<Dataset>("triplets")?;
        let config = config(inputs)?;
        let resolved = self.runtime.get()?;
        require_f32(resolved.dtype)?;
        let device = &resolved.device;
        let (seed, batch_size) = (count(inputs, "seed")?, count(inputs, "batch_size")? as usize);
        let kl_weight = inputs.number("kl_weight")?;
        let folder = settings::folder(inputs, context)?;

        let load = |w: &Weights| Vae::load(w, &config);
        let vae = load(&Weights::new(Arc::new(Initial::autoencoder(seed)), device, DType::F32)).map_err(node_error)?;
        let mut parameters = Parameters::of(&vae, load, |_| false).map_err(node_error)?;
        let task = AutoencoderTask::new(data.0.clone(), config.clone(), device, (batch_size, seed, kl_weight))
            .map_err(input_error("triplets"))?;
        let shape = serde_json::to_string(&config).map_err(|e| NodeError::failed(e.to_string()))?;
        let identity =
            format!("autoencoder {shape} kl {kl_weight} batch {batch_size} seed {seed} data {}", data.0.identity());
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
        let (config, tensors) = task.normalized(&trained, &parameters).map_err(node_error)?;
        let result = folder.join("model");
        write_tensors(&result, Part::Vae, &config, &tensors, DType::F16).map_err(node_error)?;
        context.wrote(&result);
        let result = Value::text(result.display().to_string());
        Ok(Outputs::one("autoencoder", result).with("steps", steps as i64))
    }
}
