//! What a denoiser is taught: to tell noise and picture apart at any noise level.

use crate::error::Error;
use crate::random::TorchGenerator;
use crate::schedulers::{PredictionType, SchedulerConfig};

/// The noise levels of a model, and what it predicts.
#[derive(Clone, Debug)]
pub struct Noising {
    alphas: Vec<f64>,
    prediction_type: PredictionType,
}

/// Noisy latents of a batch, and what a denoiser should make of them.
///
/// # Shapes
/// - noisy, target: `[batch, channels, height, width]`
/// - timesteps: `[batch]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noised {
    /// What goes in.
    pub noisy: Vec<f32>,
    /// What should come out.
    pub target: Vec<f32>,
    /// How noisy each is.
    pub timesteps: Vec<f32>,
}

impl Noising {
    /// The noise levels of a model.
    ///
    /// # Errors
    /// When the configuration is none of a latent diffusion model.
    pub fn new(scheduler: &SchedulerConfig) -> Result<Self, Error> {
        Ok(Self { alphas: scheduler.alphas_cumprod()?, prediction_type: scheduler.prediction_type })
    }

    /// Number of timesteps.
    pub fn timesteps(&self) -> usize {
        self.alphas.len()
    }

    /// `sqrt(a) x + sqrt(1 - a) noise` at a timestep.
    pub fn noise(&self, latents: &[f32], noise: &[f32], timestep: usize) -> Vec<f32> {
        let (signal, rest) = self.parts(timestep);
        latents.iter().zip(noise).map(|(x, n)| signal * x + rest * n).collect()
    }

    /// Adds a picture's latents, noised to a level, to a batch.
    pub fn add(&self, batch: &mut Noised, latents: &[f32], noise: &[f32], timestep: usize) {
        batch.noisy.extend(self.noise(latents, noise, timestep));
        let (signal, rest) = self.parts(timestep);
        match self.prediction_type {
            PredictionType::Epsilon => batch.target.extend_from_slice(noise),
            PredictionType::VPrediction => {
                batch.target.extend(latents.iter().zip(noise).map(|(x, n)| signal * n - rest * x));
            }
            PredictionType::Sample => batch.target.extend_from_slice(latents),
        }
        batch.timesteps.push(timestep as f32);
    }

    /// A timestep, all alike.
    pub fn draw_timestep(&self, generator: &mut TorchGenerator) -> usize {
        super::draws::below(generator, self.alphas.len())
    }

    fn parts(&self, timestep: usize) -> (f32, f32) {
        let alpha = self.alphas[timestep];
        (alpha.sqrt() as f32, (1.0 - alpha).sqrt() as f32)
    }
}
