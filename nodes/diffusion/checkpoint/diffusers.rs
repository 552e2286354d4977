//! A folder in the layout of diffusers: a configuration and weights for each component.
//!
//! ```text
//! model_index.json
//! unet/         config.json  diffusion_pytorch_model.safetensors
//! vae/          config.json  diffusion_pytorch_model.safetensors
//! text_encoder/ config.json  model.safetensors
//! scheduler/    scheduler_config.json
//! tokenizer/    tokenizer.json, or vocab.json with merges.txt (optional)
//! ```

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::base::{Component, Kind, TokenizerFiles};
use super::mapped::malformed;
use super::shards::shard_files;
use super::{Checkpoint, Family, open_file, read_json, read_text};
use crate::error::Error;
use crate::text::ClipTextConfig;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;

/// One component: its folder, the stem of its weight files, and what its configuration says it is.
struct Layout {
    folder: &'static str,
    stem: &'static str,
    classes: [&'static str; 2],
}

const UNET: Layout = Layout {
    folder: "unet",
    stem: "diffusion_pytorch_model",
    classes: ["UNet2DConditionModel", "UNet2DConditionModel"],
};
const VAE: Layout =
    Layout { folder: "vae", stem: "diffusion_pytorch_model", classes: ["AutoencoderKL", "AutoencoderKL"] };
const TEXT: Layout =
    Layout { folder: "text_encoder", stem: "model", classes: ["CLIPTextModel", "CLIPTextModelWithProjection"] };

const TOKENIZER_FILES: [&str; 5] =
    ["tokenizer.json", "vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"];

/// Opens a folder.
pub(super) fn open(root: &Path) -> Result<Checkpoint, Error> {
    let files = files(root)?;
    let unet = component(root, &UNET, parse_unet)?;
    let vae = component(root, &VAE, parse_vae)?;
    let text = component(root, &TEXT, parse_text)?;
    let tokenizer = root.join("tokenizer");
    Ok(Checkpoint {
        kind: Kind::DiffusersFolder,
        origin: root.display().to_string(),
        family: Family::of(&unet.config),
        unet,
        vae,
        text,
        scheduler: read_json(&root.join("scheduler/scheduler_config.json"))?,
        tokenizer: if tokenizer.is_dir() { TokenizerFiles::Folder(tokenizer) } else { TokenizerFiles::Clip },
        digest_root: root.to_path_buf(),
        files,
        unused: Vec::new(),
        notes: Vec::new(),
    })
}

/// The denoiser's `config.json`.
pub(super) fn parse_unet(text: &str) -> Result<UNetConfig, String> {
    UNetConfig::from_json(text).map_err(|error| error.to_string())
}

/// The autoencoder's.
pub(super) fn parse_vae(text: &str) -> Result<VaeConfig, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// The text encoder's.
pub(super) fn parse_text(text: &str) -> Result<ClipTextConfig, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Opens an autoencoder on its own: a folder with `config.json` and `diffusion_pytorch_model.safetensors`. With it, the files.
///
/// # Errors
/// When the folder is no autoencoder.
pub fn open_autoencoder(folder: &Path) -> Result<(Component<VaeConfig>, Vec<PathBuf>), Error> {
    if !folder.join("config.json").is_file() {
        return Err(malformed(folder, "not an autoencoder: it has no `config.json`"));
    }
    let layout = Layout { folder: "", ..VAE };
    let files = vec![folder.join("config.json"), weights_file(folder, &layout)?];
    Ok((component(folder, &layout, parse_vae)?, files))
}

/// Every file that [`open`] and the models built from it read. Fails where a folder is no model.
pub(super) fn files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let index = root.join("model_index.json");
    if !index.is_file() {
        return Err(malformed(root, "not a model: a diffusers folder has a `model_index.json`"));
    }
    let mut files = vec![index, root.join("scheduler/scheduler_config.json")];
    for layout in [&UNET, &VAE, &TEXT] {
        files.push(root.join(layout.folder).join("config.json"));
        let weights = weights_file(root, layout)?;
        if weights.extension().is_some_and(|extension| extension == "json") {
            files.extend(shard_files(&weights)?);
        }
        files.push(weights);
    }
    if let Some(missing) = files.iter().find(|file| !file.is_file()) {
        let name = missing.strip_prefix(root).unwrap_or(missing);
        return Err(malformed(root, format!("the model lacks `{}`", name.display())));
    }
    let tokenizer = root.join("tokenizer");
    files.extend(TOKENIZER_FILES.iter().map(|name| tokenizer.join(name)).filter(|file| file.is_file()));
    files.sort_unstable();
    Ok(files)
}

/// The weights to read where there are several: safetensors before PyTorch, full before half precision.
fn weights_file(root: &Path, layout: &Layout) -> Result<PathBuf, Error> {
    let (folder, stem) = (root.join(layout.folder), layout.stem);
    // transformers calls its PyTorch files otherwise.
    let torch = if stem == "model" { "pytorch_model" } else { stem };
    let names = [
        format!("{stem}.safetensors"),
        format!("{stem}.safetensors.index.json"),
        format!("{stem}.fp16.safetensors"),
        format!("{stem}.safetensors.index.fp16.json"),
        format!("{torch}.bin"),
        format!("{torch}.bin.index.json"),
        format!("{torch}.fp16.bin"),
    ];
    let found = names.iter().map(|name| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| malformed(root, format!("the model lacks `{}/{}` (or an equivalent)", layout.folder, names[0])))
}

fn component<C>(
    root: &Path,
    layout: &Layout,
    parse: impl FnOnce(&str) -> Result<C, String>,
) -> Result<Component<C>, Error> {
    let path = root.join(layout.folder).join("config.json");
    let text = read_text(&path)?;
    let value: Value = serde_json::from_str(&text).map_err(|error| malformed(&path, error.to_string()))?;
    // diffusers says `_class_name`, transformers `architectures`.
    let class = value.get("_class_name").or_else(|| value.get("architectures")?.get(0)).and_then(Value::as_str);
    if let Some(class) = class.filter(|class| !layout.classes.contains(class)) {
        let expected = layout.classes[0];
        return Err(malformed(&path, format!("expected a `{expected}`, found a {}", super::quoted(class))));
    }
    let config = parse(&text).map_err(|message| malformed(&path, message))?;
    Ok(Component { config, source: open_file(&weights_file(root, layout)?)? })
}
