//! Stable Diffusion as a single file, in the layout of the CompVis and Stability repositories.

mod places;
mod relaid;
mod structure;
mod unused;

pub use places::{Part, Place, text_places, unet_places, vae_places};
pub(super) use relaid::Relaid;
pub(super) use structure::{Structure, is_compvis};
pub(super) use unused::unused_reason;

use super::Family;
