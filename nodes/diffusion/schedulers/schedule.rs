//! The noise levels that one run passes through.

use burn::tensor::Tensor;

use super::config::{PredictionType, SchedulerConfig, TimestepSpacing};
use super::sampler::Sampler;
use super::stepper::combine;
use super::timesteps::{LCM_ORIGINAL_STEPS, ratios, spacing, timesteps};
use crate::error::Error;

/// A sampler's way through the noise levels of a model, for a number of steps. Only numbers: cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub(super) sampler: Sampler,
    pub(super) prediction_type: PredictionType,
    pub(super) eta: f64,
    pub(super) steps: Vec<Step>,
    pub(super) init_noise_sigma: f64,
}

/// One evaluation of the model, and where it leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) timestep: f64,
    pub(super) from: Level,
    pub(super) to: Level,
}

/// How much image and how much noise is in a sample: `x = alpha x0 + sigma noise` with `alpha² + sigma² = 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) alpha: f64,
    pub(super) sigma: f64,
}

impl Level {
    pub(super) fn of_alpha_cumprod(a: f64) -> Self {
        Self { alpha: a.sqrt(), sigma: (1.0 - a).sqrt() }
    }

    pub(super) fn of_ratio(ratio: f64) -> Self {
        let alpha = 1.0 / ratio.hypot(1.0);
        Self { alpha, sigma: ratio * alpha }
    }

    /// Noise per image: what k-diffusion and `sigmas` in diffusers call sigma.
    pub(super) fn ratio(self) -> f64 {
        self.sigma / self.alpha
    }

    /// Half the logarithm of the signal-to-noise ratio; infinite without noise.
    pub(super) fn lambda(self) -> f64 {
        (self.alpha / self.sigma).ln()
    }

    /// Coefficients of the sample and of the model's output in the predicted noise-free sample.
    pub(super) fn denoised(self, prediction_type: PredictionType) -> (f64, f64) {
        match prediction_type {
            PredictionType::Epsilon => (1.0 / self.alpha, -self.sigma / self.alpha),
            PredictionType::VPrediction => (self.alpha, -self.sigma),
            PredictionType::Sample => (0.0, 1.0),
        }
    }

    /// Coefficients of the sample and of the model's output in the predicted noise.
    pub(super) fn noise(self, prediction_type: PredictionType) -> (f64, f64) {
        match prediction_type {
            PredictionType::Epsilon => (0.0, 1.0),
            PredictionType::VPrediction => (self.sigma, self.alpha),
            PredictionType::Sample => (1.0 / self.sigma, -self.alpha / self.sigma),
        }
    }
}

impl Schedule {
    /// The way from pure noise. `num_inference_steps` from 1; `eta` in [0, 1], for [`Sampler::Ddim`] only.
    ///
    /// # Errors
    /// When the configuration cannot be used with this sampler or the arguments are out of range.
    pub fn new(
        config: &SchedulerConfig,
        sampler: Sampler,
        num_inference_steps: usize,
        eta: f64,
    ) -> Result<Self, Error> {
        Self::from_step(config, sampler, num_inference_steps, eta, 0)
    }

    /// The same without its first `first_step` steps: the way from latents noised with [`Schedule::add_noise`].
    ///
    /// # Errors
    /// When the configuration cannot be used with this sampler or the arguments are out of range.
    pub fn from_step(
        config: &SchedulerConfig,
        sampler: Sampler,
        num_inference_steps: usize,
        eta: f64,
        first_step: usize,
    ) -> Result<Self, Error> {
        check(config, sampler, num_inference_steps, eta)?;
        if first_step >= num_inference_steps {
            return Err(Error::Argument(format!(
                "the first step must be below the number of steps, {num_inference_steps}, found {first_step}"
            )));
        }
        let alphas_cumprod = config.alphas_cumprod()?;
        let spacing = spacing(config, sampler);
        let mut timesteps = timesteps(config, sampler, spacing, num_inference_steps);
        let last = (config.num_train_timesteps - 1) as f64;
        if timesteps[0] > last || !timesteps.is_sorted_by(|a, b| a > b) {
            return Err(Error::Argument(format!(
                "{num_inference_steps} steps are too many for {} training timesteps with this `timestep_spacing`",
                config.num_train_timesteps
            )));
        }
        let (steps, init_noise_sigma) = if sampler.counts_in_ratios() {
            let ratios = ratios(&mut timesteps, sampler, &alphas_cumprod);
            let init = match spacing {
                _ if !sampler.is_variance_exploding() => 1.0,
                TimestepSpacing::Leading => ratios[0].hypot(1.0),
                TimestepSpacing::Trailing | TimestepSpacing::Linspace => ratios[0],
            };
            let levels: Vec<_> = ratios.into_iter().map(Level::of_ratio).collect();
            let way = timesteps.iter().zip(&levels).zip(&levels[1..]).skip(first_step);
            (way.map(|((&timestep, &from), &to)| Step { timestep, from, to }).collect(), init)
        } else {
            let stride = config.num_train_timesteps / num_inference_steps;
            let final_alpha = match config.set_alpha_to_one.unwrap_or(sampler != Sampler::Pndm) {
                true => 1.0,
                false => alphas_cumprod[0],
            };
            // Past the last timestep comes the final level; PNDM also looks before the first.
            let level = |t: f64| {
                let a = if t < 0.0 { final_alpha } else { alphas_cumprod[(t as usize).min(alphas_cumprod.len() - 1)] };
                Level::of_alpha_cumprod(a)
            };
            (strides(sampler, &timesteps[first_step..], stride as f64, level), 1.0)
        };
        Ok(Self { sampler, prediction_type: config.prediction_type, eta, steps, init_noise_sigma })
    }

    /// The sampler.
    pub fn sampler(&self) -> Sampler {
        self.sampler
    }

    /// Number of evaluations of the model: the number of steps, and one more for [`Sampler::Pndm`].
    #[allow(clippy::len_without_is_empty)] // there is at least one
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// The timestep that the model is told at an evaluation, in [0, num_train_timesteps); not always whole.
    ///
    /// # Panics
    /// When `index` is not below [`Schedule::len`].
    pub fn timestep(&self, index: usize) -> f64 {
        self.steps[index].timestep
    }

    /// All timesteps in the order of the run.
    pub fn timesteps(&self) -> Vec<f64> {
        self.steps.iter().map(|step| step.timestep).collect()
    }

    /// Noise per image (`sigmas` in diffusers) before each evaluation and after the last.
    pub fn sigmas(&self) -> Vec<f64> {
        let last = self.steps.last().map(|step| step.to.ratio());
        (0..self.len()).map(|i| self.level(i).ratio()).chain(last).collect()
    }

    /// What unit noise is multiplied with to start a run.
    pub fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
    }

    /// The model's input at an evaluation: the Euler samplers work on `x0 + sigma noise`, the model on unit variance.
    ///
    /// # Shapes
    /// - sample, result: `[batch, channels, height, width]`
    ///
    /// # Panics
    /// When `index` is not below [`Schedule::len`].
    pub fn scale_model_input(&self, index: usize, sample: Tensor<4>) -> Tensor<4> {
        if self.sampler.is_variance_exploding() { sample.mul_scalar(self.level(index).alpha) } else { sample }
    }

    /// Noises latents to the level of an evaluation.
    ///
    /// # Shapes
    /// - latents, noise, result: `[batch, channels, height, width]`
    ///
    /// # Panics
    /// When `index` is not below [`Schedule::len`].
    pub fn add_noise(&self, index: usize, latents: &Tensor<4>, noise: &Tensor<4>) -> Tensor<4> {
        let level = self.level(index);
        let (image, noise_level) =
            if self.sampler.is_variance_exploding() { (1.0, level.ratio()) } else { (level.alpha, level.sigma) };
        combine(&[(image, latents), (noise_level, noise)])
    }

    /// The noise-free sample that the model's output at an evaluation predicts.
    ///
    /// # Shapes
    /// - sample, model_output, result: `[batch, channels, height, width]`
    ///
    /// # Panics
    /// When `index` is not below [`Schedule::len`].
    pub fn denoised(&self, index: usize, sample: &Tensor<4>, model_output: &Tensor<4>) -> Tensor<4> {
        let (of_sample, of_output) = self.denoised_coefficients(index);
        combine(&[(of_sample, sample), (of_output, model_output)])
    }

    /// See [`Level::denoised`], here for the sample as the sampler holds it.
    pub(super) fn denoised_coefficients(&self, index: usize) -> (f64, f64) {
        let level = self.level(index);
        let (of_sample, of_output) = level.denoised(self.prediction_type);
        let scale = if self.sampler.is_variance_exploding() { level.alpha } else { 1.0 };
        (scale * of_sample, of_output)
    }

    /// The level of the sample that the model sees. PNDM's second evaluation is at the end of its step.
    fn level(&self, index: usize) -> Level {
        let step = self.steps[index];
        if self.sampler == Sampler::Pndm && index == 1 { step.to } else { step.from }
    }
}

pub(super) fn check(
    config: &SchedulerConfig,
    sampler: Sampler,
    num_inference_steps: usize,
    eta: f64,
) -> Result<(), Error> {
    let most = if sampler == Sampler::Lcm { LCM_ORIGINAL_STEPS } else { config.num_train_timesteps };
    if num_inference_steps == 0 || num_inference_steps > most {
        return Err(Error::Argument(format!(
            "the number of steps must be between 1 and {most} with `{sampler}`, found {num_inference_steps}"
        )));
    }
    if !(0.0..=1.0).contains(&eta) {
        return Err(Error::Argument(format!("`eta` must be between 0 and 1, found {eta}")));
    }
    if eta > 0.0 && sampler != Sampler::Ddim {
        return Err(Error::Argument(format!("`eta` is for the sampler `ddim`, but the sampler is `{sampler}`")));
    }
    if sampler == Sampler::Lcm && config.num_train_timesteps < LCM_ORIGINAL_STEPS {
        return Err(Error::Config(format!("`lcm` needs at least {LCM_ORIGINAL_STEPS} training timesteps")));
    }
    if sampler == Sampler::Pndm {
        let refused = if config.prediction_type == PredictionType::Sample {
            Some("predictions of the sample")
        } else if config.rescale_betas_zero_snr {
            Some("`rescale_betas_zero_snr`")
        } else if config.skip_prk_steps == Some(false) {
            Some("`skip_prk_steps` false")
        } else {
            None
        };
        if let Some(refused) = refused {
            return Err(Error::Config(format!("`pndm` does not work with {refused}; take another sampler")));
        }
    }
    Ok(())
}

/// The steps of the samplers that count in timesteps instead of noise levels.
fn strides(sampler: Sampler, timesteps: &[f64], stride: f64, level: impl Fn(f64) -> Level) -> Vec<Step> {
    let step = |timestep: f64, from: f64, to: f64| Step { timestep, from: level(from), to: level(to) };
    match sampler {
        // Consistency models jump to whatever timestep comes next.
        Sampler::Lcm => {
            let next = timesteps[1..].iter().copied().chain([-1.0]);
            timesteps.iter().zip(next).map(|(&t, next)| step(t, t, next)).collect()
        }
        // The first step is taken twice: once to learn the slope at its end, then with the mean of both slopes.
        Sampler::Pndm => {
            let mut steps: Vec<_> = timesteps.iter().map(|&t| step(t, t, t - stride)).collect();
            if let Some(&second) = timesteps.get(1) {
                steps.insert(1, step(second, second + stride, second));
            }
            steps
        }
        _ => timesteps.iter().map(|&t| step(t, t, t - stride)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_be_scheduled() {
        let stable = SchedulerConfig::stable_diffusion;
        let epsilon = || stable(PredictionType::Epsilon);
        let spaced = |spacing| SchedulerConfig { timestep_spacing: Some(spacing), ..epsilon() };
        let check = |config: SchedulerConfig, sampler, steps, eta, first_step, expected: &str| {
            let found = Schedule::from_step(&config, sampler, steps, eta, first_step);
            let message = found.expect_err(expected).to_string();
            assert!(message.contains(expected), "{sampler}, {steps} steps: {message}");
        };
        check(epsilon(), Sampler::Ddim, 0, 0.0, 0, "between 1 and 1000");
        check(epsilon(), Sampler::Ddim, 1001, 0.0, 0, "between 1 and 1000");
        check(epsilon(), Sampler::Lcm, 51, 0.0, 0, "between 1 and 50");
        check(epsilon(), Sampler::Ddim, 5, 1.5, 0, "`eta`");
        check(epsilon(), Sampler::Ddim, 5, f64::NAN, 0, "`eta`");
        check(epsilon(), Sampler::Euler, 5, 0.5, 0, "`eta` is for the sampler `ddim`");
        check(epsilon(), Sampler::Euler, 5, 0.0, 5, "first step");
        // steps_offset 1 leads out of the table; multistep samplers need one timestep more than steps.
        check(epsilon(), Sampler::Ddim, 1000, 0.0, 0, "too many");
        check(spaced(TimestepSpacing::Leading), Sampler::UniPc, 1000, 0.0, 0, "too many");
        check(spaced(TimestepSpacing::Linspace), Sampler::DpmPp2m, 1000, 0.0, 0, "too many");
        check(stable(PredictionType::Sample), Sampler::Pndm, 5, 0.0, 0, "predictions of the sample");
        let zero_snr = SchedulerConfig { rescale_betas_zero_snr: true, ..stable(PredictionType::VPrediction) };
        check(zero_snr, Sampler::Pndm, 5, 0.0, 0, "`rescale_betas_zero_snr`");
        let short = SchedulerConfig { num_train_timesteps: 20, ..epsilon() };
        check(short, Sampler::Lcm, 4, 0.0, 0, "at least 50");
    }

    /// A stride of 999 / 29 taken 29 times lies above 999, the last timestep that was trained.
    #[test]
    fn even_timesteps_begin_at_the_last_one() {
        let config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
        for (sampler, steps) in
            Sampler::ALL.into_iter().filter(|s| s.counts_in_ratios()).flat_map(|s| (2..=60).map(move |n| (s, n)))
        {
            let schedule = Schedule::new(&config, sampler, steps, 0.0).unwrap_or_else(|e| panic!("{sampler}: {e}"));
            assert!((schedule.timestep(0) - 999.0).abs() < 1e-9, "{sampler}, {steps} steps: {}", schedule.timestep(0));
        }
    }

    /// Every number of steps gives finite, falling noise, also from pure noise and with a single step.
    #[test]
    fn noise_falls_to_the_end() {
        let zero_snr = |on| SchedulerConfig {
            rescale_betas_zero_snr: on,
            timestep_spacing: Some(TimestepSpacing::Trailing),
            ..SchedulerConfig::stable_diffusion(PredictionType::VPrediction)
        };
        for sampler in Sampler::ALL {
            for on in [false, true].into_iter().filter(|on| !on || sampler != Sampler::Pndm) {
                for steps in [1, 2, 3, 7, 20, 30, 49] {
                    let schedule = Schedule::new(&zero_snr(on), sampler, steps, 0.0).unwrap();
                    let extra = usize::from(sampler == Sampler::Pndm && steps > 1);
                    assert_eq!(schedule.len(), steps + extra, "{sampler}");
                    let sigmas = schedule.sigmas();
                    assert!(sigmas.is_sorted_by(|a, b| a >= b), "{sampler} {steps}: {sigmas:?}");
                    // Only the first level of the samplers that count in timesteps may be pure noise.
                    assert!(sigmas[1..].iter().all(|s| s.is_finite()), "{sampler} {steps}: {sigmas:?}");
                }
            }
        }
    }
}
