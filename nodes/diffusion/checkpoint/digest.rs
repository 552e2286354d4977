//! What identifies a model: the names and contents of the files it was read from.

use std::path::Path;

use super::base::Kind;
use super::mapped::MappedFile;
use super::{Checkpoint, pocket_digest};
use crate::error::Error;

/// BLAKE3 of a file's contents, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn file_digest(path: &Path) -> Result<String, Error> {
    Ok(blake3::Hasher::new().update_rayon(MappedFile::open(path)?.bytes()).finalize().to_hex().to_string())
}

impl Checkpoint {
    /// BLAKE3 over the names, lengths and contents of all files, in hexadecimal; of the scheme where there are none.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn digest(&self) -> Result<String, Error> {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            // By all threads: the weights of a large model are read and digested faster than by one.
            hasher.update_rayon(bytes);
        };
        if self.files.is_empty() {
            part(self.origin.as_bytes());
        }
        if self.kind == Kind::BuiltIn {
            part(pocket_digest().as_bytes());
        }
        for path in &self.files {
            let name = path.strip_prefix(&self.digest_root).unwrap_or(path);
            // The name of a single file says nothing about the model; in a folder it says what the file is for.
            if self.files.len() > 1 {
                part(name.to_string_lossy().replace('\\', "/").as_bytes());
            }
            part(MappedFile::open(path)?.bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}
