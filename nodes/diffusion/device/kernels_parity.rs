//! Kernels on the tests' device beside plain operators on the CPU.

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, PaddingConfig2d};
use burn::tensor::activation::silu;
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::testing::{check_close, device, values as values_of};
use crate::weights::uniform;

/// Number types of the device, and how far a result of a few hundred values may be from float32's.
fn dtypes() -> impl Iterator<Item = (DType, f32)> {
    let all = [(DType::F32, 1e-4), (DType::F16, 2e-2), (DType::BF16, 1.5e-1)];
    all.into_iter().filter(|(dtype, _)| device().supports_dtype(*dtype))
}

/// Values between -1 and 1 of which every number type has all digits, also after 4 or less is added.
fn values<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let name = format!("{shape:?}");
    let values: Vec<f32> = uniform(&name, shape.iter().product()).map(|x| (x * 32.0).round() / 32.0).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn there<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    Tensor::<D>::from_data(x.into_data(), &device()).cast(dtype)
}

fn check<const D: usize>(what: &str, actual: Tensor<D>, expected: Tensor<D>, (dtype, tolerance): (DType, f32)) {
    assert_eq!(actual.dtype(), dtype, "{what}");
    let [actual, expected] = [actual.cast(DType::F32), expected].map(|x| values_of(&x));
    check_close(&format!("{what} in {dtype:?}"), &actual, &expected, tolerance);
}

/// The weights of a layer, rounded, and the same layer on the device.
fn both(mut conv: Conv2d, dtype: DType) -> [Conv2d; 2] {
    conv.weight = conv.weight.map(|w| values(w.dims()) / 8.0);
    conv.bias = conv.bias.map(|b| b.map(|b| values(b.dims())));
    let mut other = conv.clone();
    other.weight = other.weight.map(|w| there(w, dtype));
    other.bias = other.bias.map(|b| b.map(|b| there(b, dtype)));
    [conv, other]
}

/// Channels, size, kernel, stride, padding (top, left, bottom, right).
type Convolution = ([usize; 2], [usize; 2], usize, usize, [usize; 4]);

const CONVOLUTIONS: &[Convolution] = &[
    ([3, 5], [7, 6], 3, 1, [1; 4]),
    ([4, 2], [8, 8], 3, 2, [0, 0, 1, 1]),
    ([4, 2], [9, 5], 1, 1, [0; 4]),
    ([2, 3], [9, 5], 1, 2, [0; 4]),
    ([8, 16], [16, 8], 3, 1, [1; 4]),
    ([8, 16], [16, 8], 3, 1, [2, 1, 0, 1]),
    // Of half precision, more windows than a GPU lays out at once.
    ([64, 4], [512, 256], 3, 1, [1; 4]),
];

#[test]
fn convolutions_are_plain_ones() {
    for &(channels, [height, width], kernel, stride, padding) in CONVOLUTIONS {
        let [top, left, bottom, right] = padding;
        let conv = Conv2dConfig::new(channels, [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
            .init(&Device::flex());
        for dtype in dtypes() {
            let [plain, ours] = both(conv.clone(), dtype.0);
            let x = values([2, channels[0], height, width]);
            let what = format!("{channels:?} channels of {height}x{width}, kernel {kernel}, stride {stride}");
            check(&what, dc_kernels::conv2d(&ours, there(x.clone(), dtype.0)), plain.forward(x), dtype);
        }
    }
}

/// Rows, channels, groups, size.
const NORMS: &[(usize, usize, usize, [usize; 2])] = &[
    (2, 6, 3, [5, 3]),
    (1, 32, 32, [1, 1]),
    (2, 32, 8, [8, 8]),
    // More vectors than a small cube takes, with a size that no vector divides.
    (1, 8, 2, [77, 91]),
    (3, 64, 2, [32, 16]),
];

#[test]
fn group_norms_are_plain_ones() {
    for &(rows, channels, groups, [height, width]) in NORMS {
        let norm = GroupNormConfig::new(groups, channels).with_epsilon(1e-5).init(&Device::flex());
        let map = |norm: &GroupNorm, f: &dyn Fn(Tensor<1>) -> Tensor<1>| {
            let mut norm = norm.clone();
            norm.gamma = norm.gamma.map(|p| p.map(f));
            norm.beta = norm.beta.map(|p| p.map(f));
            norm
        };
        let norm = map(&norm, &|p| values(p.dims()));
        for dtype in dtypes() {
            let ours = map(&norm, &|p| there(p, dtype.0));
            // A mean far from zero.
            let (x, offset) = (values([rows, channels, height, width]) + 3.0, values([rows, channels]));
            let what = format!("{rows} rows of {channels} channels in {groups} groups of {height}x{width}");
            let found = dc_kernels::group_norm(&ours, there(x.clone(), dtype.0));
            check(&what, found, norm.forward(x.clone()), dtype);
            let found = dc_kernels::group_norm_silu(&ours, there(x.clone(), dtype.0), None);
            check(&format!("{what}, SiLU"), found, silu(norm.forward(x.clone())), dtype);
            let with = there(offset.clone(), dtype.0);
            let found = dc_kernels::group_norm_silu(&ours, there(x.clone(), dtype.0), Some(with));
            let expected = silu(norm.forward(x + offset.reshape([rows, channels, 1, 1])));
            check(&format!("{what}, offset, SiLU"), found, expected, dtype);
        }
    }
}

#[test]
fn layer_norms_are_plain_ones() {
    for [rows, d] in [[1, 1], [3, 5], [7, 64], [70, 320], [2, 4200]] {
        let (gamma, beta) = (values([d]), values([d]));
        for dtype in dtypes() {
            let x = values([2, rows, d]) - 2.0;
            let [mine, other] = [&gamma, &beta].map(|p| there(p.clone(), dtype.0));
            let found = dc_kernels::layer_norm(there(x.clone(), dtype.0), mine, other, 1e-5);
            let expected = burn::tensor::module::layer_norm(x, gamma.clone(), Some(beta.clone()), 1e-5);
            check(&format!("{rows} rows of {d}"), found, expected, dtype);
        }
    }
}
