//! Safetensors files: eight bytes of header length, a JSON header, the numbers.
//!
//! The header is checked here rather than by the `safetensors` crate, because a message should name the tensor that is
//! wrong. Tensors must lie end to end and fill the file, as the format asks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use burn::tensor::{BoolStore, DType, TensorData};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::mapped::{MappedFile, byte_len, quoted, tensor_data};
use crate::error::Error;
use crate::weights::{TensorInfo, TensorSource, missing, require_shape};

/// Headers above this are refused, as by the reference implementation. SD 1.5 as one file has 130 kB.
const MAX_HEADER: usize = 100_000_000;

/// A safetensors file, mapped into memory.
pub struct SafeTensors {
    file: MappedFile,
    tensors: BTreeMap<String, (TensorInfo, Range<usize>)>,
    metadata: BTreeMap<String, String>,
}

impl SafeTensors {
    /// Maps a file and checks its header.
    ///
    /// # Errors
    /// When it cannot be opened, or its header does not describe it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::of(MappedFile::open(path)?)
    }

    /// A file inside the program, under the name that messages give it.
    pub(super) fn built_in(name: &str, bytes: &'static [u8]) -> Result<Self, Error> {
        Self::of(MappedFile::built_in(name, bytes))
    }

    fn of(file: MappedFile) -> Result<Self, Error> {
        let (tensors, metadata) = parse(file.bytes()).map_err(|message| file.malformed(message))?;
        Ok(Self { file, tensors, metadata })
    }

    /// The free text beside the tensors, by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

impl TensorSource for SafeTensors {
    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error> {
        let (info, range) = self.tensors.get(name).ok_or_else(|| missing(self, name))?;
        require_shape(self, name, &info.shape, shape)?;
        tensor_data(self.file.bytes().slice(range.clone()), info.dtype, shape)
            .ok_or_else(|| self.file.malformed(format!("tensor {} has a size of its own", quoted(name))))
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.tensors.get(name).map(|(info, _)| info.clone())
    }

    fn origin(&self) -> String {
        self.file.path().display().to_string()
    }
}

type Tensors = BTreeMap<String, (TensorInfo, Range<usize>)>;

fn parse(bytes: &[u8]) -> Result<(Tensors, BTreeMap<String, String>), String> {
    let Some((len, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(format!("not a safetensors file: {} bytes are too few for a header", bytes.len()));
    };
    let declared = u64::from_le_bytes(*len);
    let len = usize::try_from(declared).unwrap_or(usize::MAX);
    if len > MAX_HEADER {
        return Err(format!("the header claims {declared} bytes, at most {MAX_HEADER} are accepted"));
    }
    let Some(header) = rest.get(..len) else {
        return Err(format!("truncated: the header claims {len} bytes, {} follow", rest.len()));
    };
    let header: Header = serde_json::from_slice(header).map_err(|error| format!("the header is not valid: {error}"))?;
    let start = 8 + len;
    let mut tensors = Tensors::new();
    for (name, raw) in header.tensors {
        let shown = quoted(&name);
        let dtype =
            dtype(&raw.dtype).ok_or_else(|| format!("tensor {shown} has the unknown dtype {}", quoted(&raw.dtype)))?;
        let [from, to] = raw.data_offsets;
        if to < from || to > bytes.len() - start {
            let held = bytes.len() - start;
            return Err(format!(
                "tensor {shown} should lie at {from}..{to}, but the file holds {held} bytes of tensors"
            ));
        }
        if byte_len(dtype, &raw.shape) != Some(to - from) {
            let (shape, held) = (&raw.shape, to - from);
            return Err(format!("tensor {shown}, {} of the shape {shape:?}, has {held} bytes", dtype.name()));
        }
        tensors.insert(name, (TensorInfo { dtype, shape: raw.shape }, start + from..start + to));
    }
    let mut in_order: Vec<_> = tensors.iter().map(|(name, (_, range))| (range.start, range.end, name)).collect();
    in_order.sort_unstable();
    let mut end = start;
    for (from, to, name) in in_order {
        if from != end {
            let what = if from < end { "overlaps the tensor before it" } else { "leaves a hole before it" };
            return Err(format!("tensor {} {what}", quoted(name)));
        }
        end = to;
    }
    if end != bytes.len() {
        return Err(format!("the tensors end at byte {end}, the file at {}", bytes.len()));
    }
    Ok((tensors, header.metadata))
}

fn dtype(name: &str) -> Option<DType> {
    Some(match name {
        "F64" => DType::F64,
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        "I64" => DType::I64,
        "I32" => DType::I32,
        "I16" => DType::I16,
        "I8" => DType::I8,
        "U8" => DType::U8,
        "BOOL" => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}

/// The inverse of [`dtype`], for the number types that this crate writes.
pub(super) fn dtype_name(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F32 => "F32",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        _ => return None,
    })
}

#[derive(Default)]
struct Header {
    tensors: BTreeMap<String, RawInfo>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInfo {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl<'de> Deserialize<'de> for Header {
    /// By hand, because one key is not a tensor, and a key said twice must not pass.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "__metadata__" {
                        header.metadata = map.next_value()?;
                        continue;
                    }
                    match header.tensors.entry(key) {
                        Slot::Vacant(slot) => slot.insert(map.next_value()?),
                        Slot::Occupied(slot) => {
                            return Err(A::Error::custom(format!("tensor {} twice", quoted(slot.key()))));
                        }
                    };
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}
