//! What a set of named tensors can do.

use burn::tensor::{DType, TensorData};

use crate::error::Error;

/// What a file says of a tensor before any of it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The number type it is stored in.
    pub dtype: DType,
    /// Its extents, slowest first.
    pub shape: Vec<usize>,
}

/// A set of named tensors: a file, a folder of shards, another source under other names, or a recipe.
pub trait TensorSource: Send + Sync {
    /// One tensor in the number type it is stored in.
    ///
    /// # Errors
    /// When there is none of this name, its shape is another, or it cannot be read.
    fn read(&self, name: &str, shape: &[usize]) -> Result<TensorData, Error>;

    /// Every name there is, sorted; empty for a source that can make any tensor.
    fn names(&self) -> Vec<String>;

    /// Whether there is a tensor of this name.
    fn contains(&self, name: &str) -> bool;

    /// What is known of a tensor without reading it; nothing for a source that can make any tensor.
    fn info(&self, _name: &str) -> Option<TensorInfo> {
        None
    }

    /// What to call this source in messages: a path, mostly.
    fn origin(&self) -> String;
}

/// The error of a tensor that a model needs and a source has not.
pub(crate) fn missing(source: &dyn TensorSource, name: &str) -> Error {
    Error::Mismatch { origin: source.origin(), message: format!("tensor `{name}` is missing") }
}

/// Checks a shape before anything is copied, so that a file cannot make a reader allocate what no model asked for.
pub(crate) fn require_shape(
    source: &dyn TensorSource,
    name: &str,
    found: &[usize],
    expected: &[usize],
) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Mismatch {
        origin: source.origin(),
        message: format!("tensor `{name}` should have the shape {expected:?}, found {found:?}"),
    })
}
