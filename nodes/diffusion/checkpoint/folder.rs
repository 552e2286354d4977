//! Writing folders in the layout of diffusers: see [`super::diffusers`] for what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{DType, TensorData};
use serde::Serialize;
use serde_json::{Value, json};

use super::write_safetensors;
use crate::error::Error;
use crate::schedulers::SchedulerConfig;

/// A network of a base model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The denoiser.
    Unet,
    /// The autoencoder.
    Vae,
    /// The text encoder.
    TextEncoder,
}

impl Part {
    /// What its folder is called.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Unet => "unet",
            Self::Vae => "vae",
            Self::TextEncoder => "text_encoder",
        }
    }
}

/// Writes `config.json` and the weights of a network into `folder`, which is made. `read` gives each tensor of `shapes`, by
/// its name in this crate.
///
/// # Errors
/// Those of [`write_safetensors`].
pub fn write_component(
    folder: &Path,
    part: Part,
    config: &impl Serialize,
    shapes: &BTreeMap<String, Vec<usize>>,
    dtype: DType,
    mut read: impl FnMut(&str, &[usize]) -> Result<TensorData, Error>,
) -> Result<(), Error> {
    let (mut about, stem) = match part {
        Part::Unet => (json!({ "_class_name": "UNet2DConditionModel" }), "diffusion_pytorch_model"),
        Part::Vae => (json!({ "_class_name": "AutoencoderKL" }), "diffusion_pytorch_model"),
        Part::TextEncoder => (json!({ "architectures": ["CLIPTextModel"] }), "model"),
    };
    merge(&mut about, config)?;
    write_json(&folder.join("config.json"), &about)?;
    // The names of `transformers` begin with the module that holds the encoder; those of this crate do not.
    let prefix = if part == Part::TextEncoder { "text_model." } else { "" };
    let shapes = shapes.iter().map(|(name, shape)| (format!("{prefix}{name}"), shape.clone())).collect();
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    let path = folder.join(format!("{stem}.safetensors"));
    write_safetensors(&path, &metadata, dtype, &shapes, |name, shape| {
        read(name.strip_prefix(prefix).unwrap_or(name), shape)
    })
}

/// [`write_component`] from tensors in memory.
///
/// # Errors
/// Those of [`write_safetensors`].
pub fn write_tensors(
    folder: &Path,
    part: Part,
    config: &impl Serialize,
    tensors: &BTreeMap<String, TensorData>,
    dtype: DType,
) -> Result<(), Error> {
    let shapes = tensors.iter().map(|(name, data)| (name.clone(), data.shape().to_vec())).collect();
    write_component(folder, part, config, &shapes, dtype, |name, _| {
        tensors.get(name).cloned().ok_or_else(|| Error::Argument(format!("no tensor `{name}`")))
    })
}

/// Writes what makes a folder of networks a pipeline: the index and the configuration of the noise.
///
/// # Errors
/// Of the file system.
pub fn write_pipeline(root: &Path, scheduler: &SchedulerConfig) -> Result<(), Error> {
    let mut about = json!({ "_class_name": "DDIMScheduler" });
    merge(&mut about, scheduler)?;
    write_json(&root.join("scheduler/scheduler_config.json"), &about)?;
    let index = json!({
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    });
    write_json(&root.join("model_index.json"), &index)
}

fn merge(into: &mut Value, config: &impl Serialize) -> Result<(), Error> {
    let failed = |error: serde_json::Error| Error::Config(format!("a configuration cannot be written: {error}"));
    let fields = serde_json::to_value(config).map_err(failed)?;
    if let (Value::Object(into), Value::Object(fields)) = (into, fields) {
        into.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Ok(())
}

/// Writes a JSON file into a folder that is made.
///
/// # Errors
/// Of the file system.
pub fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.to_path_buf(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, format!("{value:#}\n")).map_err(failed)
}
