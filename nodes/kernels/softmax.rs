//! Softmax over the last axis.

use burn::tensor::{Tensor, activation};
use burn_flex::FlexTensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::array::{by_rows, contiguous, dims, filled, tensor, values};
use crate::operation::{Operation, apply, on_cpu};
use crate::simd::{F32s, Level, dot, exp, lanes, max};

/// Exponentials over their sum, along the last axis.
///
/// # Shapes
/// - x, output: `[.., d]`
pub fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !on_cpu(&x) {
        return activation::softmax(x, D - 1);
    }
    Tensor::from_dispatch(apply(Kernel { level: Level::best() }, [x.into_dispatch()]))
}

#[derive(Clone, Copy, Debug)]
struct Kernel {
    level: Level,
}

fn rows_at_once(d: usize) -> usize {
    ((1 << 14) / d).max(1)
}

impl Operation<1> for Kernel {
    type Saved = FlexTensor;

    fn takes_half(&self) -> bool {
        true
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let x = contiguous(x);
        let shape = dims(&x);
        let d = shape.last().copied().unwrap_or(1);
        let y = by_rows(&x, [d, d], rows_at_once(d.max(1)), shape, |_, x, y| self.level.run(Forward { d, x, y }));
        (y.clone(), y)
    }

    fn backward(&self, y: FlexTensor, grad: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let grad = contiguous(grad);
        let (shape, y, dy) = (dims(&grad), values(&y), values(&grad));
        let d = shape.last().copied().unwrap_or(1);
        let (dx, ()) = filled(dy.len(), |dx| {
            if !dx.is_empty() {
                let rows = rows_at_once(d) * d;
                let chunks = dx.par_chunks_mut(rows).zip(y.par_chunks(rows)).zip(dy.par_chunks(rows));
                chunks.for_each(|((dx, y), dy)| self.level.run(Gradient { d, y, dy, dx }));
            }
        });
        [Some(tensor(dx, shape))]
    }
}

struct Forward<'a> {
    d: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = lanes::<S>();
        for (x, y) in self.x.chunks_exact(self.d).zip(self.y.chunks_exact_mut(self.d)) {
            let largest = F32s::splat(simd, max(simd, x));
            let (whole, rest) = y.split_at_mut(self.d / lanes * lanes);
            let mut sum = F32s::splat(simd, 0.0);
            for (x, y) in x.chunks_exact(lanes).zip(whole.chunks_exact_mut(lanes)) {
                let e = exp(simd, F32s::load(simd, x) - largest);
                sum = sum + e;
                e.store(y);
            }
            let mut sum = sum.total();
            if !rest.is_empty() {
                exp(simd, F32s::load(simd, &x[whole.len()..]) - largest).store(rest);
                sum += rest.iter().sum::<f32>();
            }
            for y in y.chunks_mut(lanes) {
                (F32s::load(simd, y) * sum.recip()).store(y);
            }
        }
    }
}

struct Gradient<'a> {
    d: usize,
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.y.chunks_exact(self.d).zip(self.dy.chunks_exact(self.d)).zip(self.dx.chunks_exact_mut(self.d));
        for ((y, dy), dx) in rows {
            let mean = dot(simd, y, dy);
            for (i, dx) in dx.chunks_mut(lanes::<S>()).enumerate() {
                let at = i * lanes::<S>()..i * lanes::<S>() + dx.len();
                ((F32s::load(simd, &dy[at.clone()]) - mean) * F32s::load(simd, &y[at])).store(dx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random, run};

    #[test]
    fn rows_are_those_of_the_plain_operator() {
        for level in Level::available() {
            for [rows, d] in [[1, 1], [3, 5], [7, 16], [4, 77], [20, 4096], [0, 8]] {
                let ours =
                    |[x]: [Tensor<1>; 1]| run::<_, 1, 2>(Kernel { level }, [x.reshape([rows, d]).into_dispatch()]);
                let x = random("x", rows * d, 8.0);
                check(&format!("{rows} rows of {d}, {level:?}"), [x], 1e-6, ours, |[x]| {
                    activation::softmax(x.reshape([rows, d]), 1).reshape([rows * d])
                });
            }
        }
    }

    #[test]
    fn masked_places_get_nothing() {
        let x = Tensor::<2>::from_floats([[1.0, f32::NEG_INFINITY, 1.0]], &burn::tensor::Device::flex());
        let y: Vec<f32> = softmax(x).into_data().try_into_vec().unwrap();
        assert_eq!(y, [0.5, 0.0, 0.5]);
    }
}
