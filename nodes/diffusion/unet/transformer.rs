//! The spatial transformer: tokens of a feature map attend to each other and to the text.

use burn::module::Module;
use burn::module::Param;
use burn::nn::{GroupNorm, LayerNorm, Linear};
use burn::tensor::Tensor;

use crate::error::Error;
use crate::layers::{group_norm, layer_norm, linear, normalize};
use crate::unet::attention::{Attention, FeedForward, KeyValue};
use crate::unet::conditions::LayerText;
use crate::unet::config::UNetConfig;
use crate::weights::Weights;

/// Where DreamCache joins in: the first transformer block of each attention layer asks it how the states go on.
/// The defaults are the backbone's own rules. Layers are numbered encoder, middle, decoder, from 0.
pub trait BlockHook: Send {
    /// From the states `f` and what the heads of their self-attention found, of which `to_out` makes its result `s`.
    ///
    /// # Shapes
    /// - hidden, found, output: `[batch, tokens, d]`
    fn after_self_attention(
        &mut self,
        _layer: usize,
        hidden: Tensor<3>,
        found: Tensor<3>,
        to_out: &Linear,
    ) -> Tensor<3> {
        hidden + dc_kernels::linear(to_out, found)
    }

    /// From the states and what their attention to the text returned.
    ///
    /// # Shapes
    /// - hidden, attended, output: `[batch, tokens, d]`
    fn after_cross_attention(&mut self, _layer: usize, hidden: Tensor<3>, attended: Tensor<3>) -> Tensor<3> {
        hidden + attended
    }

    /// From the states that leave the block.
    ///
    /// # Shapes
    /// - hidden, output: `[batch, tokens, d]`
    fn after_block(&mut self, _layer: usize, hidden: Tensor<3>) -> Tensor<3> {
        hidden
    }
}

/// The denoiser as it is.
#[derive(Clone, Copy, Debug)]
pub struct Backbone;

impl BlockHook for Backbone {}

/// Self-attention, attention to the text, feed-forward.
#[derive(Module, Debug)]
pub struct TransformerBlock {
    /// In front of the self-attention.
    pub norm1: LayerNorm,
    /// Self-attention.
    pub attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    pub(crate) norm3: LayerNorm,
    pub(crate) ff: FeedForward,
}

impl TransformerBlock {
    fn load(w: &Weights, config: &UNetConfig, level: usize) -> Result<Self, Error> {
        let (d, heads) = (config.block_out_channels[level], config.attention_head_dim[level]);
        let upcast = config.upcast_attention;
        Ok(Self {
            norm1: layer_norm(&w.at("norm1"), d)?,
            attn1: Attention::load(&w.at("attn1"), d, d, heads, upcast)?,
            norm2: layer_norm(&w.at("norm2"), d)?,
            attn2: Attention::load(&w.at("attn2"), d, config.cross_attention_dim, heads, upcast)?,
            norm3: layer_norm(&w.at("norm3"), d)?,
            ff: FeedForward::load(&w.at("ff"), d)?,
        })
    }

    fn forward(&self, layer: usize, hidden: Tensor<3>, text: &KeyValue, hook: &mut dyn BlockHook) -> Tensor<3> {
        let normed = normalize(&self.norm1, hidden.clone());
        let own = self.attn1.project(normed.clone());
        let found = self.attn1.look_up(normed, &own);
        let hidden = hook.after_self_attention(layer, hidden, found, &self.attn1.to_out);
        let attended = self.attn2.attend(normalize(&self.norm2, hidden.clone()), text);
        let hidden = hook.after_cross_attention(layer, hidden, attended);
        let hidden = self.ff.forward(normalize(&self.norm3, hidden.clone())) + hidden;
        hook.after_block(layer, hidden)
    }
}

/// Transformer blocks on the flattened feature map, around a shortcut.
#[derive(Module, Debug)]
pub struct SpatialTransformer {
    norm: GroupNorm,
    proj_in: Linear,
    /// At least one.
    pub transformer_blocks: Vec<TransformerBlock>,
    proj_out: Linear,
}

impl SpatialTransformer {
    pub(crate) fn load(w: &Weights, config: &UNetConfig, level: usize) -> Result<Self, Error> {
        let d = config.block_out_channels[level];
        let blocks = w.at("transformer_blocks");
        Ok(Self {
            norm: group_norm(&w.at("norm"), config.norm_num_groups, d, 1e-6)?,
            proj_in: projection(&w.at("proj_in"), config, d)?,
            transformer_blocks: (0..config.transformer_layers_per_block[level])
                .map(|i| TransformerBlock::load(&blocks.at(i), config, level))
                .collect::<Result<_, _>>()?,
            proj_out: projection(&w.at("proj_out"), config, d)?,
        })
    }

    /// Keys and values of a text, by transformer block.
    ///
    /// # Shapes
    /// - context: `[batch, context_tokens, context_dim]`
    pub fn project_text(&self, context: &Tensor<3>) -> Vec<KeyValue> {
        self.transformer_blocks.iter().map(|block| block.attn2.project(context.clone())).collect()
    }

    /// # Shapes
    /// - hidden, output: `[batch, d, height, width]`
    /// - text: of the same batch
    pub fn forward(&self, layer: usize, hidden: Tensor<4>, text: LayerText, hook: &mut dyn BlockHook) -> Tensor<4> {
        let shape = hidden.dims();
        let mut tokens = dc_kernels::linear(&self.proj_in, flatten(dc_kernels::group_norm(&self.norm, hidden.clone())));
        for (i, block) in self.transformer_blocks.iter().enumerate() {
            let text = match text {
                LayerText::Context(context) => &block.attn2.project(context.clone()),
                LayerText::Projected(blocks) => &blocks[i],
            };
            tokens = match i {
                0 => block.forward(layer, tokens, text, hook),
                _ => block.forward(layer, tokens, text, &mut Backbone),
            };
        }
        dc_kernels::linear(&self.proj_out, tokens).swap_dims(1, 2).reshape(shape) + hidden
    }
}

/// A feature map as tokens, row by row.
///
/// # Shapes
/// - map: `[batch, channels, height, width]`
/// - output: `[batch, height * width, channels]`
pub fn flatten(map: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = map.dims();
    map.reshape([batch, channels, height * width]).swap_dims(1, 2)
}

/// A 1x1 convolution is a linear layer on tokens; 1.x stores it as the one, 2.x as the other.
fn projection(w: &Weights, config: &UNetConfig, d: usize) -> Result<Linear, Error> {
    if config.use_linear_projection {
        return linear(w, d, d, true);
    }
    Ok(Linear {
        weight: Param::from_tensor(w.tensor("weight", [d, d, 1, 1])?.reshape([d, d]).transpose()),
        bias: Some(Param::from_tensor(w.tensor("bias", [d])?)),
    })
}
