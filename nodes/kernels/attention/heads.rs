//! Tensors `[batch, heads, tokens, head_dim]` of any strides, head by head.

use burn::tensor::DType;
use burn_flex::FlexTensor;

use super::tile::Matrix;
use crate::array::{contiguous, dims, pairs};

/// A tensor whose rows of `head_dim` numbers lie side by side: float32, or bfloat16 by pairs.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    tensor: FlexTensor,
    /// In numbers.
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
    /// In values.
    stride: usize,
    /// Values of a row.
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
        Self { tensor, strides, batch, heads, tokens, head_dim }
    }

    /// Whether all rows are whole pairs of bfloat16s.
    pub(super) fn has_pairs(&self) -> bool {
        let even = self.head_dim.is_multiple_of(2) && self.strides.iter().all(|stride| stride.is_multiple_of(2));
        even && self.tensor.dtype() == DType::BF16 && pairs(&self.tensor).is_some()
    }

    /// Of a tensor that is float32, or [has pairs](Self::has_pairs).
    pub(super) fn head(&self, batch: usize, head: usize) -> Rows<'_> {
        let at = batch * self.strides[0] + head * self.strides[1];
        let (values, numbers) = match self.tensor.dtype() {
            DType::BF16 => (pairs(&self.tensor).expect("pairs"), 2),
            _ => (&self.tensor.storage::<f32>()[self.tensor.layout().start_offset()..], 1),
        };
        let [at, stride, d] = [at, self.strides[2], self.head_dim].map(|count| count / numbers);
        Rows { values: &values[at.min(values.len())..], stride, d }
    }
}

impl<'a> Rows<'a> {
    /// Rows of `d` values, one after another.
    pub(super) fn new(values: &'a [f32], d: usize) -> Self {
        Self { values, stride: d, d }
    }

    pub(super) fn row(self, token: usize) -> &'a [f32] {
        &self.values[token * self.stride..][..self.d]
    }

    /// The rows from one on.
    pub(super) fn from(self, token: usize) -> Self {
        Self { values: &self.values[(token * self.stride).min(self.values.len())..], ..self }
    }

    /// The rows as those of a left operand.
    pub(super) fn matrix(self) -> Matrix<'a> {
        Matrix { values: self.values, row: self.stride, column: 1 }
    }

    /// Where values are pairs of the numbers of a row, pairs of the same numbers of two tokens: `[count / 2, head_dim]`,
    /// the last ones with zeros where there is a token too many.
    pub(super) fn by_pairs(self, count: usize) -> Vec<f32> {
        let mut into = vec![0.0; count.div_ceil(2) * 2 * self.d];
        for (token, into) in (0..count).step_by(2).zip(into.chunks_exact_mut((2 * self.d).max(1))) {
            let bits = |row: &'a [f32]| row.iter().map(|pair| pair.to_bits());
            let second = if token + 1 < count { self.row(token + 1) } else { &[] };
            let second = bits(second).chain(std::iter::repeat(0));
            for (into, (first, second)) in into.as_chunks_mut().0.iter_mut().zip(bits(self.row(token)).zip(second)) {
                *into = [first & 0xffff | second << 16, first >> 16 | second & 0xffff_0000].map(f32::from_bits);
            }
        }
        into
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

    /// Blocks of `width` tokens, each transposed: `[blocks, values, width]` from `count` tokens, the rest zeros. (Rows
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
