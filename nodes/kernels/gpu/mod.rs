//! Kernels for a GPU, known beforehand.
//!
//! Burn tries its kernels on each new shape. That takes its time, nearly all of it compiling: on an NVIDIA H200 through
//! Vulkan, 5 to 12 s for each of the matrix products of a denoiser, of which there are dozens. And none of its convolutions
//! on matrix units gets by with the 48 KB of shared memory that Vulkan has there, so that the direct one is left, at
//! 1.6 TFLOP/s. So in half precision products of matrices take Burn's kernel for matrix units, one to compile instead of a
//! dozen, attention its flash attention, and convolutions are made products of matrices. Norms are our own, in any
//! precision. `tests/bench/results/gpu.md` tells what that gave.

mod norm;
mod windows;

use burn::backend::ops::AttentionModuleOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::nn::conv::Conv2d;
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::ir::{ElemType, FloatKind};
use burn_cubecl::kernel::attention::{AttentionStrategy, attention};
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use cubek::attention::forward::routines::blackbox_accelerated::BlackboxAcceleratedStrategy;

pub(crate) use norm::Groups;
use windows::Windows;

use crate::attention::TILE;

/// Bytes of windows that a convolution lays out at once: what every device of WebGPU binds as one buffer
/// (`maxStorageBufferBindingSize`). Mesa's software driver makes no larger ones.
const WINDOWS: usize = 1 << 27;

/// Operations of a GPU, each by one kernel.
#[backend_extension(Cube, Fusion)]
trait Known: Backend {
    /// `[.., m, k]` times `[.., k, n]`; of the first there may be one where there are several of the second.
    #[fusion(shape = product_shape(lhs, rhs), dtype = lhs)]
    fn known_product(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `softmax(Q K^T / sqrt(head_dim)) V`, of heads of whole tiles.
    #[fusion(shape = query, dtype = query)]
    fn known_attention(query: FloatTensor<Self>, key: FloatTensor<Self>, value: FloatTensor<Self>)
    -> FloatTensor<Self>;

    /// A picture's windows, `[batch, channels, height, width]` to `[batch, values, windows]`.
    #[fusion(shape = windows.shape(x), dtype = x)]
    fn known_windows(x: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self>;

    /// A norm of groups of values that lie side by side.
    #[fusion(shape = x, dtype = x)]
    fn known_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        groups: Groups,
    ) -> FloatTensor<Self>;
}

fn product_shape(lhs: &Shape, rhs: &Shape) -> Shape {
    let (mut shape, last) = (rhs.clone(), rhs.num_dims() - 1);
    shape[last - 1] = lhs[last - 1];
    shape
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

    fn known_windows(x: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self> {
        windows::laid_out(x, windows)
    }

    fn known_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        groups: Groups,
    ) -> FloatTensor<Self> {
        norm::normalized(x, [gamma, beta], groups)
    }
}

/// A number type by CubeCL's name.
fn storage(dtype: DType) -> ElemType {
    match dtype {
        DType::F16 => ElemType::Float(FloatKind::F16),
        DType::BF16 => ElemType::Float(FloatKind::BF16),
        _ => ElemType::Float(FloatKind::F32),
    }
}

/// Whether a tensor is on a GPU, without autodiff, and in a precision that its norms are known for.
pub(crate) fn on_gpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16)
        && matches!(tensor.device().as_dispatch(), DispatchDevice::Cube(_))
}

/// Whether a tensor is on a GPU, without autodiff, and in half precision.
pub(crate) fn half_on_gpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() != DType::F32 && on_gpu(tensor)
}

/// `[.., m, k]` times `[.., k, n]`, of the first one or as many as of the second.
pub(crate) fn product<const D: usize>(lhs: Tensor<D>, rhs: Tensor<D>) -> Tensor<D> {
    assert_eq!(lhs.dims()[D - 1], rhs.dims()[D - 2], "the width of a matrix");
    Tensor::from_dispatch(Dispatch::known_product(lhs.into_dispatch(), rhs.into_dispatch()))
}

/// Groups of values that lie side by side less their mean, over their deviation, times `gamma`, plus `beta`.
pub(crate) fn norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, beta: Tensor<1>, groups: Groups) -> Tensor<D> {
    assert!(gamma.dims() == [groups.channels] && beta.dims() == [groups.channels], "the weights of a norm");
    assert!(groups.channels.is_multiple_of(groups.depth), "{} channels a group of {}", groups.depth, groups.channels);
    let [x, gamma, beta] = [x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch()];
    Tensor::from_dispatch(Dispatch::known_norm(x, gamma, beta, groups))
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
/// as columns in the order of a weight's values. Of large pictures some rows at a time: the windows are as many times the
/// picture as the kernel has places.
pub(crate) fn conv2d(conv: &Conv2d, x: Tensor<4>, [top, left, bottom, right]: [usize; 4]) -> Tensor<4> {
    let weight = conv.weight.val();
    let [out_channels, channels, kernel_height, kernel_width] = weight.dims();
    let [batch, _, height, width] = x.dims();
    let (kernel, stride) = ([kernel_height, kernel_width], conv.stride);
    let out_height = (height + top + bottom - kernel_height) / stride[0] + 1;
    let out_width = (width + left + right - kernel_width) / stride[1] + 1;
    let values = channels * kernel_height * kernel_width;
    let weight = weight.reshape([1, out_channels, values]);
    let bias = conv.bias.as_ref().map(|bias| bias.val().reshape([1, out_channels, 1]));
    let strip = |first: usize, rows: usize| {
        // The windows of one place are the picture.
        let columns = if kernel == [1, 1] && stride == [1, 1] && [top, left, bottom, right] == [0; 4] {
            x.clone().slice([0..batch, 0..channels, first..first + rows]).reshape([batch, values, rows * out_width])
        } else {
            let windows = Windows { kernel, stride, before: [top, left], first, count: [rows, out_width] };
            Tensor::from_dispatch(Dispatch::known_windows(x.clone().into_dispatch(), windows))
        };
        let y = product(weight.clone(), columns);
        match &bias {
            Some(bias) => y + bias.clone(),
            None => y,
        }
        .reshape([batch, out_channels, rows, out_width])
    };
    let row = batch * out_width * values * weight.dtype().size();
    let at_once = (WINDOWS / row.max(1)).clamp(1, out_height);
    let strips = (0..out_height).step_by(at_once).map(|first| strip(first, at_once.min(out_height - first)));
    let mut strips: Vec<_> = strips.collect();
    // Of one tensor it would make a copy.
    if strips.len() == 1 { strips.remove(0) } else { Tensor::cat(strips, 2) }
}
