//! The parts of a model as pieces of work, from one evaluation to a whole personalised image.

use std::cell::OnceCell;

use burn::tensor::{DType, Distribution, Tensor};

use super::cost::{self, Cost};
use crate::dreamcache::cache::CacheConfig;
use crate::dreamcache::{
    Adapters, Denoiser, FoldedProjections, Guidance, Personalisation, ProjectedCache, ReferenceCache, Steps,
};
use crate::error::Error;
use crate::model::BaseModel;
use crate::random::TorchGenerator;
use crate::sampling::{initial_latents, sample};
use crate::schedulers::{Sampler, Schedule};

const JOINT: Guidance = Guidance::Joint { scale: 7.5 };
const COMBINED: Guidance = Guidance::Combined { image_scale: 0.4, text_scale: 7.5 };
/// Steps that share the evaluation of the cache alone.
const SHARED: usize = 4;

/// A piece of work. Running it once is one turn.
pub struct Part<'a> {
    /// What it does; the same name in every run and for every peer.
    pub name: String,
    /// The least that it has to compute and read.
    pub cost: Cost,
    /// Does it once, to the end.
    pub run: Work<'a>,
}

type Work<'a> = Box<dyn FnMut() -> Result<(), Error> + 'a>;

/// A model, adapters, and a subject to measure them with.
pub struct Bench {
    model: BaseModel,
    adapters: Adapters,
    folded: FoldedProjections,
    cache: OnceCell<ProjectedCache>,
    cond: Tensor<3>,
    uncond: Tensor<3>,
    latents: Tensor<4>,
    image: Tensor<4>,
    noise: Tensor<4>,
    alphas: Vec<f64>,
    steps: usize,
}

impl Bench {
    /// Makes pictures and prompts for a model. Whole images are drawn in `steps` steps.
    ///
    /// # Errors
    /// Of the model.
    pub fn new(model: BaseModel, adapters: Adapters, steps: usize) -> Result<Self, Error> {
        let size = model.unet_config.sample_size;
        let shape = [1, model.unet_config.in_channels, size, size];
        let pixels = model.native_size();
        let random = |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &model.device);
        let (latents, noise) = (random(shape), random(shape));
        let image = random([1, model.vae.config().in_channels, pixels, pixels]).clamp(-1.0, 1.0);
        let text = |prompt: &str| model.text_encoder.forward(&[model.tokenizer.encode(prompt).ids]);
        let (cond, uncond) = (text("a toy on the beach")?, text("")?);
        let alphas = model.scheduler.alphas_cumprod()?;
        let folded = FoldedProjections::new(&adapters, &model.unet);
        Ok(Self { model, adapters, folded, cache: OnceCell::new(), cond, uncond, latents, image, noise, alphas, steps })
    }

    /// All parts, the small ones first. The cache that some of them look at is built in the first turn of the first of
    /// them: on a GPU it has the autoencoder tuned.
    pub fn parts<'a>(&'a self) -> Vec<Part<'a>> {
        let config = &self.model.unet_config;
        let size = [config.sample_size; 2];
        let tokens = self.cond.dims()[1];
        let plain = cost::unet(config, size, tokens);
        let added = cost::adapters(self.adapters.points(), size, size);
        let [encoder, decoder] = cost::vae(self.model.vae.config(), size);
        let text = cost::text(self.model.text_encoder.config());
        let build = encoder + plain;
        let mut parts = Vec::new();
        let mut part = |name: &str, cost: Cost, run: Work<'a>| {
            parts.push(Part { name: name.into(), cost, run });
        };
        part("text encoder", text, Box::new(|| self.encode_text().map(drop)));
        part("VAE encode", encoder, Box::new(|| self.finish(self.model.vae.encode(self.image.clone())?.mean)));
        part("VAE decode", decoder, Box::new(|| self.finish(self.model.vae.decode(self.latents.clone())?)));
        let guided = |guidance, cached, every| {
            let mut steps = None;
            move |step: usize| {
                let steps = match &mut steps {
                    Some(steps) => steps,
                    none => {
                        let cache = if cached { Some(self.cache()?) } else { None };
                        none.insert(Steps::new(self.denoiser(guidance, cache), &[501.0; SHARED]).sharing(every))
                    }
                };
                self.finish(steps.predict(&self.latents, step, true, None)?)
            }
        };
        let one = Guidance::Joint { scale: 1.0 };
        for (name, guidance, cached, cost) in [
            ("UNet", one, false, plain),
            ("UNet, personalised", one, true, plain + added),
            ("step, joint, no cache", JOINT, false, plain * 2.0),
            ("step, joint", JOINT, true, plain * 2.0 + added),
            ("step, combined", COMBINED, true, plain * 3.0 + added * 2.0),
        ] {
            let mut run = guided(guidance, cached, 1);
            part(name, cost, Box::new(move || run(0)));
        }
        let shared = (plain * 3.0 + added * 2.0) * 0.25 + (plain * 2.0 + added) * 0.75;
        let mut run = guided(COMBINED, true, SHARED);
        // From the first step on, which looks at the cache alone.
        let four = move || (0..SHARED).try_for_each(&mut run);
        part("4 steps, combined, sharing", shared * SHARED as f64, Box::new(four));
        part("cache build", build, Box::new(|| self.build_cache().map(drop)));
        let steps = plain * (2.0 * self.steps as f64) + added * self.steps as f64;
        let name = format!("image, {} steps", self.steps);
        part(&name, text * 2.0 + build + steps + decoder, Box::new(|| self.draw()));
        parts
    }

    fn denoiser<'a>(&'a self, guidance: Guidance, cache: Option<&'a ProjectedCache>) -> Denoiser<'a> {
        let personalisation = cache.map(|cache| Personalisation {
            adapters: &self.adapters,
            cache,
            folded: Some(&self.folded),
            strength: 1.0,
        });
        let (cond, uncond) = (self.cond.clone(), self.uncond.clone());
        Denoiser { unet: &self.model.unet, cond, uncond, guidance, personalisation }
    }

    fn finish<const D: usize>(&self, output: Tensor<D>) -> Result<(), Error> {
        drop(output);
        self.model.device.sync().map_err(|e| Error::Device(format!("the device failed: {e}")))
    }

    fn encode_text(&self) -> Result<Tensor<3>, Error> {
        let context = self.model.text_encoder.forward(&[self.model.tokenizer.encode("a toy on the beach").ids])?;
        self.finish(context.clone())?;
        Ok(context)
    }

    fn cache(&self) -> Result<&ProjectedCache, Error> {
        if let Some(cache) = self.cache.get() {
            return Ok(cache);
        }
        let cache = self.build_cache()?;
        Ok(self.cache.get_or_init(|| cache))
    }

    fn build_cache(&self) -> Result<ProjectedCache, Error> {
        let Self { model, adapters, noise, alphas, uncond, .. } = self;
        let latents = model.vae.scale(model.vae.encode(self.image.clone())?.mean).cast(DType::F32);
        let config = CacheConfig { placement: adapters.config().placement, ..CacheConfig::default() };
        let cache = ReferenceCache::build(&model.unet, &latents, noise, alphas, uncond.clone(), config)?;
        let cache = ProjectedCache::new(adapters, &cache)?;
        model.device.sync().map_err(|e| Error::Device(format!("the device failed: {e}")))?;
        Ok(cache)
    }

    /// One step of the plain model with guidance.
    ///
    /// # Errors
    /// Of the model and the device.
    pub fn step(&self) -> Result<(), Error> {
        let mut steps = Steps::new(self.denoiser(JOINT, None), &[501.0]);
        self.finish(steps.predict(&self.latents, 0, true, None)?)
    }

    /// Everything from prompt and reference picture to the picture.
    ///
    /// # Errors
    /// Of the model and the device.
    pub fn draw(&self) -> Result<(), Error> {
        let model = &self.model;
        let (cond, uncond) = (self.encode_text()?, self.encode_text()?);
        let cache = self.build_cache()?;
        let denoiser = Denoiser { cond, uncond, ..self.denoiser(JOINT, Some(&cache)) };
        let schedule = Schedule::new(&model.scheduler, Sampler::Ddim, self.steps, 0.0)?;
        let mut generator = TorchGenerator::new(0);
        let start = initial_latents(&schedule, self.latents.dims(), &mut generator, &model.device);
        let mut steps = Steps::new(denoiser, &schedule.timesteps());
        let predict = |latents, _, step: usize| steps.predict(&latents, step, true, None);
        let latents = sample(&schedule, start, &mut generator, predict, |_| Ok(()))?;
        self.finish(model.vae.decode(model.vae.unscale(latents))?)
    }
}
