//! Files that hold models, and how their names map to those of this crate.

mod mapped;
mod pickle;
mod safetensors;
mod torch;
mod zip;

pub use safetensors::SafeTensors;
pub use torch::TorchFile;
