//! How a model was trained to denoise: `scheduler/scheduler_config.json` of a diffusers folder.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The fields of `scheduler_config.json` that matter to the samplers here; the others are ignored, and which class of
/// diffusers wrote the file too, because the sampler is chosen by the user.
///
/// A field that is not in the file has diffusers' default, where needed that of the chosen sampler's class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// Number of noise levels in training.
    pub num_train_timesteps: usize,
    /// Variance that the first noise level adds.
    pub beta_start: f64,
    /// Variance that the last noise level adds.
    pub beta_end: f64,
    /// How variances go from the first to the last.
    pub beta_schedule: BetaSchedule,
    /// What the model's output means.
    pub prediction_type: PredictionType,
    /// How timesteps are chosen; without it, as the sampler's class in diffusers does.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Added to the timesteps of [`TimestepSpacing::Leading`].
    pub steps_offset: usize,
    /// Whether the step after the last goes to no noise at all, or to the noise of timestep 0.
    pub set_alpha_to_one: Option<bool>,
    /// Whether the last noise level is made pure noise (Lin et al., arXiv 2305.08891, algorithm 1).
    pub rescale_betas_zero_snr: bool,
    /// Cuts predictions to [-1, 1]: right for pixels, wrong for latents and so refused. Absent means no.
    pub clip_sample: bool,
    /// Dynamic thresholding: refused for the same reason.
    pub thresholding: bool,
    /// Variances one by one: not implemented.
    pub trained_betas: Option<Vec<f64>>,
    /// PNDM without its Runge-Kutta start, which is how Stable Diffusion uses it; `false` is refused.
    pub skip_prk_steps: Option<bool>,
}

/// How the variances of the noise levels go from `beta_start` to `beta_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// In equal steps.
    Linear,
    /// Their square roots in equal steps: latent diffusion.
    ScaledLinear,
}

/// What the model's output means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise in the sample.
    Epsilon,
    /// `sqrt(a) noise - sqrt(1 - a) x0` (Salimans and Ho, arXiv 2202.00512).
    VPrediction,
    /// The sample without its noise.
    Sample,
}

/// How the timesteps of a run are chosen among those of training (arXiv 2305.08891, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Multiples of a whole step from 0 up; never reaches the noisiest.
    Leading,
    /// Multiples of a step from the noisiest down.
    Trailing,
    /// From the noisiest to 0, both included.
    Linspace,
}

impl Default for SchedulerConfig {
    /// diffusers' defaults. For Stable Diffusion take [`SchedulerConfig::stable_diffusion`].
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            beta_start: 0.0001,
            beta_end: 0.02,
            beta_schedule: BetaSchedule::Linear,
            prediction_type: PredictionType::Epsilon,
            timestep_spacing: None,
            steps_offset: 0,
            set_alpha_to_one: None,
            rescale_betas_zero_snr: false,
            clip_sample: false,
            thresholding: false,
            trained_betas: None,
            skip_prk_steps: None,
        }
    }
}

impl SchedulerConfig {
    /// What Stable Diffusion 1.x and 2.x were trained with; for checkpoints that bring no `scheduler_config.json`.
    pub fn stable_diffusion(prediction_type: PredictionType) -> Self {
        Self {
            beta_start: 0.00085,
            beta_end: 0.012,
            beta_schedule: BetaSchedule::ScaledLinear,
            prediction_type,
            steps_offset: 1,
            set_alpha_to_one: Some(false),
            ..Self::default()
        }
    }

    /// What is left of the image's variance at each timestep, `[num_train_timesteps]` falling from almost 1 to almost 0:
    /// `x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise`.
    ///
    /// The values are rounded to f32 as in training, which shows at the first timesteps, where `1 - a` is small.
    ///
    /// # Errors
    /// When the configuration is not one of a latent diffusion model.
    pub fn alphas_cumprod(&self) -> Result<Vec<f64>, Error> {
        self.check()?;
        let mut alphas: Vec<f32> = self.betas().iter().map(|beta| 1.0 - beta).collect();
        if self.rescale_betas_zero_snr {
            let roots: Vec<f32> = products(&alphas).iter().map(|a| a.sqrt()).collect();
            let (first, last) = (roots[0], roots[roots.len() - 1]);
            let bars: Vec<f32> = roots.iter().map(|r| ((r - last) * (first / (first - last))).powi(2)).collect();
            alphas = bars.iter().enumerate().map(|(i, bar)| if i == 0 { *bar } else { bar / bars[i - 1] }).collect();
        }
        Ok(products(&alphas).into_iter().map(f64::from).collect())
    }

    /// `[num_train_timesteps]` in f32, from both ends to the middle, like `torch.linspace`.
    fn betas(&self) -> Vec<f32> {
        let (start, end) = match self.beta_schedule {
            BetaSchedule::Linear => (self.beta_start as f32, self.beta_end as f32),
            BetaSchedule::ScaledLinear => (self.beta_start.sqrt() as f32, self.beta_end.sqrt() as f32),
        };
        let n = self.num_train_timesteps;
        let step = (end - start) / (n - 1) as f32;
        let line = (0..n).map(|i| if i < n / 2 { start + step * i as f32 } else { end - step * (n - 1 - i) as f32 });
        match self.beta_schedule {
            BetaSchedule::Linear => line.collect(),
            BetaSchedule::ScaledLinear => line.map(|root| root * root).collect(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let config = |message: &str| Err(Error::Config(format!("scheduler configuration: {message}")));
        if self.num_train_timesteps < 2 || self.num_train_timesteps > 1_000_000 {
            return config("`num_train_timesteps` must be between 2 and 1000000");
        }
        if !(self.beta_start > 0.0 && self.beta_start <= self.beta_end && self.beta_end < 1.0) {
            return config("`beta_start` and `beta_end` must rise within (0, 1)");
        }
        if self.clip_sample || self.thresholding {
            return config("`clip_sample` and `thresholding` are for models of pixels and would ruin latents");
        }
        if self.trained_betas.is_some() {
            return config("`trained_betas` is not supported, only `beta_start`, `beta_end` and `beta_schedule`");
        }
        if self.rescale_betas_zero_snr && self.prediction_type == PredictionType::Epsilon {
            return config(
                "`rescale_betas_zero_snr` needs `prediction_type` `v_prediction`: pure noise holds no `epsilon`",
            );
        }
        Ok(())
    }
}

/// Running products, summed up in f64 and rounded to f32 like `torch.cumprod`.
fn products(factors: &[f32]) -> Vec<f32> {
    let running = factors.iter().scan(1.0, |product, factor| {
        *product *= f64::from(*factor);
        Some(*product as f32)
    });
    running.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_diffusers_writes() {
        let check = |json: &str, expected: Result<SchedulerConfig, &str>| {
            let found: Result<SchedulerConfig, _> = serde_json::from_str(json);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{json}"),
                (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{json}: {found}"),
                (found, expected) => panic!("{json}: expected {expected:?}, found {found:?}"),
            }
        };
        // The file of Stable Diffusion 1.5.
        check(
            r#"{"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
                "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
                "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null,
                "clip_sample": false}"#,
            Ok(SchedulerConfig {
                skip_prk_steps: Some(true),
                ..SchedulerConfig::stable_diffusion(PredictionType::Epsilon)
            }),
        );
        check("{}", Ok(SchedulerConfig::default()));
        check(
            r#"{"timestep_spacing": "trailing", "prediction_type": "v_prediction", "rescale_betas_zero_snr": true}"#,
            Ok(SchedulerConfig {
                timestep_spacing: Some(TimestepSpacing::Trailing),
                prediction_type: PredictionType::VPrediction,
                rescale_betas_zero_snr: true,
                ..SchedulerConfig::default()
            }),
        );
        check(r#"{"beta_schedule": "squaredcos_cap_v2"}"#, Err("`linear` or `scaled_linear`"));
        check(r#"{"prediction_type": "flow_prediction"}"#, Err("`epsilon`, `v_prediction`, `sample`"));
        check(r#"{"num_train_timesteps": -1}"#, Err("integer `-1`"));
    }

    #[test]
    fn refuses_what_latents_cannot_take() {
        let check = |change: fn(&mut SchedulerConfig), expected: &str| {
            let mut config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
            change(&mut config);
            let message = config.alphas_cumprod().expect_err(expected).to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(|c| c.clip_sample = true, "`clip_sample`");
        check(|c| c.thresholding = true, "`thresholding`");
        check(|c| c.trained_betas = Some(vec![0.1]), "`trained_betas`");
        check(|c| c.beta_end = 0.0, "`beta_end`");
        check(|c| c.beta_start = f64::NAN, "`beta_start`");
        check(|c| c.num_train_timesteps = 0, "`num_train_timesteps`");
        check(|c| c.rescale_betas_zero_snr = true, "`rescale_betas_zero_snr`");
    }

    /// The first and last values for Stable Diffusion, as torch prints them, and pure noise after rescaling.
    #[test]
    fn alphas_fall_from_image_to_noise() {
        let config = SchedulerConfig::stable_diffusion(PredictionType::VPrediction);
        let alphas = config.alphas_cumprod().unwrap();
        assert!((alphas[0] - 0.999_150_0).abs() < 1e-7 && (alphas[999] - 0.004_660_1).abs() < 1e-7);
        assert!(alphas.is_sorted_by(|a, b| a > b));
        let rescaled = SchedulerConfig { rescale_betas_zero_snr: true, ..config }.alphas_cumprod().unwrap();
        assert!((rescaled[0] - alphas[0]).abs() < 1e-6 && rescaled[999] == 0.0);
    }
}
