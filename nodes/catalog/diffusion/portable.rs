//! Values taken apart into tensors and text, and put together again on the CPU. Models and adapters are not: they are
//! loaded again from their files.

use std::collections::HashSet;

use burn::Tensor;
use burn::tensor::{DType, Device, TensorData};
use dc_diffusion::dreamcache::ReferenceCache;
use dc_diffusion::dreamcache::placement::CachePoint;
use dc_graph_node_api::{self as api, Decode, ElementType, NativeValue, NodeError, Portable};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::values::{Cache, Conditioning, Latents, node_error};

/// No denoiser halves its latents more often.
const MAX_LEVEL: usize = 16;

/// See [`crate::decoders`].
pub(crate) fn decoders() -> Vec<(&'static str, Decode)> {
    vec![("dc:latents", latents), ("dc:conditioning", conditioning), ("dc:reference-cache", cache)]
}

/// Latents taken apart.
pub(super) fn of_latents(value: &Latents) -> Result<Portable, NodeError> {
    Ok(Portable::new("dc:latents").tensor("latents", pack(&value.0)?))
}

fn latents(portable: &Portable) -> Result<NativeValue, NodeError> {
    Ok(NativeValue::new(Latents(unpack(portable, "latents")?)))
}

/// A conditioning taken apart.
pub(super) fn of_conditioning(value: &Conditioning) -> Result<Portable, NodeError> {
    Ok(Portable::new("dc:conditioning")
        .text("model", &value.model)
        .text("prompt", &value.prompt)
        .tensor("cond", pack(&value.cond)?)
        .tensor("uncond", pack(&value.uncond)?))
}

fn conditioning(portable: &Portable) -> Result<NativeValue, NodeError> {
    let [cond, uncond] = ["cond", "uncond"].map(|name| unpack::<3>(portable, name));
    let (cond, uncond) = (cond?, uncond?);
    if cond.dims() != uncond.dims() || cond.dims()[0] != 1 {
        let (a, b) = (cond.dims(), uncond.dims());
        return Err(NodeError::failed(format!(
            "`cond` and `uncond` should both be [1, tokens, d], found {a:?}, {b:?}"
        )));
    }
    let text = |key| portable.get_text(key).map(str::to_owned);
    Ok(NativeValue::new(Conditioning { cond, uncond, model: text("model")?, prompt: text("prompt")? }))
}

/// A reference cache taken apart.
pub(super) fn of_cache(value: &Cache) -> Result<Portable, NodeError> {
    let cache = &value.cache;
    let mut portable = Portable::new("dc:reference-cache")
        .text("config", json(&cache.config())?)
        .text("references", json(&cache.references())?)
        .text("points", json(&cache.points())?)
        .text("origin", json(&value.origin)?);
    for (point, features) in cache.points().iter().zip(cache.features()) {
        portable = portable.tensor(&point.name, pack(features)?);
    }
    Ok(portable)
}

fn cache(portable: &Portable) -> Result<NativeValue, NodeError> {
    let points: Vec<CachePoint> = from_json(portable, "points")?;
    let references: Vec<[usize; 2]> = from_json(portable, "references")?;
    let names: HashSet<_> = points.iter().map(|p| &p.name).collect();
    let deepest = points.iter().map(|p| p.level).max().unwrap_or_default();
    let largest = references.iter().flatten().max().copied().unwrap_or_default();
    if names.len() < points.len() || deepest > MAX_LEVEL || largest > 1 << 16 {
        return Err(NodeError::failed("these are not the points of a reference cache"));
    }
    let features = points.iter().map(|point| unpack(portable, &point.name)).collect::<Result<_, _>>()?;
    let cache = ReferenceCache::from_points(from_json(portable, "config")?, references, points, features);
    Ok(NativeValue::new(Cache::new(cache.map_err(node_error)?, from_json(portable, "origin")?)))
}

fn json(value: &impl Serialize) -> Result<String, NodeError> {
    serde_json::to_string(value).map_err(|e| NodeError::caused_by("cannot be written down", e))
}

fn from_json<T: DeserializeOwned>(portable: &Portable, key: &str) -> Result<T, NodeError> {
    serde_json::from_str(portable.get_text(key)?).map_err(|e| NodeError::failed(format!("`{key}`: {e}")))
}

/// A tensor's numbers, from whatever device.
pub(super) fn pack<const D: usize>(tensor: &Tensor<D>) -> Result<api::Tensor, NodeError> {
    let data = tensor.clone().into_data();
    let elements = match data.dtype() {
        DType::F32 => ElementType::F32,
        DType::F16 => ElementType::F16,
        DType::BF16 => ElementType::BF16,
        other => return Err(NodeError::failed(format!("tensors of {} are not kept", other.name()))),
    };
    api::Tensor::new(tensor.dims().to_vec(), elements, data.as_bytes())
}

/// The tensor of a name, on the CPU.
///
/// # Shapes
/// - result: `D` axes of any length
pub(super) fn unpack<const D: usize>(portable: &Portable, name: &str) -> Result<Tensor<D>, NodeError> {
    let found = portable.get_tensor(name)?;
    let dtype = match found.elements() {
        ElementType::F32 => DType::F32,
        ElementType::F16 => DType::F16,
        ElementType::BF16 => DType::BF16,
        other => return Err(NodeError::failed(format!("`{name}`: expected floating-point numbers, found {other:?}"))),
    };
    let Ok(shape) = <[usize; D]>::try_from(found.shape()) else {
        let shape = found.shape();
        return Err(NodeError::failed(format!("`{name}` should have {D} axes, found the shape {shape:?}")));
    };
    let data = TensorData::from_bytes_vec(found.bytes().to_vec(), shape, dtype);
    Ok(Tensor::from_data(data, (&Device::flex(), dtype)))
}

#[cfg(test)]
mod tests {
    use dc_diffusion::checkpoint::Family;
    use dc_diffusion::dreamcache::CacheOrigin;
    use dc_diffusion::dreamcache::cache::CacheConfig;
    use dc_diffusion::weights::uniform;
    use dc_graph_node_api::{Decoders, NativeObject};

    use super::*;

    /// Numbers of every kind: negative, tiny, zero with a sign.
    fn tensor<const D: usize>(name: &str, shape: [usize; D], dtype: DType) -> Tensor<D> {
        let mut values: Vec<f32> = uniform(name, shape.iter().product()).collect();
        values[0] = -0.0;
        values[1] = 6e-8;
        Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (&Device::flex(), dtype))
    }

    fn point(n: usize) -> CachePoint {
        let [name, ldm_name] = ["mid", "middle"].map(|block| format!("{block}.{n}"));
        CachePoint { layer: n, name, ldm_name, d: 8 << n, num_heads: 2, level: n }
    }

    fn values() -> Vec<Box<dyn NativeObject>> {
        let origin = CacheOrigin {
            model: "0123".into(),
            family: Family::Sd1,
            images: vec!["a".into()],
            prompt: "\"größer\"\n".into(),
            seed: u64::MAX,
            latents_mode: "mean".into(),
            dtype: "f16".into(),
        };
        let mut values: Vec<Box<dyn NativeObject>> = Vec::new();
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            values.push(Box::new(Latents(tensor("latents", [2, 4, 3, 5], dtype))));
            values.push(Box::new(Conditioning {
                cond: tensor("cond", [1, 77, 6], dtype),
                uncond: tensor("uncond", [1, 77, 6], dtype),
                model: "0123".into(),
                prompt: "a \"duck\"".into(),
            }));
            let features = vec![tensor("0", [1, 4 * 6 + 2 * 2, 8], dtype), tensor("1", [1, 2 * 3 + 1, 16], dtype)];
            let (points, references) = (vec![point(0), point(1)], vec![[4, 6], [2, 2]]);
            let cache = ReferenceCache::from_points(CacheConfig::default(), references, points, features).unwrap();
            values.push(Box::new(Cache::new(cache, origin.clone())));
        }
        values
    }

    fn all() -> Decoders {
        let mut all = Decoders::default();
        decoders().into_iter().for_each(|(name, decode)| all.add(name, decode));
        all
    }

    #[test]
    fn apart_and_together_is_the_same_to_the_last_bit() {
        for value in values() {
            let portable = value.portable().unwrap().unwrap();
            assert_eq!(portable.type_name, value.type_name());
            let there = all().decode(&Portable::from_bytes(&portable.to_bytes()).unwrap()).unwrap();
            assert_eq!(there.portable().unwrap().unwrap(), portable);
            assert_eq!((there.type_name(), there.summary()), (value.type_name(), value.summary()));
            assert_eq!(there.size_bytes(), value.size_bytes());
        }
    }

    #[test]
    fn parts_of_something_else_are_refused() {
        for value in values() {
            let portable = value.portable().unwrap().unwrap();
            let refused = |portable: Portable| all().decode(&portable).is_err();
            assert!(refused(Portable { tensors: Vec::new(), ..portable.clone() }));
            for n in 0..portable.tensors.len() {
                let there = portable.tensors[n].1.clone();
                for (shape, elements) in [
                    (
                        there.shape().to_vec(),
                        if there.elements().size() == 2 { ElementType::U16 } else { ElementType::I32 },
                    ),
                    ([&[1], there.shape()].concat(), there.elements()),
                ] {
                    let mut other = portable.clone();
                    other.tensors[n].1 = api::Tensor::new(shape, elements, there.bytes().clone()).unwrap();
                    assert!(refused(other));
                }
            }
            for key in portable.metadata.keys() {
                let mut other = portable.clone();
                other.metadata.remove(key);
                assert!(refused(other), "{key}");
            }
        }
    }
}
