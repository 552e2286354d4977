//! `Train Denoiser`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::DType;
use dc_diffusion::checkpoint::{Part, write_json, write_pipeline, write_tensors};
use dc_diffusion::model::BaseModel;
use dc_diffusion::random::TorchGenerator;
use dc_diffusion::schedulers::{PredictionType, SchedulerConfig};
use dc_diffusion::text::{ClipTextConfig, HiddenAct, Padding, Tokenizer, learn_tokenizer};
use dc_diffusion::training::draws::chance;
use dc_diffusion::training::{
    DenoiserTask, Initial, Kept, Noising, Parameters, Pool, Source, Split, TextToLatents, Triplet, train,
};
use dc_diffusion::unet::UNetConfig;
use dc_diffusion::vae::Vae;
use dc_diffusion::weights::Weights;
use dc_graph_node_api::{
    InputProblem, InputSpec, Inputs, LogLevel, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value,
};

use super::settings::{self, Defaults, count, numbers, require_f32};
use super::train_autoencoder::{digest, files, open};
use super::values::{Dataset, TRIPLETS};
use super::watching::Watch;
use crate::diffusion::runtime::Runtime;
use crate::diffusion::values::{MODEL, Model, input_error, node_error};

struct TrainDenoiser {
    spec: NodeSpec,
    runtime: Arc<Runtime>,
}

const DEFAULTS: Defaults = Defaults {
    folder: "denoiser",
    steps: 12_000,
    batch_size: 32,
    learning_rate: 1e-3,
    warmup_steps: 200,
    show_every: 1000,
};

pub(crate) fn node(runtime: Arc<Runtime>) -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Train Denoiser",
        "training",
        "Trains a small denoiser and its text encoder from nothing, and writes a whole base model.",
    )
    .input(InputSpec::required("triplets", TRIPLETS, "Targets, and references on white, with their captions."))
    .input(InputSpec::required("autoencoder", PortType::Path, "The folder that `Train Autoencoder` wrote, or a base model, whose autoencoder is taken."))
    .input(InputSpec::optional("model", MODEL, "A base model of the same shapes and words to go on from, loaded in f32; without it, training begins from nothing."))
    .input(InputSpec::with_default("pool", 30_000_i64, "How many triplets are learned from; their latents are made beforehand.").range(1.0..=1e8))
    .input(InputSpec::with_default("references", 0.2, "Which part of the pictures are references: they teach the model what one looks like.").range(0.0..=1.0))
    .input(InputSpec::with_default("caption_drop", 0.1, "How often the caption is left out, for guidance.").range(0.0..=1.0))
    .input(InputSpec::with_default("widths", "64,96,96", "Channels of the denoiser's levels, from the outside inwards."))
    .input(InputSpec::with_default("context_dim", 96_i64, "Width of the text encoder.").range(8.0..=4096.0))
    .input(InputSpec::with_default("text_layers", 2_i64, "Layers of the text encoder.").range(1.0..=48.0))
    .input(InputSpec::with_default("tokens", 24_i64, "Longest caption, with start and end; a word of the data set is one token.").range(4.0..=77.0))
    .input(
        InputSpec::with_default("prediction_type", "v_prediction", "What the denoiser learns to predict. With `v_prediction` the noisiest steps, which decide on composition and colours, weigh as much as the others.")
            .choices(&["v_prediction", "epsilon"]),
    );
    let spec = settings::ports(spec, &DEFAULTS)
        .output("model", PortType::Text, "The folder of the base model, for `Load Model`; weights in f16.")
        .output("steps", PortType::Integer, "How many steps have been taken.");
    Arc::new(TrainDenoiser { spec, runtime })
}

impl Node for TrainDenoiser {
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
        let data = inputs.native::<Dataset>("triplets")?.0.clone();
        let resolved = self.runtime.get()?;
        let device = &resolved.device;
        let (component, _) = open(inputs.path("autoencoder")?).map_err(input_error("autoencoder"))?;
        let vae = component.load(Vae::load, device, DType::F32).map_err(input_error("autoencoder"))?;
        let folder = settings::folder(inputs, context)?;

        // The vocabulary, and the shapes that follow from data and ports.
        let result = folder.join("model");
        let words = data.words();
        let (tokenizer_json, vocab_size) = learn_tokenizer(words.iter().map(String::as_str));
        write_json(&result.join("tokenizer/tokenizer.json"), &tokenizer_json).map_err(node_error)?;
        let size = count(inputs, "context_dim")? as usize;
        let text_config = ClipTextConfig {
            vocab_size,
            hidden_size: size,
            intermediate_size: 4 * size,
            num_hidden_layers: count(inputs, "text_layers")? as usize,
            num_attention_heads: 4,
            max_position_embeddings: count(inputs, "tokens")? as usize,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: vocab_size as u32 - 1,
        };
        let tokenizer = Tokenizer::load(&result.join("tokenizer"), Padding::End)
            .map_err(node_error)?
            .with_length(text_config.max_position_embeddings);
        let [height, width] = data.size();
        if height != width {
            return Err(NodeError::input("triplets", format!("pictures of {width}x{height} pixels are no squares")));
        }
        let channels = vae.config().latent_channels;
        let widths = numbers(inputs, "widths")?;
        let unet_config = UNetConfig::small(&widths, channels, height / vae.config().downscale(), size);
        unet_config.check().map_err(input_error("widths"))?;
        let prediction_type = match inputs.text("prediction_type")? {
            "epsilon" => PredictionType::Epsilon,
            _ => PredictionType::VPrediction,
        };
        let scheduler = SchedulerConfig::stable_diffusion(prediction_type);

        let seed = count(inputs, "seed")?;
        let load = |w: &Weights| TextToLatents::load(w, &text_config, &unet_config);
        let model = match inputs.optional_native::<Model>("model")? {
            Some(model) => beginning(&model.0, &unet_config, &text_config)?,
            None => load(&Weights::new(Arc::new(Initial::denoiser(seed)), device, DType::F32)).map_err(node_error)?,
        };
        let mut parameters = Parameters::of(&model, load, |_| false).map_err(node_error)?;
        context.log(LogLevel::Info, &format!("{} parameters, {vocab_size} tokens", parameters.num_trained()));

        // Latents and tokens.
        let references = inputs.number("references")?;
        let entries = count(inputs, "pool")? as usize;
        let origin = format!("{} autoencoder {}", data.identity(), digest(inputs.path("autoencoder")?, context)?);
        let choose = |triplet: Triplet, index: usize| match chance(&mut TorchGenerator::new(index as u64), references) {
            true => (vec![triplet.reference], triplet.reference_caption),
            false => (vec![triplet.target], triplet.caption),
        };
        let pool = |split: Split, entries: usize, path: &Path| -> Result<Pool, NodeError> {
            let identity = format!("{origin} {split:?} {entries} references {references} vocabulary {vocab_size}");
            if let Some(pool) = Pool::load(path, &identity).map_err(node_error)? {
                return Ok(pool);
            }
            let source = Source { data: &*data, split, entries, vae: &vae, device, tokenizer: &tokenizer };
            let pool = Pool::build(&source, 1, choose, |done, total| super::watching::encoding(context, done, total));
            let pool = pool.map_err(node_error)?;
            pool.save(path, &identity).map_err(node_error)?;
            Ok(pool)
        };
        let training = pool(Split::Train, entries, &folder.join("pool"))?;
        let held_out = pool(Split::HeldOut, 64, &folder.join("held-out"))?;
        if training.is_empty() {
            return Err(NodeError::input("triplets", "the data set has no triplets to train on"));
        }

        let (batch_size, caption_drop) = (count(inputs, "batch_size")? as usize, inputs.number("caption_drop")?);
        let task = DenoiserTask {
            pool: &training,
            held_out: &held_out,
            config: &unet_config,
            noising: Noising::new(&scheduler).map_err(node_error)?,
            scheduler: &scheduler,
            vae: &vae,
            tokenizer: &tokenizer,
            device,
            batch_size,
            seed,
            caption_drop,
        };
        let shape =
            serde_json::to_string(&(&unet_config, &text_config)).map_err(|e| NodeError::failed(e.to_string()))?;
        let from = inputs.optional_native::<Model>("model")?.map_or("nothing".into(), |model| model.0.digest.clone());
        let identity = format!(
            "denoiser {shape} {prediction_type:?} from {from} batch {batch_size} drop {caption_drop} seed {seed} pool {entries} references {references} data {origin}"
        );
        let mut watch = Watch::new(context, &folder);
        let steps = train(
            &task,
            model,
            &mut parameters,
            device,
            &settings::schedule(inputs)?,
            &settings::habits(inputs)?,
            (&folder, &identity),
            |event| watch.hear(event),
        )
        .map_err(node_error)?;

        // The base model as a folder.
        let tensors = parameters.tensors(Kept::Average);
        let under = |prefix: &str| {
            let own =
                tensors.iter().filter_map(|(name, data)| Some((name.strip_prefix(prefix)?.to_string(), data.clone())));
            own.collect()
        };
        let write = || {
            write_tensors(&result.join("unet"), Part::Unet, &unet_config, &under("unet."), DType::F16)?;
            write_tensors(
                &result.join("text_encoder"),
                Part::TextEncoder,
                &text_config,
                &under("text_encoder."),
                DType::F16,
            )?;
            write_tensors(&result.join("vae"), Part::Vae, vae.config(), &component.tensors(Vae::load)?, DType::F16)?;
            write_pipeline(&result, &scheduler)
        };
        write().map_err(node_error)?;
        context.wrote(&result);
        Ok(Outputs::one("model", Value::text(result.display().to_string())).with("steps", steps as i64))
    }
}

/// The networks of a base model that is to be trained further.
fn beginning(base: &BaseModel, unet: &UNetConfig, text: &ClipTextConfig) -> Result<TextToLatents, NodeError> {
    require_f32(base.dtype)?;
    if base.unet_config != *unet || base.text_encoder.config() != text {
        return Err(NodeError::input("model", "has other shapes or words than what is to be trained")
            .with_hint("give `widths`, `context_dim`, `text_layers` and `tokens` the model's values"));
    }
    Ok(TextToLatents { text_encoder: base.text_encoder.clone(), unet: base.unet.clone() })
}
