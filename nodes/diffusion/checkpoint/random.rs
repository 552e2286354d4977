//! Base models of the real structure with random weights: for trying and measuring everything without a download.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::DType;
use serde_json::json;

use super::base::{Component, Kind, TokenizerFiles};
use super::{Checkpoint, Family, Part, write_component, write_json, write_pipeline};
use crate::error::Error;
use crate::schedulers::{PredictionType, SchedulerConfig};
use crate::text::{ClipTextConfig, ClipTextModel, HiddenAct};
use crate::unet::{UNet, UNetConfig};
use crate::vae::{Vae, VaeConfig};
use crate::weights::{Recipe, TensorSource, Weights};

/// A model made from the names of its tensors: real topology and vocabulary. The tiny ones have widths of 32 and 64, and
/// draw pictures of 128 pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Random {
    /// `random:sd15-tiny`, Stable Diffusion 1.5 in structure.
    Sd15Tiny,
    /// `random:sd21-tiny`, Stable Diffusion 2.1-base in structure.
    Sd21Tiny,
    /// `random:sd15`, Stable Diffusion 1.5 in structure and size: 1.07 billion parameters, to measure with.
    Sd15,
}

impl Random {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Sd15Tiny, Self::Sd21Tiny, Self::Sd15];

    /// The name behind `random:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sd15Tiny => "sd15-tiny",
            Self::Sd21Tiny => "sd21-tiny",
            Self::Sd15 => "sd15",
        }
    }

    /// The model that `random:NAME` stands for; nothing when `path` does not begin with `random:`.
    ///
    /// # Errors
    /// When the name is unknown.
    pub fn from_scheme(path: &str) -> Result<Option<Self>, Error> {
        path.strip_prefix("random:").map(Self::from_name).transpose()
    }

    /// The model of this name.
    ///
    /// # Errors
    /// When there is none; the message lists those there are.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|random| random.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(|random| format!("`{}`", random.name())).join(", ");
            Error::Argument(format!("no random model `{name}`; there are {known}"))
        })
    }

    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Sd15Tiny | Self::Sd15 => "sd15",
            Self::Sd21Tiny => "sd21",
        }
    }

    /// The structures of denoiser, autoencoder and text encoder.
    fn structures(self) -> (UNetConfig, VaeConfig, ClipTextConfig) {
        let text = ClipTextConfig {
            vocab_size: 49_408,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 77,
            hidden_act: if self == Self::Sd21Tiny { HiddenAct::Gelu } else { HiddenAct::QuickGelu },
            layer_norm_eps: 1e-5,
            eos_token_id: 49_407,
        };
        let tiny = match self {
            Self::Sd15 => return (UNetConfig::sd15(), VaeConfig::default(), text),
            Self::Sd15Tiny => UNetConfig::sd15_tiny(),
            Self::Sd21Tiny => UNetConfig::sd21_tiny(),
        };
        (
            UNetConfig { sample_size: 16, cross_attention_dim: 32, ..tiny },
            VaeConfig { block_out_channels: vec![32, 32, 32, 64], layers_per_block: 1, ..VaeConfig::default() },
            ClipTextConfig {
                hidden_size: 32,
                intermediate_size: 64,
                num_hidden_layers: 2,
                num_attention_heads: 4,
                ..text
            },
        )
    }

    /// The model as configurations and sources.
    pub fn checkpoint(self) -> Checkpoint {
        let (unet, vae, text) = self.structures();
        let recipe =
            |part: &str| -> Arc<dyn TensorSource> { Arc::new(Recipe::new(&format!("{}.{part}.", self.prefix()))) };
        Checkpoint {
            kind: Kind::Random,
            origin: format!("random:{}", self.name()),
            family: Family::of(&unet),
            unet: Component { config: unet, source: recipe("unet") },
            vae: Component { config: vae, source: recipe("vae") },
            text: Component { config: text, source: recipe("text") },
            scheduler: SchedulerConfig::stable_diffusion(PredictionType::Epsilon),
            tokenizer: TokenizerFiles::Clip,
            digest_root: Default::default(),
            files: Vec::new(),
            unused: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Writes the model as a diffusers folder at `root`, with weights as `dtype` (float32 is exact). The folder appears
    /// whole or not at all.
    ///
    /// # Errors
    /// When `root` exists and is not an empty folder, or cannot be written.
    pub fn write(self, root: &Path, dtype: DType) -> Result<(), Error> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::File { path, source }
        };
        let exists = root.symlink_metadata().is_ok();
        if exists && !fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_none()) {
            return Err(Error::Argument(format!("`{}` exists and is not an empty folder", root.display())));
        }
        let Some(name) = root.file_name() else {
            return Err(Error::Argument(format!("`{}` does not name a folder", root.display())));
        };
        let beside = root.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        fs::create_dir_all(&beside).map_err(failed(&beside))?;
        let written = self.write_files(&beside, dtype).and_then(|()| {
            if exists {
                fs::remove_dir(root).map_err(failed(root))?;
            }
            fs::rename(&beside, root).map_err(failed(root))
        });
        if written.is_err() {
            // The first error says more than one about cleaning up would.
            let _ = fs::remove_dir_all(&beside);
        }
        written
    }

    fn write_files(self, root: &Path, dtype: DType) -> Result<(), Error> {
        let checkpoint = self.checkpoint();
        let (unet, vae, text) = (&checkpoint.unet, &checkpoint.vae, &checkpoint.text);
        write_part(root, Part::Unet, unet, UNet::load, dtype)?;
        write_part(root, Part::Vae, vae, Vae::load, dtype)?;
        write_part(root, Part::TextEncoder, text, ClipTextModel::load, dtype)?;
        let padding = if self == Self::Sd21Tiny { "!" } else { "<|endoftext|>" };
        write_json(&root.join("tokenizer/special_tokens_map.json"), &json!({ "pad_token": padding }))?;
        write_pipeline(root, &checkpoint.scheduler)
    }
}

fn write_part<C: serde::Serialize, M>(
    root: &Path,
    part: Part,
    component: &Component<C>,
    load: impl FnOnce(&Weights, &C) -> Result<M, Error>,
    dtype: DType,
) -> Result<(), Error> {
    let shapes = component.shapes(load)?;
    let folder = root.join(part.folder());
    write_component(&folder, part, &component.config, &shapes, dtype, |name, shape| component.source.read(name, shape))
}
