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
    let Opened { config, origin, .. } = open(path)?;
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
    let Opened { file, config, references, origin } = open(path)?;
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

/// A cache's file whose features nobody has read yet.
struct Opened {
    file: SafeTensors,
    config: CacheConfig,
    references: Vec<[usize; 2]>,
    origin: CacheOrigin,
}

fn open(path: &Path) -> Result<Opened, Error> {
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
    Ok(Opened { file, config, references, origin })
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Kind, inspect};
    use crate::model::BaseModel;
    use crate::weights::uniform;

    fn model(name: &str) -> BaseModel {
        BaseModel::load(name, &Device::flex(), DType::F32, None).unwrap()
    }

    fn build(model: &BaseModel, dtype: &str) -> (ReferenceCache, CacheOrigin) {
        let input = |name: &str| {
            let values: Vec<f32> = uniform(name, 256).collect();
            Tensor::<4>::from_data(burn::tensor::TensorData::new(values, [1, 4, 8, 8]), &Device::flex())
        };
        let context = model.text_encoder.forward(&[model.tokenizer.encode("").ids]).unwrap();
        let alphas = model.scheduler.alphas_cumprod().unwrap();
        let config = CacheConfig::default();
        let cache = ReferenceCache::build(&model.unet, &input("z"), &input("noise"), &alphas, context, config).unwrap();
        let origin = CacheOrigin {
            model: model.digest.clone(),
            family: model.family,
            images: vec!["0123".into()],
            prompt: "\"quoted\" and\nbroken".into(),
            seed: u64::MAX,
            latents_mode: "mean".into(),
            dtype: dtype.into(),
        };
        (cache, origin)
    }

    fn load(path: &Path, model: &BaseModel) -> Result<(ReferenceCache, CacheOrigin), Error> {
        load_cache(path, &model.unet_config, (&model.digest, model.family), &model.device, model.dtype)
    }

    fn values(cache: &ReferenceCache) -> Vec<Vec<f32>> {
        cache.features().iter().map(|f| f.clone().into_data().try_to_vec::<f32>().unwrap()).collect()
    }

    #[test]
    fn saved_and_loaded_is_the_same_cache() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let model = model("random:sd21-tiny");
        for dtype in ["f32", "f16"] {
            let (cache, origin) = build(&model, dtype);
            let kept = cache.cast(origin.dtype().unwrap()).cast(DType::F32);
            save_cache(&path("a.safetensors"), &kept, &origin).unwrap();
            let (found, found_origin) = load(&path("a.safetensors"), &model).unwrap();
            assert_eq!(found_origin, origin);
            assert_eq!((found.config(), found.references()), (kept.config(), kept.references()));
            assert_eq!(values(&found), values(&kept), "{dtype}");
            // Again, built again, and saved from what was loaded: the same bytes.
            let bytes = std::fs::read(path("a.safetensors")).unwrap();
            for cache in [&build(&model, dtype).0, &kept, &found] {
                save_cache(&path("b.safetensors"), cache, &origin).unwrap();
                assert_eq!(std::fs::read(path("b.safetensors")).unwrap(), bytes, "{dtype}");
            }
            let report = inspect(path("a.safetensors").to_str().unwrap()).unwrap();
            assert_eq!((report.kind, report.family), (Kind::ReferenceCache, Some(Family::Sd2)));
            assert_eq!(report.components["tensors"].account.parameters as usize, kept.num_values());
        }
    }

    #[test]
    fn caches_that_do_not_belong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.safetensors");
        let [sd1, sd2] = ["random:sd15-tiny", "random:sd21-tiny"].map(model);
        let (cache, origin) = build(&sd1, "f16");
        save_cache(&path, &cache, &origin).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let check = |case: &str, bytes: &[u8], model: &BaseModel, expected: &str| {
            std::fs::write(&path, bytes).unwrap();
            match load(&path, model) {
                Ok(_) => panic!("{case}: loaded"),
                Err(error) => assert!(error.to_string().contains(expected), "{case}: `{error}` without `{expected}`"),
            }
        };
        let header = |from: &str, to: &str| {
            let (text, rest) = bytes[8..].split_at(u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize);
            let text = std::str::from_utf8(text).unwrap();
            assert!(text.contains(from), "{text}");
            let text = text.replacen(from, to, 1);
            [&(text.len() as u64).to_le_bytes(), text.as_bytes(), rest].concat()
        };
        let other = format!("another base model: sd1 {}, this is sd2 {}", short(&sd1.digest), short(&sd2.digest));
        check("another model", &bytes, &sd2, &other);
        check("truncated", &bytes[..bytes.len() - 1], &sd1, "but the file holds");
        check("not a cache", &header("dreamcache-reference-cache", "something"), &sd1, "not a reference cache");
        check(
            "a later version",
            &header(r#""version":"1""#, r#""version":"2""#),
            &sd1,
            "version 2, this program reads 1",
        );
        check(
            "another size",
            &header("[[8,8]]", "[[16,8]]"),
            &sd1,
            "should have the shape [1, 2, 64], found [1, 1, 64]",
        );
        check("no size", &header("[[8,8]]", "[[0,8]]"), &sd1, "no possible size");
        check("an endless size", &header("[[8,8]]", "[[99999999,8]]"), &sd1, "no possible size");
        check("another placement", &header("middle+decoder", "middle"), &sd1, "4 tensors that the model does not have");
        check("a damaged origin", &header(r#"\"seed\":"#, r#"\"seat\":"#), &sd1, "`origin` in the metadata");
        let mut nan = bytes.clone();
        let end = nan.len();
        nan[end - 2..].copy_from_slice(&[0, 0x7e]);
        check("not finite", &nan, &sd1, "holds NaN or infinite values");
        check("empty", b"", &sd1, "the file is empty");
    }
}
