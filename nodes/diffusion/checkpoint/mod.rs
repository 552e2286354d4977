//! Files that hold models, and how their names map to those of this crate.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`open`], [`Checkpoint`] | a base model in any form (diffusers folder, single file, recipe): configurations and sources of tensors |
//! | [`compvis`] | single files, whose names map to those of folders |
//! | [`load_adapters`], [`save_adapters`] | conditioning adapters |
//! | [`Random`] | weights made from their names, and writing them as a folder |
//! | [`POCKET`] | the model inside the program |
//! | [`SafeTensors`], [`TorchFile`] | the two file formats, mapped into memory |
//! | [`write_component`], [`write_pipeline`] | writing a base model as a folder |
//! | [`write_safetensors`] | writing, to the same bytes every time |
//! | [`inspect`] | what a path is, from headers alone |

mod adapters;
mod atomic;
mod base;
pub mod compvis;
mod diffusers;
mod digest;
mod family;
mod folder;
mod inspect;
mod mapped;
mod open;
mod pickle;
mod pocket;
mod random;
mod safetensors;
mod shards;
mod torch;
mod write;
mod zip;

pub use adapters::{load_adapters, save_adapters};
pub use atomic::write_atomically;
pub use base::{Account, Checkpoint, Component, Kind, TokenizerFiles, files, open};
pub use diffusers::open_autoencoder;
pub use digest::file_digest;
pub use family::Family;
pub use folder::{Part, write_component, write_json, write_pipeline, write_tensors};
pub(crate) use inspect::CACHE_FORMAT;
pub use inspect::{ComponentReport, Inspection, inspect};
pub(crate) use mapped::{malformed, quoted};
pub use open::open_file;
pub(crate) use open::{read_json, read_text};
pub use pocket::{POCKET, is_pocket, pocket_digest};
pub use random::Random;
pub use safetensors::SafeTensors;
pub use torch::TorchFile;
pub use write::write_safetensors;

#[cfg(test)]
mod tests;
