//! Latents to pictures.

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};

use super::VaeConfig;
use super::blocks::{MidBlock, ResnetBlock, conv3x3, norm};
use crate::error::Error;
use crate::weights::Weights;

/// The innermost level, then levels that double height and width.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    pub(super) fn load(w: &Weights, config: &VaeConfig) -> Result<Self, Error> {
        let widths: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let level = |i: usize| {
            let d_input = widths[i.saturating_sub(1)];
            UpBlock::load(&w.at("up_blocks").at(i), config, d_input, widths[i], i + 1 == widths.len())
        };
        let outermost = config.block_out_channels[0];
        Ok(Self {
            conv_in: conv3x3(&w.at("conv_in"), config.latent_channels, config.innermost())?,
            mid_block: MidBlock::load(&w.at("mid_block"), config)?,
            up_blocks: (0..widths.len()).map(level).collect::<Result<_, _>>()?,
            conv_norm_out: norm(&w.at("conv_norm_out"), config, outermost)?,
            conv_out: conv3x3(&w.at("conv_out"), outermost, config.out_channels)?,
        })
    }

    /// # Shapes
    /// - `z`: `[batch, latent_channels, height, width]`
    /// - output: `[batch, channels, height * downscale, width * downscale]`
    pub(super) fn forward(&self, z: Tensor<4>) -> Tensor<4> {
        let x = self.mid_block.forward(dc_kernels::conv2d(&self.conv_in, z));
        let x = self.up_blocks.iter().fold(x, |x, block| block.forward(x));
        dc_kernels::conv2d(&self.conv_out, dc_kernels::group_norm_silu(&self.conv_norm_out, x, None))
    }
}

#[derive(Module, Debug)]
struct UpBlock {
    resnets: Vec<ResnetBlock>,
    upsampler: Option<Conv2d>,
}

impl UpBlock {
    fn load(w: &Weights, config: &VaeConfig, d_input: usize, d_output: usize, last: bool) -> Result<Self, Error> {
        let upsampler = || conv3x3(&w.at("upsamplers.0.conv"), d_output, d_output);
        Ok(Self {
            resnets: ResnetBlock::load_many(&w.at("resnets"), config, config.layers_per_block + 1, d_input, d_output)?,
            upsampler: (!last).then(upsampler).transpose()?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.resnets.iter().fold(x, |x, resnet| resnet.forward(x));
        let Some(conv) = &self.upsampler else { return x };
        let [_, _, height, width] = x.dims();
        let double = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * height, 2 * width]);
        dc_kernels::conv2d(conv, interpolate(x, double))
    }
}
