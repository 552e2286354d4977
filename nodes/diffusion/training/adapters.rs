//! Training conditioning adapters for a frozen base model: method and numbers of arXiv 2411.17786, section 4.
//!
//! The loss is that of the denoiser, predicting with the caption and the cache. The cache is made in every step, from the
//! reference's latents under fresh noise, and without gradients.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::{DType, Tensor, TensorData};

use super::draws::{below, chance, generator};
use super::noising::{Noised, Noising};
use super::pool::Pool;
use super::run::Task;
use crate::dreamcache::cache::CacheConfig;
use crate::dreamcache::conditioning::Conditioning;
use crate::dreamcache::{Adapters, Denoiser, Guidance, Personalisation, ProjectedCache, ReferenceCache};
use crate::error::Error;
use crate::model::BaseModel;
use crate::random::TorchGenerator;
use crate::sampling::{initial_latents, sample};
use crate::schedulers::{Sampler, Schedule};

/// Sample sheets: steps and guidance.
const SHOWN_STEPS: usize = 30;
const SHOWN_GUIDANCE: f64 = 4.0;
/// How many subjects are shown, and held-out triplets measured.
const SHOWN: usize = 16;
const MEASURED: usize = 64;
/// Captions that go through the text encoder at once.
const CAPTIONS: usize = 64;

/// Text contexts of a pool's captions, each of them once.
pub struct Contexts {
    /// Tokens to row.
    rows: HashMap<Vec<u32>, usize>,
    values: Vec<f32>,
    /// Tokens and width of a context.
    shape: [usize; 2],
}

/// What adapters learn from. Pools hold two pictures an entry: the target and the reference.
pub struct AdaptersTask<'a> {
    /// Frozen.
    pub base: &'a BaseModel,
    /// Latents and captions to learn.
    pub pool: &'a Pool,
    /// The same of held-out triplets; may be empty.
    pub held_out: &'a Pool,
    /// Of the captions of both, and of the empty one.
    pub contexts: &'a Contexts,
    /// The base model's noise levels.
    pub noising: Noising,
    /// Where and how noisy references are cached.
    pub cache: CacheConfig,
    /// Triplets at once.
    pub batch_size: usize,
    /// Of everything drawn.
    pub seed: u64,
    /// How often the caption is left out: 0.07 in the released training.
    pub caption_drop: f64,
    /// Whether the reference is cached with the caption, for the paper's Table 6, or with the empty one.
    pub caption_while_caching: bool,
}

/// A batch: noisy targets with their contexts, noisy references.
#[derive(Default)]
pub struct Personalised {
    noised: Noised,
    context: Vec<f32>,
    references: Vec<f32>,
    reference_context: Vec<f32>,
}

impl Contexts {
    /// Encodes every caption of the pools, and the empty one. `progress` hears how many are done, and may stop it.
    ///
    /// # Errors
    /// Of the model and `progress`.
    pub fn new(
        base: &BaseModel,
        pools: &[&Pool],
        mut progress: impl FnMut(usize, usize) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut rows = HashMap::from([(base.tokenizer.encode("").ids, 0)]);
        let mut captions = vec![base.tokenizer.encode("").ids];
        for tokens in pools.iter().flat_map(|pool| (0..pool.len()).map(|entry| pool.tokens(entry))) {
            if !rows.contains_key(tokens) {
                rows.insert(tokens.to_vec(), captions.len());
                captions.push(tokens.to_vec());
            }
        }
        let (mut values, mut shape) = (Vec::new(), [0, 0]);
        for (i, part) in captions.chunks(CAPTIONS).enumerate() {
            progress(i * CAPTIONS, captions.len())?;
            let context = base.text_encoder.forward(part)?;
            let [_, tokens, width] = context.dims();
            shape = [tokens, width];
            let data = context.into_data().convert::<f32>();
            values.extend_from_slice(data.as_slice().map_err(|e| Error::Device(format!("{e:?}")))?);
        }
        Ok(Self { rows, values, shape })
    }

    /// The context of tokens that were there from the beginning; else that of the empty caption.
    fn of(&self, tokens: &[u32]) -> &[f32] {
        self.row(self.rows.get(tokens).copied().unwrap_or(0))
    }

    fn empty(&self) -> &[f32] {
        self.row(0)
    }

    fn row(&self, row: usize) -> &[f32] {
        let len = self.shape[0] * self.shape[1];
        &self.values[row * len..][..len]
    }
}

impl AdaptersTask<'_> {
    fn latents(&self, values: Vec<f32>, batch: usize) -> Tensor<4> {
        let config = &self.base.unet_config;
        let shape = [batch, config.in_channels, config.sample_size, config.sample_size];
        Tensor::from_data(TensorData::new(values, shape), (&self.base.device, DType::F32))
    }

    fn context(&self, values: Vec<f32>, batch: usize) -> Tensor<3> {
        let [tokens, width] = self.contexts.shape;
        Tensor::from_data(TensorData::new(values, [batch, tokens, width]), (&self.base.device, DType::F32))
    }

    /// The loss of the base model alone.
    ///
    /// # Errors
    /// When batch and model do not fit each other.
    pub fn plain_loss(&self, batch: Personalised) -> Result<Tensor<1>, Error> {
        let n = batch.noised.timesteps.len();
        let (noisy, context) = (self.latents(batch.noised.noisy, n), self.context(batch.context, n));
        let predicted = self.base.unet.forward(noisy, &batch.noised.timesteps, context)?;
        Ok((predicted - self.latents(batch.noised.target, n)).square().mean())
    }

    fn add(&self, batch: &mut Personalised, pool: &Pool, (entry, reference): (usize, usize), drawn: Drawn<'_>) {
        let Drawn { noise, reference_noise, timestep, drop_caption } = drawn;
        let caption = self.contexts.of(pool.tokens(entry));
        self.noising.add(&mut batch.noised, &pool.latents(entry, 0), noise, timestep);
        batch.context.extend_from_slice(if drop_caption { self.contexts.empty() } else { caption });
        let reference = pool.latents(reference, 1);
        batch.references.extend(self.noising.noise(&reference, reference_noise, self.cache.timestep));
        let cached_with = if self.caption_while_caching { caption } else { self.contexts.empty() };
        batch.reference_context.extend_from_slice(cached_with);
    }

    fn project(
        &self,
        adapters: &Adapters,
        references: Vec<f32>,
        context: Vec<f32>,
        n: usize,
    ) -> Result<ProjectedCache, Error> {
        let (references, context) = (self.latents(references, n), self.context(context, n));
        ProjectedCache::new(adapters, &ReferenceCache::rows(&self.base.unet, references, context, self.cache)?)
    }

    /// Held-out triplets under fixed noise, each with its own reference or with its neighbour's.
    fn measured(&self, shift: usize) -> Personalised {
        let count = self.held_out.len().min(MEASURED);
        let len = self.held_out.latent_len();
        let mut generator = TorchGenerator::new(0);
        let mut batch = Personalised::default();
        for entry in 0..count {
            let [noise, reference_noise] = [0; 2].map(|_| generator.normal(len));
            let timestep = (2 * entry + 1) * self.noising.timesteps() / (2 * count);
            let drawn = Drawn { noise: &noise, reference_noise: &reference_noise, timestep, drop_caption: false };
            self.add(&mut batch, self.held_out, (entry, (entry + shift) % count), drawn);
        }
        batch
    }
}

/// What is random about a triplet of a batch.
struct Drawn<'a> {
    noise: &'a [f32],
    reference_noise: &'a [f32],
    timestep: usize,
    drop_caption: bool,
}

impl Task for AdaptersTask<'_> {
    type Model = Adapters;
    type Batch = Personalised;

    fn draw(&self, batch: u64) -> Result<Personalised, Error> {
        let mut generator = generator(self.seed, batch);
        let len = self.pool.latent_len();
        let mut drawn = Personalised::default();
        for _ in 0..self.batch_size {
            let [noise, reference_noise] = [0; 2].map(|_| generator.normal(len));
            let entry = below(&mut generator, self.pool.len());
            let timestep = self.noising.draw_timestep(&mut generator);
            let drop_caption = chance(&mut generator, self.caption_drop);
            let random = Drawn { noise: &noise, reference_noise: &reference_noise, timestep, drop_caption };
            self.add(&mut drawn, self.pool, (entry, entry), random);
        }
        Ok(drawn)
    }

    fn loss(&self, model: &Adapters, batch: Personalised) -> Result<Tensor<1>, Error> {
        let Personalised { noised, context, references, reference_context } = batch;
        let n = noised.timesteps.len();
        let cache = self.project(model, references, reference_context, n)?;
        let personalisation = Personalisation { adapters: model, cache: &cache, folded: None, strength: 1.0 };
        let mut hook = Conditioning { personalisation, first_row: 0, maps: None };
        let (noisy, context) = (self.latents(noised.noisy, n), self.context(context, n));
        let predicted = self.base.unet.forward_with(noisy, &noised.timesteps, context, &mut hook)?;
        Ok((predicted - self.latents(noised.target, n)).square().mean())
    }

    fn measure(&self, model: &Adapters) -> Result<BTreeMap<String, f64>, Error> {
        if self.held_out.is_empty() {
            return Ok(BTreeMap::new());
        }
        let loss = |shift| Ok::<_, Error>(f64::from(self.loss(model, self.measured(shift))?.into_scalar::<f32>()));
        let (own, other) = (loss(0)?, loss(1)?);
        let plain = f64::from(self.plain_loss(self.measured(0))?.into_scalar::<f32>());
        let named = [("loss", own), ("loss_of_another_reference", other), ("loss_of_the_base", plain)];
        Ok(named.map(|(name, value)| (name.to_string(), value)).into())
    }

    fn show(&self, model: &Adapters) -> Result<Tensor<4>, Error> {
        let pool = if self.held_out.is_empty() { self.pool } else { self.held_out };
        let n = pool.len().min(SHOWN);
        let (mut references, mut context) = (Vec::new(), Vec::new());
        let mut generator = TorchGenerator::new(0);
        for entry in 0..n {
            let noise = generator.normal(pool.latent_len());
            references.extend(self.noising.noise(&pool.latents(entry, 1), &noise, self.cache.timestep));
            context.extend_from_slice(self.contexts.of(pool.tokens(entry)));
        }
        let empty = self.contexts.empty().repeat(n);
        let cached_with = if self.caption_while_caching { context.clone() } else { empty };
        let cache = self.project(model, references, cached_with, n)?;
        let denoiser = Denoiser {
            unet: &self.base.unet,
            cond: self.context(context, n),
            uncond: self.context(self.contexts.empty().to_vec(), 1),
            guidance: Guidance::Joint { scale: SHOWN_GUIDANCE },
            personalisation: Some(Personalisation { adapters: model, cache: &cache, folded: None, strength: 1.0 }),
        };
        let schedule = Schedule::new(&self.base.scheduler, Sampler::Ddim, SHOWN_STEPS, 0.0)?;
        let shape = self.latents(vec![0.0; n * pool.latent_len()], n).dims();
        let start = initial_latents(&schedule, shape, &mut generator, &self.base.device);
        let predict = |latents: Tensor<4>, timestep: f64, _| denoiser.predict(&latents, timestep, true, None);
        let latents = sample(&schedule, start, &mut generator, predict, |_| Ok(()))?;
        let decode = |latents| self.base.vae.decode(self.base.vae.unscale(latents));
        let drawn = decode(latents)?;
        let shown = decode(self.latents((0..n).flat_map(|entry| pool.latents(entry, 1)).collect(), n))?;
        // Reference, picture, reference, ..
        let pairs = (0..n).flat_map(|i| [shown.clone().narrow(0, i, 1), drawn.clone().narrow(0, i, 1)]);
        Ok(Tensor::cat(pairs.collect(), 0))
    }
}
