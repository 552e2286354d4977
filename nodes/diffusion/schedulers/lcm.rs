//! Multistep consistency sampling: Luo et al., arXiv 2310.04378, algorithm 3.

use burn::tensor::Tensor;

use super::schedule::Schedule;
use super::stepper::{Inputs, State, combine};

/// Standard deviation of the data in the boundary condition, and the scale of the timesteps there (diffusers' choice).
const SIGMA_DATA: f64 = 0.5;
const TIMESTEP_SCALING: f64 = 10.0;

pub(super) fn step(schedule: &Schedule, state: &State, inputs: &Inputs) -> Tensor<4> {
    let step = schedule.steps[state.index];
    let t = TIMESTEP_SCALING * step.timestep;
    let skip = SIGMA_DATA.powi(2) / (t.powi(2) + SIGMA_DATA.powi(2));
    let out = t / t.hypot(SIGMA_DATA);
    let image = step.from.denoised(schedule.prediction_type);
    // The last step keeps the prediction as it is.
    let (kept, fresh) = if inputs.noise.is_some() { (step.to.alpha, step.to.sigma) } else { (1.0, 0.0) };
    let mut terms = vec![(kept * (out * image.0 + skip), &inputs.sample), (kept * out * image.1, &inputs.model_output)];
    terms.extend(inputs.noise.as_ref().map(|noise| (fresh, noise)));
    combine(&terms)
}
