//! Writing safetensors: the same tensors and metadata give the same bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use burn::tensor::{DType, TensorData};
use serde_json::{Map, Value, json};

use super::atomic::write_atomically;
use super::mapped::byte_len;
use super::safetensors::dtype_name;
use crate::error::Error;
use crate::weights::cast;

/// Writes the tensors of `shapes`, asking `read` for one after the other, as `dtype` (f32, f16 or bf16).
///
/// Header and numbers are in the order of the names, so the bytes follow from the arguments alone. The file replaces
/// `path` when it is complete.
///
/// # Errors
/// Those of `read`; when a tensor has another shape, or a value that `dtype` cannot hold; and of the file system.
pub fn write_safetensors(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    dtype: DType,
    shapes: &BTreeMap<String, Vec<usize>>,
    mut read: impl FnMut(&str, &[usize]) -> Result<TensorData, Error>,
) -> Result<(), Error> {
    let too_large = || Error::Argument("more tensors than a file can hold".into());
    let Some(dtype_name) = dtype_name(dtype) else {
        return Err(Error::Argument(format!("tensors are written as f32, f16 or bf16, not {}", dtype.name())));
    };
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), json!(metadata));
    }
    let mut end = 0_usize;
    for (name, shape) in shapes {
        let start = end;
        end = byte_len(dtype, shape).and_then(|len| start.checked_add(len)).ok_or_else(too_large)?;
        header.insert(name.clone(), json!({ "dtype": dtype_name, "shape": shape, "data_offsets": [start, end] }));
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Spaces, so that the numbers begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    let failed = |source| Error::File { path: path.to_path_buf(), source };
    write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
        file.write_all(&header).map_err(failed)?;
        for (name, shape) in shapes {
            let data = read(name, shape)?;
            if data.shape().as_slice() != shape.as_slice() {
                let found = data.shape();
                return Err(Error::Argument(format!("`{name}` should have the shape {shape:?}, found {found:?}")));
            }
            let data = cast(data, dtype).map_err(|problem| Error::Argument(format!("`{name}` {problem}")))?;
            file.write_all(data.as_bytes()).map_err(failed)?;
        }
        Ok(())
    })
}
