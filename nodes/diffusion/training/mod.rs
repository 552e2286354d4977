//! Training: the small model itself, and the conditioning adapters of any base model.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`dataset`] | what is learned from: [`Triplets`] |
//! | [`run`] | the loop, for any [`Task`] |
//! | [`autoencoder`], [`denoiser`], [`mod@adapters`], [`classifier`] | the tasks |
//! | [`mod@augment`] | what references go through |
//! | [`pool`], [`noising`] | latents made beforehand, and noise on them |
//! | [`parameters`] | parameters and their state, on the host |
//! | [`initial`] | what they start from |
//! | [`optimizer`], [`muon`], [`schedule`] | the optimiser and its learning rate |
//! | [`draws`] | randomness that follows from a seed and the number of a batch |
//! | [`state`] | a run as files: states and log |
//! | [`pictures`] | pictures as tensors |

pub mod adapters;
pub mod augment;
pub mod autoencoder;
pub mod classifier;
pub mod dataset;
pub mod denoiser;
pub mod draws;
pub mod initial;
pub mod muon;
pub mod noising;
pub mod optimizer;
pub mod parameters;
pub mod pictures;
pub mod pool;
pub mod run;
pub mod schedule;
pub mod state;

pub use adapters::{AdaptersTask, Contexts};
pub use augment::augment;
pub use autoencoder::AutoencoderTask;
pub use classifier::ClassifierTask;
pub use dataset::{Picture, Split, Triplet, Triplets};
pub use denoiser::{DenoiserTask, TextToLatents};
pub use initial::Initial;
pub use muon::Muon;
pub use noising::Noising;
pub use optimizer::Optimizer;
pub use parameters::{Kept, Parameters};
pub use pool::{Pool, Source};
pub use run::{Event, Habits, Schedule, Task, train};
pub use state::Record;

#[cfg(test)]
mod tests;
