//! Tensors `[batch, heads, tokens, head_dim]` of any strides, head by head.

use burn::tensor::DType;
use burn_flex::FlexTensor;

use super::tile::Matrix;
use crate::array::{contiguous, dims, pairs};
use crate::gemm::turned;

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
    pub(super) fn row(self, token: usize) -> &'a [f32] {
        &self.values[token * self.stride..][..self.d]
    }

    /// The rows from one on.
    pub(super) fn beginning_at(self, token: usize) -> Self {
        Self { values: &self.values[(token * self.stride).min(self.values.len())..], ..self }
    }

    /// The rows as those of a left operand.
    pub(super) fn matrix(self) -> Matrix<'a> {
        Matrix { values: self.values, row: self.stride, column: 1 }
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
        let mut turner = Turner::new(self, count, 1);
        for (block, into) in into.chunks_exact_mut((self.d * width).max(1)).enumerate() {
            for first in (0..width).step_by(AT_ONCE) {
                let len = AT_ONCE.min(width - first);
                for (into, turned) in into.chunks_exact_mut(width).zip(turner.turn(block * width + first)) {
                    into[first..][..len].copy_from_slice(&turned[..len]);
                }
            }
        }
    }

    /// The same where values are pairs of the numbers of a row, of pairs of the same number of two tokens:
    /// `[blocks, numbers, width]`, where a block has `2 * width` tokens.
    pub(super) fn transposed_by_pairs(self, count: usize, width: usize, into: &mut [f32]) {
        let [mut firsts, mut seconds] = [Turner::new(self, count, 2), Turner::new(self, count, 2)];
        for (block, into) in into.chunks_exact_mut((2 * self.d * width).max(1)).enumerate() {
            for at in (0..width).step_by(AT_ONCE) {
                let (len, token) = (AT_ONCE.min(width - at), 2 * (block * width + at));
                let turned = firsts.turn(token).iter().zip(seconds.turn(token + 1));
                for (into, (first, second)) in into.chunks_exact_mut(2 * width).zip(turned) {
                    let (mut even, mut odd) = ([0.0; AT_ONCE], [0.0; AT_ONCE]);
                    for i in 0..AT_ONCE {
                        let (first, second) = (first[i].to_bits(), second[i].to_bits());
                        even[i] = f32::from_bits(first & 0xffff | second << 16);
                        odd[i] = f32::from_bits(first >> 16 | second & 0xffff_0000);
                    }
                    into[at..][..len].copy_from_slice(&even[..len]);
                    into[width + at..][..len].copy_from_slice(&odd[..len]);
                }
            }
        }
    }
}

/// Tokens that are turned at once.
const AT_ONCE: usize = 16;

/// Turns some tokens at a time, so that what they become is written in runs.
struct Turner<'a> {
    rows: Rows<'a>,
    /// Tokens that there are.
    count: usize,
    /// From a token to the next.
    step: usize,
    /// In the place of tokens that there are not.
    zeros: Vec<f32>,
    turned: Vec<[f32; AT_ONCE]>,
}

impl<'a> Turner<'a> {
    fn new(rows: Rows<'a>, count: usize, step: usize) -> Self {
        Self { rows, count, step, zeros: vec![0.0; rows.d], turned: vec![[0.0; AT_ONCE]; rows.d] }
    }

    /// [`AT_ONCE`] tokens from one on: of each value, theirs.
    fn turn(&mut self, first: usize) -> &[[f32; AT_ONCE]] {
        let tokens = std::array::from_fn(|i| match first + i * self.step {
            token if token < self.count => self.rows.row(token),
            _ => &self.zeros,
        });
        turned(tokens, &mut self.turned);
        &self.turned
    }
}
