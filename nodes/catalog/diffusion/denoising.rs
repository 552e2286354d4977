//! The ports and the loop that `Sample`, `Sample With Cache` and `Attention Maps` share.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};
use dc_diffusion::device::{free_bytes, room_for};
use dc_diffusion::dreamcache::{
    AttentionMaps, Denoiser, FoldedProjections, Guidance, Personalisation, Portions, ProjectedCache, Steps,
};
use dc_diffusion::model::BaseModel;
use dc_diffusion::random::TorchGenerator;
use dc_diffusion::sampling::{InFlight, StepInfo, Walk, initial_latents, preview};
use dc_diffusion::schedulers::Schedule;
use dc_graph_node_api::{InputSpec, Inputs, LogLevel, NodeError, NodeSpec, RunContext, StepHookValue};

use super::checkpoint::{put_aside, take_up};
use super::encode_vae::seed;
use super::pictures::from_tensor;
use super::schedule::{schedule, schedule_ports};
use super::step_hook::{after_step, step_hook_port};
use super::values::{
    ADAPTERS, Adapters, CONDITIONING, Cache, Conditioning, LATENTS, Latents, MODEL, Model, REFERENCE_CACHE,
    input_error, node_error,
};

/// A step range that holds every step there can be.
const ALL_STEPS: i64 = 1000;
/// Previews are shown every so many steps.
const PREVIEW_EVERY: usize = 5;

/// Adds the ports of plain sampling.
pub(super) fn sampling_ports(spec: NodeSpec) -> NodeSpec {
    let spec = spec
        .on_device()
        .input(InputSpec::required("model", MODEL, "Its denoiser is used."))
        .input(InputSpec::required("conditioning", CONDITIONING, "The contexts of the prompts."))
        .input(InputSpec::optional(
            "latents",
            LATENTS,
            "Size and number of the pictures, and what to start from when `denoising_strength` is below 1; the model's native size when absent.",
        ))
        .input(InputSpec::optional("noise", LATENTS, "The noise to start from, in the place of a seeded draw."));
    step_hook_port(schedule_ports(spec))
        .input(
            InputSpec::with_default(
                "guidance_scale",
                7.5,
                "How strongly the prompt (and the cache with it) is followed; 1 switches guidance off.",
            )
            .range(0.0..=100.0),
        )
        .input(
            InputSpec::with_default(
                "denoising_strength",
                1.0,
                "How much of `latents` is redrawn: 1 is all, 0.5 the later half of the steps.",
            )
            .range(0.01..=1.0),
        )
        .input(
            InputSpec::with_default("batch_size", 1_i64, "Number of pictures, when `latents` gives one or none. Where memory is short, they are denoised some at a time.")
                .range(1.0..=64.0),
        )
        .input(seed("Of the noise; the same numbers as PyTorch's CPU generator, drawn for the whole batch at once."))
}

/// Adds the ports of personalised sampling.
pub(super) fn cache_ports(spec: NodeSpec) -> NodeSpec {
    spec.input(InputSpec::optional("cache", REFERENCE_CACHE, "The subject. Without it this is plain sampling."))
        .input(InputSpec::optional("adapters", ADAPTERS, "The conditioning adapters that attend to the cache."))
        .input(
            InputSpec::with_default(
                "guidance",
                "joint",
                "`joint` weighs prompt and cache together (two evaluations a step), `combined` against each other (three), `text_first` too, but on top of the plain model's own guidance.",
            )
            .choices(&["joint", "combined", "text_first"]),
        )
        .input(
            InputSpec::with_default(
                "image_guidance_scale",
                0.4,
                "Of `combined` and `text_first`: higher keeps more of the subject, lower makes it easier to edit. 0.3 to 0.4 is usual in `combined` with large models; in `text_first`, around `guidance_scale`.",
            )
            .range(0.0..=100.0),
        )
        .input(
            InputSpec::with_default(
                "image_guidance_every",
                1_i64,
                "Of `combined` and `text_first`: make the third evaluation, of the cache or the prompt alone, in one of so many steps, and take what it changes for those between. 1 is exact, 4 takes 1.13 times as long as `joint` in the place of 1.5 times.",
            )
            .range(1.0..=1000.0),
        )
        .input(
            InputSpec::with_default("adapter_strength", 1.0, "How much of the adapters' contribution is taken: 1 is the paper's rule, 0 the plain model, exactly.")
                .range(0.0..=4.0),
        )
        .input(InputSpec::with_default("start_step", 0_i64, "First step that uses the cache, from 0.").range(0.0..=1000.0))
        .input(InputSpec::with_default("end_step", ALL_STEPS, "First step that does not use the cache any more.").range(0.0..=1000.0))
}

/// A subject, ready for sampling, and the steps that use it.
pub(super) struct Subject {
    adapters: Arc<Adapters>,
    pub(super) projected: Arc<ProjectedCache>,
    folded: Arc<FoldedProjections>,
    /// Of the steps that use it, one in so many looks at the cache without the prompt.
    every: usize,
    strength: f64,
    steps: Range<usize>,
}

/// The subject that the ports of [`cache_ports`] name, if any.
pub(super) fn subject(inputs: &Inputs, context: &dyn RunContext) -> Result<Option<Subject>, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let cache = inputs.optional_native::<Cache>("cache")?;
    let adapters = inputs.optional_native::<Adapters>("adapters")?;
    let (cache, adapters) = match (cache, adapters) {
        (Some(cache), Some(adapters)) => (cache, adapters),
        (Some(_), None) => {
            return Err(NodeError::input("adapters", "a cache is connected, but no adapters attend to it")
                .with_hint("connect a `Load Adapters` node"));
        }
        (None, Some(_)) => {
            context.log(LogLevel::Warning, "no cache is connected: this samples like the plain model");
            return Ok(None);
        }
        (None, None) => return Ok(None),
    };
    cache.origin.check_model(&model.0.digest, model.0.family).map_err(input_error("cache"))?;
    let (made_for, family) = (adapters.family, model.0.family);
    if made_for != family {
        return Err(NodeError::input("adapters", format!("were loaded for {made_for}, the model is {family}"))
            .with_hint("connect `Load Adapters` and this node to the same `Load Model`"));
    }
    if adapters.adapters.points() != adapters.adapters.config().placement.points(&model.0.unet_config) {
        return Err(NodeError::input("adapters", "belong to a model of another structure")
            .with_hint("connect `Load Adapters` and this node to the same `Load Model`"));
    }
    let step = |name: &str| inputs.integer(name).map(|step| step.max(0) as usize);
    Ok(Some(Subject {
        projected: cache.projected(&adapters).map_err(input_error("cache"))?,
        folded: adapters.folded(&model),
        every: step("image_guidance_every")?.max(1),
        adapters,
        strength: inputs.number("adapter_strength")?,
        steps: step("start_step")?..step("end_step")?,
    }))
}

/// The rule that the ports of [`cache_ports`] name.
pub(crate) fn guidance(inputs: &Inputs) -> Result<Guidance, NodeError> {
    let scale = inputs.number("guidance_scale")?;
    let image_scale = inputs.number("image_guidance_scale")?;
    Ok(match inputs.text("guidance")? {
        "combined" => Guidance::Combined { image_scale, text_scale: scale },
        "text_first" => Guidance::TextFirst { image_scale, text_scale: scale },
        _ => Guidance::Joint { scale },
    })
}

/// Height and width of the latents that [`denoise`] will work on.
pub(super) fn latent_size(inputs: &Inputs) -> Result<[usize; 2], NodeError> {
    let model = inputs.native::<Model>("model")?;
    if let Some(latents) = inputs.optional_native::<Latents>("latents")? {
        let [_, _, height, width] = latents.0.dims();
        return Ok([height, width]);
    }
    Ok([model.0.unet_config.sample_size; 2])
}

/// Samples as the ports of [`sampling_ports`] say.
///
/// # Shapes
/// - result: `[batch, 4, height, width]`, in f32
pub(super) fn denoise(
    inputs: &Inputs,
    context: &dyn RunContext,
    guidance: Guidance,
    subject: Option<&Subject>,
    mut maps: Option<&mut AttentionMaps>,
) -> Result<Latents, NodeError> {
    let model = inputs.native::<Model>("model")?;
    let conditioning = inputs.native::<Conditioning>("conditioning")?;
    conditioning.check_model(&model)?;
    let base = &model.0;

    let strength = inputs.number("denoising_strength")?;
    let (schedule, first_step) = schedule(inputs, &base.scheduler, strength)?;

    let mut generator = TorchGenerator::new(inputs.integer("seed")? as u64);
    let start = start(inputs, base, &schedule, &mut generator, strength < 1.0)?;
    let personalisation = subject.map(|subject| Personalisation {
        adapters: &subject.adapters.adapters,
        cache: &subject.projected,
        folded: Some(&subject.folded),
        strength: subject.strength,
    });
    let denoiser = Denoiser {
        unet: &base.unet,
        cond: conditioning.cond.clone().to_device(&base.device),
        uncond: conditioning.uncond.clone().to_device(&base.device),
        guidance,
        personalisation,
    };
    context.check_cancelled()?;
    let every = match guidance {
        Guidance::Combined { .. } | Guidance::TextFirst { .. } => subject.map_or(1, |subject| subject.every),
        Guidance::Joint { .. } => 1,
    };
    let rows = guidance.rows(personalisation.is_some()).len();
    let steps = Steps::new(denoiser, &schedule.timesteps()).sharing(every);
    let mut steps = portions(base, &steps, rows, start.dims(), context)?;
    let hook = inputs.optional_native::<StepHookValue>("step_hook")?;
    // Maps are summed up over all steps, and what steps share is not put aside either.
    let resumes = maps.is_none() && every == 1;
    let taken_up = if resumes { take_up(start.dims(), &schedule, &base.device, context) } else { None };
    let mut walk = taken_up.unwrap_or_else(|| Walk::new(start, generator));
    let mut in_flight = InFlight::default();
    while !walk.is_done(&schedule) {
        let denoise = |latents: Tensor<4>, _, index| {
            let active = subject.is_some_and(|s| s.steps.contains(&(first_step + index)));
            steps.predict(&latents, index, active, maps.as_deref_mut())
        };
        let evaluation = walk.step(&schedule, denoise).map_err(node_error)?;
        in_flight.follow(evaluation, |step| tell(step, context)).map_err(node_error)?;
        if let Some(hook) = &hook {
            walk.sample = after_step(hook, walk.sample.clone(), &schedule, walk.state.index, context)?;
        }
        if resumes {
            put_aside(&walk, &schedule, context);
        }
    }
    in_flight.land(|step| tell(step, context)).map_err(node_error)?;
    Ok(Latents(walk.sample))
}

/// The steps of as many pictures at once as the device has memory for.
fn portions<'a>(
    base: &BaseModel,
    steps: &Steps<'a>,
    rows: usize,
    [images, _, height, width]: [usize; 4],
    context: &dyn RunContext,
) -> Result<Portions<'a>, NodeError> {
    let free = free_bytes(&base.device);
    let each = rows as u64 * base.unet_config.activation_bytes([height, width]);
    let at_once = room_for(each, free);
    if let (Some(free), true) = (free, at_once < images) {
        let message =
            format!("{at_once} of the {images} pictures at a time: {} MB of memory are free", free / 1_000_000);
        context.log(LogLevel::Info, &message);
    }
    Portions::new(steps, images, at_once).map_err(node_error)
}

/// Tells how far the walk is, and shows now and then what it is coming to.
fn tell(step: StepInfo, context: &dyn RunContext) -> Result<(), dc_diffusion::Error> {
    if context.is_cancelled() {
        return Err(dc_diffusion::Error::Cancelled);
    }
    context.progress(step.step as u64, step.total as u64);
    if step.step.is_multiple_of(PREVIEW_EVERY) && step.step < step.total {
        let first = Tensor::from_data(step.denoised, &Device::flex()).slice(0..1);
        if let Some(image) = preview(first).ok().and_then(|p| from_tensor(p).ok()).and_then(|p| p.into_iter().next()) {
            context.preview(&image);
        }
    }
    Ok(())
}

/// The noisy latents at the schedule's first step.
fn start(
    inputs: &Inputs,
    model: &BaseModel,
    schedule: &Schedule,
    generator: &mut TorchGenerator,
    redraws: bool,
) -> Result<Tensor<4>, NodeError> {
    let channels = model.unet_config.in_channels;
    let batch_size = inputs.integer("batch_size")?.max(1) as usize;
    let latents = inputs.optional_native::<Latents>("latents")?;
    let noise = inputs.optional_native::<Latents>("noise")?;
    let [height, width] = latent_size(inputs)?;
    let batch = match &latents {
        None => batch_size,
        Some(latents) => match latents.0.dims()[0] {
            1 => batch_size,
            n if batch_size == 1 || batch_size == n => n,
            n => {
                return Err(NodeError::input(
                    "batch_size",
                    format!("is {batch_size}, but `latents` holds {n} pictures"),
                ));
            }
        },
    };
    let shape = [batch, channels, height, width];
    let place = |tensor: &Tensor<4>, port: &str| {
        let found = tensor.dims();
        let tensor = tensor.clone().to_device(&model.device).cast(DType::F32);
        match found {
            _ if found == shape => Ok(tensor),
            [1, c, h, w] if [c, h, w] == shape[1..] => Ok(tensor.expand(shape)),
            _ => Err(NodeError::input(port, format!("should have the shape {shape:?}, found {found:?}"))),
        }
    };
    let noise = match noise {
        Some(noise) => Some(place(&noise.0, "noise")?),
        None => None,
    };
    if !redraws {
        return Ok(match noise {
            Some(noise) => noise.mul_scalar(schedule.init_noise_sigma()),
            None => initial_latents(schedule, shape, generator, &model.device),
        });
    }
    let Some(latents) = latents else {
        return Err(NodeError::input("denoising_strength", "is below 1, but no `latents` are connected to start from")
            .with_hint("connect an `Encode VAE` node to `latents`"));
    };
    let latents = place(&latents.0, "latents")?;
    let noise = noise.unwrap_or_else(|| generator.randn(shape, &model.device, DType::F32));
    Ok(schedule.add_noise(0, &latents, &noise))
}
