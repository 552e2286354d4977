//! DreamCache: personalised images from cached features of one reference picture (CVPR 2025, arXiv 2411.17786).
//!
//! The reference is sent through the frozen denoiser once, almost without noise and with an empty prompt; what enters a
//! few of its transformers is kept. While sampling, small trained adapters at the same places attend from the image
//! under generation to what was kept.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`placement`] | which attention layers are cached, by the structure of the denoiser |
//! | [`cache`] | [`ReferenceCache`]: the kept features, and making them |
//! | [`mod@file`] | caches as files, and what they depend on |
//! | [`adapter`] | [`Adapters`]: the trained part, and its variants |
//! | [`names`] | what the adapters' tensors are called in files |
//! | [`conditioning`] | adapters at work: [`ProjectedCache`] and the hook in the denoiser's blocks |
//! | [`guidance`] | [`Guidance`] rules and the [`Denoiser`] that a sampling loop calls |
//! | [`steps`] | [`Steps`]: a denoiser along a schedule, and what is computed once for all steps; [`Portions`] of a batch |
//! | [`maps`] | where the adapters look on the reference |

pub mod adapter;
pub mod cache;
pub mod conditioning;
pub mod file;
pub mod guidance;
pub mod maps;
pub mod names;
pub mod placement;
pub mod steps;

#[cfg(test)]
mod parity;

pub use adapter::{AdapterConfig, Adapters, Variant};
pub use cache::ReferenceCache;
pub use conditioning::{FoldedProjections, Personalisation, ProjectedCache};
pub use file::{CacheOrigin, load_cache, read_origin, save_cache};
pub use guidance::{Denoiser, Guidance};
pub use maps::AttentionMaps;
pub use placement::{CachePoint, Placement};
pub use steps::{Portions, Steps};
