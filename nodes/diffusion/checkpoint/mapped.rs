//! A file mapped into memory, and the tensors in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::{AllocationProperty, BoolStore, Bytes, DType, TensorData};
use memmap2::Mmap;

use crate::error::Error;

/// A read-only file in memory. Pages come in as they are touched, so opening costs nothing, however large it is; programs
/// that map the same file share them.
pub(super) struct MappedFile {
    path: PathBuf,
    bytes: bytes::Bytes,
}

impl MappedFile {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(malformed(path, "is not a file"));
        }
        // SAFETY: the map is only read, as numbers for which every value is valid. A process that writes into the file
        // would change the weights, and one that truncates it would end this one (SIGBUS); that is the price of not
        // holding them twice. Replacing the file by another of its name, as this program and `mv` do, changes nothing.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        if map.is_empty() {
            return Err(malformed(path, "the file is empty"));
        }
        Ok(Self { path: path.to_path_buf(), bytes: bytes::Bytes::from_owner(map) })
    }

    /// A file inside the program.
    pub(super) fn built_in(name: &str, bytes: &'static [u8]) -> Self {
        Self { path: name.into(), bytes: bytes::Bytes::from_static(bytes) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file; parts of it keep it mapped.
    pub(super) fn bytes(&self) -> &bytes::Bytes {
        &self.bytes
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

/// `bytes`, little-endian and row-major, as a tensor that is not copied before something writes to it, except when they do
/// not lie as its numbers have to. Their number must be that of `shape`.
pub(super) fn tensor_data(bytes: bytes::Bytes, dtype: DType, shape: &[usize]) -> Option<TensorData> {
    if byte_len(dtype, shape) != Some(bytes.len()) {
        return None;
    }
    let shape = shape.to_vec();
    match dtype {
        DType::F64 | DType::F32 | DType::F16 | DType::BF16 => {}
        DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::U8 => {}
        DType::Bool(BoolStore::Native) => {
            return Some(TensorData::new(bytes.iter().map(|b| *b != 0).collect(), shape));
        }
        _ => return None,
    }
    let bytes = match bytes.as_ptr().addr().is_multiple_of(dtype.size()) {
        true => Bytes::from_shared(bytes, AllocationProperty::File),
        false => Bytes::from_bytes_vec(bytes.to_vec()),
    };
    Some(TensorData::from_bytes(bytes, shape, dtype))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn tensors_lie_in_the_file_until_they_are_written_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("numbers");
        let numbers: Vec<f32> = (0..64_u8).map(f32::from).collect();
        let stored: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(&path, &stored).expect("a file");
        let file = MappedFile::open(&path).expect("a map");
        let data = |at: usize| tensor_data(file.bytes().slice(at..at + 128), DType::F32, &[32]).expect("as many bytes");
        assert_eq!(data(128).as_bytes().as_ptr(), file.bytes()[128..].as_ptr(), "no copy");
        assert_eq!(data(128).iter::<f32>().collect::<Vec<_>>(), numbers[32..]);
        assert_ne!(data(2).as_bytes().as_ptr(), file.bytes()[2..].as_ptr(), "odd places are copied");
        assert!(tensor_data(file.bytes().clone(), DType::F32, &[32]).is_none());
        let device = Device::flex();
        let [x, y] = [0, 128].map(|at| Tensor::<1>::from_data(data(at), &device));
        let sum = (x.mul_scalar(2.0) + y.clone()).into_data().iter::<f32>().collect::<Vec<_>>();
        let expected: Vec<f32> = numbers[..32].iter().zip(&numbers[32..]).map(|(x, y)| 2.0 * x + y).collect();
        assert_eq!(sum, expected);
        drop(y);
        assert_eq!(std::fs::read(&path).expect("the file"), stored, "computing leaves the file alone");
        assert_eq!(file.bytes().as_ref(), stored, "and the map");
    }
}
