//! A reference cache as a file: safetensors, one tensor a cache point, with metadata that names everything the features
//! depend on. The same cache gives the same bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{CACHE_FORMAT, Family, SafeTensors, malformed, write_safetensors};
use crate::dreamcache::cache::{CacheConfig, ReferenceCache};
use crate::dreamcache::placement::CachePoint;
use crate::error::Error;
use crate::unet::UNetConfig;
use crate::weights::Weights;

/// Raised when files of before can no longer be read.
const VERSION: &str = "1";

/// What the features of a cache depend on, besides its [`CacheConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheOrigin {
    /// BLAKE3 of the base model, see [`BaseModel::digest`](crate::model::BaseModel::digest).
    pub model: String,
    /// The base model's family, for messages.
    pub family: Family,
    /// BLAKE3 of each reference picture as it was encoded, mask and crop applied, or of its latents where these were
    /// given.
    pub images: Vec<String>,
    /// The caching prompt, empty in the paper.
    pub prompt: String,
    /// Of the noise.
    pub seed: u64,
    /// Where the latents came from: `mean` or `sample` of the posterior, or `given`.
    pub latents_mode: String,
    /// The number type that the features are rounded to: `f16` or `f32`.
    pub dtype: String,
}

impl CacheOrigin {
    /// The number type that the features are rounded to.
    ///
    /// # Errors
    /// When it is none of this crate's.
    pub fn dtype(&self) -> Result<DType, Error> {
        match self.dtype.as_str() {
            "f16" => Ok(DType::F16),
            "f32" => Ok(DType::F32),
            other => Err(Error::Argument(format!("caches are kept as `f16` or `f32`, not `{other}`"))),
        }
    }

    /// An error when the cache was made by another base model than the one with this digest.
    ///
    /// # Errors
    /// As said.
    pub fn check_model(&self, digest: &str, family: Family) -> Result<(), Error> {
        if self.model == digest {
            return Ok(());
        }
        let (made, used) = (short(&self.model), short(digest));
        let (made_family, used_family) = (self.family.as_str(), family.as_str());
        Err(Error::Argument(format!(
            "the cache was built with another base model: {made_family} {made}, this is {used_family} {used}; build it again with this model"
        )))
    }
}

/// Writes a cache, its features as [`CacheOrigin::dtype`] says. The file replaces `path` when it is complete.
///
/// # Errors
/// When a value does not fit into the number type, or the file cannot be written.
pub fn save_cache(path: &Path, cache: &ReferenceCache, origin: &CacheOrigin) -> Result<(), Error> {
    let features: BTreeMap<_, _> = cache.points().iter().map(|p| p.name.clone()).zip(cache.features()).collect();
    let shapes = features.iter().map(|(name, f)| (name.clone(), f.dims().to_vec())).collect();
    let json = |value: serde_json::Result<String>| value.map_err(|e| Error::Argument(e.to_string()));
    let metadata = BTreeMap::from([
        ("format".to_string(), CACHE_FORMAT.to_string()),
        ("version".into(), VERSION.into()),
        ("family".into(), origin.family.as_str().into()),
        ("config".into(), json(serde_json::to_string(&cache.config()))?),
        ("references".into(), json(serde_json::to_string(cache.references()))?),
        ("origin".into(), json(serde_json::to_string(origin))?),
    ]);
    write_safetensors(path, &metadata, origin.dtype()?, &shapes, |name, _| {
        let feature = features.get(name).ok_or_else(|| Error::Argument(format!("no feature `{name}`")))?;
        Ok(Tensor::clone(feature).into_data())
    })
}

/// What a cache's file says of itself, without its features.
///
/// # Errors
/// When it is no reference cache.
pub fn read_origin(path: &Path) -> Result<(CacheConfig, CacheOrigin), Error> {
    let (_, config, _, origin) = open(path)?;
    Ok((config, origin))
}

/// Reads a cache for a base model, its features as `dtype` on `device`.
///
/// # Errors
/// When it is no reference cache, or was made with another base model; the message says with which.
pub fn load_cache(
    path: &Path,
    unet: &UNetConfig,
    (digest, family): (&str, Family),
    device: &Device,
    dtype: DType,
) -> Result<(ReferenceCache, CacheOrigin), Error> {
    let (file, config, references, origin) = open(path)?;
    let wrong = |error: Error| malformed(path, error.to_string());
    origin.check_model(digest, family).map_err(wrong)?;
    let points = config.placement.points(unet);
    let weights = Weights::new(Arc::new(file), device, dtype);
    let feature = |point: &CachePoint| {
        let tokens = references.iter().map(|size| point.size(*size).iter().product::<usize>()).sum();
        weights.tensor(&point.name, [1, tokens, point.d])
    };
    let features = points.iter().map(feature).collect::<Result<_, _>>()?;
    weights.finish(|_| false)?;
    Ok((ReferenceCache::from_parts(unet, config, references, features).map_err(wrong)?, origin))
}

fn open(path: &Path) -> Result<(SafeTensors, CacheConfig, Vec<[usize; 2]>, CacheOrigin), Error> {
    let file = SafeTensors::open(path)?;
    let metadata = file.metadata();
    if metadata.get("format").is_none_or(|format| format != CACHE_FORMAT) {
        return Err(malformed(path, "not a reference cache: its metadata does not say so"));
    }
    if metadata.get("version").is_none_or(|version| version != VERSION) {
        let found = metadata.get("version").map_or("none", String::as_str);
        return Err(malformed(path, format!("a reference cache of version {found}, this program reads {VERSION}")));
    }
    fn field<T: serde::de::DeserializeOwned>(
        path: &Path,
        metadata: &BTreeMap<String, String>,
        name: &str,
    ) -> Result<T, Error> {
        let text = metadata.get(name).ok_or_else(|| malformed(path, format!("no `{name}` in the metadata")))?;
        serde_json::from_str(text).map_err(|e| malformed(path, format!("`{name}` in the metadata: {e}")))
    }
    let config = field(path, metadata, "config")?;
    let references: Vec<[usize; 2]> = field(path, metadata, "references")?;
    let origin: CacheOrigin = field(path, metadata, "origin")?;
    if references.is_empty() || references.iter().flatten().any(|&side| side == 0 || side > 1 << 16) {
        return Err(malformed(path, "the references in the metadata have no possible size"));
    }
    Ok((file, config, references, origin))
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
