//! `Train Adapters`.

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::DType;
use dc_diffusion::checkpoint::save_adapters;
use dc_diffusion::dreamcache::cache::CacheConfig;
use dc_diffusion::dreamcache::{AdapterConfig, Variant};
use dc_diffusion::training::draws::{chance, generator};
use dc_diffusion::training::{
    AdaptersTask, Contexts, Initial, Kept, Noising, Parameters, Pool, Source, Split, Triplet, augment, train,
};
use dc_diffusion::weights::Weights;
use dc_diffusion::{Error, dreamcache};
use dc_graph_node_api::{InputSpec, Inputs, LogLevel, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::settings::{self, Defaults, count, require_f32};
use super::values::{Dataset, TRIPLETS};
use super::watching::{Watch, encoding};
use crate::diffusion::values::{ADAPTERS, Adapters, MODEL, Model, input_error, node_error};
use crate::function::function_node;

const DEFAULTS: Defaults = Defaults {
    folder: "adapters",
    steps: 25_000,
    batch_size: 16,
    learning_rate: 1e-5,
    warmup_steps: 500,
    show_every: 500,
};

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Train Adapters",
        "training",
        "Trains conditioning adapters for a base model, which stays as it is.",
    )
    .input(InputSpec::required("model", MODEL, "The base model, loaded in f32."))
    .input(InputSpec::required("triplets", TRIPLETS, "Targets, captions and references, of the model's native size."))
    .input(InputSpec::with_default("pool", 30_000_i64, "How many triplets are learned from; latents and text contexts are made beforehand.").range(1.0..=1e8))
    .input(InputSpec::optional("adapters", ADAPTERS, "Adapters of the same variant to go on from, loaded in f32. Where they have none, and without them, `initial` says how training begins."))
    .input(
        InputSpec::with_default("initial", "neutral", "`neutral`: the first step is exactly the base model, and the adapters attend like its own self-attention; `paper`: at random.")
            .choices(&["neutral", "paper"]),
    )
    .input(
        InputSpec::with_default("variant", "spatial_concat", "Where what is found in the cache goes: the paper's Table 4.")
            .choices(&["spatial_concat", "spatial_sum", "textual_sum", "decoupled_blocks"]),
    )
    .input(InputSpec::with_default("placement", "middle+decoder", "Which layers of the denoiser are cached and adapted, as in `Build Cache`: the paper's Table 5."))
    .input(InputSpec::with_default("timestep", 1_i64, "How noisy the cached reference is: the paper's Table S3.").range(0.0..=999.0))
    .input(InputSpec::with_default("caption_while_caching", false, "Whether references are cached with the caption instead of the empty one: the paper's Table 6."))
    .input(InputSpec::with_default("caption_drop", 0.07, "How often the caption is left out, for guidance.").range(0.0..=1.0))
    .input(InputSpec::with_default("augment", 1.0, "How often a reference is resized, moved, flipped, recoloured and partly erased before it is cached: always in the paper, whose references are cut out of the targets. Where they are pictures of their own, less is better.").range(0.0..=1.0));
    let spec = settings::ports(spec, &DEFAULTS)
        .output("adapters", ADAPTERS, "The trained adapters.")
        .output("path", PortType::Text, "Their file, for `Load Adapters`; weights in f16.")
        .output("steps", PortType::Integer, "How many steps have been taken.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let base = &model.0;
    require_f32(base.dtype)?;
    let data = inputs.native::<Dataset>("triplets")?.0.clone();
    let native = base.native_size();
    if data.size() != [native; 2] {
        let [height, width] = data.size();
        let message = format!("pictures of {width}x{height} pixels, the model's native size is {native}x{native}");
        return Err(NodeError::input("triplets", message).with_hint("set `size` of the data set to the model's"));
    }
    let config = AdapterConfig {
        variant: variant(inputs)?,
        placement: inputs.text("placement")?.parse().map_err(input_error("placement"))?,
    };
    config.placement.check(&base.unet_config).map_err(input_error("placement"))?;
    let cache = CacheConfig { placement: config.placement, timestep: count(inputs, "timestep")? as usize };
    let folder = settings::folder(inputs, context)?;

    let (seed, initial) = (count(inputs, "seed")?, inputs.text("initial")?);
    let load = |w: &Weights| dreamcache::Adapters::load(w, &base.unet_config, config);
    let given = inputs.optional_native::<Adapters>("adapters")?;
    if given.as_ref().is_some_and(|given| given.adapters.config().variant != config.variant) {
        return Err(NodeError::input("adapters", "are of another variant than what is to be trained")
            .with_hint("give `variant` the adapters' value"));
    }
    let begun = match initial {
        "paper" => {
            load(&Weights::new(Arc::new(Initial::adapters(seed)), &base.device, DType::F32)).map_err(node_error)?
        }
        _ => dreamcache::Adapters::neutral(&base.unet, config),
    };
    let (adapters, initial) = match given {
        Some(given) => {
            let left = given.adapters.points().iter().filter(|point| begun.at(point.layer).is_none()).count();
            if left > 0 {
                let placement = given.adapters.config().placement;
                let message =
                    format!("{left} of the given adapters ({placement}) are left out: `placement` has no such place");
                context.log(LogLevel::Warning, &message);
            }
            let initial = format!("{initial} from {}", digest(&given.adapters));
            (begun.with_layers_of(&given.adapters), initial)
        }
        None => (begun, initial.to_string()),
    };
    // As the released training does: all but the layer norms.
    let is_norm = |name: &str| name.ends_with(".norm.weight") || name.ends_with(".norm.bias");
    let mut parameters = Parameters::of(&adapters, load, is_norm).map_err(node_error)?;
    context.log(LogLevel::Info, &format!("{} parameters", parameters.num_trained()));

    let (entries, augments) = (count(inputs, "pool")? as usize, inputs.number("augment")?);
    let origin = format!("{} model {}", data.identity(), base.digest);
    let training = pool(context, base, &*data, (Split::Train, entries), &folder.join("pool"), &origin, |t, i| {
        let mut generator = generator(seed, i as u64);
        let changed = augments >= 1.0 || chance(&mut generator, augments);
        let reference = if changed { augment(&t, &mut generator) } else { t.reference };
        (vec![t.target, reference], t.caption)
    })?;
    let held_out = pool(context, base, &*data, (Split::HeldOut, 64), &folder.join("held-out"), &origin, |t, _| {
        (vec![t.target, t.reference], t.caption)
    })?;
    if training.is_empty() {
        return Err(NodeError::input("triplets", "the data set has no triplets to train on"));
    }
    let contexts = Contexts::new(base, &[&training, &held_out], |done, total| {
        context.progress(done as u64, total as u64);
        if context.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    });
    let contexts = contexts.map_err(node_error)?;

    let (batch_size, caption_drop) = (count(inputs, "batch_size")? as usize, inputs.number("caption_drop")?);
    let task = AdaptersTask {
        base,
        pool: &training,
        held_out: &held_out,
        contexts: &contexts,
        noising: Noising::new(&base.scheduler).map_err(node_error)?,
        cache,
        batch_size,
        seed,
        caption_drop,
        caption_while_caching: inputs.boolean("caption_while_caching")?,
    };
    let identity = format!(
        "adapters {config:?} {cache:?} {initial} batch {batch_size} drop {caption_drop} caption {} augment {augments} seed {seed} pool {entries} data {origin}",
        task.caption_while_caching
    );
    let mut watch = Watch::new(context, &folder);
    let steps = train(
        &task,
        adapters.clone(),
        &mut parameters,
        &base.device,
        &settings::schedule(inputs)?,
        &settings::habits(inputs)?,
        (&folder, &identity),
        |event| watch.hear(event),
    )
    .map_err(node_error)?;

    let adapters = parameters.assign(adapters, Kept::Average, &base.device, false);
    let path = folder.join("adapters.safetensors");
    save_adapters(&path, &adapters, base.family, DType::F16).map_err(node_error)?;
    context.wrote(&path);
    let num_parameters = adapters.num_params();
    context.log(LogLevel::Info, &format!("{num_parameters} parameters after {steps} steps"));
    let path = path.display().to_string();
    let trained = Adapters::new(adapters, base.family, path.clone());
    Ok(Outputs::one("adapters", Value::native(trained)).with("path", Value::text(path)).with("steps", steps as i64))
}

/// What tells adapters from others: BLAKE3 of their weights.
fn digest(adapters: &dreamcache::Adapters) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, data) in adapters.named_tensors() {
        hasher.update(name.as_bytes()).update(data.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn variant(inputs: &Inputs) -> Result<Variant, NodeError> {
    Ok(match inputs.text("variant")? {
        "spatial_sum" => Variant::SpatialSum,
        "textual_sum" => Variant::TextualSum,
        "decoupled_blocks" => Variant::DecoupledBlocks,
        _ => Variant::SpatialConcat,
    })
}

/// Latents and tokens, from the run's folder where they are there.
fn pool(
    context: &dyn RunContext,
    base: &dc_diffusion::model::BaseModel,
    data: &dyn dc_diffusion::training::Triplets,
    (split, entries): (Split, usize),
    path: &Path,
    origin: &str,
    choose: impl Fn(Triplet, usize) -> (Vec<dc_diffusion::training::Picture>, String) + Sync,
) -> Result<Pool, NodeError> {
    let identity = format!("{origin} {split:?} {entries}");
    if let Some(pool) = Pool::load(path, &identity).map_err(node_error)? {
        return Ok(pool);
    }
    let source = Source { data, split, entries, vae: &base.vae, device: &base.device, tokenizer: &base.tokenizer };
    let pool = Pool::build(&source, 2, choose, |done, total| encoding(context, done, total)).map_err(node_error)?;
    pool.save(path, &identity).map_err(node_error)?;
    Ok(pool)
}
