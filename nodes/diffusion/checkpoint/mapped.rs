//! A file mapped into memory, and the tensors copied out of it.

use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::{BoolStore, DType, TensorData};
use half::{bf16, f16};
use memmap2::Mmap;

use crate::error::Error;

/// A read-only file in memory. Pages come in as they are touched, so opening costs nothing, however large it is.
pub(super) struct MappedFile {
    path: PathBuf,
    held: Held,
}

/// What holds the bytes.
enum Held {
    Map(Mmap),
    BuiltIn(&'static [u8]),
}

impl MappedFile {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(malformed(path, "is not a file"));
        }
        // SAFETY: the map is only read, as bytes, for which every value is valid. A process that truncates the file
        // meanwhile would end this one (SIGBUS); that is the price of not holding the weights twice.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        if map.is_empty() {
            return Err(malformed(path, "the file is empty"));
        }
        Ok(Self { path: path.to_path_buf(), held: Held::Map(map) })
    }

    /// A file inside the program.
    pub(super) fn built_in(name: &str, bytes: &'static [u8]) -> Self {
        Self { path: name.into(), held: Held::BuiltIn(bytes) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.held {
            Held::Map(map) => map,
            Held::BuiltIn(bytes) => bytes,
        }
    }

    pub(crate) fn malformed(&self, message: impl Into<String>) -> Error {
        malformed(&self.path, message)
    }
}

pub(crate) fn malformed(path: &Path, message: impl Into<String>) -> Error {
    Error::Malformed { path: path.to_path_buf(), message: message.into() }
}

/// A name out of a file for a message: in backticks, no control characters, not endless.
pub(crate) fn quoted(name: &str) -> String {
    let end = name.char_indices().nth(120).map_or(name.len(), |(end, _)| end);
    format!("`{}{}`", name[..end].escape_debug(), if end < name.len() { "..." } else { "" })
}

/// The number of bytes of a tensor; `None` when it does not fit in a machine word.
pub(super) fn byte_len(dtype: DType, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(dtype.size(), |bytes, extent| bytes.checked_mul(*extent))
}

/// Copies `bytes`, little-endian and row-major, out of the map. Their number must be that of `shape`.
pub(super) fn tensor_data(bytes: &[u8], dtype: DType, shape: &[usize]) -> Option<TensorData> {
    use bytemuck::pod_collect_to_vec as values;
    if byte_len(dtype, shape) != Some(bytes.len()) {
        return None;
    }
    let shape = shape.to_vec();
    Some(match dtype {
        DType::F64 => TensorData::new::<f64, _>(values(bytes), shape),
        DType::F32 => TensorData::new::<f32, _>(values(bytes), shape),
        DType::F16 => TensorData::new::<f16, _>(values(bytes), shape),
        DType::BF16 => TensorData::new::<bf16, _>(values(bytes), shape),
        DType::I64 => TensorData::new::<i64, _>(values(bytes), shape),
        DType::I32 => TensorData::new::<i32, _>(values(bytes), shape),
        DType::I16 => TensorData::new::<i16, _>(values(bytes), shape),
        DType::I8 => TensorData::new::<i8, _>(values(bytes), shape),
        DType::U8 => TensorData::new::<u8, _>(bytes.to_vec(), shape),
        DType::Bool(BoolStore::Native) => TensorData::new(bytes.iter().map(|b| *b != 0).collect(), shape),
        _ => return None,
    })
}
