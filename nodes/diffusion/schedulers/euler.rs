//! Euler's method along the probability flow, and ancestral sampling: Karras et al., arXiv 2206.00364, and k-diffusion.

use burn::tensor::Tensor;

use super::sampler::Sampler;
use super::schedule::Schedule;
use super::stepper::{Inputs, State, combine};

pub(super) fn step(schedule: &Schedule, state: &State, inputs: &Inputs) -> Tensor<4> {
    let step = schedule.steps[state.index];
    let (from, to) = (step.from.ratio(), step.to.ratio());
    // The ancestral sampler walks to below the next level and comes up to it with fresh noise.
    let fresh = if schedule.sampler == Sampler::EulerAncestral {
        to / from * (from.powi(2) - to.powi(2)).max(0.0).sqrt()
    } else {
        0.0
    };
    let down = (to.powi(2) - fresh.powi(2)).max(0.0).sqrt();
    // x + (x - x0) / from * (down - from)
    let kept = down / from;
    let image = schedule.denoised_coefficients(state.index);
    let mut terms =
        vec![(kept + (1.0 - kept) * image.0, &inputs.sample), ((1.0 - kept) * image.1, &inputs.model_output)];
    terms.extend(inputs.noise.as_ref().map(|noise| (fresh, noise)));
    combine(&terms)
}
