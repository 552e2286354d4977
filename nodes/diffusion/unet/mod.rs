//! The denoiser of Stable Diffusion 1.x and 2.x: diffusers' `UNet2DConditionModel`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`config`] | the structure, as in `unet/config.json` |
//! | [`time`] | sinusoidal timestep embedding and its two linear layers |
//! | [`resnet`] | convolution blocks, down- and upsampling |
//! | [`attention`] | attention with heads, keys and values projected on their own |
//! | [`conditions`] | texts and timesteps, made ready for many evaluations |
//! | [`transformer`] | the spatial transformer, and [`transformer::BlockHook`], where DreamCache joins in |
//! | [`model`] | [`UNet`]: the blocks in their order, with the skip connections |

pub mod attention;
pub mod conditions;
pub mod config;
pub mod model;
pub mod resnet;
pub mod time;
pub mod transformer;

pub use conditions::{TextContext, TimeOffsets};
pub use config::UNetConfig;
pub use model::UNet;
