//! Pictures to the moments of their latents.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, PaddingConfig2d};
use burn::tensor::{DType, Tensor};

use super::VaeConfig;
use super::blocks::{MidBlock, ResnetBlock, conv3x3, norm};
use crate::error::Error;
use crate::layers::conv2d;
use crate::weights::Weights;

/// Levels that halve height and width, then the innermost one.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    pub(super) fn load(w: &Weights, config: &VaeConfig) -> Result<Self, Error> {
        let widths = &config.block_out_channels;
        let level = |i: usize| {
            let d_input = widths[i.saturating_sub(1)];
            DownBlock::load(&w.at("down_blocks").at(i), config, d_input, widths[i], i + 1 == widths.len())
        };
        Ok(Self {
            conv_in: conv3x3(&w.at("conv_in"), config.in_channels, widths[0])?,
            down_blocks: (0..widths.len()).map(level).collect::<Result<_, _>>()?,
            mid_block: MidBlock::load(&w.at("mid_block"), config)?,
            conv_norm_out: norm(&w.at("conv_norm_out"), config, config.innermost())?,
            conv_out: conv3x3(&w.at("conv_out"), config.innermost(), 2 * config.latent_channels)?,
        })
    }

    pub(super) fn dtype(&self) -> DType {
        self.conv_in.weight.dtype()
    }

    /// # Shapes
    /// - `x`: `[batch, channels, height, width]`
    /// - output: `[batch, 2 * latent_channels, height / downscale, width / downscale]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.down_blocks.iter().fold(dc_kernels::conv2d(&self.conv_in, x), |x, block| block.forward(x));
        let x = self.mid_block.forward(x);
        dc_kernels::conv2d(&self.conv_out, dc_kernels::group_norm_silu(&self.conv_norm_out, x, None))
    }
}

#[derive(Module, Debug)]
struct DownBlock {
    resnets: Vec<ResnetBlock>,
    downsampler: Option<Conv2d>,
}

impl DownBlock {
    fn load(w: &Weights, config: &VaeConfig, d_input: usize, d_output: usize, last: bool) -> Result<Self, Error> {
        let downsampler = || -> Result<_, Error> {
            let mut conv = conv2d(&w.at("downsamplers.0.conv"), d_output, d_output, 3, 2, 0)?;
            // Below and to the right only; the UNet's pad all four sides.
            conv.padding = PaddingConfig2d::Explicit(0, 0, 1, 1);
            Ok(conv)
        };
        Ok(Self {
            resnets: ResnetBlock::load_many(&w.at("resnets"), config, config.layers_per_block, d_input, d_output)?,
            downsampler: (!last).then(downsampler).transpose()?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.resnets.iter().fold(x, |x, resnet| resnet.forward(x));
        match &self.downsampler {
            Some(conv) => dc_kernels::conv2d(conv, x),
            None => x,
        }
    }
}
