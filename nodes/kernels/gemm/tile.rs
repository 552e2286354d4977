//! A tile of registers: `C[24 x 32] += A[24 x k] B[k x 32]`, with `B` packed and `A` packed or read where it lies.
//!
//! Each step over `k` multiplies a row of 32 values of `B` by single values of `A`. Because `A` is only ever
//! broadcast, each of its rows has an offset of its own, and `k` advances in runs, so that the windows of a convolution
//! can be read straight from its input. What is read often is faster in [`stripes`](height), though: one stream of memory
//! in the place of many. Where [`Level::takes_pairs`], each value of both operands is a pair of bfloat16s, of two steps over
//! `k`, the first in the lower bits, and a multiplication is two, added up in float32. The blocking around it is that of
//! Goto and van de Geijn ("Anatomy of high-performance matrix
//! multiplication", 2008).

use pulp::{Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use super::amx::{Registers, STEPS};
use crate::simd::{Level, Values, WithValues};

/// Rows of a tile: a whole number of stripes at every level.
pub(crate) const ROWS: usize = 24;
/// Columns of a tile.
pub(crate) const COLUMNS: usize = 32;
/// Columns that lie side by side in the output.
pub(crate) const HALF: usize = COLUMNS / 2;

/// The left operand: value `(i, r * run + k)` is `data[rows[i] + starts[r] + k * step]`.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) data: &'a [f32],
    /// Those past `count` may be read but come to nothing.
    pub(crate) rows: [usize; ROWS],
    /// Rows that there are.
    pub(crate) count: usize,
    pub(crate) starts: &'a [usize],
    pub(crate) run: usize,
    pub(crate) step: usize,
}

impl<'a> Operand<'a> {
    /// Rows from `row` on, at most to `end`, of a matrix packed in stripes of `height` rows, `[depth, height]` each, that
    /// begin `pitch` apart.
    pub(crate) fn of_stripes(
        data: &'a [f32],
        [height, pitch]: [usize; 2],
        depth: usize,
        row: usize,
        end: usize,
    ) -> Self {
        let last = end.saturating_sub(1);
        let place = |row: usize| row / height * pitch + row % height;
        let rows = std::array::from_fn(|i| place((row + i).min(last)));
        Self { data, rows, count: ROWS.min(end - row), starts: &[0], run: depth, step: height }
    }

    /// Rows from `row` on, at most to `end`, of a matrix packed in lines of `pitch` values, with as many of them as whole
    /// tiles have.
    pub(crate) fn of_lines(data: &'a [f32], pitch: usize, row: usize, end: usize) -> Self {
        let rows = std::array::from_fn(|i| (row + i) * pitch);
        Self { data, rows, count: ROWS.min(end - row), starts: &[0], run: pitch, step: 1 }
    }

    /// Where the operand is whole lines, all of which can be read: the values from each to the next.
    #[cfg(target_arch = "x86_64")]
    fn pitch_of_lines(&self) -> Option<usize> {
        let pitch = self.rows[1].checked_sub(self.rows[0])?;
        let even = self.rows.windows(2).all(|rows| rows[1].checked_sub(rows[0]) == Some(pitch));
        let whole = self.starts == [0] && self.step == 1 && self.run.is_multiple_of(STEPS);
        (even && whole && self.end() <= self.data.len()).then_some(pitch)
    }

    /// One past the largest index read; zero when nothing is read.
    fn end(&self) -> usize {
        match (self.rows.iter().max(), self.starts.iter().max()) {
            (Some(row), Some(start)) if self.run > 0 => row + start + (self.run - 1) * self.step + 1,
            _ => 0,
        }
    }
}

/// What becomes of the values that are in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onto {
    /// They are overwritten.
    Nothing,
    /// They are added to.
    Sum,
}

/// Where a tile goes: 16 values of row `i` to `halves[0] + i * pitch`, 16 to `halves[1] + i * pitch`.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) halves: [*mut f32; 2],
    pub(crate) pitch: usize,
    pub(crate) onto: Onto,
}

/// How the left operand is best packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// In stripes of so many rows.
    Stripes(usize),
    /// Row by row, the depth filled up to whole blocks of so many values.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // Only matrix registers want it.
    Lines(usize),
}

impl Packing {
    /// The best one for a level.
    pub(crate) fn of(level: Level) -> Self {
        #[cfg(target_arch = "x86_64")]
        if level.has_matrix_registers() {
            return Self::Lines(STEPS);
        }
        Self::Stripes(height(level))
    }

    /// Steps over the depth with those that it is filled up with. What the right operand has there must be zeros, too.
    pub(crate) fn steps(self, depth: usize) -> usize {
        match self {
            Self::Stripes(_) => depth,
            Self::Lines(block) => depth.next_multiple_of(block),
        }
    }
}

/// Rows of a block of registers at this level. A left operand is best packed in stripes of as many.
pub(crate) fn height(level: Level) -> usize {
    struct Height;
    impl WithSimd for Height {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            block_height::<S>()
        }
    }
    level.run(Height)
}

/// Blocks of 8 x 2 vectors take 16 of 32 registers, 6 x 2 take 12 of 16.
const fn block_height<S: Simd>() -> usize {
    match S::REGISTER_COUNT {
        32.. => 8,
        _ if S::F32_LANES > 1 => 6,
        _ => 2,
    }
}

/// What multiplies tiles, on one thread.
#[derive(Debug)]
pub(crate) struct Multiplier {
    level: Level,
    #[cfg(target_arch = "x86_64")]
    registers: Option<Registers>,
}

impl Multiplier {
    /// For as much of a thread's work as possible: where there are registers to set up, that takes longer than a step.
    pub(crate) fn new(level: Level) -> Self {
        Self {
            level,
            // SAFETY: asked for where the level is there.
            #[cfg(target_arch = "x86_64")]
            registers: level.has_matrix_registers().then(|| unsafe { Registers::new() }),
        }
    }

    /// `c[i][j] = sum over k of a(i, k) b[k * 32 + j]`, or adds that, for as many rows as `a` counts, at a pitch of
    /// `pitch`.
    pub(crate) fn tile(&self, a: &Operand, b: &[f32], c: &mut [f32], pitch: usize, onto: Onto) {
        let rows = a.count;
        assert!(rows > 0 && c.len() >= (rows - 1) * pitch + COLUMNS, "a tile, pitch {pitch}, in {} values", c.len());
        let (left, right) = c.split_at_mut(HALF);
        // SAFETY: the tile lies in `c`, as just checked, which is borrowed for it alone.
        unsafe { self.tile_at(a, b, Target { halves: [left.as_mut_ptr(), right.as_mut_ptr()], pitch, onto }) }
    }

    /// [`Self::tile`] into memory that other threads write elsewhere.
    ///
    /// # Safety
    /// For as many rows as `a` counts, 16 values must be valid for writes, and with [`Onto::Sum`] for reads, at each of the
    /// halves, and no one else may touch them.
    pub(crate) unsafe fn tile_at(&self, a: &Operand, b: &[f32], c: Target) {
        assert!(a.count <= ROWS, "{} rows in a tile", a.count);
        assert!(a.end() <= a.data.len(), "the left operand ends at {} of {}", a.end(), a.data.len());
        assert!(a.starts.len() * a.run * COLUMNS <= b.len(), "a right operand of {} values", b.len());
        #[cfg(target_arch = "x86_64")]
        if let Some(registers) = &self.registers
            && let Some(pitch) = a.pitch_of_lines()
        {
            // SAFETY: `pitch_of_lines` has checked the left operand, the right one is as long, and the caller promises the
            // rest.
            return unsafe { by_registers(registers, a, pitch, b, c) };
        }
        struct With<'a>(&'a Operand<'a>, *const f32, Target);
        impl WithValues for With<'_> {
            #[inline(always)]
            fn with_values<S: Simd, V: Values>(self, simd: S, values: V) {
                let Self(a, b, c) = self;
                Tile { a, b, c, values }.fill(simd);
            }
        }
        self.level.run_with_values(With(a, b.as_ptr(), c));
    }
}

/// Part of [`Multiplier::tile_at`].
///
/// # Safety
/// As there, and as [`Registers::tile`] says of the operands.
#[cfg(target_arch = "x86_64")]
unsafe fn by_registers(registers: &Registers, a: &Operand, pitch: usize, b: &[f32], c: Target) {
    // SAFETY: the caller promises it, and `values` is a whole tile.
    unsafe {
        let left = a.data.as_ptr().add(a.rows[0]);
        let run = |c| registers.tile(left, pitch, b.as_ptr(), a.run / STEPS, c);
        if a.count == ROWS {
            return run(c);
        }
        let mut values = [0.0; ROWS * COLUMNS];
        let halves = [values.as_mut_ptr(), values.as_mut_ptr().add(HALF)];
        run(Target { halves, pitch: COLUMNS, onto: Onto::Nothing });
        for (i, values) in values.chunks_exact(COLUMNS).take(a.count).enumerate() {
            for (half, values) in c.halves.into_iter().zip(values.chunks_exact(HALF)) {
                for (j, value) in values.iter().enumerate() {
                    let to = half.add(i * c.pitch + j);
                    to.write(if c.onto == Onto::Sum { to.read() + value } else { *value });
                }
            }
        }
    }
}

/// Made by [`Multiplier::tile_at`] alone, which has checked the operands; `c` is its caller's promise.
struct Tile<'a, V> {
    a: &'a Operand<'a>,
    b: *const f32,
    c: Target,
    values: V,
}

#[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
impl<V: Values> Tile<'_, V> {
    #[inline(always)]
    fn fill<S: Simd>(&self, simd: S) {
        let mut top = 0;
        while top < self.a.count {
            let left = self.a.count - top;
            top += match block_height::<S>() {
                8 => self.blocks::<S, 8, 2>(simd, top),
                6 => match left {
                    5.. => self.blocks::<S, 6, 2>(simd, top),
                    3.. => self.blocks::<S, 4, 2>(simd, top),
                    _ => self.blocks::<S, 2, 2>(simd, top),
                },
                _ => self.blocks::<S, 2, 8>(simd, top),
            };
        }
    }

    /// Gives the number of rows.
    #[inline(always)]
    fn blocks<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, top: usize) -> usize {
        for left in (0..COLUMNS).step_by(NV * S::F32_LANES) {
            // SAFETY: the block lies in the tile, whose operands are checked: `top` is a multiple of 2 below 24 and, where
            // blocks are higher, of their height, or what is left from there needs no more rows than this block has.
            unsafe { self.block::<S, MR, NV>(simd, top, left) }
        }
        MR
    }

    /// # Safety
    /// The operands reach as far as [`Multiplier::tile_at`] demands, and `[MR x NV]` vectors fit into a tile at `(top, left)`.
    #[inline(always)]
    unsafe fn block<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, top: usize, left: usize) {
        let Self { a, b, c, values } = self;
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
                            *sum = values.multiply_add(simd, left, right, *sum);
                        }
                    }
                    b = b.add(COLUMNS);
                    at += a.step;
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                if top + i >= a.count {
                    break;
                }
                for (v, &sum) in sums.iter().enumerate() {
                    let column = left + v * S::F32_LANES;
                    let c_row = c.halves[column / HALF].add(column % HALF + (top + i) * c.pitch).cast::<S::f32s>();
                    c_row.write_unaligned(match c.onto {
                        Onto::Nothing => sum,
                        Onto::Sum => simd.add_f32s(c_row.read_unaligned(), sum),
                    });
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
        let rows = std::array::from_fn(|i| [0, 3, 7, 20, 20, 41, 60, 5][i % 8] + i / 8);
        for (starts, run, step) in [(vec![0], 17, 1), (vec![2, 90, 30], 5, 2), (vec![11], 1, 1), (vec![], 4, 1)] {
            let depth = starts.len() * run;
            let b: Vec<f32> = (0..depth * COLUMNS).map(|i| ((i * 53 % 89) as f32 - 44.0) / 13.0).collect();
            for (level, count) in Level::available().into_iter().flat_map(|level| (1..=ROWS).map(move |n| (level, n))) {
                let a = Operand { data: &data, rows, count, starts: &starts, run, step };
                let pitch = 40;
                for onto in [Onto::Nothing, Onto::Sum] {
                    let mut c = vec![1.0; ROWS * pitch];
                    Multiplier::new(level).tile(&a, &b, &mut c, pitch, onto);
                    for i in 0..ROWS {
                        for j in 0..pitch {
                            let inside = i < count && j < COLUMNS;
                            let mut expected = if inside && onto == Onto::Nothing { 0.0 } else { 1.0_f64 };
                            for k in 0..if inside { depth } else { 0 } {
                                let a = data[rows[i] + starts[k / run] + k % run * step];
                                expected += f64::from(a) * f64::from(b[k * COLUMNS + j]);
                            }
                            let got = f64::from(c[i * pitch + j]);
                            let what = format!("{level:?}, {count} rows, {onto:?} ({i}, {j})");
                            assert!((got - expected).abs() < 1e-4, "{what}: {got} is not {expected}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn stripes_are_rows() {
        let (rows, depth) = (29_usize, 7_usize);
        for level in Level::available() {
            let height = height(level);
            assert_eq!(ROWS % height, 0, "{level:?}");
            let mut packed = vec![f32::NAN; rows.div_ceil(height) * height * depth];
            for row in 0..rows {
                for k in 0..depth {
                    packed[row / height * height * depth + k * height + row % height] = (row * 10 + k) as f32;
                }
            }
            for row in [0, ROWS] {
                let a = Operand::of_stripes(&packed, [height, height * depth], depth, row, rows);
                assert_eq!(a.count, ROWS.min(rows - row));
                for k in 0..depth {
                    let mut unit = vec![0.0; depth * COLUMNS];
                    unit[k * COLUMNS] = 1.0;
                    let mut c = vec![0.0; ROWS * COLUMNS];
                    Multiplier::new(level).tile(&a, &unit, &mut c, COLUMNS, Onto::Nothing);
                    for i in 0..a.count {
                        assert_eq!(c[i * COLUMNS], ((row + i) * 10 + k) as f32, "{level:?}");
                    }
                }
            }
        }
    }
}
