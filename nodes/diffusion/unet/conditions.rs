//! What an evaluation is conditioned on, as far as it does not depend on the latents: made once, and used in every step.

use burn::tensor::Tensor;

use crate::error::Error;
use crate::unet::attention::KeyValue;

/// A text as the denoiser looks at it: keys and values at every attention to it.
#[derive(Clone, Debug)]
pub struct TextContext {
    /// By attention layer and transformer block.
    pub(super) layers: Vec<Vec<KeyValue>>,
}

/// Timesteps as the denoiser adds them: to every channel of every ResNet.
///
/// # Shapes
/// - `[timesteps, d]` each
#[derive(Clone, Debug)]
pub struct TimeOffsets {
    /// In the order in which the denoiser comes to the ResNets.
    pub(super) resnets: Vec<Tensor<2>>,
}

/// The text of one attention layer.
#[derive(Clone, Copy, Debug)]
pub enum LayerText<'a> {
    /// `[batch, context_tokens, context_dim]`, to be projected.
    Context(&'a Tensor<3>),
    /// By transformer block.
    Projected(&'a [KeyValue]),
}

impl TextContext {
    /// How many texts these are.
    pub fn rows(&self) -> usize {
        self.layers.iter().flatten().next().map_or(0, |context| context.key.dims()[0])
    }

    /// Several texts as one batch, in order.
    ///
    /// # Errors
    /// When they are not of the same length.
    pub fn concat(texts: &[&Self]) -> Result<Self, Error> {
        let [first, ..] = texts else {
            return Err(Error::Argument("a batch needs at least one text".into()));
        };
        let tokens = |text: &Self| text.layers.iter().flatten().next().map(|context| context.key.dims()[2]);
        if let Some(other) = texts.iter().find(|text| tokens(text) != tokens(first)) {
            let (a, b) = (tokens(first), tokens(other));
            return Err(Error::Argument(format!("texts of {a:?} and {b:?} tokens make no batch")));
        }
        let cat = |layer: usize, block: usize, part: fn(&KeyValue) -> &Tensor<4>| {
            Tensor::cat(texts.iter().map(|text| part(&text.layers[layer][block]).clone()).collect(), 0)
        };
        let block =
            |layer, block| KeyValue { key: cat(layer, block, |kv| &kv.key), value: cat(layer, block, |kv| &kv.value) };
        let layers = first.layers.iter().enumerate();
        let layers = layers.map(|(layer, blocks)| (0..blocks.len()).map(|i| block(layer, i)).collect()).collect();
        Ok(Self { layers })
    }
}

impl TimeOffsets {
    /// One of the timesteps, for a batch of so many rows.
    ///
    /// # Panics
    /// When there are not as many timesteps.
    #[must_use]
    pub fn of(&self, timestep: usize, rows: usize) -> Self {
        let row = |offsets: &Tensor<2>| {
            let d = offsets.dims()[1];
            offsets.clone().slice([timestep..timestep + 1, 0..d]).expand([rows, d])
        };
        Self { resnets: self.resnets.iter().map(row).collect() }
    }
}
