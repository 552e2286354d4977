//! Lines with rows for columns, by blocks that are turned in registers.

#[cfg(target_arch = "x86_64")]
use pulp::x86::V4;
use wide::f32x4;

use super::tile::COLUMNS;
use crate::simd::Level;

/// Lines that [`turned_beside`] takes.
pub(super) const LINES: usize = 16;

/// Lines of the same length with rows for columns, beside others: `into[k][first + i] = lines[i][k]`.
pub(super) fn turned_beside(level: Level, lines: [&[f32]; LINES], into: &mut [[f32; COLUMNS]], first: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = V4::try_new().filter(|_| level.is_of_512_bits()) {
        return pulp::Simd::vectorize(simd, by_sixteen::Lines { simd, lines, into, first });
    }
    let _ = level;
    /// Lines at once, and steps over them.
    const SOME: [usize; 2] = [8, 64];
    let mut some = [[0.0; SOME[0]]; SOME[1]];
    for (i, lines) in lines.as_chunks::<{ SOME[0] }>().0.iter().enumerate() {
        let first = first + i * SOME[0];
        for (step, into) in into.chunks_mut(SOME[1]).enumerate() {
            let line = |i: usize| &lines[i][step * SOME[1]..][..into.len()];
            turned(std::array::from_fn(line), &mut some[..into.len()]);
            for (into, some) in into.iter_mut().zip(&some) {
                into[first..first + SOME[0]].copy_from_slice(some);
            }
        }
    }
}

/// Lines of the same length with rows for columns: `into[k][i] = lines[i][k]`.
pub(crate) fn turned<const H: usize>(lines: [&[f32]; H], into: &mut [[f32; H]]) {
    /// The side of a block that is turned in registers.
    const SIDE: usize = 4;
    let len = into.len();
    let lines = lines.map(|line| &line[..len]);
    let whole = if H.is_multiple_of(SIDE) { len / SIDE * SIDE } else { 0 };
    for (k, into) in into[..whole].chunks_exact_mut(SIDE).enumerate() {
        for (first, lines) in (0..H).step_by(SIDE).zip(lines.chunks_exact(SIDE)) {
            let line = |i: usize| lines[i][k * SIDE..].first_chunk().map_or(f32x4::ZERO, |line| f32x4::new(*line));
            let block = [line(0), line(1), line(2), line(3)];
            for (into, column) in into.iter_mut().zip(f32x4::transpose(block)) {
                into[first..first + SIDE].copy_from_slice(column.as_array());
            }
        }
    }
    for (k, into) in into.iter_mut().enumerate().skip(whole) {
        for (into, line) in into.iter_mut().zip(lines) {
            *into = line[k];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod by_sixteen {
    use std::arch::x86_64::__m512;

    use pulp::x86::V4;
    use pulp::{Simd, WithSimd};

    use super::{COLUMNS, LINES};

    pub(super) struct Lines<'a> {
        pub(super) simd: V4,
        pub(super) lines: [&'a [f32]; LINES],
        pub(super) into: &'a mut [[f32; COLUMNS]],
        pub(super) first: usize,
    }

    #[allow(clippy::inline_always)] // Only inlined is the code compiled for the caller's instruction set.
    impl WithSimd for Lines<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self { simd, lines, into, first } = self;
            let whole = into.len() / LINES * LINES;
            for (k, into) in into[..whole].chunks_exact_mut(LINES).enumerate() {
                let mut block: [__m512; LINES] = [pulp::cast([0.0_f32; LINES]); LINES];
                for (row, line) in block.iter_mut().zip(&lines) {
                    if let Some(line) = line[k * LINES..].first_chunk::<LINES>() {
                        *row = pulp::cast(*line);
                    }
                }
                let block = turned(simd, block);
                for (into, row) in into.iter_mut().zip(block) {
                    into[first..first + LINES].copy_from_slice(&pulp::cast::<_, [f32; LINES]>(row));
                }
            }
            for (k, into) in into.iter_mut().enumerate().skip(whole) {
                for (into, line) in into[first..first + LINES].iter_mut().zip(lines) {
                    *into = line[k];
                }
            }
        }
    }

    /// A block with rows for columns.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn turned(simd: V4, rows: [__m512; LINES]) -> [__m512; LINES] {
        let simd = simd.avx512f;
        // Of rows 4q to 4q + 3, at 4q + c: columns c, 4 + c, 8 + c and 12 + c.
        let mut quarters = rows;
        for (rows, quarters) in rows.chunks_exact(4).zip(quarters.chunks_exact_mut(4)) {
            let [low, low_too] = [simd._mm512_unpacklo_ps(rows[0], rows[1]), simd._mm512_unpacklo_ps(rows[2], rows[3])];
            let [high, high_too] =
                [simd._mm512_unpackhi_ps(rows[0], rows[1]), simd._mm512_unpackhi_ps(rows[2], rows[3])];
            quarters[0] = pulp::cast(simd._mm512_unpacklo_pd(pulp::cast(low), pulp::cast(low_too)));
            quarters[1] = pulp::cast(simd._mm512_unpackhi_pd(pulp::cast(low), pulp::cast(low_too)));
            quarters[2] = pulp::cast(simd._mm512_unpacklo_pd(pulp::cast(high), pulp::cast(high_too)));
            quarters[3] = pulp::cast(simd._mm512_unpackhi_pd(pulp::cast(high), pulp::cast(high_too)));
        }
        // Of vectors in four quarters each, the even ones or the odd ones of two.
        const EVEN: i32 = 0b10_00_10_00;
        const ODD: i32 = 0b11_01_11_01;
        let mut columns = rows;
        for c in 0..4 {
            let [top, upper, lower, bottom] = [quarters[c], quarters[4 + c], quarters[8 + c], quarters[12 + c]];
            let even = simd._mm512_shuffle_f32x4::<EVEN>(top, upper);
            let even_too = simd._mm512_shuffle_f32x4::<EVEN>(lower, bottom);
            let odd = simd._mm512_shuffle_f32x4::<ODD>(top, upper);
            let odd_too = simd._mm512_shuffle_f32x4::<ODD>(lower, bottom);
            columns[c] = simd._mm512_shuffle_f32x4::<EVEN>(even, even_too);
            columns[4 + c] = simd._mm512_shuffle_f32x4::<EVEN>(odd, odd_too);
            columns[8 + c] = simd._mm512_shuffle_f32x4::<ODD>(even, even_too);
            columns[12 + c] = simd._mm512_shuffle_f32x4::<ODD>(odd, odd_too);
        }
        columns
    }
}
