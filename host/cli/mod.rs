//! One command a file, and what they share.

pub(crate) mod builtin;
pub(crate) mod cache;
pub(crate) mod device_args;
pub(crate) mod devices;
pub(crate) mod exit;
pub(crate) mod image;
pub(crate) mod model;
pub(crate) mod nodes;
pub(crate) mod progress;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod signals;
pub(crate) mod source;
pub(crate) mod streams;
pub(crate) mod validate;
pub(crate) mod values;
