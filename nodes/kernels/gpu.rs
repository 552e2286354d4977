//! Half precision on a GPU, with kernels that are known beforehand.
//!
//! Burn tries its kernels on each new shape. That takes its time, nearly all of it compiling: on an NVIDIA H200 through
//! Vulkan, 5 to 12 s for each of the matrix products of a denoiser, of which there are dozens. And none of its convolutions
//! on matrix units gets by with the 48 KB of shared memory that Vulkan has there, so that the direct one is left, at
//! 1.6 TFLOP/s. So products of matrices take Burn's kernel for matrix units, one to compile instead of a dozen,
//! attention its flash attention, and convolutions are made products of matrices. `tests/bench/results/gpu.md` tells what
//! that gave.

use burn::backend::ops::AttentionModuleOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::nn::conv::Conv2d;
use burn::tensor::ops::PadMode;
use burn::tensor::{DType, Shape, Slice, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::attention::{AttentionStrategy, attention};
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use cubek::attention::forward::routines::blackbox_accelerated::BlackboxAcceleratedStrategy;

use crate::attention::TILE;

/// Bytes of windows that a convolution lays out at once.
const WINDOWS: usize = 1 << 28;

/// Operations of a GPU, each by one kernel.
#[backend_extension(Cube, Fusion)]
trait Known: Backend {
    /// `[m, k]` times `[k, n]`.
    #[fusion(shape = product_shape(lhs, rhs), dtype = lhs)]
    fn known_product(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `softmax(Q K^T / sqrt(head_dim)) V`, of heads of whole tiles.
    #[fusion(shape = query, dtype = query)]
    fn known_attention(query: FloatTensor<Self>, key: FloatTensor<Self>, value: FloatTensor<Self>)
    -> FloatTensor<Self>;
}

fn product_shape(lhs: &Shape, rhs: &Shape) -> Shape {
    Shape::new([lhs[0], rhs[1]])
}

impl Known for CubeBackend {
    fn known_product(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        let dtype = lhs.dtype;
        let known = matmul(lhs.clone(), rhs.clone(), None, MatmulStrategy::Cube, dtype);
        known
            .or_else(|_| matmul(lhs, rhs, None, MatmulStrategy::default(), dtype))
            .expect("Burn multiplies any matrices")
    }

    fn known_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        // A block takes a tile of queries for each of its planes, and whole blocks only.
        let tiles = query.meta.shape()[2] / TILE;
        let num_planes = [4, 2, 1].into_iter().find(|planes| tiles.is_multiple_of(*planes)).unwrap_or(1) as u8;
        let flash = BlackboxAcceleratedStrategy { num_planes, seq_q: 1, seq_kv: 1 };
        let options = AttentionModuleOptions::default();
        let run = |strategy| attention(query.clone(), key.clone(), value.clone(), None, None, options, strategy);
        let known = run(AttentionStrategy::FlashBlackboxAccelerated(flash));
        known.or_else(|_| run(AttentionStrategy::default())).expect("Burn attends to anything")
    }
}

/// Whether a tensor's operations are those of this module: of half precision on a GPU, without autodiff.
pub(crate) fn on_gpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.dtype(), DType::F16 | DType::BF16)
        && matches!(tensor.device().as_dispatch(), DispatchDevice::Cube(_))
}

/// `[m, k]` times `[k, n]`.
pub(crate) fn product(lhs: Tensor<2>, rhs: Tensor<2>) -> Tensor<2> {
    assert_eq!(lhs.dims()[1], rhs.dims()[0], "the width of a matrix");
    Tensor::from_dispatch(Dispatch::known_product(lhs.into_dispatch(), rhs.into_dispatch()))
}

/// Attention with heads of whole tiles, not causal.
pub(crate) fn flash([query, key, value]: [Tensor<4>; 3]) -> Tensor<4> {
    let [query, key, value] = [query, key, value].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::known_attention(query, key, value))
}

/// A linear layer on the rows of `x`.
pub(crate) fn linear<const D: usize>(weight: Tensor<2>, bias: Option<Tensor<1>>, x: Tensor<D>) -> Tensor<D> {
    let mut shape = x.dims();
    let [d_input, d_output] = weight.dims();
    let rows = shape[..D - 1].iter().product();
    let y = product(x.reshape([rows, d_input]), weight);
    shape[D - 1] = d_output;
    match bias {
        Some(bias) => y + bias.reshape([1, d_output]),
        None => y,
    }
    .reshape(shape)
}

/// A convolution without groups and dilation as a product of the weights, as they lie in memory, and the windows, laid out
/// as columns in the order of a weight's values: channel, then place. Of large pictures some rows at a time: the windows
/// are as many times the picture as the kernel has places.
pub(crate) fn conv2d(conv: &Conv2d, x: Tensor<4>, padding: [usize; 4]) -> Tensor<4> {
    by_products(conv, x, padding, WINDOWS, product)
}

/// [`conv2d`] with `room` bytes for windows, and any function that multiplies matrices.
fn by_products(
    conv: &Conv2d,
    x: Tensor<4>,
    [top, left, bottom, right]: [usize; 4],
    room: usize,
    product: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
) -> Tensor<4> {
    let weight = conv.weight.val();
    let [out_channels, channels, kernel_height, kernel_width] = weight.dims();
    let [batch, _, height, width] = x.dims();
    let stride = conv.stride;
    let out_height = (height + top + bottom - kernel_height) / stride[0] + 1;
    let out_width = (width + left + right - kernel_width) / stride[1] + 1;
    let places = kernel_height * kernel_width;
    let weight = weight.reshape([out_channels, channels * places]);
    let bias = conv.bias.as_ref().map(|bias| bias.val().reshape([out_channels, 1]));
    let x = match [top, left, bottom, right] {
        [0, 0, 0, 0] => x,
        _ => x.pad((left, right, top, bottom), PadMode::Constant(0.0)),
    };
    let x = x.swap_dims(0, 1);
    let along = |first: usize, count: usize, stride: usize| {
        Slice::new(first as isize, Some((first + (count - 1) * stride + 1) as isize), stride as isize)
    };
    let strip = |first: usize, rows: usize| {
        let place = |i: usize| {
            let (down, across) = (i / kernel_width, i % kernel_width);
            let down = along(first * stride[0] + down, rows, stride[0]);
            x.clone().slice([Slice::full(), Slice::full(), down, along(across, out_width, stride[1])])
        };
        let windows: Vec<_> = (0..places).map(|i| place(i).unsqueeze_dim::<5>(1)).collect();
        let windows = Tensor::cat(windows, 1).reshape([channels * places, batch * rows * out_width]);
        let y = product(weight.clone(), windows);
        match &bias {
            Some(bias) => y + bias.clone(),
            None => y,
        }
        .reshape([out_channels, batch, rows, out_width])
    };
    let row = batch * out_width * channels * places * weight.dtype().size();
    let at_once = (room / row.max(1)).clamp(1, out_height);
    let strips = (0..out_height).step_by(at_once).map(|first| strip(first, at_once.min(out_height - first)));
    let mut strips: Vec<_> = strips.collect();
    // Of one tensor it would make a copy.
    let y = if strips.len() == 1 { strips.remove(0) } else { Tensor::cat(strips, 2) };
    y.swap_dims(0, 1)
}

#[cfg(test)]
mod tests {
    use burn::nn::PaddingConfig2d;
    use burn::nn::conv::Conv2dConfig;
    use burn::tensor::{Device, TensorData, Tolerance};

    use super::*;
    use crate::testing::random;

    /// Channels, size, kernel, stride, padding (top, left, bottom, right), bytes for windows.
    type Case = ([usize; 2], [usize; 2], usize, usize, [usize; 4], usize);

    const CASES: &[Case] = &[
        ([3, 5], [7, 6], 3, 1, [1; 4], WINDOWS),
        ([4, 2], [8, 8], 3, 2, [0, 0, 1, 1], WINDOWS),
        ([4, 2], [9, 5], 1, 1, [0; 4], WINDOWS),
        ([2, 3], [9, 5], 1, 2, [0; 4], WINDOWS),
        // Two rows at a time, and one.
        ([3, 4], [7, 5], 3, 1, [1; 4], 2 * 2 * 5 * 27 * 4),
        ([3, 4], [7, 5], 3, 2, [1; 4], 1),
    ];

    #[test]
    fn convolutions_are_products_of_windows() {
        let device = Device::flex();
        for &(channels, [height, width], kernel, stride, padding, room) in CASES {
            let [top, left, bottom, right] = padding;
            let mut conv = Conv2dConfig::new(channels, [kernel, kernel])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
                .init(&device);
            let bias = random("bias", channels[1], 1.0);
            conv.bias = conv.bias.map(|p| p.map(|_| Tensor::from_floats(bias.as_slice(), &device)));
            let x =
                TensorData::new(random("x", 2 * channels[0] * height * width, 1.0), [2, channels[0], height, width]);
            let x = Tensor::<4>::from_data(x, &device);
            let found = by_products(&conv, x.clone(), padding, room, Tensor::matmul);
            found.into_data().assert_approx_eq::<f32>(&conv.forward(x).into_data(), Tolerance::absolute(1e-5));
        }
    }
}
