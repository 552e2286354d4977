//! The text encoder of CLIP: a causal transformer with its norms in front (Radford et al. 2021).

use burn::module::Module;
use burn::nn::{Embedding, LayerNorm, Linear};
use burn::tensor::{Device, Int, Tensor, TensorData};
use dc_kernels::{attention, gelu, quick_gelu};

use super::{ClipTextConfig, HiddenAct};
use crate::device::on_worker;
use crate::error::Error;
use crate::layers::{embedding, layer_norm, linear, normalize};
use crate::weights::Weights;

/// Turns token ids into the context of a denoiser.
#[derive(Module, Debug)]
pub struct ClipTextModel {
    token_embedding: Embedding,
    position_embedding: Embedding,
    layers: Vec<Layer>,
    final_layer_norm: LayerNorm,
    #[module(skip)]
    config: ClipTextConfig,
}

impl ClipTextModel {
    /// Reads the encoder from names of `transformers`, with or without `text_model.` in front.
    ///
    /// # Errors
    /// When the configuration is not one of this crate's, or a tensor is missing or has another shape.
    pub fn load(w: &Weights, config: &ClipTextConfig) -> Result<Self, Error> {
        config.validate()?;
        let w = if w.contains("final_layer_norm.weight") { w.clone() } else { w.at("text_model") };
        let embeddings = w.at("embeddings");
        let d = config.hidden_size;
        Ok(Self {
            token_embedding: embedding(&embeddings.at("token_embedding"), config.vocab_size, d)?,
            position_embedding: embedding(&embeddings.at("position_embedding"), config.max_position_embeddings, d)?,
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::load(&w.at("encoder.layers").at(i), config))
                .collect::<Result<_, _>>()?,
            final_layer_norm: layer_norm(&w.at("final_layer_norm"), d)?,
            config: config.clone(),
        })
    }

    /// Whether a tensor of a checkpoint is a buffer that this model does without: the numbers 0 to 76.
    pub fn is_buffer(name: &str) -> bool {
        name.ends_with("embeddings.position_ids")
    }

    /// The configuration that this model was built from.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// The last hidden state, after the final norm: what Stable Diffusion 1.x and 2.x condition on.
    ///
    /// # Shapes
    /// - `ids`: `[batch][tokens]`, token ids below `vocab_size`, all rows of one length
    /// - output: `[batch, tokens, context_dim]`
    ///
    /// # Errors
    /// When the rows differ in length, are too long, or hold an id that the vocabulary does not have.
    pub fn forward(&self, ids: &[Vec<u32>]) -> Result<Tensor<3>, Error> {
        Ok(self.normalize(self.hidden_state(ids, 0)?))
    }

    /// The state before the final norm when the last `skip` layers are left out ("CLIP skip" counts one more).
    ///
    /// # Shapes
    /// - `ids`: `[batch][tokens]`
    /// - output: `[batch, tokens, context_dim]`
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and when there are not so many layers.
    pub fn hidden_state(&self, ids: &[Vec<u32>], skip: usize) -> Result<Tensor<3>, Error> {
        let Some(depth) = self.layers.len().checked_sub(skip) else {
            let message = format!("cannot leave out {skip} of {} text encoder layers", self.layers.len());
            return Err(Error::Argument(message));
        };
        let device = self.token_embedding.weight.device();
        let ids = self.check(ids, &device)?;
        let tokens = ids.dims()[1];
        let positions = Tensor::<1, Int>::arange(0..tokens as i64, &device).unsqueeze();
        let mut x = self.token_embedding.forward(ids) + self.position_embedding.forward(positions);
        Ok(on_worker(&device, || {
            for layer in &self.layers[..depth] {
                x = layer.forward(x);
            }
            x
        }))
    }

    /// The final norm.
    ///
    /// # Shapes
    /// - `x` and output: `[batch, tokens, context_dim]`
    pub fn normalize(&self, x: Tensor<3>) -> Tensor<3> {
        normalize(&self.final_layer_norm, x)
    }

    /// The state at the first end token of each row.
    ///
    /// # Shapes
    /// - `last`: `[batch, tokens, context_dim]`, from [`forward`](Self::forward)
    /// - `ids`: `[batch][tokens]`, the same as there
    /// - output: `[batch, context_dim]`
    ///
    /// # Errors
    /// When the two differ in size.
    pub fn pooled(&self, last: &Tensor<3>, ids: &[Vec<u32>]) -> Result<Tensor<2>, Error> {
        let [batch, tokens, _] = last.dims();
        if ids.is_empty() || ids.len() != batch || ids.iter().any(|row| row.len() != tokens) {
            return Err(Error::Argument(format!("token ids do not fit hidden states of {batch} x {tokens}")));
        }
        let rows = ids.iter().enumerate().map(|(row, ids)| {
            // Old configurations say 2; their end token, 49407, is then found as the largest id.
            let end = if self.config.eos_token_id == 2 { ids.iter().max() } else { Some(&self.config.eos_token_id) };
            let at = end.and_then(|end| ids.iter().position(|id| id == end)).unwrap_or(0);
            last.clone().slice([row..row + 1, at..at + 1]).squeeze_dim::<2>(1)
        });
        Ok(Tensor::cat(rows.collect(), 0))
    }

    fn check(&self, ids: &[Vec<u32>], device: &Device) -> Result<Tensor<2, Int>, Error> {
        let (batch, tokens) = (ids.len(), ids.first().map_or(0, Vec::len));
        let max = self.config.max_position_embeddings;
        if tokens == 0 || tokens > max || ids.iter().any(|row| row.len() != tokens) {
            let lengths: Vec<_> = ids.iter().map(Vec::len).collect();
            let message = format!("prompts should all have one length of 1 to {max} tokens, found {lengths:?}");
            return Err(Error::Argument(message));
        }
        let size = self.config.vocab_size;
        let ids: Vec<i64> = ids.iter().flatten().map(|&id| i64::from(id)).collect();
        if let Some(id) = ids.iter().find(|id| **id >= size as i64) {
            return Err(Error::Argument(format!("token {id} is not in the text encoder's vocabulary of {size}")));
        }
        Ok(Tensor::from_data(TensorData::new(ids, [batch, tokens]), device))
    }
}

/// One transformer layer.
#[derive(Module, Debug)]
struct Layer {
    layer_norm1: LayerNorm,
    self_attn: CausalAttention,
    layer_norm2: LayerNorm,
    mlp: FeedForward,
}

impl Layer {
    fn load(w: &Weights, config: &ClipTextConfig) -> Result<Self, Error> {
        Ok(Self {
            layer_norm1: layer_norm(&w.at("layer_norm1"), config.hidden_size)?,
            self_attn: CausalAttention::load(&w.at("self_attn"), config)?,
            layer_norm2: layer_norm(&w.at("layer_norm2"), config.hidden_size)?,
            mlp: FeedForward::load(&w.at("mlp"), config)?,
        })
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.self_attn.forward(normalize(&self.layer_norm1, x));
        x.clone() + self.mlp.forward(normalize(&self.layer_norm2, x))
    }
}

/// Self-attention in which a token sees itself and what comes before it; padding is not masked.
#[derive(Module, Debug)]
struct CausalAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    num_heads: usize,
}

impl CausalAttention {
    fn load(w: &Weights, config: &ClipTextConfig) -> Result<Self, Error> {
        let projection = |name: &str| linear(&w.at(name), config.hidden_size, config.hidden_size, true);
        Ok(Self {
            q_proj: projection("q_proj")?,
            k_proj: projection("k_proj")?,
            v_proj: projection("v_proj")?,
            out_proj: projection("out_proj")?,
            num_heads: config.num_attention_heads,
        })
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, d] = x.dims();
        let heads = |x: Tensor<3>| x.reshape([batch, tokens, self.num_heads, d / self.num_heads]).swap_dims(1, 2);
        let (q, k, v) = (
            dc_kernels::linear(&self.q_proj, x.clone()),
            dc_kernels::linear(&self.k_proj, x.clone()),
            dc_kernels::linear(&self.v_proj, x),
        );
        let out = attention(heads(q), heads(k), heads(v), true);
        dc_kernels::linear(&self.out_proj, out.swap_dims(1, 2).reshape([batch, tokens, d]))
    }
}

/// Two linear layers with an activation between them.
#[derive(Module, Debug)]
struct FeedForward {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    hidden_act: HiddenAct,
}

impl FeedForward {
    fn load(w: &Weights, config: &ClipTextConfig) -> Result<Self, Error> {
        Ok(Self {
            fc1: linear(&w.at("fc1"), config.hidden_size, config.intermediate_size, true)?,
            fc2: linear(&w.at("fc2"), config.intermediate_size, config.hidden_size, true)?,
            hidden_act: config.hidden_act,
        })
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = dc_kernels::linear(&self.fc1, x);
        dc_kernels::linear(
            &self.fc2,
            match self.hidden_act {
                HiddenAct::QuickGelu => quick_gelu(x),
                HiddenAct::Gelu => gelu(x),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::DType;

    use super::*;
    use crate::testing::{check_fixture, device, fixture_values, tolerance};
    use crate::weights::Recipe;

    /// The generator's `clip_cfg`.
    fn config(family: &str) -> ClipTextConfig {
        let (size, hidden_act) = if family == "sd15" { (32, HiddenAct::QuickGelu) } else { (48, HiddenAct::Gelu) };
        ClipTextConfig {
            vocab_size: 1000,
            hidden_size: size,
            intermediate_size: 2 * size,
            num_hidden_layers: 5,
            num_attention_heads: 4,
            max_position_embeddings: 77,
            hidden_act,
            layer_norm_eps: 1e-5,
            eos_token_id: 999,
        }
    }

    fn model(family: &str) -> ClipTextModel {
        let weights = Weights::new(Arc::new(Recipe::new(&format!("{family}.text."))), &device(), DType::F32);
        ClipTextModel::load(&weights, &config(family)).unwrap()
    }

    #[test]
    fn states_equal_those_of_transformers() {
        for family in ["sd15", "sd21"] {
            let (_, ids) = fixture_values(&format!("{family}.text/ids"));
            let ids: Vec<Vec<u32>> = ids.chunks(77).map(|row| row.iter().map(|&id| id as u32).collect()).collect();
            let model = model(family);
            let last = model.forward(&ids).unwrap();
            let penultimate = model.hidden_state(&ids, 1).unwrap();
            let name = |tensor: &str| format!("{family}.text/{tensor}");
            check_fixture(&name("last"), &last, tolerance(1e-5));
            check_fixture(&name("penult"), &penultimate, tolerance(1e-5));
            check_fixture(&name("penult_ln"), &model.normalize(penultimate), tolerance(1e-5));
            check_fixture(&name("pooled"), &model.pooled(&last, &ids).unwrap(), tolerance(1e-5));
        }
    }

    #[test]
    fn narrow_weights_give_narrow_states() {
        for (dtype, tolerance) in [(DType::F16, 2e-2), (DType::BF16, 1e-1)] {
            let weights = Weights::new(Arc::new(Recipe::new("sd15.text.")), &device(), dtype);
            let model = ClipTextModel::load(&weights, &config("sd15")).unwrap();
            let (_, ids) = fixture_values("sd15.text/ids");
            let ids: Vec<Vec<u32>> = ids.chunks(77).map(|row| row.iter().map(|&id| id as u32).collect()).collect();
            let last = model.forward(&ids).unwrap();
            assert_eq!(last.dtype(), dtype);
            check_fixture("sd15.text/last", &last, tolerance);
        }
    }

    #[test]
    fn the_published_encoder_has_its_size() {
        // `openai/clip-vit-large-patch14` without its projection.
        let published = ClipTextConfig {
            vocab_size: 49_408,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            ..config("sd15")
        };
        let weights = Weights::new(Arc::new(Recipe::new("full.")), &device(), DType::F32);
        assert_eq!(ClipTextModel::load(&weights, &published).unwrap().num_params(), 123_060_480);
    }

    #[test]
    fn impossible_arguments_are_errors() {
        let model = model("sd15");
        let check = |ids: &[Vec<u32>], expected: &str| {
            let message = model.forward(ids).unwrap_err().to_string();
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        };
        check(&[], "1 to 77 tokens");
        check(&[vec![]], "1 to 77 tokens");
        check(&[vec![0; 78]], "found [78]");
        check(&[vec![0; 3], vec![0; 4]], "found [3, 4]");
        check(&[vec![0, 1000]], "token 1000 is not in the text encoder's vocabulary of 1000");
        assert!(model.hidden_state(&[vec![0]], 5).is_ok());
        assert!(model.hidden_state(&[vec![0]], 6).is_err());
        let last = model.forward(&[vec![0; 3]]).unwrap();
        assert!(model.pooled(&last, &[vec![0; 2]]).is_err());
    }
}
