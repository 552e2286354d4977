//! Stable Diffusion 1.x and 2.x and DreamCache on Burn. Knows no graphs, no files beyond checkpoints, no terminal.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`weights`] | where tensors come from: [`weights::TensorSource`] and the accounting cursor [`weights::Weights`] |
//! | [`checkpoint`] | files that hold models, and how their names map to those used here |
//! | [`model`] | a base model, assembled |
//! | [`layers`] | the few layers shared by all models |
//! | [`schedulers`] | samplers: noise levels and the steps between them |
//! | [`sampling`] | the denoising loop |
//! | [`random`] | PyTorch's random numbers |
//! | [`device`] | where tensors live, in which number type |
//! | [`text`] | tokenizer and CLIP text encoder |
//! | [`vae`] | the autoencoder |
//! | [`unet`] | the denoiser |
//! | [`dreamcache`] | reference cache, conditioning adapters, guidance |
//! | [`classifier`] | a small network that says what a picture shows |
//! | [`measure`] | what the parts of a model cost |
//! | [`training`] | training the small model and adapters |
//!
//! # Invariants
//! - A model is built from its configuration and a [`weights::Weights`] cursor; every tensor is asked for once, by its diffusers name.
//! - Randomness is always an argument. Progress is a callback. Nothing here prints.

pub mod checkpoint;
pub mod classifier;
pub mod device;
pub mod dreamcache;
#[cfg(test)]
mod e2e;
pub mod error;
pub mod layers;
pub mod measure;
pub mod model;
pub mod random;
pub mod sampling;
pub mod schedulers;
#[cfg(test)]
mod testing;
pub mod text;
pub mod training;
pub mod unet;
pub mod vae;
pub mod weights;

pub use burn::tensor::DType;
pub use error::Error;
