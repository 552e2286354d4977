//! A base model, assembled.

use burn::tensor::{DType, Device};

use crate::checkpoint::{self, Checkpoint, Family, TokenizerFiles};
use crate::error::Error;
use crate::schedulers::{PredictionType, SchedulerConfig};
use crate::text::{ClipTextModel, Tokenizer};
use crate::unet::{UNet, UNetConfig};
use crate::vae::Vae;

/// Everything that turns prompts and pictures into latents, denoises them, and turns them back.
#[derive(Clone, Debug)]
pub struct BaseModel {
    /// Its path or scheme, for messages.
    pub origin: String,
    /// Which adapters and caches can belong to it.
    pub family: Family,
    /// BLAKE3 of what it was read from, in hexadecimal: see [`Checkpoint::digest`].
    pub digest: String,
    /// From prompts to tokens.
    pub tokenizer: Tokenizer,
    /// From tokens to the context.
    pub text_encoder: ClipTextModel,
    /// The denoiser.
    pub unet: UNet,
    /// The denoiser's structure, from which the cache points follow.
    pub unet_config: UNetConfig,
    /// From pictures to latents and back.
    pub vae: Vae,
    /// How the denoiser was trained.
    pub scheduler: SchedulerConfig,
    /// Where it lives.
    pub device: Device,
    /// The number type it computes in.
    pub dtype: DType,
    /// What a user should know, such as a guess that was made.
    pub notes: Vec<String>,
}

impl BaseModel {
    /// Loads a diffusers folder, a CompVis file (`.safetensors`, `.ckpt`), `pocket`, or `random:sd15-tiny`, `random:sd21-tiny`.
    ///
    /// `prediction_type` overrides what the model says of itself; see [`checkpoint::open`].
    ///
    /// # Errors
    /// When the path is no model, one of another architecture, or its tensors are not exactly those it needs.
    pub fn load(
        path: &str,
        device: &Device,
        dtype: DType,
        prediction_type: Option<PredictionType>,
    ) -> Result<Self, Error> {
        Self::from_checkpoint(&checkpoint::open(path, prediction_type)?, device, dtype)
    }

    /// Loads what [`checkpoint::open`] opened.
    ///
    /// # Errors
    /// When its tensors are not exactly those it needs.
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: &Device, dtype: DType) -> Result<Self, Error> {
        let padding = checkpoint.text.config.padding();
        Ok(Self {
            origin: checkpoint.origin.clone(),
            family: checkpoint.family,
            digest: checkpoint.digest()?,
            tokenizer: match &checkpoint.tokenizer {
                TokenizerFiles::Folder(folder) => Tokenizer::load(folder, padding)?,
                TokenizerFiles::BuiltIn(json) => Tokenizer::from_json(json, padding)?,
                TokenizerFiles::Clip => Tokenizer::clip(padding),
            }
            .with_length(checkpoint.text.config.max_position_embeddings),
            text_encoder: checkpoint.text.load(ClipTextModel::load, device, dtype)?,
            unet: checkpoint.unet.load(UNet::load, device, dtype)?,
            unet_config: checkpoint.unet.config.clone(),
            vae: checkpoint.vae.load(Vae::load, device, dtype)?,
            scheduler: checkpoint.scheduler.clone(),
            device: device.clone(),
            dtype,
            notes: checkpoint.notes.clone(),
        })
    }

    /// Height and width of the pictures that it was trained on, in pixels.
    pub fn native_size(&self) -> usize {
        self.unet_config.sample_size * self.vae.config().downscale()
    }
}
