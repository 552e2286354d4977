//! State dicts as written by `torch.save`: `.pt`, `.ckpt`, `.bin`. Nothing in them is executed.
//!
//! Seven globals mean something here: `collections.OrderedDict`, `torch._utils._rebuild_tensor_v2`,
//! `torch._utils._rebuild_parameter` and the storage classes of `torch`. A value that needs any other is no tensor;
//! asking for it is an error that names the global.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use burn::tensor::{BoolStore, DType, TensorData};

use super::mapped::{MappedFile, quoted, tensor_data};
use super::pickle::{Id, Object, Pickle, parse};
use super::zip;
use crate::error::Error;
use crate::weights::{TensorInfo, TensorSource, missing, require_shape};

/// Bounds for dictionaries in dictionaries, far above any model, far below what would hurt.
const MAX_DEPTH: usize = 16;
const MAX_ENTRIES: usize = 1 << 18;
const MAX_NAME: usize = 512;
const MAX_RANK: usize = 8;

/// A state dict in a zip container, mapped into memory.
pub struct TorchFile {
    file: MappedFile,
    entries: BTreeMap<String, Entry>,
}

enum Entry {
    Tensor(Strided),
    /// Not understood, with the reason.
    Refused(String),
}

struct Strided {
    info: TensorInfo,
    strides: Vec<usize>,
    /// From the tensor's first element to the end of its storage.
    bytes: Range<usize>,
}

impl TorchFile {
    /// Maps a file and reads its table of contents. Dictionaries in dictionaries get names with dots; of a training
    /// checkpoint only what is under `state_dict` counts.
    ///
    /// # Errors
    /// When it cannot be opened, is no zip of `torch.save`, or its pickle is malformed.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = MappedFile::open(path)?;
        let entries = read_entries(file.bytes()).map_err(|message| file.malformed(message))?;
        Ok(Self { file, entries })
    }
}

impl TensorSource for TorchFile {
    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error> {
        let tensor = match self.entries.get(name) {
            Some(Entry::Tensor(tensor)) => tensor,
            Some(Entry::Refused(why)) => {
                return Err(self.file.malformed(format!("tensor {} {why}", quoted(name))));
            }
            None => return Err(missing(self, name)),
        };
        require_shape(self, name, &tensor.info.shape, shape)?;
        let storage = self.file.bytes().slice(tensor.bytes.clone());
        let size = tensor.info.dtype.size();
        let len = shape.iter().product::<usize>() * size;
        let data = if is_contiguous(shape, &tensor.strides) {
            (len <= storage.len()).then(|| storage.slice(..len))
        } else {
            Some(gather(&storage, size, shape, &tensor.strides).into())
        };
        let data = data.and_then(|bytes| tensor_data(bytes, tensor.info.dtype, shape));
        data.ok_or_else(|| self.file.malformed(format!("tensor {} has a size of its own", quoted(name))))
    }

    fn names(&self) -> Vec<String> {
        let tensors = self.entries.iter().filter(|(_, entry)| matches!(entry, Entry::Tensor(_)));
        tensors.map(|(name, _)| name.clone()).collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        match self.entries.get(name)? {
            Entry::Tensor(tensor) => Some(tensor.info.clone()),
            Entry::Refused(_) => None,
        }
    }

    fn origin(&self) -> String {
        self.file.path().display().to_string()
    }
}

fn read_entries(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let files = zip::entries(bytes)?;
    let (prefix, program) = files
        .iter()
        .find_map(|(name, range)| name.strip_suffix("data.pkl").map(|prefix| (prefix, range.clone())))
        .ok_or("a zip file without `data.pkl`, so not written by `torch.save`")?;
    let order = files.get(&format!("{prefix}byteorder")).map(|range| &bytes[range.clone()]);
    if order.is_some_and(|order| order != b"little") {
        return Err("the numbers are big-endian; save the file again on a little-endian machine".into());
    }
    let pickle = parse(&bytes[program])?;
    let root = pickle.root();
    let Some(items) = pickle.dict(root) else {
        let what = refusal(&pickle, root).unwrap_or_else(|| "is no dictionary".into());
        return Err(format!("expected a state dict; the object in the file {what}"));
    };
    let inner =
        items.iter().find(|(key, value)| pickle.str(*key) == Some("state_dict") && pickle.dict(*value).is_some());
    let mut reader = Reader { pickle: &pickle, files: &files, prefix, visited: 0, entries: BTreeMap::new() };
    reader.flatten("", inner.map_or(root, |(_, value)| *value), 0)?;
    Ok(reader.entries)
}

struct Reader<'a> {
    pickle: &'a Pickle<'a>,
    files: &'a BTreeMap<String, Range<usize>>,
    prefix: &'a str,
    visited: usize,
    entries: BTreeMap<String, Entry>,
}

impl Reader<'_> {
    fn flatten(&mut self, prefix: &str, dict: Id, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("dictionaries more than {MAX_DEPTH} deep"));
        }
        for (key, value) in self.pickle.dict(dict).unwrap_or_default() {
            self.visited += 1;
            if self.visited > MAX_ENTRIES {
                return Err(format!("more than {MAX_ENTRIES} entries"));
            }
            let name = match self.pickle.get(*key) {
                Object::Str(key) => format!("{prefix}{key}"),
                Object::Int(key) => format!("{prefix}{key}"),
                _ => continue,
            };
            if name.len() > MAX_NAME {
                return Err(format!("a name of {} characters: {}", name.len(), quoted(&name)));
            }
            if self.pickle.dict(*value).is_some() {
                self.flatten(&format!("{name}."), *value, depth + 1)?;
            } else if let Some(entry) = self.entry(*value).map_err(|why| format!("tensor {} {why}", quoted(&name)))? {
                if self.entries.contains_key(&name) {
                    return Err(format!("tensor {} twice", quoted(&name)));
                }
                self.entries.insert(name, entry);
            }
        }
        Ok(())
    }

    /// A tensor, something that might have been one, or nothing of interest. Errors are of tensors that cannot be.
    fn entry(&self, value: Id) -> Result<Option<Entry>, String> {
        let Object::Call(callee, args) = self.pickle.get(value) else { return Ok(None) };
        let (callee, args) = (self.pickle.global(*callee), self.pickle.tuple(*args).unwrap_or_default());
        match (callee.as_deref(), args) {
            // (data, requires_grad, hooks); a parameter of a parameter is nothing that PyTorch writes
            (Some("torch._utils._rebuild_parameter"), [data, ..]) => match self.pickle.get(*data) {
                Object::Call(callee, args) if self.is_tensor(*callee) => self.tensor(*args),
                _ => Err("is a parameter without data".into()),
            },
            (Some("torch._utils._rebuild_tensor_v2"), _) => match self.pickle.get(value) {
                Object::Call(_, args) => self.tensor(*args),
                _ => Ok(None),
            },
            _ => Ok(refusal(self.pickle, value).map(Entry::Refused)),
        }
    }

    fn is_tensor(&self, callee: Id) -> bool {
        matches!(self.pickle.get(callee), Object::Global("torch._utils", "_rebuild_tensor_v2"))
    }

    /// `args` is (storage, offset, size, stride, requires_grad, hooks, ..).
    fn tensor(&self, args: Id) -> Result<Option<Entry>, String> {
        let sizes = |id: &Id| self.pickle.tuple(*id)?.iter().map(|i| self.pickle.size(*i)).collect::<Option<Vec<_>>>();
        let Some([storage, offset, shape, strides, ..]) = self.pickle.tuple(args) else {
            return Err("is rebuilt without arguments".into());
        };
        let (Some(offset), Some(shape), Some(strides)) = (self.pickle.size(*offset), sizes(shape), sizes(strides))
        else {
            return Err("has sizes that are no numbers".into());
        };
        if shape.len() != strides.len() || shape.len() > MAX_RANK {
            return Err(format!("has the shape {shape:?} and the strides {strides:?}"));
        }
        // The persistent id is ("storage", class, key, location, number of elements).
        let described = match self.pickle.get(*storage) {
            Object::Persistent(id) => self.pickle.tuple(*id),
            _ => None,
        };
        let Some([_, class, key, ..]) = described else { return Err("has no storage".into()) };
        let (Some(class), Some(key)) = (self.pickle.global(*class), self.pickle.str(*key)) else {
            return Err("has a storage without a name".into());
        };
        let Some(dtype) = storage_dtype(&class) else {
            return Ok(Some(Entry::Refused(format!("lies in a {}, which is not read", quoted(&class)))));
        };
        let Some(held) = self.files.get(&format!("{}data/{key}", self.prefix)) else {
            return Err(format!("needs the storage {}, which the file does not have", quoted(&format!("data/{key}"))));
        };
        let info = TensorInfo { dtype, shape };
        let from = offset.checked_mul(dtype.size()).and_then(|bytes| held.start.checked_add(bytes));
        match (from, extent(&info, &strides)) {
            (Some(from), Some(extent)) if from <= held.end && extent <= held.end - from => {
                Ok(Some(Entry::Tensor(Strided { info, strides, bytes: from..held.end })))
            }
            _ => {
                let shape = &info.shape;
                Err(format!("of the shape {shape:?} reaches beyond its storage of {} bytes", held.len()))
            }
        }
    }
}

/// Why a value is not read, when it is a call or a global.
fn refusal(pickle: &Pickle<'_>, value: Id) -> Option<String> {
    let callee = match pickle.get(value) {
        Object::Call(callee, _) => *callee,
        Object::Global(..) => value,
        _ => return None,
    };
    let name = pickle.global(callee).unwrap_or_else(|| "something unnamed".into());
    Some(format!("is made by {}, which is not called: only tensors and dictionaries are read", quoted(&name)))
}

fn storage_dtype(class: &str) -> Option<DType> {
    Some(match class.strip_prefix("torch.")? {
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "DoubleStorage" => DType::F64,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}

/// How many bytes from the first element to behind the last; `None` when that is no number.
fn extent(info: &TensorInfo, strides: &[usize]) -> Option<usize> {
    if info.shape.contains(&0) {
        return Some(0);
    }
    let last = info
        .shape
        .iter()
        .zip(strides)
        .try_fold(0_usize, |last, (extent, stride)| last.checked_add((extent - 1).checked_mul(*stride)?))?;
    // Not only the reach but also the whole, which overlapping strides can make larger.
    super::mapped::byte_len(info.dtype, &info.shape)?;
    last.checked_add(1)?.checked_mul(info.dtype.size())
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(extent, stride)| {
        let right = *extent == 1 || *stride == expected;
        expected *= extent;
        right
    })
}

/// The elements in row-major order.
fn gather(storage: &[u8], size: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let len: usize = shape.iter().product();
    let mut bytes = Vec::with_capacity(len * size);
    let mut index = vec![0; shape.len()];
    for _ in 0..len {
        let at = index.iter().zip(strides).map(|(i, stride)| i * stride).sum::<usize>() * size;
        bytes.extend_from_slice(&storage[at..at + size]);
        for (i, extent) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *extent {
                break;
            }
            *i = 0;
        }
    }
    bytes
}
