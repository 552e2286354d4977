//! Functions of single values.

use burn::tensor::{Tensor, activation};
use burn_flex::FlexTensor;
use pulp::Simd;
use rayon::prelude::*;

use crate::array::{by_rows, contiguous, dims, filled, tensor, values};
use crate::operation::{Operation, apply, on_cpu};
use crate::simd::{F32s, Level, Map, erf, exp, map};

/// Values that one thread takes at once: enough to be worth handing over, few enough to stay in the cache.
const CHUNK: usize = 1 << 14;

/// `x sigmoid(x)`.
///
/// # Shapes
/// - x, output: any
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !on_cpu(&x) {
        return activation::silu(x);
    }
    let operation = Unary { level: Level::best(), value: Silu, slope: SiluSlope };
    Tensor::from_dispatch(apply(operation, [x.into_dispatch()]))
}

/// `x (1 + erf(x / sqrt 2)) / 2`, the exact GELU, within 5e-7 of `|x| / 2`.
///
/// # Shapes
/// - x, output: any
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !on_cpu(&x) {
        return activation::gelu(x);
    }
    let operation = Unary { level: Level::best(), value: Gelu, slope: GeluSlope };
    Tensor::from_dispatch(apply(operation, [x.into_dispatch()]))
}

/// `x sigmoid(1.702 x)`, an approximation of the GELU (Hendrycks and Gimpel 2016).
///
/// # Shapes
/// - x, output: any
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !on_cpu(&x) {
        return activation::silu(x * QUICK) / QUICK;
    }
    let operation = Unary { level: Level::best(), value: QuickGelu, slope: QuickGeluSlope };
    Tensor::from_dispatch(apply(operation, [x.into_dispatch()]))
}

/// The first half of each row, gated by [`gelu`] of the second.
///
/// # Shapes
/// - x: `[.., 2 * d]`
/// - output: `[.., d]`
pub fn geglu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let half = x.dims()[D - 1] / 2;
    if !on_cpu(&x) {
        let gate = activation::gelu(x.clone().narrow(D - 1, half, half));
        return x.narrow(D - 1, 0, half) * gate;
    }
    Tensor::from_dispatch(apply(Geglu { level: Level::best() }, [x.into_dispatch()]))
}

/// [`map`] on all threads.
pub(crate) fn map_all<M: Map<N> + Send, const N: usize>(level: Level, m: M, x: [&[f32]; N], y: &mut [f32]) {
    if y.len() <= CHUNK {
        return map(level, m, x, y);
    }
    y.par_chunks_mut(CHUNK).enumerate().for_each(|(i, y)| {
        let x = x.map(|x| &x[i * CHUNK..i * CHUNK + y.len()]);
        map(level, m, x, y);
    });
}

/// A function of one value, and what the output's gradient is multiplied with.
#[derive(Clone, Copy, Debug)]
struct Unary<V, G> {
    level: Level,
    value: V,
    slope: G,
}

impl<V, G> Operation<1> for Unary<V, G>
where
    V: Map<1> + std::fmt::Debug + Send + 'static,
    G: Map<2> + std::fmt::Debug + Send + 'static,
{
    type Saved = FlexTensor;

    fn takes_half(&self) -> bool {
        true
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let x = contiguous(x);
        let y = by_rows(&x, [1, 1], CHUNK, dims(&x), |_, x, y| map(self.level, self.value, [x], y));
        (y, x)
    }

    fn backward(&self, x: FlexTensor, grad: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let grad = contiguous(grad);
        let (x, dy) = (values(&x), values(&grad));
        let (dx, ()) = filled(x.len(), |dx| map_all(self.level, self.slope, [x, dy], dx));
        [Some(tensor(dx, dims(&grad)))]
    }
}

#[derive(Clone, Copy, Debug)]
struct Silu;

impl Map<1> for Silu {
    #[inline(always)]
    fn map<S: Simd>(self, simd: S, [x]: [F32s<S>; 1]) -> F32s<S> {
        silu_of(simd, x)
    }
}

/// `x sigmoid(x)` of a vector.
#[inline(always)]
pub(crate) fn silu_of<S: Simd>(simd: S, x: F32s<S>) -> F32s<S> {
    x / (exp(simd, -x) + 1.0)
}

/// The derivative of [`silu_of`]: `s (1 + x (1 - s))` with `s = sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu_slope<S: Simd>(simd: S, x: F32s<S>) -> F32s<S> {
    let one = F32s::splat(simd, 1.0);
    let sigmoid = one / (exp(simd, -x) + 1.0);
    sigmoid * x.mul_add(one - sigmoid, one)
}

#[derive(Clone, Copy, Debug)]
struct SiluSlope;

impl Map<2> for SiluSlope {
    #[inline(always)]
    fn map<S: Simd>(self, simd: S, [x, dy]: [F32s<S>; 2]) -> F32s<S> {
        dy * silu_slope(simd, x)
    }
}

/// The normal distribution's integral: `(1 + erf(x / sqrt 2)) / 2`.
#[inline(always)]
fn normal<S: Simd>(simd: S, x: F32s<S>) -> F32s<S> {
    erf(simd, x * std::f32::consts::FRAC_1_SQRT_2).mul_add(F32s::splat(simd, 0.5), F32s::splat(simd, 0.5))
}

/// The derivative of GELU: the normal distribution's integral, and x times its density.
#[inline(always)]
fn gelu_slope<S: Simd>(simd: S, x: F32s<S>) -> F32s<S> {
    // 1 / sqrt(2 pi)
    let density = exp(simd, x * x * -0.5) * 0.398_942_3;
    x.mul_add(density, normal(simd, x))
}

#[derive(Clone, Copy, Debug)]
struct Gelu;

impl Map<1> for Gelu {
    #[inline(always)]
    fn map<S: Simd>(self, simd: S, [x]: [F32s<S>; 1]) -> F32s<S> {
        x * normal(simd, x)
    }
}

#[derive(Clone, Copy, Debug)]
struct GeluSlope;

impl Map<2> for GeluSlope {
    #[inline(always)]
    fn map<S: Simd>(self, simd: S, [x, dy]: [F32s<S>; 2]) -> F32s<S> {
        dy * gelu_slope(simd, x)
    }
}

/// The steepness of [`quick_gelu`].
const QUICK: f32 = 1.702;

#[derive(Clone, Copy, Debug)]
struct QuickGelu;

impl Map<1> for QuickGelu {
    #[inline(always)]
    fn map<S: Simd>(self, simd: S, [x]: [F32s<S>; 1]) -> F32s<S> {
        x / (exp(simd, x * -QUICK) + 1.0)
    }
}

#[derive(Clone, Copy, Debug)]
struct QuickGeluSlope;

impl Map<2> for QuickGeluSlope {
    #[inline(always)]
    fn map<S: Simd>(self, simd: S, [x, dy]: [F32s<S>; 2]) -> F32s<S> {
        dy * silu_slope(simd, x * QUICK)
    }
}

/// Of a value and its gate.
#[derive(Clone, Copy, Debug)]
struct Gated;

impl Map<2> for Gated {
    #[inline(always)]
    fn map<S: Simd>(self, simd: S, [x, gate]: [F32s<S>; 2]) -> F32s<S> {
        x * gate * normal(simd, gate)
    }
}

/// Of a value, its gate and the output's gradient: the gate's gradient.
#[derive(Clone, Copy, Debug)]
struct GateSlope;

impl Map<3> for GateSlope {
    #[inline(always)]
    fn map<S: Simd>(self, simd: S, [x, gate, dy]: [F32s<S>; 3]) -> F32s<S> {
        dy * x * gelu_slope(simd, gate)
    }
}

#[derive(Clone, Copy, Debug)]
struct Geglu {
    level: Level,
}

impl Geglu {
    /// Rows of `d` that one thread takes at once.
    fn rows(d: usize) -> usize {
        (CHUNK / d.max(1)).max(1)
    }
}

impl Operation<1> for Geglu {
    type Saved = FlexTensor;

    fn takes_half(&self) -> bool {
        true
    }

    fn forward(&self, [x]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let x = contiguous(x);
        let mut shape = dims(&x);
        let d = shape.pop().unwrap_or(0) / 2;
        shape.push(d);
        let y = by_rows(&x, [2 * d, d], Self::rows(d), shape, |_, x, y| {
            for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(2 * d)) {
                map(self.level, Gated, [&x[..d], &x[d..]], y);
            }
        });
        (y, x)
    }

    fn backward(&self, x: FlexTensor, grad: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let shape = dims(&x);
        let d = shape.last().map_or(0, |width| width / 2);
        let grad = contiguous(grad);
        let (x, dy) = (values(&x), values(&grad));
        let (dx, ()) = filled(x.len(), |dx| {
            if dx.is_empty() {
                return;
            }
            let rows = Self::rows(d);
            let chunks = dx.par_chunks_mut(rows * 2 * d).zip(x.par_chunks(rows * 2 * d)).zip(dy.par_chunks(rows * d));
            chunks.for_each(|((dx, x), dy)| {
                for ((dx, x), dy) in dx.chunks_exact_mut(2 * d).zip(x.chunks_exact(2 * d)).zip(dy.chunks_exact(d)) {
                    let ((x, gate), (dx, d_gate)) = (x.split_at(d), dx.split_at_mut(d));
                    map(self.level, ValueSlope, [gate, dy], dx);
                    map(self.level, GateSlope, [x, gate, dy], d_gate);
                }
            });
        });
        [Some(tensor(dx, shape))]
    }
}

/// Of a gate and the output's gradient: the value's gradient.
#[derive(Clone, Copy, Debug)]
struct ValueSlope;

impl Map<2> for ValueSlope {
    #[inline(always)]
    fn map<S: Simd>(self, simd: S, [gate, dy]: [F32s<S>; 2]) -> F32s<S> {
        dy * gate * normal(simd, gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random, run};

    #[test]
    fn activations_are_those_of_the_plain_operators() {
        for level in Level::available() {
            for len in [0, 1, 15, 16, 17, 40_000] {
                let (silu, gelu) =
                    (Unary { level, value: Silu, slope: SiluSlope }, Unary { level, value: Gelu, slope: GeluSlope });
                let ours = |[x]: [Tensor<1>; 1]| run::<_, 1, 1>(silu, [x.into_dispatch()]);
                check(&format!("silu of {len}, {level:?}"), [random("x", len, 5.0)], 1e-6, ours, |[x]| {
                    activation::silu(x)
                });
                let ours = |[x]: [Tensor<1>; 1]| run::<_, 1, 1>(gelu, [x.into_dispatch()]);
                check(&format!("gelu of {len}, {level:?}"), [random("x", len, 5.0)], 1e-6, ours, |[x]| {
                    activation::gelu(x)
                });
                let quick = Unary { level, value: QuickGelu, slope: QuickGeluSlope };
                let ours = |[x]: [Tensor<1>; 1]| run::<_, 1, 1>(quick, [x.into_dispatch()]);
                check(&format!("quick gelu of {len}, {level:?}"), [random("x", len, 5.0)], 1e-6, ours, |[x]| {
                    x.clone() * activation::sigmoid(x * 1.702)
                });
            }
        }
    }

    #[test]
    fn gating_is_that_of_the_plain_operators() {
        for level in Level::available() {
            for [rows, width] in [[1, 2], [5, 6], [6, 70], [33, 2048], [0, 6]] {
                let ours =
                    |[x]: [Tensor<1>; 1]| run::<_, 1, 2>(Geglu { level }, [x.reshape([rows, width]).into_dispatch()]);
                let x = random("x", rows * width, 3.0);
                check(&format!("geglu of {rows} x {width}, {level:?}"), [x], 1e-6, ours, |[x]| {
                    let (x, half) = (x.reshape([rows, width]), width / 2);
                    let gated = x.clone().narrow(1, 0, half) * activation::gelu(x.narrow(1, half, half));
                    gated.reshape([rows * half])
                });
            }
        }
    }

    #[test]
    fn public_functions_take_what_is_not_contiguous() {
        let device = burn::tensor::Device::flex();
        let x = Tensor::<2>::random([6, 10], burn::tensor::Distribution::Default, &device).transpose();
        for (ours, plain) in [
            (silu(x.clone()), activation::silu(x.clone())),
            (gelu(x.clone()), activation::gelu(x.clone())),
            (quick_gelu(x.clone()), x.clone() * activation::sigmoid(x.clone() * 1.702)),
            (geglu(x.clone()), x.clone().narrow(1, 0, 3) * activation::gelu(x.narrow(1, 3, 3))),
        ] {
            ours.into_data().assert_approx_eq::<f32>(&plain.into_data(), burn::tensor::Tolerance::absolute(1e-6));
        }
    }
}
