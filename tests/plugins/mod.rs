//! Plugins through the command line.

pub(crate) mod guest;
mod program;
