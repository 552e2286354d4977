//! Node packs: the manifest that the built-in pack and third-party packs share.

mod manifest;

pub use manifest::{Capability, Manifest, ManifestError, Plugin, Wasm};
