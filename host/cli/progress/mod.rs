//! What is shown of a run while it goes on, on standard error.

mod bars;
pub(crate) mod json;
mod listener;
mod plain;

pub(crate) use listener::{Mode, Progress};
