//! Products of matrices small enough for the cache, a block of registers at a time.

use pulp::{Simd, WithSimd};

use crate::simd::{F32s, Values, lanes};

/// A matrix of any strides.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    /// From a row to the next.
    pub(super) row: usize,
    /// From a column to the next.
    pub(super) column: usize,
}

/// `c = a b`, or `c += a b`, with values that hold one or more numbers of the depth.
///
/// # Shapes
/// - a: `[m, k]`
/// - b: `[k, n]`, rows side by side with `b_row` values between their beginnings
/// - c: `[m, n]`, the same with `c_row`; `n` is a whole number of vectors
pub(super) struct Product<'a, V> {
    pub(super) values: V,
    pub(super) a: Matrix<'a>,
    pub(super) b: &'a [f32],
    pub(super) b_row: usize,
    pub(super) c: &'a mut [f32],
    pub(super) c_row: usize,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    /// Adds to what is in `c`.
    pub(super) add: bool,
}

impl<V: Values> WithSimd for Product<'_, V> {
    type Output = ();

    /// Columns outside, so that the part of `b` at hand stays in the first cache.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let vectors = self.n / lanes::<S>();
        let mut vector = 0;
        while vector < vectors {
            let column = vector * lanes::<S>();
            vector += match vectors - vector {
                1 => self.columns::<S, 1>(simd, column),
                2 => self.columns::<S, 2>(simd, column),
                4.. if S::REGISTER_COUNT >= 32 => self.columns::<S, 4>(simd, column),
                // Two and two rather than three and one.
                4 => self.columns::<S, 2>(simd, column),
                _ => self.columns::<S, 3>(simd, column),
            };
        }
    }
}

impl<V: Values> Product<'_, V> {
    /// Blocks of 6 x 4 or 8 x 3 vectors take 24 of 32 registers, 4 x 3 take 12 of 16. Gives the number of vectors.
    #[inline(always)]
    fn columns<S: Simd, const NV: usize>(&mut self, simd: S, column: usize) -> usize {
        let mut row = 0;
        while row < self.m {
            let left = self.m - row;
            row += match left {
                8.. if S::REGISTER_COUNT >= 32 && NV < 4 => self.block::<S, 8, NV>(simd, row, column),
                6.. if S::REGISTER_COUNT >= 32 => self.block::<S, 6, NV>(simd, row, column),
                4.. => self.block::<S, 4, NV>(simd, row, column),
                2.. => self.block::<S, 2, NV>(simd, row, column),
                _ => self.block::<S, 1, NV>(simd, row, column),
            };
        }
        NV
    }

    /// Gives the number of rows.
    #[inline(always)]
    fn block<S: Simd, const MR: usize, const NV: usize>(&mut self, simd: S, row: usize, column: usize) -> usize {
        let lanes = lanes::<S>();
        let mut sums = [[F32s::splat(simd, 0.0); NV]; MR];
        let a = &self.a.values[row * self.a.row..];
        let last = (MR - 1) * self.a.row;
        for p in 0..self.k {
            let b = &self.b[p * self.b_row + column..][..NV * lanes];
            let b: [F32s<S>; NV] = std::array::from_fn(|v| F32s::load(simd, &b[v * lanes..]));
            let a = &a[p * self.a.column..][..last + 1];
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = F32s::splat(simd, a[r * self.a.row]);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = a.mul_add_of(self.values, b, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let c = &mut self.c[(row + r) * self.c_row + column..][..NV * lanes];
            for (sum, c) in sums.iter().zip(c.chunks_exact_mut(lanes)) {
                if self.add { *sum + F32s::load(simd, c) } else { *sum }.store(c);
            }
        }
        MR
    }
}
