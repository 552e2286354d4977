//! Training a denoiser with its text encoder from nothing (Ho et al. 2020, Rombach et al. 2022).

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::draws::{below, chance, generator};
use super::noising::{Noised, Noising};
use super::pool::Pool;
use super::run::Task;
use crate::dreamcache::{Denoiser, Guidance};
use crate::error::Error;
use crate::random::TorchGenerator;
use crate::sampling::{initial_latents, sample};
use crate::schedulers::{Sampler, Schedule, SchedulerConfig};
use crate::text::{ClipTextConfig, ClipTextModel, Tokenizer};
use crate::unet::{UNet, UNetConfig};
use crate::vae::Vae;
use crate::weights::Weights;

/// Sample sheets: steps and guidance.
const SHOWN_STEPS: usize = 30;
const SHOWN_GUIDANCE: f64 = 4.0;
/// How many pictures are shown, and held-out triplets measured.
const SHOWN: usize = 16;
const MEASURED: usize = 64;

/// What turns tokens and noise into latents.
#[derive(Module, Debug)]
pub struct TextToLatents {
    /// From tokens to the context.
    pub text_encoder: ClipTextModel,
    /// The denoiser.
    pub unet: UNet,
}

impl TextToLatents {
    /// Reads both, under `text_encoder` and `unet`.
    ///
    /// # Errors
    /// When a configuration is not one of this crate's, or a tensor is missing or has another shape.
    pub fn load(w: &Weights, text: &ClipTextConfig, unet: &UNetConfig) -> Result<Self, Error> {
        text.validate()?;
        unet.check()?;
        Ok(Self {
            text_encoder: ClipTextModel::load(&w.at("text_encoder"), text)?,
            unet: UNet::load(&w.at("unet"), unet)?,
        })
    }
}

/// What a denoiser learns from.
pub struct DenoiserTask<'a> {
    /// Latents and captions to learn.
    pub pool: &'a Pool,
    /// The same of held-out triplets; may be empty.
    pub held_out: &'a Pool,
    /// Its shapes.
    pub config: &'a UNetConfig,
    /// How it is noised.
    pub noising: Noising,
    /// The same, for samples.
    pub scheduler: &'a SchedulerConfig,
    /// For samples.
    pub vae: &'a Vae,
    /// For the empty caption.
    pub tokenizer: &'a Tokenizer,
    /// Where to compute.
    pub device: &'a Device,
    /// Pictures at once.
    pub batch_size: usize,
    /// Of everything drawn.
    pub seed: u64,
    /// How often the caption is left out, for guidance.
    pub caption_drop: f64,
}

/// A batch.
pub struct Captioned {
    noised: Noised,
    ids: Vec<Vec<u32>>,
}

impl DenoiserTask<'_> {
    fn shape(&self, batch: usize) -> [usize; 4] {
        [batch, self.config.in_channels, self.config.sample_size, self.config.sample_size]
    }

    fn tensor(&self, values: Vec<f32>, batch: usize) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, self.shape(batch)), (self.device, DType::F32))
    }
}

impl Task for DenoiserTask<'_> {
    type Model = TextToLatents;
    type Batch = Captioned;

    fn draw(&self, batch: u64) -> Result<Captioned, Error> {
        let mut generator = generator(self.seed, batch);
        let noise = generator.normal(self.batch_size * self.pool.latent_len());
        let mut drawn = Captioned { noised: Noised::default(), ids: Vec::with_capacity(self.batch_size) };
        for noise in noise.chunks_exact(self.pool.latent_len()) {
            let entry = below(&mut generator, self.pool.len());
            let timestep = self.noising.draw_timestep(&mut generator);
            self.noising.add(&mut drawn.noised, &self.pool.latents(entry, 0), noise, timestep);
            drawn.ids.push(match chance(&mut generator, self.caption_drop) {
                true => self.tokenizer.encode("").ids,
                false => self.pool.tokens(entry).to_vec(),
            });
        }
        Ok(drawn)
    }

    fn loss(&self, model: &TextToLatents, batch: Captioned) -> Result<Tensor<1>, Error> {
        let Captioned { noised, ids } = batch;
        let context = model.text_encoder.forward(&ids)?;
        let noisy = self.tensor(noised.noisy, ids.len());
        let predicted = model.unet.forward(noisy, &noised.timesteps, context)?;
        Ok((predicted - self.tensor(noised.target, ids.len())).square().mean())
    }

    fn measure(&self, model: &TextToLatents) -> Result<BTreeMap<String, f64>, Error> {
        let count = self.held_out.len().min(MEASURED);
        if count == 0 {
            return Ok(BTreeMap::new());
        }
        // The same noise every time, over all timesteps evenly.
        let mut generator = TorchGenerator::new(0);
        let mut batch = Captioned { noised: Noised::default(), ids: Vec::new() };
        for entry in 0..count {
            let noise = generator.normal(self.held_out.latent_len());
            let timestep = (2 * entry + 1) * self.noising.timesteps() / (2 * count);
            self.noising.add(&mut batch.noised, &self.held_out.latents(entry, 0), &noise, timestep);
            batch.ids.push(self.held_out.tokens(entry).to_vec());
        }
        Ok([("loss".to_string(), f64::from(self.loss(model, batch)?.into_scalar::<f32>()))].into())
    }

    fn show(&self, model: &TextToLatents) -> Result<Tensor<4>, Error> {
        let captions = if self.held_out.is_empty() { self.pool } else { self.held_out };
        let ids: Vec<_> = (0..captions.len().min(SHOWN)).map(|i| captions.tokens(i).to_vec()).collect();
        let denoiser = Denoiser {
            unet: &model.unet,
            cond: model.text_encoder.forward(&ids)?,
            uncond: model.text_encoder.forward(&[self.tokenizer.encode("").ids])?,
            guidance: Guidance::Joint { scale: SHOWN_GUIDANCE },
            personalisation: None,
        };
        let schedule = Schedule::new(self.scheduler, Sampler::Ddim, SHOWN_STEPS, 0.0)?;
        let mut generator = TorchGenerator::new(0);
        let start = initial_latents(&schedule, self.shape(ids.len()), &mut generator, self.device);
        let predict = |latents: Tensor<4>, timestep: f64, _| denoiser.predict(&latents, timestep, false, None);
        let latents = sample(&schedule, start, &mut generator, predict, |_| Ok(()))?;
        self.vae.decode(self.vae.unscale(latents))
    }
}
