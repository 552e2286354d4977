//! Adapters at work inside the denoiser's blocks.

use burn::tensor::Tensor;

use crate::dreamcache::adapter::{Adapters, ConditioningAdapter, Variant};
use crate::dreamcache::cache::ReferenceCache;
use crate::dreamcache::maps::AttentionMaps;
use crate::dreamcache::placement::CachePoint;
use crate::error::Error;
use crate::unet::attention::KeyValue;
use crate::unet::transformer::BlockHook;

/// Keys and values of a cache under adapters. They depend on nothing else, so they are projected once, not every step.
#[derive(Clone, Debug)]
pub struct ProjectedCache {
    /// By attention layer, ascending.
    layers: Vec<(CachePoint, KeyValue)>,
    references: Vec<[usize; 2]>,
}

impl ProjectedCache {
    /// Projects the features at each of the adapters' points.
    ///
    /// # Errors
    /// When the cache lacks one of them or belongs to another denoiser.
    pub fn new(adapters: &Adapters, cache: &ReferenceCache) -> Result<Self, Error> {
        let mut layers = Vec::with_capacity(adapters.points().len());
        for (point, adapter) in adapters.points().iter().zip(adapters.layers()) {
            let Some(i) = cache.points().iter().position(|p| p.layer == point.layer) else {
                let (wanted, found) = (adapters.config().placement, cache.config().placement);
                let name = &point.name;
                return Err(Error::Argument(format!(
                    "the adapters ({wanted}) need features of `{name}`, which the cache ({found}) does not have"
                )));
            };
            if cache.points()[i] != *point {
                return Err(Error::Argument(format!(
                    "cache and adapters are of different models: `{}` is {} wide in the one and {} in the other",
                    point.name,
                    cache.points()[i].d,
                    point.d
                )));
            }
            let mut features = cache.features()[i].clone();
            if let (Some(device), Some(dtype)) = (adapters.device(), adapters.dtype()) {
                features = features.to_device(&device).cast(dtype);
            }
            layers.push((point.clone(), adapter.project(features)));
        }
        Ok(Self { layers, references: cache.references().to_vec() })
    }

    /// Height and width of the latents of each reference.
    pub fn references(&self) -> &[[usize; 2]] {
        &self.references
    }

    fn at(&self, layer: usize) -> Option<&(CachePoint, KeyValue)> {
        self.layers.iter().find(|(point, _)| point.layer == layer)
    }
}

/// Whose pictures to make.
#[derive(Clone, Copy, Debug)]
pub struct Personalisation<'a> {
    /// The trained part.
    pub adapters: &'a Adapters,
    /// The subject.
    pub cache: &'a ProjectedCache,
    /// How much of the adapters' contribution is taken: 1 is the paper's rule, 0 the backbone, exactly.
    pub strength: f64,
}

/// The hook that mixes the cache into some rows of a batch. The other rows go the backbone's way, to the last bit.
#[derive(Debug)]
pub struct Conditioning<'a> {
    /// What is mixed in.
    pub personalisation: Personalisation<'a>,
    /// Rows from this one on use the cache.
    pub first_row: usize,
    /// Where to note what the last `n` rows look at.
    pub maps: Option<(&'a mut AttentionMaps, usize)>,
}

impl<'a> Personalisation<'a> {
    /// The adapter and the cache at a layer, if it is one where these `variants` act.
    fn at(self, layer: usize, variants: &[Variant]) -> Option<(&'a ConditioningAdapter, &'a (CachePoint, KeyValue))> {
        if self.strength == 0.0 || !variants.contains(&self.adapters.config().variant) {
            return None;
        }
        self.adapters.at(layer).zip(self.cache.at(layer))
    }
}

impl<'a> Conditioning<'a> {
    /// The adapter, and what the rows from `first_row` on find in the cache.
    fn find(
        &mut self,
        layer: usize,
        variants: &[Variant],
        hidden: &Tensor<3>,
    ) -> Option<(&'a ConditioningAdapter, Tensor<3>)> {
        let (adapter, (point, cache)) = self.personalisation.at(layer, variants)?;
        let [batch, tokens, d] = hidden.dims();
        let hidden = hidden.clone().slice([self.first_row..batch, 0..tokens, 0..d]);
        if let Some((maps, rows)) = &mut self.maps {
            let queries = adapter.queries(hidden.clone(), cache);
            maps.record(point, queries, &cache.key, batch - self.first_row, *rows);
        }
        Some((adapter, adapter.attend(hidden, cache)))
    }

    /// `change` of the rows that use the cache, after the others as they are.
    fn join(&self, plain: Tensor<3>, change: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
        let [batch, tokens, d] = plain.dims();
        let first = self.first_row;
        if first == 0 {
            return change(plain);
        }
        let cached = change(plain.clone().slice([first..batch, 0..tokens, 0..d]));
        Tensor::cat(vec![plain.slice([0..first, 0..tokens, 0..d]), cached], 0)
    }
}

impl BlockHook for Conditioning<'_> {
    fn after_self_attention(&mut self, layer: usize, hidden: Tensor<3>, attended: Tensor<3>) -> Tensor<3> {
        let strength = self.personalisation.strength;
        let Some((adapter, found)) = self.find(layer, &[Variant::SpatialConcat, Variant::SpatialSum], &hidden) else {
            return hidden + attended;
        };
        hidden
            + self.join(attended, |s| {
                let mixed = adapter.mix(s.clone(), found);
                // At strength 1 the two s cancel; computing them would only round.
                if strength == 1.0 { mixed } else { (mixed - s.clone()) * strength + s }
            })
    }

    fn after_cross_attention(&mut self, layer: usize, hidden: Tensor<3>, attended: Tensor<3>) -> Tensor<3> {
        let strength = self.personalisation.strength;
        let found = self.find(layer, &[Variant::TextualSum], &hidden);
        let plain = hidden + attended;
        match found {
            Some((_, found)) => self.join(plain, |f| f + found * strength),
            None => plain,
        }
    }

    fn after_block(&mut self, layer: usize, hidden: Tensor<3>) -> Tensor<3> {
        let strength = self.personalisation.strength;
        match self.find(layer, &[Variant::DecoupledBlocks], &hidden) {
            Some((_, found)) => self.join(hidden, |f| f + found * strength),
            None => hidden,
        }
    }
}
