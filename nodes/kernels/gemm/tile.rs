//! A tile of registers: `C[8 x 32] += A[8 x k] B[k x 32]`, with `B` packed and `A` read where it lies.
//!
//! Each step over `k` multiplies a row of 32 values of `B` by eight single values of `A`. Because `A` is only ever
//! broadcast it needs no packing: each of its eight rows has an offset of its own, and `k` advances in runs, so that the
//! windows of a convolution are read straight from its input. The blocking around it is that of Goto and van de Geijn
//! ("Anatomy of high-performance matrix multiplication", 2008).

use pulp::{Simd, WithSimd};

use crate::simd::Level;

/// Rows of a tile.
pub(crate) const ROWS: usize = 8;
/// Columns of a tile.
pub(crate) const COLUMNS: usize = 32;

/// The left operand: element `(i, r * run + k)` is `data[rows[i] + starts[r] + k * step]`.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: [usize; ROWS],
    pub(crate) starts: &'a [usize],
    pub(crate) run: usize,
    pub(crate) step: usize,
}

impl Operand<'_> {
    /// One past the largest index read; zero when nothing is read.
    fn end(&self) -> usize {
        match (self.rows.iter().max(), self.starts.iter().max()) {
            (Some(row), Some(start)) if self.run > 0 => row + start + (self.run - 1) * self.step + 1,
            _ => 0,
        }
    }
}

/// `c[i * pitch + j] += sum over k of a(i, k) b[k * 32 + j]`.
pub(crate) fn add_tile(level: Level, a: &Operand, b: &[f32], c: &mut [f32], pitch: usize) {
    assert!(c.len() >= (ROWS - 1) * pitch + COLUMNS, "a tile at a pitch of {pitch} in {} values", c.len());
    // SAFETY: the tile lies in `c`, as just checked, which is borrowed for it alone.
    unsafe { add_tile_at(level, a, b, c.as_mut_ptr(), pitch) }
}

/// [`add_tile`] into memory that other threads write elsewhere.
///
/// # Safety
/// `c[i * pitch + j]` must be valid for reads and writes for `i` below 8 and `j` below 32, and no one else may touch it.
pub(crate) unsafe fn add_tile_at(level: Level, a: &Operand, b: &[f32], c: *mut f32, pitch: usize) {
    assert!(a.end() <= a.data.len(), "the left operand ends at {} of {}", a.end(), a.data.len());
    assert!(a.starts.len() * a.run * COLUMNS <= b.len(), "a right operand of {} values", b.len());
    level.run(Tile { a, b: b.as_ptr(), c, pitch });
}

/// Made by [`add_tile_at`] alone, which has checked the operands; `c` is its caller's promise.
struct Tile<'a> {
    a: &'a Operand<'a>,
    b: *const f32,
    c: *mut f32,
    pitch: usize,
}

impl WithSimd for Tile<'_> {
    type Output = ();

    /// Blocks of 8 x 2 vectors take 16 of 32 registers, 4 x 2 take 8 of 16.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::REGISTER_COUNT {
            32.. => self.blocks::<S, 8, 2>(simd),
            _ if S::F32_LANES > 1 => self.blocks::<S, 4, 2>(simd),
            _ => self.blocks::<S, 2, 8>(simd),
        }
    }
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl Tile<'_> {
    #[inline(always)]
    fn blocks<S: Simd, const MR: usize, const NV: usize>(&self, simd: S) {
        for top in (0..ROWS).step_by(MR) {
            for left in (0..COLUMNS).step_by(NV * S::F32_LANES) {
                // SAFETY: the block lies in the tile, whose operands are checked.
                unsafe { self.block::<S, MR, NV>(simd, top, left) }
            }
        }
    }

    /// # Safety
    /// The operands reach as far as [`add_tile_at`] demands, and `[MR x NV]` vectors fit into a tile at `(top, left)`.
    #[inline(always)]
    unsafe fn block<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, top: usize, left: usize) {
        let Self { a, b, c, pitch } = *self;
        let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
        // SAFETY: indices are those of `Operand` and of a packed right operand; vectors may lie at any address.
        unsafe {
            let mut b = b.add(left);
            for &start in a.starts {
                let mut rows = [a.data.as_ptr(); MR];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = row.add(a.rows[top + i] + start);
                }
                let mut at = 0;
                for _ in 0..a.run {
                    let mut right = [simd.splat_f32s(0.0); NV];
                    for (v, right) in right.iter_mut().enumerate() {
                        *right = b.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                    }
                    for (sums, row) in sums.iter_mut().zip(&rows) {
                        let left = simd.splat_f32s(*row.add(at));
                        for (sum, &right) in sums.iter_mut().zip(&right) {
                            *sum = simd.mul_add_e_f32s(left, right, *sum);
                        }
                    }
                    b = b.add(COLUMNS);
                    at += a.step;
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    let c = c.add((top + i) * pitch + left + v * S::F32_LANES).cast::<S::f32s>();
                    c.write_unaligned(simd.add_f32s(c.read_unaligned(), sum));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_the_sum_of_products() {
        let data: Vec<f32> = (0..400).map(|i| ((i * 37 % 101) as f32 - 50.0) / 17.0).collect();
        let rows = [0, 3, 7, 20, 20, 41, 60, 5];
        for (starts, run, step) in [(vec![0], 17, 1), (vec![2, 90, 30], 5, 2), (vec![11], 1, 1), (vec![], 4, 1)] {
            let a = Operand { data: &data, rows, starts: &starts, run, step };
            let depth = starts.len() * run;
            let b: Vec<f32> = (0..depth * COLUMNS).map(|i| ((i * 53 % 89) as f32 - 44.0) / 13.0).collect();
            for level in Level::available() {
                let pitch = 40;
                let mut c = vec![1.0; ROWS * pitch];
                add_tile(level, &a, &b, &mut c, pitch);
                for i in 0..ROWS {
                    for j in 0..pitch {
                        let mut expected = 1.0_f64;
                        for k in 0..if j < COLUMNS { depth } else { 0 } {
                            let a = data[rows[i] + starts[k / run] + k % run * step];
                            expected += f64::from(a) * f64::from(b[k * COLUMNS + j]);
                        }
                        let got = f64::from(c[i * pitch + j]);
                        assert!((got - expected).abs() < 1e-4, "{level:?} ({i}, {j}): {got} is not {expected}");
                    }
                }
            }
        }
    }
}
