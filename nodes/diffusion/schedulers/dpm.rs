//! DPM-Solver++(2M) and its stochastic form: Lu et al., arXiv 2211.01095, algorithm 2 and equation 18 (midpoint).

use burn::tensor::Tensor;

use super::sampler::Sampler;
use super::schedule::Schedule;
use super::stepper::{Inputs, State, combine};

pub(super) fn step(schedule: &Schedule, state: &mut State, inputs: &Inputs) -> Tensor<4> {
    let step = schedule.steps[state.index];
    let (from, to) = (step.from, step.to);
    let denoised = schedule.denoised(state.index, &inputs.sample, &inputs.model_output);
    let h = to.lambda() - from.lambda();
    // What is kept of the sample, what is taken of the prediction, and fresh noise. h is infinite in the last step.
    let (kept, taken, fresh) = if schedule.sampler == Sampler::DpmPp2mSdeKarras {
        let new = -(-2.0 * h).exp_m1();
        (to.sigma / from.sigma * (-h).exp(), to.alpha * new, to.sigma * new.sqrt())
    } else {
        (to.sigma / from.sigma, -to.alpha * (-h).exp_m1(), 0.0)
    };
    let mut terms = vec![(kept, &inputs.sample)];
    // First order in the first step, for want of a history, and in the last, which ends without noise.
    match state.history.last() {
        Some(previous) if state.index + 1 < schedule.len() => {
            let h_previous = from.lambda() - schedule.steps[state.index - 1].from.lambda();
            let slope = 0.5 * h / h_previous;
            terms.extend([(taken * (1.0 + slope), &denoised), (-taken * slope, previous)]);
        }
        _ => terms.push((taken, &denoised)),
    }
    terms.extend(inputs.noise.as_ref().map(|noise| (fresh, noise)));
    let next = combine(&terms);
    state.remember(denoised, 1);
    next
}
