//! Conditioning adapters: the trained part of DreamCache.
//!
//! With `f` the hidden states of the image under generation inside a transformer block, `s` their self-attention and
//! `c` the cached features, all variants attend to the cache in the same way,
//!
//! ```text
//! r = W_out softmax(Q K^T / sqrt(head_dim)) V + b_out     Q = W_q LayerNorm(f), K = W_k c, V = W_v c
//! ```
//!
//! and differ in where `r` goes; see [`Variant`].

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::dreamcache::names::Naming;
use crate::dreamcache::placement::{CachePoint, Placement};
use crate::error::Error;
use crate::layers::{layer_norm, linear, normalize};
use crate::unet::attention::{Attention, KeyValue};
use crate::unet::{UNet, UNetConfig};
use crate::weights::Weights;

/// Where what was found in the cache goes: the paper's Table 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// `f + W_p [s; r] + b_p` in place of `f + s`: the paper's choice.
    #[default]
    SpatialConcat,
    /// `f + s + r` in place of `f + s`.
    SpatialSum,
    /// `r` is added to what the attention to the text returns, with the queries of the states that enter it:
    /// IP-Adapter's rule.
    TextualSum,
    /// A block of its own after the backbone's block: `f + r` of the states that leave it.
    DecoupledBlocks,
}

impl Variant {
    fn has_projection(self) -> bool {
        self == Self::SpatialConcat
    }
}

/// Which adapters there are. The default is the paper's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterConfig {
    /// How they join in.
    pub variant: Variant,
    /// Where they sit.
    pub placement: Placement,
}

impl AdapterConfig {
    /// Number of parameters: 6 d² + 4 d a layer with [`Variant::SpatialConcat`], 25,207,040 for Stable Diffusion 1.5 and
    /// 2.1, the paper's "25M".
    pub fn num_params(&self, unet: &UNetConfig) -> usize {
        let projection = |d: usize| if self.variant.has_projection() { 2 * d * d + d } else { 0 };
        self.placement.points(unet).iter().map(|p| 4 * p.d * p.d + 3 * p.d + projection(p.d)).sum()
    }

    /// Number of parameters without the layer norms, which the released training leaves alone.
    pub fn num_trained_params(&self, unet: &UNetConfig) -> usize {
        self.num_params(unet) - self.placement.points(unet).iter().map(|p| 2 * p.d).sum::<usize>()
    }
}

/// The adapter of one cache point.
#[derive(Module, Debug)]
pub struct ConditioningAdapter {
    norm: LayerNorm,
    attention: Attention,
    proj: Option<Linear>,
}

/// The adapters of a denoiser, one a cache point.
#[derive(Module, Debug)]
pub struct Adapters {
    #[module(skip)]
    config: AdapterConfig,
    #[module(skip)]
    points: Vec<CachePoint>,
    adapters: Vec<ConditioningAdapter>,
}

impl ConditioningAdapter {
    fn load(w: &Weights, point: &CachePoint, naming: Naming, variant: Variant, upcast: bool) -> Result<Self, Error> {
        let d = point.d;
        let at = |field: &str| w.at(naming.layer(point, field));
        Ok(Self {
            norm: layer_norm(&at("norm"), d)?,
            attention: Attention {
                to_q: linear(&at("to_q"), d, d, false)?,
                to_k: linear(&at("to_k"), d, d, false)?,
                to_v: linear(&at("to_v"), d, d, false)?,
                to_out: linear(&at("to_out"), d, d, true)?,
                num_heads: point.num_heads,
                upcast,
            },
            proj: variant.has_projection().then(|| linear(&at("proj"), 2 * d, d, true)).transpose()?,
        })
    }

    /// Keys and values of cached features.
    ///
    /// # Shapes
    /// - features: `[batch, ref_tokens, d]`
    pub fn project(&self, features: Tensor<3>) -> KeyValue {
        self.attention.project(features)
    }

    /// What the states find in the cache: `r`.
    ///
    /// # Shapes
    /// - hidden, output: `[batch, tokens, d]`
    pub fn attend(&self, hidden: Tensor<3>, cache: &KeyValue) -> Tensor<3> {
        self.attention.attend(normalize(&self.norm, hidden), cache)
    }

    /// What the heads of [`Self::attend`] find, before the output projection. Shapes as there.
    pub fn look_up(&self, hidden: Tensor<3>, cache: &KeyValue) -> Tensor<3> {
        self.attention.look_up(normalize(&self.norm, hidden), cache)
    }

    /// One layer in the place of three: `W_out` folded into the right half of `W_p`, and the output projection of the
    /// block's own attention into the left half. Of what the heads of the one and the other found, it makes
    /// `W_p [s; r] + b_p`.
    ///
    /// # Shapes
    /// - own: `[d, d]`
    /// - output: `[2 * d, d]`, without one for adapters without a projection
    pub fn fold(&self, own: &Linear) -> Option<Linear> {
        let proj = self.proj.as_ref()?;
        let dtype = proj.weight.val().dtype();
        let wide = |x: &Param<Tensor<2>>| x.val().cast(DType::F32);
        let [_, d] = proj.weight.dims();
        let halves = wide(&proj.weight).chunk(2, 0);
        let mut weights = Vec::with_capacity(2);
        let mut bias = proj.bias.as_ref().map_or_else(
            || Tensor::zeros([1, d], (&proj.weight.val().device(), DType::F32)),
            |bias| bias.val().cast(DType::F32).reshape([1, d]),
        );
        for (half, out) in halves.into_iter().zip([own, &self.attention.to_out]) {
            if let Some(of_out) = &out.bias {
                bias = bias + of_out.val().cast(DType::F32).reshape([1, d]).matmul(half.clone());
            }
            weights.push(wide(&out.weight).matmul(half));
        }
        Some(Linear {
            weight: Param::from_tensor(Tensor::cat(weights, 0).cast(dtype)),
            bias: Some(Param::from_tensor(bias.reshape([d]).cast(dtype))),
        })
    }

    /// The queries of [`Self::attend`], as [`Attention::queries`] lays them out.
    ///
    /// # Shapes
    /// - hidden: `[batch, tokens, d]`
    /// - output: `[cache_batch, heads, batch / cache_batch * tokens, head_dim]`
    pub fn queries(&self, hidden: Tensor<3>, cache: &KeyValue) -> Tensor<4> {
        self.attention.queries(normalize(&self.norm, hidden), cache)
    }

    /// `W_p [s; r] + b_p`, or `s + r` for adapters without a projection.
    ///
    /// # Shapes
    /// - attended, found, output: `[batch, tokens, d]`
    pub fn mix(&self, attended: Tensor<3>, found: Tensor<3>) -> Tensor<3> {
        match &self.proj {
            Some(proj) => dc_kernels::linear(proj, Tensor::cat(vec![attended, found], 2)),
            None => attended + found,
        }
    }
}

impl Adapters {
    /// Reads adapters for a denoiser, in this project's naming or that of the released checkpoints.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the denoiser's structure asks for, or the denoiser lacks a layer
    /// of the placement.
    pub fn load(w: &Weights, unet: &UNetConfig, config: AdapterConfig) -> Result<Self, Error> {
        config.placement.check(unet)?;
        let points = config.placement.points(unet);
        let naming = Naming::detect(w, &points);
        let adapters = points
            .iter()
            .map(|point| ConditioningAdapter::load(w, point, naming, config.variant, unet.upcast_attention))
            .collect::<Result<_, _>>()?;
        Ok(Self { config, points, adapters })
    }

    /// Adapters that change nothing yet and attend like the blocks they sit in: queries, keys, values, output and layer
    /// norm copied from the self-attention, and `W_p = [I 0]`. (Without a projection, where there is no such point, the
    /// output projection is zero.)
    pub fn neutral(unet: &UNet, config: AdapterConfig) -> Self {
        let points = config.placement.points(unet.config());
        let transformers = unet.transformers();
        let adapters = points
            .iter()
            .map(|point| {
                let block = &transformers[point.layer].transformer_blocks[0];
                let (device, dtype) = (unet.device(), unet.dtype());
                let mut attention = copy_attention(&block.attn1);
                let proj = config.variant.has_projection().then(|| neutral_projection(point.d, &device, dtype));
                if proj.is_none() {
                    attention.to_out = Linear {
                        weight: Param::from_tensor(Tensor::zeros([point.d, point.d], (&device, dtype))),
                        bias: Some(Param::from_tensor(Tensor::zeros([point.d], (&device, dtype)))),
                    };
                }
                let mut norm = block.norm1.clone();
                norm.gamma = Param::from_tensor(block.norm1.gamma.val());
                norm.beta = block.norm1.beta.as_ref().map(|beta| Param::from_tensor(beta.val()));
                ConditioningAdapter { norm, attention, proj }
            })
            .collect();
        Self { config, points, adapters }
    }

    /// These, but with the adapters of others of the same variant wherever both have one.
    #[must_use]
    pub fn with_layers_of(mut self, others: &Self) -> Self {
        for (point, adapter) in self.points.iter().zip(&mut self.adapters) {
            if let Some(other) = others.at(point.layer) {
                *adapter = other.clone();
            }
        }
        self
    }

    /// Which adapters these are.
    pub fn config(&self) -> AdapterConfig {
        self.config
    }

    /// Where they sit, in the order in which the denoiser comes to them.
    pub fn points(&self) -> &[CachePoint] {
        &self.points
    }

    /// One a point.
    pub fn layers(&self) -> &[ConditioningAdapter] {
        &self.adapters
    }

    /// The adapter at an attention layer.
    pub fn at(&self, layer: usize) -> Option<&ConditioningAdapter> {
        self.points.iter().position(|p| p.layer == layer).map(|i| &self.adapters[i])
    }

    /// The tensors under the names of the released checkpoints, in PyTorch's layouts, in the number type they are in.
    pub fn named_tensors(&self) -> BTreeMap<String, TensorData> {
        let mut tensors = BTreeMap::new();
        for (point, adapter) in self.points.iter().zip(&self.adapters) {
            let mut add = |field: &str, kind: &str, data: TensorData| {
                tensors.insert(format!("{}.{kind}", Naming::Released.layer(point, field)), data);
            };
            let attention = &adapter.attention;
            let linears = [
                ("to_q", Some(&attention.to_q)),
                ("to_k", Some(&attention.to_k)),
                ("to_v", Some(&attention.to_v)),
                ("to_out", Some(&attention.to_out)),
                ("proj", adapter.proj.as_ref()),
            ];
            for (field, linear) in linears.into_iter().filter_map(|(field, linear)| Some((field, linear?))) {
                add(field, "weight", linear.weight.val().transpose().into_data());
                if let Some(bias) = &linear.bias {
                    add(field, "bias", bias.val().into_data());
                }
            }
            add("norm", "weight", adapter.norm.gamma.val().into_data());
            if let Some(beta) = &adapter.norm.beta {
                add("norm", "bias", beta.val().into_data());
            }
        }
        tensors
    }

    /// The device that the weights are on.
    pub fn device(&self) -> Option<Device> {
        self.adapters.first().map(|a| a.attention.to_q.weight.val().device())
    }

    /// The number type of the weights.
    pub fn dtype(&self) -> Option<DType> {
        self.adapters.first().map(|a| a.attention.to_q.weight.val().dtype())
    }
}

/// The same values as new parameters, which training may change without touching the block's own.
fn copy_attention(attention: &Attention) -> Attention {
    let copy = |linear: &Linear| Linear {
        weight: Param::from_tensor(linear.weight.val()),
        bias: linear.bias.as_ref().map(|bias| Param::from_tensor(bias.val())),
    };
    Attention {
        to_q: copy(&attention.to_q),
        to_k: copy(&attention.to_k),
        to_v: copy(&attention.to_v),
        to_out: copy(&attention.to_out),
        num_heads: attention.num_heads,
        upcast: attention.upcast,
    }
}

fn neutral_projection(d: usize, device: &Device, dtype: DType) -> Linear {
    // Burn keeps a linear layer's weight as `[d_input, d_output]`.
    let own = Tensor::<2>::eye(d, device).cast(dtype);
    let found = Tensor::zeros([d, d], (device, dtype));
    Linear {
        weight: Param::from_tensor(Tensor::cat(vec![own, found], 0)),
        bias: Some(Param::from_tensor(Tensor::zeros([d], (device, dtype)))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::weights::Recipe;

    #[test]
    fn parameters_are_counted() {
        let check = |unet: &UNetConfig, variant: Variant, placement: &str, all: usize, trained: usize| {
            let config = AdapterConfig { variant, placement: placement.parse().expect(placement) };
            assert_eq!(config.num_params(unet), all, "{config:?}");
            assert_eq!(config.num_trained_params(unet), trained, "{config:?}");
        };
        for unet in [UNetConfig::sd15(), UNetConfig::sd21()] {
            // The paper's and the released numbers.
            check(&unet, Variant::SpatialConcat, "middle+decoder", 25_207_040, 25_198_720);
            // 6 d² + 4 d at d = 1280.
            check(&unet, Variant::SpatialConcat, "middle", 9_835_520, 9_832_960);
            check(&unet, Variant::SpatialSum, "middle", 6_557_440, 6_554_880);
        }
        for unet in [UNetConfig::sd15_tiny(), UNetConfig::sd21_tiny()] {
            for variant in [Variant::SpatialConcat, Variant::SpatialSum, Variant::TextualSum, Variant::DecoupledBlocks]
            {
                let config = AdapterConfig { variant, placement: "encoder+middle+decoder".parse().expect("valid") };
                let w = Weights::new(Arc::new(Recipe::new("adapter.")), &Device::flex(), DType::F32);
                let adapters = Adapters::load(&w, &unet, config).expect("a recipe makes anything");
                assert_eq!(adapters.num_params(), config.num_params(&unet), "{config:?}");
            }
        }
    }

    #[test]
    fn configurations_read_and_write() {
        let check = |text: &str, expected: Option<AdapterConfig>| {
            let found = serde_json::from_str::<AdapterConfig>(text).ok();
            assert_eq!(found, expected, "{text}");
        };
        check("{}", Some(AdapterConfig::default()));
        check(r#"{"variant": "spatial_concat", "placement": "middle+decoder"}"#, Some(AdapterConfig::default()));
        let textual = AdapterConfig { variant: Variant::TextualSum, placement: "middle".parse().expect("valid") };
        check(r#"{"variant": "textual_sum", "placement": "middle"}"#, Some(textual));
        check(r#"{"variant": "other"}"#, None);
        check(r#"{"placement": "decoder+tail"}"#, None);
        check(r#"{"plasement": "decoder"}"#, None);
    }
}
