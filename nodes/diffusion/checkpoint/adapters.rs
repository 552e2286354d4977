//! Conditioning adapters in files: as released (`.pt`), or as this project's safetensors, which have the same names and
//! say in their metadata what they are.
//!
//! | metadata | what it says |
//! | --- | --- |
//! | `format`, `version` | `dreamcache-adapters`, 1 |
//! | `family` | the base model's family, `sd1` or `sd2` |
//! | `variant`, `placement` | those of [`AdapterConfig`] |
//!
//! A file without metadata holds the paper's choice, as the released ones do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};

use super::mapped::{malformed, quoted};
use super::{Family, Random, SafeTensors, is_pocket, open_file, pocket, write_safetensors};
use crate::dreamcache::{AdapterConfig, Adapters};
use crate::error::Error;
use crate::unet::UNetConfig;
use crate::weights::{Recipe, TensorSource, Weights};

/// What the metadata calls the format.
pub(super) const FORMAT: &str = "dreamcache-adapters";

/// Raised when files of before can no longer be read.
const VERSION: &str = "1";

/// Reads adapters for a denoiser: a `.pt` or `.safetensors` file, `pocket`, or `random:sd15-tiny`.
///
/// # Errors
/// When the file is malformed, made for another family, or its tensors are not exactly those that the denoiser's
/// structure asks for.
pub fn load_adapters(
    path: &str,
    unet: &UNetConfig,
    family: Family,
    device: &Device,
    dtype: DType,
) -> Result<Adapters, Error> {
    if let Some(random) = Random::from_scheme(path)? {
        let made_for = random.checkpoint().family;
        check_family(path, Some(made_for), &made_for.to_string(), family)?;
        let source = Arc::new(Recipe::new(&format!("{}.adapter.", random.prefix())));
        return Adapters::load(&Weights::new(source, device, dtype), unet, AdapterConfig::default());
    }
    let file = Path::new(path);
    let (source, metadata): (Arc<dyn TensorSource>, BTreeMap<String, String>) =
        if is_pocket(path) || file.extension().is_some_and(|extension| extension == "safetensors") {
            let safetensors = if is_pocket(path) { pocket::adapters()? } else { SafeTensors::open(file)? };
            let metadata = safetensors.metadata().clone();
            (Arc::new(safetensors), metadata)
        } else {
            (open_file(file)?, BTreeMap::new())
        };
    let config = read_metadata(file, &metadata, family)?;
    let weights = Weights::new(source, device, dtype);
    let adapters = Adapters::load(&weights, unet, config).map_err(|error| match error {
        Error::Mismatch { origin, message } => Error::Mismatch {
            origin,
            message: format!("{message}; these are not adapters for this base model ({family})"),
        },
        other => other,
    })?;
    weights.finish(|_| false)?;
    Ok(adapters)
}

/// An error when adapters were made for another family than the base model's.
fn check_family(origin: &str, made_for: Option<Family>, shown: &str, family: Family) -> Result<(), Error> {
    if made_for == Some(family) {
        return Ok(());
    }
    let message = format!("the adapters were trained for {shown}, the base model is {family}");
    Err(Error::Mismatch { origin: origin.into(), message })
}

fn read_metadata(file: &Path, metadata: &BTreeMap<String, String>, family: Family) -> Result<AdapterConfig, Error> {
    if let Some(version) = metadata.get("version").filter(|version| *version != VERSION) {
        return Err(malformed(file, format!("adapters of version {}, this program reads {VERSION}", quoted(version))));
    }
    if let Some(name) = metadata.get("family") {
        let made_for = Family::from_name(name);
        let shown = made_for.map_or_else(|| quoted(name), |made_for| made_for.to_string());
        check_family(&file.display().to_string(), made_for, &shown, family)?;
    }
    let fields = ["variant", "placement"].into_iter().filter_map(|key| Some((key, metadata.get(key)?)));
    let fields: serde_json::Map<_, _> = fields.map(|(key, value)| (key.into(), value.as_str().into())).collect();
    serde_json::from_value(fields.into()).map_err(|error| malformed(file, format!("in the metadata: {error}")))
}

/// Writes adapters as safetensors with metadata, as f32, f16 or bf16. The file replaces `path` when it is complete.
///
/// # Errors
/// When a weight is not finite or too large for `dtype`, and of the file system.
pub fn save_adapters(path: &Path, adapters: &Adapters, family: Family, dtype: DType) -> Result<(), Error> {
    let config = adapters.config();
    let tensors = adapters.named_tensors();
    let shapes = tensors.iter().map(|(name, data)| (name.clone(), data.shape().to_vec())).collect();
    let variant = serde_json::to_value(config.variant).map_err(|error| Error::Config(error.to_string()))?;
    let metadata = [
        ("format", FORMAT.to_string()),
        ("version", VERSION.to_string()),
        ("family", family.as_str().to_string()),
        ("variant", variant.as_str().unwrap_or_default().to_string()),
        ("placement", config.placement.to_string()),
    ];
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    write_safetensors(path, &metadata, dtype, &shapes, |name, _| {
        tensors.get(name).cloned().ok_or_else(|| Error::Argument(format!("no tensor `{name}`")))
    })
}
