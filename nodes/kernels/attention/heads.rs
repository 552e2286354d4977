//! Tensors `[batch, heads, tokens, head_dim]` of any strides, head by head.

use burn_flex::FlexTensor;

use crate::array::{contiguous, dims};

/// A tensor whose rows of `head_dim` values lie side by side.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    tensor: FlexTensor,
    offset: usize,
    strides: [usize; 3],
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) tokens: usize,
    pub(super) head_dim: usize,
}

/// The rows of one head.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
    d: usize,
}

impl Heads {
    /// Copies only what has no rows side by side.
    pub(super) fn new(tensor: FlexTensor) -> Self {
        let usable = {
            let strides = tensor.layout().strides();
            strides.iter().all(|stride| *stride >= 0) && strides.last() == Some(&1)
        };
        let tensor = if usable { tensor } else { contiguous(tensor) };
        let [batch, heads, tokens, head_dim] = dims(&tensor)[..] else {
            panic!("attention is of tensors with 4 axes, found {:?}", tensor.layout().shape())
        };
        let strides = std::array::from_fn(|i| tensor.layout().strides()[i].unsigned_abs());
        let offset = tensor.layout().start_offset();
        Self { tensor, offset, strides, batch, heads, tokens, head_dim }
    }

    pub(super) fn head(&self, batch: usize, head: usize) -> Rows<'_> {
        let at = self.offset + batch * self.strides[0] + head * self.strides[1];
        let values = self.tensor.storage::<f32>();
        Rows { values: &values[at.min(values.len())..], stride: self.strides[2], d: self.head_dim }
    }
}

impl<'a> Rows<'a> {
    pub(super) fn row(self, token: usize) -> &'a [f32] {
        &self.values[token * self.stride..][..self.d]
    }

    /// Rows `from .. from + count` times `scale`, each filled up with zeros to `width`.
    pub(super) fn padded(self, from: usize, count: usize, width: usize, scale: f32) -> Vec<f32> {
        let mut padded = vec![0.0; count * width];
        for (i, padded) in padded.chunks_exact_mut(width).enumerate() {
            for (padded, x) in padded.iter_mut().zip(self.row(from + i)) {
                *padded = x * scale;
            }
        }
        padded
    }

    /// Blocks of `width` tokens, each transposed: `[blocks, head_dim, width]` from `count` tokens, the rest zeros. (Rows
    /// as long as all tokens would be a power of two apart, and all in the same few places of the cache.)
    pub(super) fn transposed(self, count: usize, width: usize, into: &mut [f32]) {
        for (block, into) in into.chunks_exact_mut((self.d * width).max(1)).enumerate() {
            let tokens = count.saturating_sub(block * width).min(width);
            // A few tokens at a time, so that what is written stays in the cache.
            for first in (0..tokens).step_by(16) {
                for (c, into) in into.chunks_exact_mut(width).enumerate() {
                    for (token, into) in into.iter_mut().enumerate().take(tokens).skip(first).take(16) {
                        *into = self.values[(block * width + token) * self.stride + c];
                    }
                }
            }
            for into in into.chunks_exact_mut(width) {
                into[tokens..].fill(0.0);
            }
        }
    }
}
