//! Node packs: the manifest that all share, and third-party packs as sandboxed WebAssembly components.
//!
//! ```text
//! folder ──find──▶ manifest ──digest──▶ component ──compile──▶ describe (twice) ──check──▶ nodes in the registry
//!                                       (or from earlier,                                      │
//!                                        sealed)                        each run: a fresh instance, limits, grants
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | `manifest` | `plugin.toml` |
//! | `limits` | what a call may use up |
//! | `grants` | what a user allowed |
//! | `places` | where a user keeps all this |
//! | `write` | files that are the user's alone |
//! | `load` | from a folder to nodes |
//! | `error` | why a plugin cannot be used |
//! | `engine` | compiler, settings, the clock that interrupts |
//! | `compiled` | compiled components, kept and sealed |
//! | `call` | one call: instance, limits, run |
//! | `budget`, `random`, `confined`, `http` | what a call may have: memory of the host, random numbers, files, requests |
//! | `fault` | what went wrong in a call |
//! | `node` | a plugin's node, and its step hook |
//! | `v0_1` | version 0.1 of the contract |
//!
//! # What a plugin cannot do
//! Reach files, network, environment, clock or threads, unless its manifest asks *and* the user granted it to exactly this
//! code. Keep anything from one call to the next. Go on when the run is cancelled or its time is over. Use up memory, stack,
//! tables, the log or the host's memory beyond its limits. Give values that are not what they say.

#[cfg(feature = "plugins")]
mod archive;
#[cfg(feature = "plugins")]
mod budget;
#[cfg(feature = "plugins")]
mod call;
#[cfg(feature = "plugins")]
mod compiled;
#[cfg(feature = "plugins")]
mod confined;
#[cfg(feature = "plugins")]
mod engine;
#[cfg(feature = "plugins")]
mod error;
#[cfg(feature = "plugins")]
mod fault;
mod grants;
#[cfg(feature = "plugins")]
mod http;
mod limits;
#[cfg(feature = "plugins")]
mod load;
mod manifest;
#[cfg(feature = "plugins")]
mod node;
#[cfg(feature = "plugins")]
mod package;
mod places;
#[cfg(feature = "plugins")]
mod random;
#[cfg(all(test, feature = "plugins"))]
mod tests;
#[cfg(feature = "plugins")]
mod v0_1;
mod write;

#[cfg(feature = "plugins")]
pub use archive::ArchiveError;
#[cfg(feature = "plugins")]
pub use error::{PluginError, PluginProblem};
pub use grants::{Grant, Grants, GrantsError};
pub use limits::{Limits, LimitsTable};
#[cfg(feature = "plugins")]
pub use load::{LoadedPlugin, MANIFEST, MAX_COMPONENT, PluginHost, PluginSettings, find};
pub use manifest::{Asked, Capability, Manifest, ManifestError, Plugin, Wasm};
#[cfg(feature = "plugins")]
pub use package::{Package, PackageError};
pub use places::Places;
#[cfg(feature = "plugins")]
pub use v0_1::WIT;
