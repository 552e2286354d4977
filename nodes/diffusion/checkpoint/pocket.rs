//! The pocket model: a base model and adapters that come inside the program, a diffusers folder and a file of adapters.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::base::{Component, Kind, TokenizerFiles};
use super::diffusers::{parse_text, parse_unet, parse_vae};
use super::mapped::malformed;
use super::{Checkpoint, Family, SafeTensors};
use crate::error::Error;

/// What `model` and `adapters` call it.
pub const POCKET: &str = "pocket";

#[cfg(all(feature = "pocket", pocket_weights))]
const FILES: &[(&str, &[u8])] = &[
    ("unet/config.json", include_bytes!("../pocket/unet/config.json")),
    ("unet/diffusion_pytorch_model.safetensors", include_bytes!("../pocket/unet/diffusion_pytorch_model.safetensors")),
    ("vae/config.json", include_bytes!("../pocket/vae/config.json")),
    ("vae/diffusion_pytorch_model.safetensors", include_bytes!("../pocket/vae/diffusion_pytorch_model.safetensors")),
    ("text_encoder/config.json", include_bytes!("../pocket/text_encoder/config.json")),
    ("text_encoder/model.safetensors", include_bytes!("../pocket/text_encoder/model.safetensors")),
    ("scheduler/scheduler_config.json", include_bytes!("../pocket/scheduler/scheduler_config.json")),
    ("tokenizer/tokenizer.json", include_bytes!("../pocket/tokenizer/tokenizer.json")),
    ("adapters.safetensors", include_bytes!("../pocket/adapters.safetensors")),
];

#[cfg(not(all(feature = "pocket", pocket_weights)))]
const FILES: &[(&str, &[u8])] = &[];

/// Whether a path means the built-in model: `pocket` alone, or in a folder (a graph's, which hosts put in front of relative
/// paths) that holds nothing of this name.
pub fn is_pocket(path: &str) -> bool {
    path == POCKET || (Path::new(path).file_name().is_some_and(|name| name == POCKET) && !Path::new(path).exists())
}

/// BLAKE3 of the built-in model, in hexadecimal: what results depend on that no file tells. Empty where there is none.
pub fn pocket_digest() -> &'static str {
    static DIGEST: LazyLock<String> = LazyLock::new(|| {
        let mut hasher = blake3::Hasher::new();
        for (name, bytes) in FILES {
            hasher.update(name.as_bytes()).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
        if FILES.is_empty() { String::new() } else { hasher.finalize().to_hex().to_string() }
    });
    &DIGEST
}

fn bytes(name: &str) -> Result<&'static [u8], Error> {
    let found = FILES.iter().find(|(file, _)| *file == name);
    found.map(|(_, bytes)| *bytes).ok_or_else(|| {
        let what = "this build has no pocket model: its feature `pocket` was off, or the weights were not there";
        malformed(Path::new(POCKET), what)
    })
}

fn text(name: &str) -> Result<&'static str, Error> {
    std::str::from_utf8(bytes(name)?).map_err(|error| malformed(Path::new(name), error.to_string()))
}

fn tensors(name: &str) -> Result<SafeTensors, Error> {
    SafeTensors::built_in(&format!("{POCKET}/{name}"), bytes(name)?)
}

/// The base model.
pub(super) fn open() -> Result<Checkpoint, Error> {
    let fail = |message: String| malformed(Path::new(POCKET), message);
    let unet = parse_unet(text("unet/config.json")?).map_err(fail)?;
    let vae = parse_vae(text("vae/config.json")?).map_err(fail)?;
    let encoder = parse_text(text("text_encoder/config.json")?).map_err(fail)?;
    let scheduler = serde_json::from_str(text("scheduler/scheduler_config.json")?).map_err(|e| fail(e.to_string()))?;
    Ok(Checkpoint {
        kind: Kind::BuiltIn,
        origin: POCKET.into(),
        family: Family::of(&unet),
        unet: Component { config: unet, source: Arc::new(tensors("unet/diffusion_pytorch_model.safetensors")?) },
        vae: Component { config: vae, source: Arc::new(tensors("vae/diffusion_pytorch_model.safetensors")?) },
        text: Component { config: encoder, source: Arc::new(tensors("text_encoder/model.safetensors")?) },
        scheduler,
        tokenizer: TokenizerFiles::BuiltIn(text("tokenizer/tokenizer.json")?),
        digest_root: Default::default(),
        files: Vec::new(),
        unused: Vec::new(),
        notes: Vec::new(),
    })
}

/// The adapters.
pub(super) fn adapters() -> Result<SafeTensors, Error> {
    tensors("adapters.safetensors")
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::checkpoint::load_adapters;
    use crate::model::BaseModel;

    #[test]
    fn the_name_is_known_where_no_file_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(POCKET);
        let path = path.to_str().unwrap();
        assert!(is_pocket(POCKET) && is_pocket(path));
        assert!(!is_pocket("pocket.safetensors") && !is_pocket("pocket/unet") && !is_pocket("random:pocket"));
        std::fs::create_dir(path).unwrap();
        assert!(!is_pocket(path));
    }

    /// The whole model fits into 12 MB, loads, and its adapters fit it; without its weights, the message says so.
    #[test]
    fn the_built_in_model_is_whole() {
        let loaded = BaseModel::load(POCKET, &Device::flex(), DType::F32, None);
        if FILES.is_empty() {
            let message = loaded.unwrap_err().to_string();
            assert!(message.contains("this build has no pocket model"), "{message}");
            assert_eq!(pocket_digest(), "");
            return;
        }
        let model = loaded.unwrap();
        let size: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!((1_000_000..=12_000_000).contains(&size), "{size} bytes");
        assert_eq!((model.native_size(), model.digest.len(), pocket_digest().len()), (64, 64, 64));
        let adapters = load_adapters(POCKET, &model.unet_config, model.family, &Device::flex(), DType::F32).unwrap();
        assert!(adapters.num_params() > 100_000);
        // Every word of the world it was trained on is one token.
        assert_eq!(model.tokenizer.ids("a bird on the beach").len(), 5);
    }
}
