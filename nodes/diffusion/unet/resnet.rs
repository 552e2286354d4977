//! Convolution blocks, down- and upsampling.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear};
use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use dc_kernels::{group_norm_silu, silu};

use crate::error::Error;
use crate::layers::{conv2d, group_norm, linear};
use crate::unet::config::UNetConfig;
use crate::weights::Weights;

/// Two convolutions with the timestep between them, around a shortcut.
#[derive(Module, Debug)]
pub struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
}

impl ResnetBlock {
    pub(crate) fn load(w: &Weights, config: &UNetConfig, d_input: usize, d: usize) -> Result<Self, Error> {
        let (groups, epsilon) = (config.norm_num_groups, config.norm_eps);
        let shortcut = d_input != d;
        Ok(Self {
            norm1: group_norm(&w.at("norm1"), groups, d_input, epsilon)?,
            conv1: conv2d(&w.at("conv1"), d_input, d, 3, 1, 1)?,
            time_emb_proj: linear(&w.at("time_emb_proj"), config.time_embed_dim(), d, true)?,
            norm2: group_norm(&w.at("norm2"), groups, d, epsilon)?,
            conv2: conv2d(&w.at("conv2"), d, d, 3, 1, 1)?,
            conv_shortcut: shortcut.then(|| conv2d(&w.at("conv_shortcut"), d_input, d, 1, 1, 0)).transpose()?,
        })
    }

    /// # Shapes
    /// - hidden: `[batch, d_input, height, width]`
    /// - offset: `[batch, d]`, as [`Self::offset`] makes it
    /// - output: `[batch, d, height, width]`
    pub fn forward(&self, hidden: Tensor<4>, offset: Tensor<2>) -> Tensor<4> {
        let x = dc_kernels::conv2d(&self.conv1, group_norm_silu(&self.norm1, hidden.clone(), None));
        let x = dc_kernels::conv2d(&self.conv2, group_norm_silu(&self.norm2, x, Some(offset)));
        let shortcut = match &self.conv_shortcut {
            Some(conv) => dc_kernels::conv2d(conv, hidden),
            None => hidden,
        };
        shortcut + x
    }

    /// What a timestep adds to each channel, from its embedding.
    ///
    /// # Shapes
    /// - time: `[batch, time_embed_dim]`
    /// - output: `[batch, d]`
    pub fn offset(&self, time: &Tensor<2>) -> Tensor<2> {
        dc_kernels::linear(&self.time_emb_proj, silu(time.clone()))
    }
}

/// Halves height and width, rounding up.
pub(crate) fn load_downsampler(w: &Weights, d: usize) -> Result<Conv2d, Error> {
    conv2d(&w.at("conv"), d, d, 3, 2, 1)
}

/// A convolution after nearest-neighbour upsampling.
pub(crate) fn load_upsampler(w: &Weights, d: usize) -> Result<Conv2d, Error> {
    conv2d(&w.at("conv"), d, d, 3, 1, 1)
}

/// Upsamples to `size`, the size of the next skip connection: twice as large, or one less where that is odd.
///
/// # Shapes
/// - hidden: `[batch, d, height, width]`
/// - size: `[height, width]` of the output
pub(crate) fn upsample(conv: &Conv2d, hidden: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size);
    dc_kernels::conv2d(conv, interpolate(hidden, options))
}
