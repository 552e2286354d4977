//! From pictures to latents and back: the autoencoder (diffusers' `AutoencoderKL`, Rombach et al. 2022).

mod autoencoder;
mod blocks;
mod config;
mod decoder;
mod encoder;
mod tiling;

pub use autoencoder::{Posterior, Vae};
pub use config::VaeConfig;
pub use tiling::Tiling;
