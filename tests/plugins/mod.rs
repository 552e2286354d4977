//! Plugins through the command line.

#[cfg(unix)]
mod asking;
mod commands;
pub(crate) mod guest;
mod program;
mod sampling;
