//! The blocks of the UNet in their order, with the skip connections.

use std::convert::Infallible;
use std::ops::ControlFlow;

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::{DType, Device, Tensor};

use crate::device::on_worker;
use crate::error::Error;
use crate::layers::{conv2d, group_norm};
use crate::unet::conditions::{LayerText, TextContext, TimeOffsets};
use crate::unet::config::UNetConfig;
use crate::unet::resnet::{ResnetBlock, load_downsampler, load_upsampler, upsample};
use crate::unet::time::TimeEmbedding;
use crate::unet::transformer::{Backbone, BlockHook, SpatialTransformer};
use crate::weights::Weights;

/// The denoiser.
#[derive(Module, Debug)]
pub struct UNet {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    down_blocks: Vec<Level>,
    mid_block: Middle,
    up_blocks: Vec<Level>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    config: UNetConfig,
}

/// One level of the encoder or the decoder; `attentions` is empty or as long as `resnets`.
#[derive(Module, Debug)]
struct Level {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<SpatialTransformer>,
    resampler: Option<Conv2d>,
}

#[derive(Module, Debug)]
struct Middle {
    first: ResnetBlock,
    attention: SpatialTransformer,
    second: ResnetBlock,
}

/// What goes along through one pass: the conditions, the observers, and how many attention layers have been passed.
struct Pass<'a, B> {
    conditions: Conditions<'a>,
    hook: &'a mut dyn BlockHook,
    /// Sees what enters each spatial transformer, and may end the pass there.
    tap: &'a mut (dyn FnMut(usize, &Tensor<4>) -> ControlFlow<B> + Send),
    layer: usize,
    resnet: usize,
}

/// What a pass is conditioned on: as it came, or as it was made for many passes.
#[expect(clippy::large_enum_variant, reason = "there is one a pass, and a tensor is a handle")]
enum Conditions<'a> {
    /// `[batch, time_embed_dim]` and `[batch, context_tokens, context_dim]`.
    Plain(Tensor<2>, Tensor<3>),
    Prepared(TimeOffsets, &'a TextContext),
}

impl<B> Pass<'_, B> {
    fn convolve(&mut self, resnet: &ResnetBlock, hidden: Tensor<4>) -> Tensor<4> {
        let offset = match &self.conditions {
            Conditions::Plain(time, _) => resnet.offset(time),
            Conditions::Prepared(offsets, _) => offsets.resnets[self.resnet].clone(),
        };
        self.resnet += 1;
        resnet.forward(hidden, offset)
    }

    fn attend(&mut self, transformer: &SpatialTransformer, hidden: Tensor<4>) -> ControlFlow<B, Tensor<4>> {
        let layer = self.layer;
        self.layer += 1;
        (self.tap)(layer, &hidden)?;
        let text = match &self.conditions {
            Conditions::Plain(_, context) => LayerText::Context(context),
            Conditions::Prepared(_, text) => LayerText::Projected(&text.layers[layer]),
        };
        ControlFlow::Continue(transformer.forward(layer, hidden, text, self.hook))
    }
}

impl UNet {
    /// Reads the denoiser from the cursor's position, by diffusers' names.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the configuration says.
    pub fn load(w: &Weights, config: &UNetConfig) -> Result<Self, Error> {
        let widths = &config.block_out_channels;
        let (first, last) = (widths[0], config.levels() - 1);
        let down = w.at("down_blocks");
        let up = w.at("up_blocks");
        Ok(Self {
            conv_in: conv2d(&w.at("conv_in"), config.in_channels, first, 3, 1, 1)?,
            time_embedding: TimeEmbedding::load(&w.at("time_embedding"), first, config.time_embed_dim())?,
            down_blocks: (0..=last).map(|i| Level::load_down(&down.at(i), config, i)).collect::<Result<_, _>>()?,
            mid_block: Middle::load(&w.at("mid_block"), config)?,
            up_blocks: (0..=last).map(|i| Level::load_up(&up.at(i), config, i)).collect::<Result<_, _>>()?,
            conv_norm_out: group_norm(&w.at("conv_norm_out"), config.norm_num_groups, first, config.norm_eps)?,
            conv_out: conv2d(&w.at("conv_out"), first, config.out_channels, 3, 1, 1)?,
            config: config.clone(),
        })
    }

    /// One evaluation of the denoiser as it is.
    ///
    /// # Shapes
    /// - latents: `[batch, in_channels, height, width]`
    /// - timesteps: `[batch]`, 0 to 999, fractions allowed
    /// - context: `[batch, context_tokens, context_dim]`
    /// - output: `[batch, out_channels, height, width]`
    ///
    /// # Errors
    /// When these do not fit each other or the model.
    pub fn forward(&self, latents: Tensor<4>, timesteps: &[f32], context: Tensor<3>) -> Result<Tensor<4>, Error> {
        self.forward_with(latents, timesteps, context, &mut Backbone)
    }

    /// One evaluation of the denoiser with `hook` in its transformer blocks. Shapes as in [`Self::forward`].
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_with(
        &self,
        latents: Tensor<4>,
        timesteps: &[f32],
        context: Tensor<3>,
        hook: &mut dyn BlockHook,
    ) -> Result<Tensor<4>, Error> {
        let mut tap = |_, _: &Tensor<4>| ControlFlow::<Infallible>::Continue(());
        let ControlFlow::Continue(output) = self.run(latents, timesteps, context, hook, &mut tap)?;
        Ok(output)
    }

    /// A text for [`Self::forward_prepared`]: its keys and values at every attention to it.
    ///
    /// # Shapes
    /// - context: `[batch, context_tokens, context_dim]`
    ///
    /// # Errors
    /// When it does not fit the model.
    pub fn project_text(&self, context: &Tensor<3>) -> Result<TextContext, Error> {
        self.check_context(context)?;
        Ok(TextContext { layers: self.transformers().iter().map(|layer| layer.project_text(context)).collect() })
    }

    /// Timesteps for [`Self::forward_prepared`], 0 to 999, fractions allowed.
    pub fn embed_times(&self, timesteps: &[f32]) -> TimeOffsets {
        let time = self.time_embedding.forward(timesteps);
        let encoder = self.down_blocks.iter().flat_map(|level| &level.resnets);
        let decoder = self.up_blocks.iter().flat_map(|level| &level.resnets);
        let resnets = encoder.chain([&self.mid_block.first, &self.mid_block.second]).chain(decoder);
        TimeOffsets { resnets: resnets.map(|resnet| resnet.offset(&time)).collect() }
    }

    /// What [`Self::forward_with`] gives, of conditions that were made before.
    ///
    /// # Shapes
    /// - latents, output: as in [`Self::forward`]
    /// - times: one timestep for each of the batch
    /// - text: one text for each of the batch
    ///
    /// # Errors
    /// When these do not fit each other.
    pub fn forward_prepared(
        &self,
        latents: Tensor<4>,
        times: TimeOffsets,
        text: &TextContext,
        hook: &mut dyn BlockHook,
    ) -> Result<Tensor<4>, Error> {
        let timesteps = times.resnets.first().map_or(0, |offsets| offsets.dims()[0]);
        self.check(&latents, [timesteps, text.rows()])?;
        let mut tap = |_, _: &Tensor<4>| ControlFlow::<Infallible>::Continue(());
        let conditions = Conditions::Prepared(times, text);
        let mut pass = Pass { conditions, hook, tap: &mut tap, layer: 0, resnet: 0 };
        let ControlFlow::Continue(output) = self.blocks(latents, &mut pass);
        Ok(output)
    }

    /// What enters the spatial transformers of these attention `layers` (ascending), before their group norms. Nothing
    /// after the last of them is computed.
    ///
    /// # Shapes
    /// - latents, timesteps, context: as in [`Self::forward`]
    /// - output: one `[batch, d, height, width]` a layer
    ///
    /// # Errors
    /// As [`Self::forward`], and when there is no such layer.
    pub fn transformer_inputs(
        &self,
        latents: Tensor<4>,
        timesteps: &[f32],
        context: Tensor<3>,
        layers: &[usize],
    ) -> Result<Vec<Tensor<4>>, Error> {
        let mut found = Vec::with_capacity(layers.len());
        let mut tap = |layer: usize, hidden: &Tensor<4>| {
            if layers.get(found.len()) == Some(&layer) {
                found.push(hidden.clone());
            }
            if found.len() == layers.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let _ = self.run(latents, timesteps, context, &mut Backbone, &mut tap)?;
        if found.len() == layers.len() {
            Ok(found)
        } else {
            let count = self.transformers().len();
            Err(Error::Argument(format!("the attention layers {layers:?} are not ascending or not below {count}")))
        }
    }

    /// The attention layers: encoder, middle, decoder.
    pub fn transformers(&self) -> Vec<&SpatialTransformer> {
        let encoder = self.down_blocks.iter().flat_map(|level| &level.attentions);
        let decoder = self.up_blocks.iter().flat_map(|level| &level.attentions);
        encoder.chain([&self.mid_block.attention]).chain(decoder).collect()
    }

    /// The structure that it was built from.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The device that the weights are on.
    pub fn device(&self) -> Device {
        self.conv_in.weight.val().device()
    }

    /// The number type of the weights, which latents and context must have.
    pub fn dtype(&self) -> DType {
        self.conv_in.weight.val().dtype()
    }

    fn run<B: Send>(
        &self,
        latents: Tensor<4>,
        timesteps: &[f32],
        context: Tensor<3>,
        hook: &mut dyn BlockHook,
        tap: &mut (dyn FnMut(usize, &Tensor<4>) -> ControlFlow<B> + Send),
    ) -> Result<ControlFlow<B, Tensor<4>>, Error> {
        self.check(&latents, [timesteps.len(), context.dims()[0]])?;
        self.check_context(&context)?;
        let conditions = Conditions::Plain(self.time_embedding.forward(timesteps), context);
        Ok(self.blocks(latents, &mut Pass { conditions, hook, tap, layer: 0, resnet: 0 }))
    }

    fn blocks<B: Send>(&self, latents: Tensor<4>, pass: &mut Pass<'_, B>) -> ControlFlow<B, Tensor<4>> {
        on_worker(&latents.device(), || self.blocks_here(latents, pass))
    }

    fn blocks_here<B>(&self, latents: Tensor<4>, pass: &mut Pass<'_, B>) -> ControlFlow<B, Tensor<4>> {
        let mut hidden = dc_kernels::conv2d(&self.conv_in, latents);
        let mut skips = vec![hidden.clone()];
        for level in &self.down_blocks {
            hidden = level.encode(hidden, &mut skips, pass)?;
        }
        hidden = self.mid_block.forward(hidden, pass)?;
        for level in &self.up_blocks {
            hidden = level.decode(hidden, &mut skips, pass)?;
        }
        ControlFlow::Continue(dc_kernels::conv2d(
            &self.conv_out,
            dc_kernels::group_norm_silu(&self.conv_norm_out, hidden, None),
        ))
    }

    fn check(&self, latents: &Tensor<4>, [timesteps, contexts]: [usize; 2]) -> Result<(), Error> {
        let [batch, channels, height, width] = latents.dims();
        let in_channels = self.config.in_channels;
        let message = if channels != in_channels {
            format!("the denoiser takes latents of {in_channels} channels, found {channels}")
        } else if [batch, height, width].contains(&0) {
            format!("latents of shape {:?} are empty", latents.dims())
        } else if contexts != batch || timesteps != batch {
            format!("{batch} latents need as many contexts and timesteps, found {contexts} and {timesteps}")
        } else {
            return Ok(());
        };
        Err(Error::Argument(message))
    }

    fn check_context(&self, context: &Tensor<3>) -> Result<(), Error> {
        let [_, tokens, context_dim] = context.dims();
        let message = if context_dim != self.config.cross_attention_dim {
            format!("the denoiser takes a text context {} wide, found {context_dim}", self.config.cross_attention_dim)
        } else if tokens == 0 {
            format!("a context of shape {:?} is empty", context.dims())
        } else {
            return Ok(());
        };
        Err(Error::Argument(message))
    }
}

impl Level {
    fn load_down(w: &Weights, config: &UNetConfig, level: usize) -> Result<Self, Error> {
        let widths = &config.block_out_channels;
        let d = widths[level];
        let layers = 0..config.layers_per_block;
        let has_attention = config.down_has_attention(level);
        let downsampler = w.at("downsamplers.0");
        Ok(Self {
            resnets: layers
                .clone()
                .map(|j| {
                    let d_input = if j == 0 { widths[level.saturating_sub(1)] } else { d };
                    ResnetBlock::load(&w.at("resnets").at(j), config, d_input, d)
                })
                .collect::<Result<_, _>>()?,
            attentions: layers
                .filter(|_| has_attention)
                .map(|j| SpatialTransformer::load(&w.at("attentions").at(j), config, level))
                .collect::<Result<_, _>>()?,
            resampler: (level + 1 < config.levels()).then(|| load_downsampler(&downsampler, d)).transpose()?,
        })
    }

    fn load_up(w: &Weights, config: &UNetConfig, index: usize) -> Result<Self, Error> {
        let level = config.levels() - 1 - index;
        let d = config.block_out_channels[level];
        let has_attention = config.up_has_attention(index);
        Ok(Self {
            resnets: (config.up_inputs(index).into_iter().enumerate())
                .map(|(j, (hidden, skip))| ResnetBlock::load(&w.at("resnets").at(j), config, hidden + skip, d))
                .collect::<Result<_, _>>()?,
            attentions: (0..=config.layers_per_block)
                .filter(|_| has_attention)
                .map(|j| SpatialTransformer::load(&w.at("attentions").at(j), config, level))
                .collect::<Result<_, _>>()?,
            resampler: (level > 0).then(|| load_upsampler(&w.at("upsamplers.0"), d)).transpose()?,
        })
    }

    fn encode<B>(
        &self,
        mut hidden: Tensor<4>,
        skips: &mut Vec<Tensor<4>>,
        pass: &mut Pass<'_, B>,
    ) -> ControlFlow<B, Tensor<4>> {
        for (j, resnet) in self.resnets.iter().enumerate() {
            hidden = pass.convolve(resnet, hidden);
            if let Some(attention) = self.attentions.get(j) {
                hidden = pass.attend(attention, hidden)?;
            }
            skips.push(hidden.clone());
        }
        if let Some(conv) = &self.resampler {
            hidden = dc_kernels::conv2d(conv, hidden);
            skips.push(hidden.clone());
        }
        ControlFlow::Continue(hidden)
    }

    fn decode<B>(
        &self,
        mut hidden: Tensor<4>,
        skips: &mut Vec<Tensor<4>>,
        pass: &mut Pass<'_, B>,
    ) -> ControlFlow<B, Tensor<4>> {
        for (j, resnet) in self.resnets.iter().enumerate() {
            let skip = skips.pop().expect("the encoder leaves a skip for every ResNet of the decoder");
            hidden = pass.convolve(resnet, Tensor::cat(vec![hidden, skip], 1));
            if let Some(attention) = self.attentions.get(j) {
                hidden = pass.attend(attention, hidden)?;
            }
        }
        if let (Some(conv), Some(next)) = (&self.resampler, skips.last()) {
            let [_, _, height, width] = next.dims();
            hidden = upsample(conv, hidden, [height, width]);
        }
        ControlFlow::Continue(hidden)
    }
}

impl Middle {
    fn load(w: &Weights, config: &UNetConfig) -> Result<Self, Error> {
        let level = config.levels() - 1;
        let d = config.block_out_channels[level];
        Ok(Self {
            first: ResnetBlock::load(&w.at("resnets.0"), config, d, d)?,
            attention: SpatialTransformer::load(&w.at("attentions.0"), config, level)?,
            second: ResnetBlock::load(&w.at("resnets.1"), config, d, d)?,
        })
    }

    fn forward<B>(&self, hidden: Tensor<4>, pass: &mut Pass<'_, B>) -> ControlFlow<B, Tensor<4>> {
        let hidden = pass.convolve(&self.first, hidden);
        let hidden = pass.attend(&self.attention, hidden)?;
        ControlFlow::Continue(pass.convolve(&self.second, hidden))
    }
}

#[cfg(test)]
mod parity;
