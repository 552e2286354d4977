//! The few layers shared by all models, read from a [`Weights`] cursor in the layouts of PyTorch.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, Linear, PaddingConfig2d};
use burn::tensor::Tensor;

use crate::error::Error;
use crate::weights::Weights;

/// Of every layer norm in these models.
const LAYER_NORM_EPSILON: f64 = 1e-5;

/// `weight [d_output, d_input]` and, with `bias`, `bias [d_output]`.
#[allow(clippy::missing_errors_doc)]
pub fn linear(w: &Weights, d_input: usize, d_output: usize, bias: bool) -> Result<Linear, Error> {
    let weight = Param::from_tensor(w.tensor("weight", [d_output, d_input])?.transpose());
    let bias = if bias { Some(Param::from_tensor(w.tensor("bias", [d_output])?)) } else { None };
    Ok(Linear { weight, bias })
}

/// A square convolution with bias: `weight [d_output, d_input, kernel, kernel]`, `padding` on all four sides.
#[allow(clippy::missing_errors_doc)]
pub fn conv2d(
    w: &Weights,
    d_input: usize,
    d_output: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Result<Conv2d, Error> {
    let mut conv = Conv2dConfig::new([d_input, d_output], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .init(w.device());
    conv.weight = Param::from_tensor(w.tensor("weight", [d_output, d_input, kernel, kernel])?);
    conv.bias = Some(Param::from_tensor(w.tensor("bias", [d_output])?));
    Ok(conv)
}

/// `weight [channels]` and `bias [channels]`.
#[allow(clippy::missing_errors_doc)]
pub fn group_norm(w: &Weights, groups: usize, channels: usize, epsilon: f64) -> Result<GroupNorm, Error> {
    let mut norm = GroupNormConfig::new(groups, channels).with_epsilon(epsilon).init(w.device());
    norm.gamma = Some(Param::from_tensor(w.tensor("weight", [channels])?));
    norm.beta = Some(Param::from_tensor(w.tensor("bias", [channels])?));
    Ok(norm)
}

/// `weight [d]` and `bias [d]`, for [`normalize`].
#[allow(clippy::missing_errors_doc)]
pub fn layer_norm(w: &Weights, d: usize) -> Result<LayerNorm, Error> {
    let mut norm = LayerNormConfig::new(d).with_epsilon(LAYER_NORM_EPSILON).init(w.device());
    norm.gamma = Param::from_tensor(w.tensor("weight", [d])?);
    norm.beta = Some(Param::from_tensor(w.tensor("bias", [d])?));
    Ok(norm)
}

/// A layer norm of [`layer_norm`] on the rows of `x`.
///
/// # Shapes
/// - `x`, output: `[.., d]`
pub fn normalize<const D: usize>(norm: &LayerNorm, x: Tensor<D>) -> Tensor<D> {
    match &norm.beta {
        Some(beta) => dc_kernels::layer_norm(x, norm.gamma.val(), beta.val(), LAYER_NORM_EPSILON),
        None => norm.forward(x),
    }
}

/// `weight [entries, d]`.
#[allow(clippy::missing_errors_doc)]
pub fn embedding(w: &Weights, entries: usize, d: usize) -> Result<Embedding, Error> {
    Ok(Embedding { weight: Param::from_tensor(w.tensor("weight", [entries, d])?) })
}
