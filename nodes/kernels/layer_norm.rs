//! Layer normalization (Ba et al. 2016) over the last axis, the variance in a second pass.

use burn::tensor::{DType, Tensor, module};
use burn_flex::FlexTensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::array::{by_rows, contiguous, dims, filled, tensor, values, widened};
use crate::operation::{Operation, apply, on_cpu};
use crate::simd::{F32s, Level, lanes, sum, sum_of_squares};

/// Rows less their mean, over their deviation, times `gamma`, plus `beta`. Half precision is widened for it.
///
/// # Shapes
/// - x, output: `[.., d]`
/// - gamma, beta: `[d]`
///
/// # Panics
/// When the rows have another length than `gamma` or `beta`.
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let d = x.dims()[D - 1];
    assert!(gamma.dims() == [d] && beta.dims() == [d], "rows of {d} for a norm of {:?}", gamma.dims());
    if on_cpu(&x) && on_cpu(&gamma) {
        let kernel = Kernel { level: Level::best(), epsilon: epsilon as f32 };
        return Tensor::from_dispatch(apply(kernel, [x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()]));
    }
    #[cfg(feature = "gpu")]
    if crate::gpu::on_gpu(&x) {
        let groups = crate::gpu::Groups { size: 1, depth: d, channels: d, epsilon: epsilon as f32, silu: false };
        return crate::gpu::norm(x, gamma, beta, groups);
    }
    match x.dtype() {
        narrow @ (DType::F16 | DType::BF16) => {
            let wide = |x: Tensor<1>| x.cast(DType::F32);
            module::layer_norm(x.cast(DType::F32), wide(gamma), Some(wide(beta)), epsilon).cast(narrow)
        }
        _ => module::layer_norm(x, gamma, Some(beta), epsilon),
    }
}

#[derive(Clone, Copy, Debug)]
struct Kernel {
    level: Level,
    epsilon: f32,
}

#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    gamma: FlexTensor,
    /// Mean and reciprocal standard deviation of each row.
    statistics: Vec<[f32; 2]>,
}

/// Rows that a thread takes at once; sums over rows are added in chunks of as many.
fn rows_at_once(d: usize) -> usize {
    ((1 << 14) / d.max(1)).max(1)
}

impl Operation<3> for Kernel {
    type Saved = Saved;

    fn takes_half(&self) -> bool {
        true
    }

    fn forward(&self, [x, gamma, beta]: [FlexTensor; 3]) -> (FlexTensor, Saved) {
        let x = contiguous(x);
        let [gamma, beta] = [gamma, beta].map(|x| contiguous(widened(x)));
        let (shape, d) = (dims(&x), values(&gamma).len());
        // Without gradients, which half precision has none of, nobody looks at statistics.
        if x.dtype() != DType::F32 {
            let y = by_rows(&x, [d, d], rows_at_once(d), shape, |_, x, y| {
                let (gamma, beta) = (values(&gamma), values(&beta));
                let statistics = &mut vec![[0.0; 2]; x.len() / d];
                self.level.run(Forward { epsilon: self.epsilon, x, gamma, beta, y, statistics });
            });
            return (y, Saved { x, gamma, statistics: Vec::new() });
        }
        let slice = values(&x);
        let mut statistics = vec![[0.0; 2]; slice.len() / d.max(1)];
        let (y, ()) = filled(slice.len(), |y| {
            if y.is_empty() {
                return;
            }
            let rows = rows_at_once(d);
            let chunks =
                y.par_chunks_mut(rows * d).zip(slice.par_chunks(rows * d)).zip(statistics.par_chunks_mut(rows));
            chunks.for_each(|((y, x), statistics)| {
                let (gamma, beta) = (values(&gamma), values(&beta));
                self.level.run(Forward { epsilon: self.epsilon, x, gamma, beta, y, statistics });
            });
        });
        (tensor(y, shape), Saved { x, gamma, statistics })
    }

    fn backward(&self, saved: Saved, grad: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let Saved { x, gamma, statistics } = saved;
        let grad = contiguous(grad);
        let (x, gamma, dy) = (values(&x), values(&gamma), values(&grad));
        let d = gamma.len();
        let (dx, sums) = filled(dy.len(), |dx| {
            if dx.is_empty() {
                return Vec::new();
            }
            let rows = rows_at_once(d);
            let chunks = dx.par_chunks_mut(rows * d).zip(x.par_chunks(rows * d)).zip(dy.par_chunks(rows * d));
            let chunks = chunks.zip(statistics.par_chunks(rows));
            let gradients = chunks.map(|(((dx, x), dy), statistics)| {
                let mut sums = vec![0.0; 2 * d];
                let (d_gamma, d_beta) = sums.split_at_mut(d);
                self.level.run(Gradient { x, gamma, statistics, dy, dx, d_gamma, d_beta });
                sums
            });
            gradients.collect::<Vec<_>>()
        });
        let mut total = vec![0.0; 2 * d];
        for sums in sums {
            total.iter_mut().zip(&sums).for_each(|(total, sum)| *total += sum);
        }
        let d_beta = total.split_off(d);
        [Some(tensor(dx, dims(&grad))), Some(tensor(total, [d])), Some(tensor(d_beta, [d]))]
    }
}

struct Forward<'a> {
    epsilon: f32,
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    y: &'a mut [f32],
    statistics: &'a mut [[f32; 2]],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { epsilon, x, gamma, beta, y, statistics } = self;
        let d = gamma.len();
        for ((x, y), statistics) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(statistics) {
            let mean = sum(simd, x) / d as f32;
            let scale = (sum_of_squares(simd, x, mean) / d as f32 + epsilon).sqrt().recip();
            *statistics = [mean, scale];
            for (i, y) in y.chunks_mut(lanes::<S>()).enumerate() {
                let at = i * lanes::<S>()..i * lanes::<S>() + y.len();
                let n = (F32s::load(simd, &x[at.clone()]) - mean) * scale;
                n.mul_add(F32s::load(simd, &gamma[at.clone()]), F32s::load(simd, &beta[at])).store(y);
            }
        }
    }
}

/// As in group norm, with one group a row.
struct Gradient<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    statistics: &'a [[f32; 2]],
    dy: &'a [f32],
    dx: &'a mut [f32],
    d_gamma: &'a mut [f32],
    d_beta: &'a mut [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, gamma, statistics, dy, dx, d_gamma, d_beta } = self;
        let (d, lanes) = (gamma.len(), lanes::<S>());
        let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(statistics);
        for (((x, dy), dx), &[mean, scale]) in rows {
            let (mut of_d, mut of_dn) = (F32s::splat(simd, 0.0), F32s::splat(simd, 0.0));
            for from in (0..d).step_by(lanes) {
                let at = from..(from + lanes).min(d);
                let n = (F32s::load(simd, &x[at.clone()]) - mean) * scale;
                let dy = F32s::load(simd, &dy[at.clone()]);
                let own = dy * F32s::load(simd, &gamma[at.clone()]);
                of_d = of_d + own;
                of_dn = own.mul_add(n, of_dn);
                let (d_gamma, d_beta) = (&mut d_gamma[at.clone()], &mut d_beta[at]);
                dy.mul_add(n, F32s::load(simd, d_gamma)).store(d_gamma);
                (dy + F32s::load(simd, d_beta)).store(d_beta);
            }
            let of_d = F32s::splat(simd, of_d.total() / d as f32);
            let of_dn = F32s::splat(simd, of_dn.total() / d as f32);
            for (i, dx) in dx.chunks_mut(lanes).enumerate() {
                let at = i * lanes..i * lanes + dx.len();
                let n = (F32s::load(simd, &x[at.clone()]) - mean) * scale;
                let own = F32s::load(simd, &dy[at.clone()]) * F32s::load(simd, &gamma[at]);
                ((own - of_d - n * of_dn) * scale).store(dx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random, run};

    #[test]
    fn rows_are_normalized_as_by_the_plain_operators() {
        for level in Level::available() {
            let kernel = Kernel { level, epsilon: 1e-5 };
            for [rows, d] in [[1, 1], [3, 5], [7, 16], [100, 320], [40, 1283], [0, 8]] {
                let inputs = [random("x", rows * d, 2.0), random("gamma", d, 1.0), random("beta", d, 1.0)];
                let ours = |[x, gamma, beta]: [Tensor<1>; 3]| {
                    let x = x.reshape([rows, d]);
                    run::<_, 3, 2>(kernel, [x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()])
                };
                check(&format!("{rows} rows of {d}, {level:?}"), inputs, 2e-5, ours, |[x, gamma, beta]| {
                    let x = x.reshape([rows, d]);
                    let x = x.clone() - x.mean_dim(1);
                    let x = x.clone() / (x.square().mean_dim(1) + 1e-5).sqrt();
                    (x * gamma.reshape([1, d]) + beta.reshape([1, d])).reshape([rows * d])
                });
            }
        }
    }
}
