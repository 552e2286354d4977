//! Which timesteps and noise levels a run passes through.

use super::config::{SchedulerConfig, TimestepSpacing};
use super::sampler::Sampler;

/// Timesteps of the distillation that latent consistency models are trained on (diffusers' default).
pub(super) const LCM_ORIGINAL_STEPS: usize = 50;

/// The configured spacing, or that of the sampler's class in diffusers.
pub(super) fn spacing(config: &SchedulerConfig, sampler: Sampler) -> TimestepSpacing {
    let default = if sampler.counts_in_ratios() { TimestepSpacing::Linspace } else { TimestepSpacing::Leading };
    config.timestep_spacing.unwrap_or(default)
}

/// The timesteps of the run, falling.
pub(super) fn timesteps(config: &SchedulerConfig, sampler: Sampler, spacing: TimestepSpacing, n: usize) -> Vec<f64> {
    let total = config.num_train_timesteps;
    if sampler == Sampler::Lcm {
        let stride = total / LCM_ORIGINAL_STEPS;
        return (0..n).map(|i| ((LCM_ORIGINAL_STEPS - i * LCM_ORIGINAL_STEPS / n) * stride - 1) as f64).collect();
    }
    // The multistep samplers leave the lowest timestep of n + 1 to their end at no noise.
    let points = if sampler.counts_in_ratios() && !sampler.is_variance_exploding() { n + 1 } else { n };
    match spacing {
        TimestepSpacing::Leading => {
            let stride = total / points;
            (points - n..points).rev().map(|i| (i * stride + config.steps_offset) as f64).collect()
        }
        TimestepSpacing::Trailing => {
            let stride = total as f64 / n as f64;
            (0..n).map(|i| (total as f64 - i as f64 * stride).round_ties_even() - 1.0).collect()
        }
        TimestepSpacing::Linspace => {
            let last = (total - 1) as f64;
            let stride = if points > 1 { last / (points - 1) as f64 } else { 0.0 };
            // The end exactly, as NumPy's: a product may lie above it.
            let at = |i: usize| if i > 0 && i + 1 == points { last } else { i as f64 * stride };
            let even = (points - n..points).rev().map(at);
            if sampler.is_variance_exploding() { even.collect() } else { even.map(f64::round_ties_even).collect() }
        }
    }
}

/// Noise per image at each timestep, then none. Karras' levels bring their own timesteps.
pub(super) fn ratios(timesteps: &mut [f64], sampler: Sampler, alphas_cumprod: &[f64]) -> Vec<f64> {
    let trained = trained_ratios(alphas_cumprod);
    let mut ratios: Vec<f64> = timesteps.iter().map(|t| interpolate(&trained, *t)).collect();
    let range = match sampler {
        Sampler::EulerKarras => Some((ratios[ratios.len() - 1], ratios[0])),
        Sampler::DpmPp2mKarras | Sampler::DpmPp2mSdeKarras => Some((trained[0], trained[trained.len() - 1])),
        _ => None,
    };
    if let Some((min, max)) = range {
        ratios = karras(min, max, timesteps.len());
        for (t, ratio) in timesteps.iter_mut().zip(&ratios) {
            *t = timestep_of(*ratio, &trained);
            if sampler != Sampler::EulerKarras {
                *t = t.round_ties_even();
            }
        }
    }
    ratios.push(0.0);
    ratios
}

/// Noise per image at each training timestep. Pure noise has no finite level; diffusers takes the smallest number of half
/// precision.
pub(super) fn trained_ratios(alphas_cumprod: &[f64]) -> Vec<f64> {
    let finite = |a: f64| if a == 0.0 { 2f64.powi(-24) } else { a };
    alphas_cumprod.iter().map(|a| finite(*a)).map(|a| ((1.0 - a) / a).sqrt()).collect()
}

/// Karras et al., arXiv 2206.00364, equation 5, with their rho of 7.
fn karras(min: f64, max: f64, n: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let (low, high) = (min.powf(1.0 / RHO), max.powf(1.0 / RHO));
    let ramp = |i: usize| if n > 1 { i as f64 / (n - 1) as f64 } else { 0.0 };
    (0..n).map(|i| (high + ramp(i) * (low - high)).powf(RHO)).collect()
}

pub(super) fn interpolate(values: &[f64], at: f64) -> f64 {
    let low = (at as usize).min(values.len() - 2);
    let w = at - low as f64;
    (1.0 - w) * values[low] + w * values[low + 1]
}

/// The timestep, with fractions, of a noise level: linear in its logarithm between the trained ones.
pub(super) fn timestep_of(ratio: f64, trained: &[f64]) -> f64 {
    let low = trained.partition_point(|r| *r <= ratio).saturating_sub(1).min(trained.len() - 2);
    let (a, b) = (trained[low].ln(), trained[low + 1].ln());
    let w = ((ratio.ln() - a) / (b - a)).clamp(0.0, 1.0);
    low as f64 + w
}
