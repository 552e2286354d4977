//! What a path is, told from headers alone.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::adapters::FORMAT;
use super::base::{Account, Checkpoint, Kind};
use super::compvis::is_compvis;
use super::{Family, Random, SafeTensors, is_pocket, open, open_file};
use crate::error::Error;
use crate::schedulers::PredictionType;
use crate::text::ClipTextModel;
use crate::unet::UNet;
use crate::vae::Vae;
use crate::weights::TensorSource;

/// What the metadata of a reference cache's file calls its format.
pub(crate) const CACHE_FORMAT: &str = "dreamcache-reference-cache";

/// A path, described. The fields that do not apply to its kind are empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The path as given.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Which base models it belongs with.
    pub family: Option<Family>,
    /// What the denoiser predicts.
    pub prediction_type: Option<PredictionType>,
    /// Height and width of pictures that it was trained on, in pixels.
    pub native_size: Option<usize>,
    /// Its networks: `unet`, `vae`, `text_encoder`; `tensors` for anything that is no base model.
    pub components: BTreeMap<String, ComponentReport>,
    /// Tensors that belong to no network, with the reason.
    pub unused: BTreeMap<String, String>,
    /// Free text in the file.
    pub metadata: BTreeMap<String, String>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// One network of a base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentReport {
    /// Number of tensors by the number type they are stored in.
    pub dtypes: BTreeMap<String, usize>,
    /// How they compare with what the configuration asks for.
    #[serde(flatten)]
    pub account: Account,
}

/// Describes a base model, adapters, or a reference cache. Reads no weights.
///
/// # Errors
/// When it cannot be opened or is malformed. Missing and unknown tensors are part of the description.
pub fn inspect(path: &str) -> Result<Inspection, Error> {
    let is_base = Random::from_scheme(path)?.is_some() || is_pocket(path) || Path::new(path).is_dir();
    if is_base {
        return base(path, &open(path, None)?);
    }
    let source = open_file(Path::new(path))?;
    if is_compvis(&*source) {
        return base(path, &open(path, None)?);
    }
    let metadata = match Path::new(path).extension() {
        Some(extension) if extension == "safetensors" => SafeTensors::open(Path::new(path))?.metadata().clone(),
        _ => BTreeMap::new(),
    };
    let format = metadata.get("format").map_or("", String::as_str);
    let kind = if format == FORMAT || source.names().iter().any(|name| name.contains(".attn_mem.")) {
        Kind::Adapters
    } else if format == CACHE_FORMAT {
        Kind::ReferenceCache
    } else {
        Kind::Unknown
    };
    let parameters = source.names().iter().filter_map(|name| source.info(name)).map(|info| count(&info.shape)).sum();
    let account = Account { parameters, ..Account::default() };
    Ok(Inspection {
        path: path.into(),
        kind,
        family: metadata.get("family").and_then(|name| Family::from_name(name)),
        prediction_type: None,
        native_size: None,
        components: BTreeMap::from([("tensors".into(), ComponentReport { dtypes: dtypes(&*source), account })]),
        unused: BTreeMap::new(),
        metadata,
        notes: Vec::new(),
    })
}

fn base(path: &str, checkpoint: &Checkpoint) -> Result<Inspection, Error> {
    let report = |source: &dyn TensorSource, account| ComponentReport { dtypes: dtypes(source), account };
    let (unet, vae, text) = (&checkpoint.unet, &checkpoint.vae, &checkpoint.text);
    Ok(Inspection {
        path: path.into(),
        kind: checkpoint.kind,
        family: Some(checkpoint.family),
        prediction_type: Some(checkpoint.scheduler.prediction_type),
        native_size: Some(unet.config.sample_size * vae.config.downscale()),
        components: BTreeMap::from([
            ("unet".into(), report(&*unet.source, unet.account(UNet::load)?)),
            ("vae".into(), report(&*vae.source, vae.account(Vae::load)?)),
            ("text_encoder".into(), report(&*text.source, text.account(ClipTextModel::load)?)),
        ]),
        unused: checkpoint.unused.iter().map(|(name, reason)| (name.clone(), reason.to_string())).collect(),
        metadata: BTreeMap::new(),
        notes: checkpoint.notes.clone(),
    })
}

fn count(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |count, extent| count.saturating_mul(*extent as u64))
}

fn dtypes(source: &dyn TensorSource) -> BTreeMap<String, usize> {
    let mut dtypes = BTreeMap::new();
    for info in source.names().iter().filter_map(|name| source.info(name)) {
        *dtypes.entry(info.dtype.name().to_string()).or_default() += 1;
    }
    dtypes
}
