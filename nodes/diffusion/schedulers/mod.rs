//! From noise to latents: the samplers of diffusers, with its numbers.
//!
//! A [`SchedulerConfig`] (a `scheduler_config.json`) says how a model was trained, a [`Sampler`] how to walk back; a
//! [`Schedule`] is the two for a number of steps, and a [`Stepper`] walks it once.
//!
//! Every step of every sampler here is a linear combination of tensors: the sample, the model's output, noise, and what
//! earlier steps left behind. The coefficients are computed on the host in f64, so a new sampler is a name in
//! [`Sampler`], its noise levels in `timesteps.rs`, and its coefficients in a file of its own.

mod config;
mod ddim;
mod dpm;
mod euler;
mod given;
mod lcm;
mod pndm;
mod sampler;
mod schedule;
mod stepper;
mod timesteps;
mod unipc;

pub use config::{BetaSchedule, PredictionType, SchedulerConfig, TimestepSpacing};
pub use given::Levels;
pub use sampler::Sampler;
pub use schedule::Schedule;
pub use stepper::{State, Stepper};
