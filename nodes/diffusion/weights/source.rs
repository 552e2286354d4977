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
