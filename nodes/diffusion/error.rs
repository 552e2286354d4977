//! What can go wrong with models and their files.

use std::path::PathBuf;

/// Variants by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be: truncated, hostile, of another format.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// Tensors are missing, left over, or of another shape than the configuration asks for.
    #[error("{origin}: {message}")]
    Mismatch {
        /// The file or folder.
        origin: String,
        /// Every difference, at most a screenful.
        message: String,
    },
    /// A configuration that this crate does not implement, or that contradicts itself.
    #[error("{0}")]
    Config(String),
    /// An argument outside its range, or tensors that do not fit each other.
    #[error("{0}")]
    Argument(String),
    /// A device that is not there, cannot compute what is asked, or failed.
    #[error("{0}")]
    Device(String),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}
