//! Adapters at work inside the denoiser's blocks.

use std::ops::Range;

use burn::nn::Linear;
use burn::tensor::Tensor;

use crate::dreamcache::adapter::{Adapters, ConditioningAdapter, Variant};
use crate::dreamcache::cache::ReferenceCache;
use crate::dreamcache::maps::AttentionMaps;
use crate::dreamcache::placement::CachePoint;
use crate::error::Error;
use crate::unet::UNet;
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
                    "the adapters need features of `{name}`, which the cache ({found}) does not have: build it with the placement {wanted}"
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

/// The output projections of adapters, folded into one layer a point: see [`ConditioningAdapter::fold`]. They depend on
/// the adapters and the denoiser alone.
#[derive(Clone, Debug)]
pub struct FoldedProjections {
    /// By attention layer, ascending.
    layers: Vec<(usize, Linear)>,
}

impl FoldedProjections {
    /// Folds adapters into the blocks of their denoiser. Empty for adapters without a projection.
    pub fn new(adapters: &Adapters, unet: &UNet) -> Self {
        let transformers = unet.transformers();
        let layers = adapters.points().iter().zip(adapters.layers()).filter_map(|(point, adapter)| {
            let own = &transformers.get(point.layer)?.transformer_blocks[0].attn1.to_out;
            Some((point.layer, adapter.fold(own)?))
        });
        Self { layers: layers.collect() }
    }

    fn at(&self, layer: usize) -> Option<&Linear> {
        self.layers.iter().find(|(at, _)| *at == layer).map(|(_, linear)| linear)
    }
}

/// Whose pictures to make.
#[derive(Clone, Copy, Debug)]
pub struct Personalisation<'a> {
    /// The trained part.
    pub adapters: &'a Adapters,
    /// The subject.
    pub cache: &'a ProjectedCache,
    /// The same rule in fewer multiplications, up to rounding; not for training.
    pub folded: Option<&'a FoldedProjections>,
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
    /// The adapter and the cache at a layer, and the states of the rows from `first_row` on.
    fn ask(
        &mut self,
        layer: usize,
        variants: &[Variant],
        hidden: &Tensor<3>,
    ) -> Option<(&'a ConditioningAdapter, &'a KeyValue, Tensor<3>)> {
        let (adapter, (point, cache)) = self.personalisation.at(layer, variants)?;
        let [batch, ..] = hidden.dims();
        let hidden = rows(hidden, self.first_row..batch);
        if let Some((maps, rows)) = &mut self.maps {
            let queries = adapter.queries(hidden.clone(), cache);
            maps.record(point, queries, &cache.key, batch - self.first_row, *rows);
        }
        Some((adapter, cache, hidden))
    }

    /// What the rows from `first_row` on find in the cache.
    fn find(&mut self, layer: usize, variants: &[Variant], hidden: &Tensor<3>) -> Option<Tensor<3>> {
        let (adapter, cache, hidden) = self.ask(layer, variants, hidden)?;
        Some(adapter.attend(hidden, cache))
    }

    /// `change` of the rows that use the cache, after the others as they are.
    fn join(&self, plain: Tensor<3>, change: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
        let [batch, ..] = plain.dims();
        let first = self.first_row;
        if first == 0 {
            return change(plain);
        }
        let cached = change(rows(&plain, first..batch));
        Tensor::cat(vec![rows(&plain, 0..first), cached], 0)
    }
}

fn rows(x: &Tensor<3>, rows: Range<usize>) -> Tensor<3> {
    let [_, tokens, d] = x.dims();
    x.clone().slice([rows, 0..tokens, 0..d])
}

impl BlockHook for Conditioning<'_> {
    fn after_self_attention(
        &mut self,
        layer: usize,
        hidden: Tensor<3>,
        found: Tensor<3>,
        to_out: &Linear,
    ) -> Tensor<3> {
        let strength = self.personalisation.strength;
        let Some((adapter, cache, states)) = self.ask(layer, &[Variant::SpatialConcat, Variant::SpatialSum], &hidden)
        else {
            return hidden + dc_kernels::linear(to_out, found);
        };
        // At strength 1 the two s cancel; computing them would only round.
        let weigh =
            |mixed: Tensor<3>, s: Tensor<3>| if strength == 1.0 { mixed } else { (mixed - s.clone()) * strength + s };
        if let Some(folded) = self.personalisation.folded.and_then(|folded| folded.at(layer)) {
            let [batch, ..] = found.dims();
            let own = rows(&found, self.first_row..batch);
            let both = Tensor::cat(vec![own.clone(), adapter.look_up(states, cache)], 2);
            let mut cached = dc_kernels::linear(folded, both);
            if strength != 1.0 {
                cached = weigh(cached, dc_kernels::linear(to_out, own));
            }
            let attended = match self.first_row {
                0 => cached,
                first => Tensor::cat(vec![dc_kernels::linear(to_out, rows(&found, 0..first)), cached], 0),
            };
            return hidden + attended;
        }
        let from_cache = adapter.attend(states, cache);
        hidden + self.join(dc_kernels::linear(to_out, found), |s| weigh(adapter.mix(s.clone(), from_cache), s))
    }

    fn after_cross_attention(&mut self, layer: usize, hidden: Tensor<3>, attended: Tensor<3>) -> Tensor<3> {
        let strength = self.personalisation.strength;
        let found = self.find(layer, &[Variant::TextualSum], &hidden);
        let plain = hidden + attended;
        match found {
            Some(found) => self.join(plain, |f| f + found * strength),
            None => plain,
        }
    }

    fn after_block(&mut self, layer: usize, hidden: Tensor<3>) -> Tensor<3> {
        let strength = self.personalisation.strength;
        match self.find(layer, &[Variant::DecoupledBlocks], &hidden) {
            Some(found) => self.join(hidden, |f| f + found * strength),
            None => hidden,
        }
    }
}
