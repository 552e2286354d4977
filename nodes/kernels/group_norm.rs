//! Group normalization (Wu and He 2018), with SiLU after it and an offset in front of it where a model has them.
//!
//! The variance is that of the values less their mean, in a second pass, so that a large mean costs no digits. The
//! group stays in the cache between the passes.

use burn::nn::GroupNorm;
use burn::tensor::{DType, Tensor, activation};
use burn_flex::FlexTensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::array::{by_rows, contiguous, dims, filled, tensor, values, widened};
use crate::elementwise::{silu_of, silu_slope};
use crate::operation::{Operation, apply, on_cpu};
use crate::simd::{F32s, Level, lanes, sum, sum_of_squares};

/// Group norm with a weight and a bias a channel.
///
/// # Shapes
/// - x, output: `[batch, channels, ..]`
///
/// # Panics
/// When `x` has another number of channels than the norm.
pub fn group_norm<const D: usize>(norm: &GroupNorm, x: Tensor<D>) -> Tensor<D> {
    run(norm, x, None, false)
}

/// SiLU of [`group_norm`] of `x`, or of `x + offset`.
///
/// # Shapes
/// - x, output: `[batch, channels, ..]`
/// - offset: `[batch, channels]`
///
/// # Panics
/// When `x` has another number of channels than the norm, or `offset` does not fit.
pub fn group_norm_silu<const D: usize>(norm: &GroupNorm, x: Tensor<D>, offset: Option<Tensor<2>>) -> Tensor<D> {
    run(norm, x, offset, true)
}

fn run<const D: usize>(norm: &GroupNorm, x: Tensor<D>, offset: Option<Tensor<2>>, silu: bool) -> Tensor<D> {
    let shape = x.dims();
    assert!(D >= 2 && shape[1] == norm.num_channels, "{} channels for a norm of {}", shape[1], norm.num_channels);
    if let Some(offset) = &offset {
        assert_eq!(offset.dims(), [shape[0], shape[1]], "the offset of a group norm");
    }
    let parameters = norm.gamma.as_ref().zip(norm.beta.as_ref()).map(|(gamma, beta)| (gamma.val(), beta.val()));
    if let Some((gamma, beta)) = parameters.clone().filter(|(gamma, _)| on_cpu(&x) && on_cpu(gamma)) {
        let level = Level::best();
        let (x, gamma, beta) = (x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
        let kernel = Kernel { level, groups: norm.num_groups, epsilon: norm.epsilon as f32, silu };
        return Tensor::from_dispatch(match offset {
            Some(offset) => apply(kernel, [x, gamma, beta, offset.into_dispatch()]),
            None => apply(kernel, [x, gamma, beta]),
        });
    }
    let x = match offset {
        Some(offset) => {
            let mut broadcast = [1; D];
            broadcast[..2].copy_from_slice(&shape[..2]);
            x + offset.reshape(broadcast)
        }
        None => x,
    };
    #[cfg(feature = "gpu")]
    if let Some((gamma, beta)) = parameters.filter(|_| crate::gpu::on_gpu(&x)) {
        let groups = crate::gpu::Groups {
            size: shape[2..].iter().product(),
            depth: norm.num_channels / norm.num_groups,
            channels: norm.num_channels,
            epsilon: norm.epsilon as f32,
            silu,
        };
        return crate::gpu::norm(x, gamma, beta, groups);
    }
    let y = norm.forward(x);
    if silu { activation::silu(y) } else { y }
}

#[derive(Clone, Copy, Debug)]
struct Kernel {
    level: Level,
    groups: usize,
    epsilon: f32,
    silu: bool,
}

/// `[x, gamma, beta]` and the offset, if there is one; the statistics.
#[derive(Clone, Debug)]
struct Saved {
    inputs: Vec<FlexTensor>,
    /// Mean and reciprocal standard deviation of each group.
    statistics: Vec<[f32; 2]>,
}

/// The values of a group, and where its channels are in the rows of parameters.
struct Group<'a> {
    /// Values of a channel.
    size: usize,
    epsilon: f32,
    silu: bool,
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    /// Nothing, or a value a channel.
    offset: &'a [f32],
}

impl Group<'_> {
    fn offset(&self, channel: usize) -> f32 {
        self.offset.get(channel).copied().unwrap_or(0.0)
    }
}

/// The sizes of a tensor `[batch, channels, ..]` in groups.
#[derive(Clone, Copy)]
struct Sizes {
    channels: usize,
    /// Channels of a group.
    depth: usize,
    /// Values of a channel.
    size: usize,
}

impl Sizes {
    fn new(shape: &[usize], groups: usize) -> Self {
        Self { channels: shape[1], depth: shape[1] / groups, size: shape[2..].iter().product() }
    }

    fn group(self) -> usize {
        self.depth * self.size
    }

    /// Groups that a thread takes at once.
    fn at_once(self) -> usize {
        (1 << 14) / self.group().max(1) + 1
    }
}

impl Kernel {
    /// A group's values, and what `[gamma, beta]` and the offset, if there is one, have for it.
    fn group<'a>(&self, i: usize, sizes: Sizes, x: &'a [f32], parameters: &'a [FlexTensor]) -> Group<'a> {
        let first = i * sizes.depth;
        let own = first % sizes.channels..first % sizes.channels + sizes.depth;
        Group {
            size: sizes.size,
            epsilon: self.epsilon,
            silu: self.silu,
            x,
            gamma: &values(&parameters[0])[own.clone()],
            beta: &values(&parameters[1])[own],
            offset: parameters.get(2).map_or(&[], |offset| &values(offset)[first..first + sizes.depth]),
        }
    }
}

impl<const N: usize> Operation<N> for Kernel {
    type Saved = Saved;

    fn takes_half(&self) -> bool {
        true
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, Saved) {
        let mut inputs: Vec<FlexTensor> = inputs.into_iter().map(contiguous).collect();
        inputs[1..].iter_mut().for_each(|x| *x = widened(x.clone()));
        let shape = dims(&inputs[0]);
        let sizes = Sizes::new(&shape, self.groups);
        // Without gradients, which half precision has none of, nobody looks at statistics.
        if inputs[0].dtype() != DType::F32 {
            let size = sizes.group();
            let y = by_rows(&inputs[0], [size; 2], sizes.at_once(), shape, |first, x, y| {
                for ((i, x), y) in x.chunks_exact(size).enumerate().zip(y.chunks_exact_mut(size)) {
                    self.level.run(Forward { group: self.group(first + i, sizes, x, &inputs[1..]), y });
                }
            });
            return (y, Saved { inputs, statistics: Vec::new() });
        }
        let mut statistics = vec![[0.0; 2]; shape[0] * self.groups];
        let (y, ()) = filled(shape.iter().product(), |y| {
            if y.is_empty() {
                return;
            }
            let x = values(&inputs[0]).par_chunks(sizes.group());
            let groups = y.par_chunks_mut(sizes.group()).zip(x).zip(&mut statistics).enumerate();
            groups.with_min_len(sizes.at_once()).for_each(|(i, ((y, x), statistics))| {
                *statistics = self.level.run(Forward { group: self.group(i, sizes, x, &inputs[1..]), y });
            });
        });
        (tensor(y, shape), Saved { inputs, statistics })
    }

    fn backward(&self, saved: Saved, grad: FlexTensor, _: [bool; N]) -> [Option<FlexTensor>; N] {
        let Saved { inputs, statistics } = saved;
        let grad = contiguous(grad);
        let shape = dims(&grad);
        let sizes = Sizes::new(&shape, self.groups);
        let dy = values(&grad);
        // Of each channel of each row: the gradients of gamma, beta and the offset.
        let mut sums = vec![[0.0_f32; 3]; shape[0] * shape[1]];
        let (dx, ()) = filled(dy.len(), |dx| {
            if dx.is_empty() {
                return;
            }
            let x = values(&inputs[0]).par_chunks(sizes.group());
            let groups = dx.par_chunks_mut(sizes.group()).zip(dy.par_chunks(sizes.group())).zip(x);
            let groups = groups.zip(sums.par_chunks_mut(sizes.depth)).zip(&statistics).enumerate();
            groups.with_min_len(sizes.at_once()).for_each(|(i, ((((dx, dy), x), sums), &statistics))| {
                let group = self.group(i, sizes, x, &inputs[1..]);
                self.level.run(Gradient { group, statistics, dy, dx, sums });
            });
        });
        let over_rows = |which: usize| {
            let mut total = vec![0.0; shape[1]];
            for row in sums.chunks(shape[1].max(1)) {
                for (total, sums) in total.iter_mut().zip(row) {
                    *total += sums[which];
                }
            }
            tensor(total, [shape[1]])
        };
        let (d_gamma, d_beta) = (over_rows(0), over_rows(1));
        let d_offset = tensor(sums.iter().map(|sums| sums[2]).collect(), [shape[0], shape[1]]);
        let mut found = [tensor(dx, shape), d_gamma, d_beta, d_offset].into_iter();
        std::array::from_fn(|_| found.next())
    }
}

/// One group; gives its mean and reciprocal standard deviation.
struct Forward<'a> {
    group: Group<'a>,
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f32; 2] {
        let Self { group, y } = self;
        let (size, count) = (group.size, group.x.len() as f32);
        // Without offsets the whole group is like one channel.
        let alike = if group.offset.is_empty() { group.x.len() } else { size };
        let mut total = 0.0;
        for (c, x) in group.x.chunks_exact(alike).enumerate() {
            total += sum(simd, x) + alike as f32 * group.offset(c);
        }
        let mean = total / count;
        let mut squares = 0.0;
        for (c, x) in group.x.chunks_exact(alike).enumerate() {
            squares += sum_of_squares(simd, x, mean - group.offset(c));
        }
        let scale = (squares / count + group.epsilon).sqrt().recip();
        for ((c, x), y) in group.x.chunks_exact(size).enumerate().zip(y.chunks_exact_mut(size)) {
            let mean = F32s::splat(simd, mean - group.offset(c));
            let (slope, shift) = (F32s::splat(simd, group.gamma[c] * scale), F32s::splat(simd, group.beta[c]));
            for (i, y) in y.chunks_mut(lanes::<S>()).enumerate() {
                let at = i * lanes::<S>();
                let z = (F32s::load(simd, &x[at..at + y.len()]) - mean).mul_add(slope, shift);
                if group.silu { silu_of(simd, z) } else { z }.store(y);
            }
        }
        [mean, scale]
    }
}

/// The gradients of one group. With the normalized values `n`, the gradient `dz` before SiLU and `d = gamma dz`,
/// `dx = (d - mean(d) - n mean(d n)) / deviation`.
struct Gradient<'a> {
    group: Group<'a>,
    statistics: [f32; 2],
    dy: &'a [f32],
    dx: &'a mut [f32],
    sums: &'a mut [[f32; 3]],
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { group, statistics: [mean, scale], dy, dx, sums } = self;
        let (size, lanes) = (group.size, lanes::<S>());
        let splat = |value| F32s::splat(simd, value);
        let (mut of_d, mut of_dn) = (0.0, 0.0);
        for (c, ((x, dy), dx)) in
            group.x.chunks_exact(size).zip(dy.chunks_exact(size)).zip(dx.chunks_exact_mut(size)).enumerate()
        {
            let (mean, scale) = (splat(mean - group.offset(c)), splat(scale));
            let (gamma, beta) = (splat(group.gamma[c]), splat(group.beta[c]));
            let (mut d_gamma, mut d_beta) = (splat(0.0), splat(0.0));
            for (i, dx) in dx.chunks_mut(lanes).enumerate() {
                let at = i * lanes..i * lanes + dx.len();
                let n = (F32s::load(simd, &x[at.clone()]) - mean) * scale;
                let dy = F32s::load(simd, &dy[at]);
                let dz = if group.silu { dy * silu_slope(simd, n.mul_add(gamma, beta)) } else { dy };
                // Where a vector is partly filled, dy and so dz are 0.
                d_gamma = dz.mul_add(n, d_gamma);
                d_beta = d_beta + dz;
                dz.store(dx);
            }
            let (d_gamma, d_beta) = (d_gamma.total(), d_beta.total());
            sums[c] = [d_gamma, d_beta, 0.0];
            of_d += group.gamma[c] * d_beta;
            of_dn += group.gamma[c] * d_gamma;
        }
        let count = group.x.len() as f32;
        let (of_d, of_dn) = (of_d / count, of_dn / count);
        for (c, (x, dx)) in group.x.chunks_exact(size).zip(dx.chunks_exact_mut(size)).enumerate() {
            let mean = splat(mean - group.offset(c));
            let (own, constant, by_n) =
                (splat(group.gamma[c] * scale), splat(-of_d * scale), splat(-of_dn * scale * scale));
            let mut d_offset = splat(0.0);
            let (whole, rest) = dx.split_at_mut(size / lanes * lanes);
            for (i, dx) in whole.chunks_exact_mut(lanes).enumerate() {
                let n = F32s::load(simd, &x[i * lanes..]) - mean;
                let found = F32s::load(simd, dx).mul_add(own, n.mul_add(by_n, constant));
                d_offset = d_offset + found;
                found.store(dx);
            }
            let mut d_offset = d_offset.total();
            if !rest.is_empty() {
                let n = F32s::load(simd, &x[whole.len()..]) - mean;
                F32s::load(simd, rest).mul_add(own, n.mul_add(by_n, constant)).store(rest);
                d_offset += rest.iter().sum::<f32>();
            }
            sums[c][2] = d_offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::nn::GroupNormConfig;
    use burn::tensor::{DType, Device, Tolerance};

    use super::*;
    use crate::testing::{check, random, run};

    /// `[batch, channels, size]`, groups, offset or none, SiLU or none.
    const CASES: &[([usize; 3], usize, bool, bool)] = &[
        ([1, 1, 1], 1, false, false),
        ([2, 8, 1], 4, true, true),
        ([3, 6, 5], 2, true, false),
        ([2, 32, 16], 32, false, true),
        ([1, 12, 67], 3, true, true),
        ([2, 64, 256], 8, false, false),
        ([0, 4, 9], 2, true, true),
        ([1, 4, 5000], 2, true, true),
    ];

    #[test]
    fn groups_are_normalized_as_by_the_plain_operators() {
        for level in Level::available() {
            for &([batch, channels, size], groups, offset, silu) in CASES {
                let kernel = Kernel { level, groups, epsilon: 1e-5, silu };
                let what =
                    format!("{batch} x {channels} x {size} in {groups}, offset {offset}, silu {silu}, {level:?}");
                let shape = [batch, channels, size];
                let x = random("x", batch * channels * size, 2.0);
                let (gamma, beta) = (random("gamma", channels, 1.0), random("beta", channels, 1.0));
                let plain = |x: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>| {
                    let x = x.reshape([batch, groups, channels / groups * size]);
                    let x = x.clone() - x.mean_dim(2);
                    let x = x.clone() / (x.square().mean_dim(2) + 1e-5).sqrt();
                    let y = x.reshape(shape) * gamma.reshape([1, channels, 1]) + beta.reshape([1, channels, 1]);
                    let y = if silu { activation::silu(y) } else { y };
                    y.reshape([batch * channels * size])
                };
                if offset {
                    let offset = random("offset", batch * channels, 1.0);
                    let ours = |[x, gamma, beta, offset]: [Tensor<1>; 4]| {
                        let (x, offset) = (x.reshape(shape), offset.reshape([batch, channels]));
                        let inputs = [x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()];
                        let [x, gamma, beta] = inputs;
                        run::<_, 4, 3>(kernel, [x, gamma, beta, offset.into_dispatch()])
                    };
                    check(&what, [x, gamma, beta, offset], 2e-5, ours, |[x, gamma, beta, offset]| {
                        plain(x.reshape(shape) + offset.reshape([batch, channels, 1]), gamma, beta)
                    });
                } else {
                    let ours = |[x, gamma, beta]: [Tensor<1>; 3]| {
                        run::<_, 3, 3>(
                            kernel,
                            [x.reshape(shape).into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()],
                        )
                    };
                    check(&what, [x, gamma, beta], 2e-5, ours, |[x, gamma, beta]| plain(x.reshape(shape), gamma, beta));
                }
            }
        }
    }

    /// With a mean a thousand times the deviation, a variance from the mean of squares would have no right digit.
    #[test]
    fn a_large_mean_costs_no_digits() {
        let len = 4096;
        let x: Vec<f32> = random("x", len, 1.0).iter().map(|x| x + 1000.0).collect();
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / len as f64;
        let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / len as f64;
        let device = Device::flex();
        let norm = GroupNormConfig::new(1, 1).init(&device);
        let y = group_norm(&norm, Tensor::<1>::from_floats(x.as_slice(), &device).reshape([1, 1, len]));
        let y: Vec<f32> = y.into_data().try_into_vec().unwrap();
        for (x, y) in x.iter().zip(&y) {
            let expected = (f64::from(*x) - mean) / (variance + 1e-5).sqrt();
            assert!((f64::from(*y) - expected).abs() < 2e-4, "{y}, expected {expected}");
        }
    }

    #[test]
    fn public_functions_take_modules_and_half_precision() {
        let device = Device::flex();
        let norm = GroupNormConfig::new(2, 6).init(&device);
        let x = Tensor::<1>::from_floats(random("x", 2 * 6 * 35, 2.0).as_slice(), &device).reshape([2, 5, 6, 7]);
        let x = x.swap_dims(1, 2);
        let offset = Tensor::<1>::from_floats(random("offset", 12, 1.0).as_slice(), &device).reshape([2, 6]);
        let plain = norm.forward(x.clone() + offset.clone().reshape([2, 6, 1, 1]));
        let close = |a: Tensor<4>, b: Tensor<4>| {
            a.into_data().assert_approx_eq::<f32>(&b.into_data(), Tolerance::absolute(1e-5))
        };
        close(group_norm_silu(&norm, x.clone(), Some(offset)), activation::silu(plain));
        close(group_norm(&norm, x.clone()), norm.forward(x.clone()));
        // In half precision, values are rounded on the way in and out only.
        for dtype in [DType::F16, DType::BF16] {
            let narrow = |p: Param<Tensor<1>>| Param::from_tensor(p.val().cast(dtype));
            let mut half = norm.clone();
            (half.gamma, half.beta) = (half.gamma.map(narrow), half.beta.map(narrow));
            let (x, wide) = (x.clone().cast(dtype), x.clone().cast(dtype).cast(DType::F32));
            group_norm(&half, x).into_data().assert_eq(&group_norm(&norm, wide).cast(dtype).into_data(), true);
        }
    }
}
