//! The reference cache: what a reference picture looks like from inside the denoiser.

use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::dreamcache::placement::{CachePoint, Placement};
use crate::error::Error;
use crate::unet::transformer::flatten;
use crate::unet::{UNet, UNetConfig};

/// How a cache is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheConfig {
    /// Where features are kept.
    pub placement: Placement,
    /// How noisy the reference is, 0 to 999. The paper's 1 is the least noisy; its Table S3 tries 150 and 300.
    pub timestep: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { placement: Placement::default(), timestep: 1 }
    }
}

/// Features of one or several references at each cache point, in the order of the points.
///
/// # Shapes
/// - features: `[1, tokens, d]` each, the references' tokens one after the other
#[derive(Clone, Debug)]
pub struct ReferenceCache {
    config: CacheConfig,
    references: Vec<[usize; 2]>,
    points: Vec<CachePoint>,
    features: Vec<Tensor<3>>,
}

impl ReferenceCache {
    /// Noises the reference and sends it through the denoiser, as far as the last cache point.
    ///
    /// `alphas_cumprod` is what is left of the image's variance at each timestep; `context` that of the caching prompt,
    /// which is empty in the paper.
    ///
    /// # Shapes
    /// - latents, noise: `[1, 4, height, width]`
    /// - context: `[1, context_tokens, context_dim]`
    ///
    /// # Errors
    /// When these do not fit each other or the denoiser, or the timestep is out of range.
    pub fn build(
        unet: &UNet,
        latents: &Tensor<4>,
        noise: &Tensor<4>,
        alphas_cumprod: &[f64],
        context: Tensor<3>,
        config: CacheConfig,
    ) -> Result<Self, Error> {
        let Some(&alpha) = alphas_cumprod.get(config.timestep) else {
            let last = alphas_cumprod.len().saturating_sub(1);
            return Err(Error::Argument(format!("the caching timestep is 0 to {last}, found {}", config.timestep)));
        };
        if latents.dims() != noise.dims() {
            let (latents, noise) = (latents.dims(), noise.dims());
            return Err(Error::Argument(format!("latents of shape {latents:?} need noise of that, found {noise:?}")));
        }
        let noisy = latents.clone() * alpha.sqrt() + noise.clone() * (1.0 - alpha).sqrt();
        Self::of_noisy(unet, noisy, context, config)
    }

    /// The caches of several subjects, one for each row of a batch; for training, where every row has its own. They
    /// cannot be joined or saved.
    ///
    /// # Shapes
    /// - noisy: `[batch, 4, height, width]`, noised to the level of `config`
    /// - context: `[batch, context_tokens, context_dim]`
    /// - features: `[batch, tokens, d]`
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn rows(unet: &UNet, noisy: Tensor<4>, context: Tensor<3>, config: CacheConfig) -> Result<Self, Error> {
        let [batch, _, height, width] = noisy.dims();
        config.placement.check(unet.config())?;
        let points = config.placement.points(unet.config());
        let layers: Vec<_> = points.iter().map(|p| p.layer).collect();
        let dtype = unet.dtype();
        let timesteps = vec![config.timestep as f32; batch];
        let inputs = unet.transformer_inputs(noisy.cast(dtype), &timesteps, context.cast(dtype), &layers)?;
        let features = inputs.into_iter().map(flatten).collect();
        Ok(Self { config, references: vec![[height, width]], points, features })
    }

    /// The cache of latents that are noised already. Shapes as in [`Self::build`].
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn of_noisy(unet: &UNet, noisy: Tensor<4>, context: Tensor<3>, config: CacheConfig) -> Result<Self, Error> {
        let batch = noisy.dims()[0];
        if batch != 1 {
            return Err(Error::Argument(format!("a cache is made of one reference, found {batch}")));
        }
        Self::rows(unet, noisy, context, config)
    }

    /// A cache from its parts, as a file has them. `references` are the height and width of each reference's latents.
    ///
    /// # Errors
    /// When a feature does not have the shape that the others and the denoiser's structure ask for.
    pub fn from_parts(
        unet: &UNetConfig,
        config: CacheConfig,
        references: Vec<[usize; 2]>,
        features: Vec<Tensor<3>>,
    ) -> Result<Self, Error> {
        Self::from_points(config, references, config.placement.points(unet), features)
    }

    /// A cache from its parts and the points that it was made at, where the denoiser is not at hand.
    ///
    /// # Errors
    /// When a feature does not have the shape that the others and its point ask for.
    pub fn from_points(
        config: CacheConfig,
        references: Vec<[usize; 2]>,
        points: Vec<CachePoint>,
        features: Vec<Tensor<3>>,
    ) -> Result<Self, Error> {
        let cache = Self { points, config, references, features };
        if cache.features.len() != cache.points.len() {
            let (found, expected) = (cache.features.len(), cache.points.len());
            return Err(Error::Argument(format!("the cache has {found} features, the placement {expected}")));
        }
        for (point, feature) in cache.points.iter().zip(&cache.features) {
            let (found, expected) = (feature.dims(), cache.shape(point));
            if found != expected {
                let name = &point.name;
                return Err(Error::Argument(format!(
                    "the cached features of `{name}` should have the shape {expected:?}, found {found:?}"
                )));
            }
        }
        Ok(cache)
    }

    /// Several references as one: their tokens are put one after the other.
    ///
    /// # Errors
    /// When there is none, or they were made in different ways or of different denoisers.
    pub fn concat(caches: &[&Self]) -> Result<Self, Error> {
        let [first, rest @ ..] = caches else {
            return Err(Error::Argument("a cache needs at least one reference".into()));
        };
        if let Some(other) = rest.iter().find(|c| c.config != first.config || c.points != first.points) {
            let (a, b) = (first.config, other.config);
            return Err(Error::Argument(format!(
                "references can be joined when they were cached in the same way, found {} at timestep {} and {} at {}",
                a.placement, a.timestep, b.placement, b.timestep
            )));
        }
        Ok(Self {
            config: first.config,
            references: caches.iter().flat_map(|c| c.references.clone()).collect(),
            points: first.points.clone(),
            features: (0..first.points.len())
                .map(|i| {
                    let like = &first.features[i];
                    let tokens =
                        caches.iter().map(|c| c.features[i].clone().to_device(&like.device()).cast(like.dtype()));
                    Tensor::cat(tokens.collect(), 1)
                })
                .collect(),
        })
    }

    /// How it was made.
    pub fn config(&self) -> CacheConfig {
        self.config
    }

    /// Height and width of the latents of each reference.
    pub fn references(&self) -> &[[usize; 2]] {
        &self.references
    }

    /// Where the features come from.
    pub fn points(&self) -> &[CachePoint] {
        &self.points
    }

    /// One `[1, tokens, d]` a point.
    pub fn features(&self) -> &[Tensor<3>] {
        &self.features
    }

    /// Number of values in all features.
    pub fn num_values(&self) -> usize {
        self.points.iter().map(|p| self.shape(p).iter().product::<usize>()).sum()
    }

    /// The same features in another number type.
    #[must_use]
    pub fn cast(self, dtype: DType) -> Self {
        Self { features: self.features.into_iter().map(|f| f.cast(dtype)).collect(), ..self }
    }

    fn shape(&self, point: &CachePoint) -> [usize; 3] {
        [1, self.references.iter().map(|&size| point.size(size).iter().product::<usize>()).sum(), point.d]
    }
}
