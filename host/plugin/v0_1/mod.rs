//! Version 0.1 of the contract: `nodes/api/wit/v0.1`, frozen. A version that breaks it gets a folder of its own beside this one.
//!
//! | file | what it does |
//! | --- | --- |
//! | `bindings` | what the WIT says, as Rust |
//! | `buffer` | bytes that the host holds |
//! | `opaque` | values that are handed on |
//! | `value` | values to the plugin and back, checked |
//! | `spec` | what the plugin says about its nodes, checked |
//! | `imports` | log, progress, random numbers, files, clock, HTTP |
//! | `guest` | the calls |

mod bindings;
mod buffer;
mod guest;
mod imports;
mod opaque;
mod spec;
mod value;

pub(super) use guest::{Exports, exports, linker};

/// The version of the WIT package.
pub(super) const VERSION: &str = "0.1.0";
/// The WIT package.
pub const WIT: &str = include_str!("../../../nodes/api/wit/v0.1/node.wit");
