//! One file of tensors, whatever its format.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::mapped::malformed;
use super::shards::Shards;
use super::{SafeTensors, TorchFile};
use crate::error::Error;
use crate::weights::TensorSource;

/// JSON files above this are no configurations. The index of a sharded model takes 100 bytes a tensor.
const MAX_JSON: u64 = 16 << 20;

/// Opens a file of tensors by its extension: `.safetensors`, an index of shards (`.json`), anything else as PyTorch.
///
/// # Errors
/// When it cannot be opened or is not what it should be.
pub fn open_file(path: &Path) -> Result<Arc<dyn TensorSource>, Error> {
    let extension = path.extension().unwrap_or_default();
    if extension == "json" {
        return Ok(Arc::new(Shards::open(path)?));
    }
    if extension == "safetensors" {
        return Ok(Arc::new(SafeTensors::open(path)?));
    }
    Ok(Arc::new(TorchFile::open(path)?))
}

/// Reads a JSON file of bounded size.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    serde_json::from_str(&read_text(path)?).map_err(|error| malformed(path, error.to_string()))
}

/// Reads a text file of bounded size.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::File { path: path.to_path_buf(), source };
    let len = fs::metadata(path).map_err(failed)?.len();
    if len > MAX_JSON {
        return Err(malformed(path, format!("{len} bytes, at most {MAX_JSON} are accepted")));
    }
    fs::read_to_string(path).map_err(failed)
}
