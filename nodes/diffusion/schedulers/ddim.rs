//! DDIM: Song et al., arXiv 2010.02502, equation 12.

use burn::tensor::Tensor;

use super::schedule::Schedule;
use super::stepper::{Inputs, State, combine};

pub(super) fn step(schedule: &Schedule, state: &State, inputs: &Inputs) -> Tensor<4> {
    let step = schedule.steps[state.index];
    let (from, to) = (step.from, step.to);
    // The share of fresh noise, their equation 16 times eta; the rest of the noise is the predicted one.
    let share = (to.sigma / from.sigma) * (1.0 - (from.alpha / to.alpha).powi(2)).max(0.0).sqrt();
    let fresh = schedule.eta * share;
    let kept = (to.sigma.powi(2) - fresh.powi(2)).max(0.0).sqrt();
    let image = from.denoised(schedule.prediction_type);
    let noise = from.noise(schedule.prediction_type);
    let mut terms = vec![
        (to.alpha * image.0 + kept * noise.0, &inputs.sample),
        (to.alpha * image.1 + kept * noise.1, &inputs.model_output),
    ];
    terms.extend(inputs.noise.as_ref().map(|noise| (fresh, noise)));
    combine(&terms)
}
