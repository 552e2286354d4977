//! Attention with heads, and the feed-forward layer beside it.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{DType, Tensor};
use dc_kernels::attention;

use crate::error::Error;
use crate::layers::linear;
use crate::weights::Weights;

/// Keys and values of an attention layer, projected and split into heads. Where the context stays the same (a prompt, a
/// reference cache) they are computed once.
///
/// # Shapes
/// - key, value: `[batch, heads, tokens, head_dim]`
#[derive(Clone, Debug)]
pub struct KeyValue {
    /// What queries are compared with.
    pub key: Tensor<4>,
    /// What is mixed.
    pub value: Tensor<4>,
}

/// Queries from the hidden states, keys and values from the context.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[d, d]`
    pub to_q: Linear,
    /// `[context_dim, d]`
    pub to_k: Linear,
    /// `[context_dim, d]`
    pub to_v: Linear,
    /// `[d, d]` with bias
    pub to_out: Linear,
    /// Number of heads; d / heads is the width of one.
    pub num_heads: usize,
    /// Run the attention itself in float32.
    pub upcast: bool,
}

impl Attention {
    pub(crate) fn load(
        w: &Weights,
        d: usize,
        context_dim: usize,
        num_heads: usize,
        upcast: bool,
    ) -> Result<Self, Error> {
        Ok(Self {
            to_q: linear(&w.at("to_q"), d, d, false)?,
            to_k: linear(&w.at("to_k"), context_dim, d, false)?,
            to_v: linear(&w.at("to_v"), context_dim, d, false)?,
            to_out: linear(&w.at("to_out.0"), d, d, true)?,
            num_heads,
            upcast,
        })
    }

    /// Keys and values of a context.
    ///
    /// # Shapes
    /// - context: `[batch, context_tokens, context_dim]`
    pub fn project(&self, context: Tensor<3>) -> KeyValue {
        let [batch, tokens, _] = context.dims();
        KeyValue {
            key: self.split_heads(dc_kernels::linear(&self.to_k, context.clone()), [batch, tokens]),
            value: self.split_heads(dc_kernels::linear(&self.to_v, context), [batch, tokens]),
        }
    }

    /// Attention to keys and values that are already projected.
    ///
    /// # Shapes
    /// - hidden: `[batch, tokens, d]`
    /// - context: of the same batch, or of batch 1 for all rows
    /// - output: `[batch, tokens, d]`
    pub fn attend(&self, hidden: Tensor<3>, context: &KeyValue) -> Tensor<3> {
        dc_kernels::linear(&self.to_out, self.look_up(hidden, context))
    }

    /// What the heads of [`Self::attend`] find, side by side, before the output projection. Shapes as there.
    pub fn look_up(&self, hidden: Tensor<3>, context: &KeyValue) -> Tensor<3> {
        let shape = hidden.dims();
        let query = self.queries(hidden, context);
        let KeyValue { key, value } = context.clone();
        let dtype = query.dtype();
        let mixed = if self.upcast && dtype != DType::F32 {
            let [query, key, value] = [query, key, value].map(|x| x.cast(DType::F32));
            attention(query, key, value, false).cast(dtype)
        } else {
            attention(query, key, value, false)
        };
        mixed.swap_dims(1, 2).reshape(shape)
    }

    /// The queries that [`Self::attend`] compares with the keys. Rows that share one context are laid side by side as
    /// one row of more tokens, so that nobody copies the keys and values.
    ///
    /// # Shapes
    /// - hidden: `[batch, tokens, d]`
    /// - output: `[context_batch, heads, batch / context_batch * tokens, head_dim]`
    pub fn queries(&self, hidden: Tensor<3>, context: &KeyValue) -> Tensor<4> {
        let [batch, tokens, _] = hidden.dims();
        let rows = context.key.dims()[0];
        self.split_heads(dc_kernels::linear(&self.to_q, hidden), [rows, batch / rows * tokens])
    }

    fn split_heads(&self, x: Tensor<3>, [batch, tokens]: [usize; 2]) -> Tensor<4> {
        let head_dim = x.dims()[2] / self.num_heads;
        x.reshape([batch, tokens, self.num_heads, head_dim]).swap_dims(1, 2)
    }
}

/// GEGLU: one half of the widened states, gated by gelu (the exact one, with erf) of the other.
#[derive(Module, Debug)]
pub struct FeedForward {
    proj: Linear,
    out: Linear,
}

impl FeedForward {
    pub(crate) fn load(w: &Weights, d: usize) -> Result<Self, Error> {
        Ok(Self { proj: linear(&w.at("net.0.proj"), d, 8 * d, true)?, out: linear(&w.at("net.2"), 4 * d, d, true)? })
    }

    /// # Shapes
    /// - hidden, output: `[batch, tokens, d]`
    pub fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        dc_kernels::linear(&self.out, dc_kernels::geglu(dc_kernels::linear(&self.proj, hidden)))
    }
}
