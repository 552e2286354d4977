//! The blocks that encoder and decoder are made of.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear};
use burn::tensor::Tensor;
use dc_kernels::{attention, group_norm_silu};

use super::VaeConfig;
use crate::error::Error;
use crate::layers::{conv2d, group_norm, linear};
use crate::weights::Weights;

/// Of every norm in the autoencoder; PyTorch's default is 1e-5.
const EPSILON: f64 = 1e-6;

/// A norm of the autoencoder.
pub(super) fn norm(w: &Weights, config: &VaeConfig, channels: usize) -> Result<GroupNorm, Error> {
    group_norm(w, config.norm_num_groups, channels, EPSILON)
}

/// A 3x3 convolution that keeps height and width.
pub(super) fn conv3x3(w: &Weights, d_input: usize, d_output: usize) -> Result<Conv2d, Error> {
    conv2d(w, d_input, d_output, 3, 1, 1)
}

/// Two convolutions beside a shortcut.
#[derive(Module, Debug)]
pub(super) struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
}

impl ResnetBlock {
    pub(super) fn load(w: &Weights, config: &VaeConfig, d_input: usize, d_output: usize) -> Result<Self, Error> {
        let shortcut = || conv2d(&w.at("conv_shortcut"), d_input, d_output, 1, 1, 0);
        Ok(Self {
            norm1: norm(&w.at("norm1"), config, d_input)?,
            conv1: conv3x3(&w.at("conv1"), d_input, d_output)?,
            norm2: norm(&w.at("norm2"), config, d_output)?,
            conv2: conv3x3(&w.at("conv2"), d_output, d_output)?,
            conv_shortcut: (d_input != d_output).then(shortcut).transpose()?,
        })
    }

    /// `count` blocks under `w`, the first of which changes the width.
    pub(super) fn load_many(
        w: &Weights,
        config: &VaeConfig,
        count: usize,
        d_input: usize,
        d_output: usize,
    ) -> Result<Vec<Self>, Error> {
        let block = |i| Self::load(&w.at(i), config, if i == 0 { d_input } else { d_output }, d_output);
        (0..count).map(block).collect()
    }

    /// # Shapes
    /// - `x`: `[batch, d_input, height, width]`
    /// - output: `[batch, d_output, height, width]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = dc_kernels::conv2d(&self.conv1, group_norm_silu(&self.norm1, x.clone(), None));
        let h = dc_kernels::conv2d(&self.conv2, group_norm_silu(&self.norm2, h, None));
        match &self.conv_shortcut {
            Some(shortcut) => dc_kernels::conv2d(shortcut, x) + h,
            None => x + h,
        }
    }
}

/// Self-attention over all positions, with one head as wide as the level.
#[derive(Module, Debug)]
struct Attention {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
}

impl Attention {
    fn load(w: &Weights, config: &VaeConfig, d: usize) -> Result<Self, Error> {
        // Files saved by diffusers before 0.15 have the names on the right.
        let old = !w.contains("to_q.weight") && w.contains("query.weight");
        let projection = |new, name| linear(&w.at(if old { name } else { new }), d, d, true);
        Ok(Self {
            group_norm: norm(&w.at("group_norm"), config, d)?,
            to_q: projection("to_q", "query")?,
            to_k: projection("to_k", "key")?,
            to_v: projection("to_v", "value")?,
            to_out: projection("to_out.0", "proj_attn")?,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, d, height, width] = x.dims();
        let tokens =
            dc_kernels::group_norm(&self.group_norm, x.clone()).reshape([batch, d, height * width]).swap_dims(1, 2);
        let one_head = |linear: &Linear| dc_kernels::linear(linear, tokens.clone()).unsqueeze_dim::<4>(1);
        let (q, k, v) = (one_head(&self.to_q), one_head(&self.to_k), one_head(&self.to_v));
        let out = attention(q, k, v, false);
        let out = dc_kernels::linear(&self.to_out, out.squeeze_dim::<3>(1));
        x + out.swap_dims(1, 2).reshape([batch, d, height, width])
    }
}

/// The innermost level: block, attention, block.
#[derive(Module, Debug)]
pub(super) struct MidBlock {
    resnets: Vec<ResnetBlock>,
    attention: Option<Attention>,
}

impl MidBlock {
    pub(super) fn load(w: &Weights, config: &VaeConfig) -> Result<Self, Error> {
        let d = config.innermost();
        let attention = || Attention::load(&w.at("attentions.0"), config, d);
        Ok(Self {
            resnets: ResnetBlock::load_many(&w.at("resnets"), config, 2, d, d)?,
            attention: config.mid_block_add_attention.then(attention).transpose()?,
        })
    }

    pub(super) fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            if let (1, Some(attention)) = (i, &self.attention) {
                x = attention.forward(x);
            }
            x = resnet.forward(x);
        }
        x
    }
}
