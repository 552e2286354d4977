//! Schedules that somebody else computed: noise levels or timesteps as numbers.

use super::config::{SchedulerConfig, TimestepSpacing};
use super::sampler::Sampler;
use super::schedule::{Level, Schedule, Step, check};
use super::timesteps::{interpolate, spacing, timestep_of, trained_ratios};
use crate::error::Error;

/// What a run passes through, falling. After the last comes no noise.
#[derive(Clone, Debug, PartialEq)]
pub enum Levels {
    /// Noise per image (`sigmas` in diffusers and k-diffusion), above 0; a 0 at the end is allowed and changes nothing.
    Sigmas(Vec<f64>),
    /// Timesteps in [0, num_train_timesteps); whole ones for the samplers that count in timesteps.
    Timesteps(Vec<f64>),
}

impl Levels {
    /// Number of steps.
    pub fn num_inference_steps(&self) -> usize {
        match self {
            Self::Sigmas(sigmas) => sigmas.len() - usize::from(sigmas.last() == Some(&0.0)),
            Self::Timesteps(timesteps) => timesteps.len(),
        }
    }
}

impl Schedule {
    /// The way through given levels, without the first `first_step` of them. What the model is told at a noise level is the
    /// timestep that was trained with it, linear in the level's logarithm between two (`_sigma_to_t` in diffusers). `eta` in
    /// [0, 1], for [`Sampler::Ddim`] only.
    ///
    /// # Errors
    /// When there are none, when they do not fall or are out of range, and for [`Sampler::Pndm`], which needs even steps.
    pub fn from_levels(
        config: &SchedulerConfig,
        sampler: Sampler,
        levels: &Levels,
        eta: f64,
        first_step: usize,
    ) -> Result<Self, Error> {
        let steps = levels.num_inference_steps();
        check(config, sampler, steps, eta)?;
        if sampler == Sampler::Pndm {
            return Err(Error::Argument("`pndm` needs even steps; take another sampler for levels of your own".into()));
        }
        if first_step >= steps {
            return Err(Error::Argument(format!("the first step must be below the number of steps, {steps}")));
        }
        let alphas_cumprod = config.alphas_cumprod()?;
        let end = match config.set_alpha_to_one.unwrap_or(true) {
            _ if sampler.counts_in_ratios() => Level::of_ratio(0.0),
            true => Level::of_alpha_cumprod(1.0),
            false => Level::of_alpha_cumprod(alphas_cumprod[0]),
        };
        let trained = trained_ratios(&alphas_cumprod);
        let passed: Vec<(f64, Level)> = match levels {
            Levels::Sigmas(sigmas) => {
                falling(&sigmas[..steps], "sigmas", |sigma| sigma > 0.0, "above 0")?;
                sigmas[..steps].iter().map(|sigma| (timestep_of(*sigma, &trained), Level::of_ratio(*sigma))).collect()
            }
            Levels::Timesteps(timesteps) => {
                let last = (config.num_train_timesteps - 1) as f64;
                let whole = !sampler.counts_in_ratios();
                let allowed = |t: f64| (0.0..=last).contains(&t) && (!whole || t.fract() == 0.0);
                let kind = if whole { "whole numbers " } else { "" };
                falling(timesteps, "timesteps", allowed, &format!("{kind}from 0 to {last}"))?;
                let level = |t: f64| match whole {
                    true => Level::of_alpha_cumprod(alphas_cumprod[t as usize]),
                    false => Level::of_ratio(interpolate(&trained, t)),
                };
                timesteps.iter().map(|t| (*t, level(*t))).collect()
            }
        };
        let init_noise_sigma = match (sampler.is_variance_exploding(), spacing(config, sampler)) {
            (false, _) => 1.0,
            (true, TimestepSpacing::Leading) => passed[0].1.ratio().hypot(1.0),
            (true, TimestepSpacing::Trailing | TimestepSpacing::Linspace) => passed[0].1.ratio(),
        };
        let next = passed[1..].iter().map(|(_, level)| *level).chain([end]);
        let way = passed.iter().zip(next).skip(first_step);
        let steps = way.map(|(&(timestep, from), to)| Step { timestep, from, to }).collect();
        Ok(Self { sampler, prediction_type: config.prediction_type, eta, steps, init_noise_sigma })
    }
}

fn falling(levels: &[f64], name: &str, allowed: impl Fn(f64) -> bool, range: &str) -> Result<(), Error> {
    if let Some(bad) = levels.iter().find(|level| !level.is_finite() || !allowed(**level)) {
        return Err(Error::Argument(format!("`{name}` must be {range}, found {bad}")));
    }
    match levels.windows(2).find(|pair| pair[0] <= pair[1]) {
        Some(pair) => Err(Error::Argument(format!("`{name}` must fall, found {} after {}", pair[1], pair[0]))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::PredictionType;
    use super::*;

    fn config() -> SchedulerConfig {
        SchedulerConfig::stable_diffusion(PredictionType::Epsilon)
    }

    /// The schedules that have goldens, given as numbers, are what they were: so the walks along them are, too.
    #[test]
    fn given_schedules_are_the_same_as_built_in_ones() {
        for sampler in Sampler::ALL.into_iter().filter(|sampler| *sampler != Sampler::Pndm) {
            for (steps, first_step) in [(1, 0), (7, 0), (20, 0), (20, 8)] {
                let expected = Schedule::from_step(&config(), sampler, steps, 0.0, first_step).unwrap();
                let whole = Schedule::new(&config(), sampler, steps, 0.0).unwrap();
                let check = |levels: Levels, rounding: f64| {
                    let found = Schedule::from_levels(&config(), sampler, &levels, 0.0, first_step).unwrap();
                    assert_eq!(found.len(), expected.len());
                    assert!((found.init_noise_sigma - expected.init_noise_sigma).abs() < 1e-9, "{sampler}");
                    for (found, expected) in found.steps.iter().zip(&expected.steps) {
                        assert!((found.timestep - expected.timestep).abs() <= rounding, "{sampler} {levels:?}");
                        for (found, expected) in [(found.from, expected.from), (found.to, expected.to)] {
                            assert!((found.alpha - expected.alpha).abs() < 1e-9, "{sampler} {levels:?}");
                            assert!((found.sigma - expected.sigma).abs() < 1e-9, "{sampler} {levels:?}");
                        }
                    }
                };
                if sampler.counts_in_ratios() {
                    // Where diffusers rounds timesteps, half a one is lost; between two, one way is linear in the level and
                    // the way back in its logarithm.
                    let rounds = matches!(sampler, Sampler::DpmPp2mKarras | Sampler::DpmPp2mSdeKarras);
                    check(Levels::Sigmas(whole.sigmas()), if rounds { 0.5 } else { 0.01 });
                }
                if !matches!(sampler, Sampler::DpmPp2mKarras | Sampler::DpmPp2mSdeKarras | Sampler::EulerKarras) {
                    check(Levels::Timesteps(whole.timesteps()), 0.0);
                }
            }
        }
    }

    #[test]
    fn bad_levels_are_refused() {
        let check = |sampler, levels, first_step, expected: &str| {
            let found = Schedule::from_levels(&config(), sampler, &levels, 0.0, first_step);
            let message = found.expect_err(expected).to_string();
            assert!(message.contains(expected), "{message:?} should contain {expected:?}");
        };
        let sigmas = |sigmas: &[f64]| Levels::Sigmas(sigmas.to_vec());
        let timesteps = |timesteps: &[f64]| Levels::Timesteps(timesteps.to_vec());
        check(Sampler::Euler, sigmas(&[]), 0, "between 1 and 1000");
        check(Sampler::Euler, sigmas(&[0.0]), 0, "between 1 and 1000");
        check(Sampler::Euler, sigmas(&[2.0, 2.0]), 0, "`sigmas` must fall, found 2 after 2");
        check(Sampler::Euler, sigmas(&[2.0, -1.0]), 0, "`sigmas` must be above 0, found -1");
        check(Sampler::Euler, sigmas(&[f64::NAN]), 0, "`sigmas` must be above 0, found NaN");
        check(Sampler::Euler, sigmas(&[f64::INFINITY]), 0, "found inf");
        check(Sampler::Euler, sigmas(&[2.0, 1.0, 0.0]), 2, "first step must be below");
        check(Sampler::Euler, timesteps(&[1000.0]), 0, "`timesteps` must be from 0 to 999, found 1000");
        check(Sampler::Ddim, timesteps(&[1.5]), 0, "`timesteps` must be whole numbers from 0 to 999");
        check(Sampler::Pndm, timesteps(&[2.0, 1.0]), 0, "`pndm` needs even steps");
    }
}
