//! Sums and maxima of slices. Sums run in four vectors, so that the rounding error grows with the square root of a
//! sixty-fourth of the length (AVX-512), not with the length.

use pulp::Simd;

use super::vector::{F32s, lanes};

/// Adds `term` of all places, `NaN` not excepted.
#[inline(always)]
fn add_up<S: Simd>(simd: S, len: usize, mut term: impl FnMut(usize) -> F32s<S>) -> f32 {
    let lanes = lanes::<S>();
    let mut sums = [F32s::splat(simd, 0.0); 4];
    let mut at = 0;
    while at + 4 * lanes <= len {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = *sum + term(at + i * lanes);
        }
        at += 4 * lanes;
    }
    while at < len {
        sums[0] = sums[0] + term(at);
        at += lanes;
    }
    let [a, b, c, d] = sums;
    ((a + b) + (c + d)).total()
}

/// The sum of the values.
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, x: &[f32]) -> f32 {
    add_up(simd, x.len(), |at| F32s::load(simd, &x[at..]))
}

/// The sum of the products.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, x: &[f32], y: &[f32]) -> f32 {
    let y = &y[..x.len()];
    add_up(simd, x.len(), |at| F32s::load(simd, &x[at..]) * F32s::load(simd, &y[at..]))
}

/// The sum of the squares of the values less `mean`.
#[inline(always)]
pub(crate) fn sum_of_squares<S: Simd>(simd: S, x: &[f32], mean: f32) -> f32 {
    let whole = x.len() / lanes::<S>() * lanes::<S>();
    let sum = add_up(simd, whole, |at| {
        let d = F32s::load(simd, &x[at..]) - mean;
        d * d
    });
    // What a partial vector is filled up with would count.
    x[whole..].iter().fold(sum, |sum, x| sum + (x - mean) * (x - mean))
}

/// The largest value; -inf for none.
#[inline(always)]
pub(crate) fn max<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let (lanes, lowest) = (lanes::<S>(), f32::NEG_INFINITY);
    let whole = x.len() / lanes * lanes;
    let mut largest = [F32s::splat(simd, lowest); 2];
    for (i, x) in x[..whole].chunks_exact(lanes).enumerate() {
        largest[i % 2] = largest[i % 2].max(F32s::load(simd, x));
    }
    let largest = largest[0].max(largest[1]).largest();
    x[whole..].iter().fold(largest, |largest, x| largest.max(*x))
}
