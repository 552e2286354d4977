//! Where tensors come from.
//!
//! A model asks a [`Weights`] cursor for each of its tensors by name and shape; the cursor reads it from a
//! [`TensorSource`] straight to the device and keeps account, so that a load ends by naming every tensor that nobody
//! asked for. There is no second copy of the weights and no module that exists half-filled.

mod convert;
mod cursor;
mod recipe;
mod source;

pub(crate) use convert::cast;
pub use cursor::Weights;
pub use recipe::{Recipe, uniform};
pub use source::{TensorInfo, TensorSource};
pub(crate) use source::{missing, require_shape};
