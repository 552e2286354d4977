//! UniPC of order 2 with B2(h), predicting x0: Zhao et al., arXiv 2302.04867, algorithms 5 (corrector) and 6 (predictor).

use burn::tensor::Tensor;

use super::schedule::{Level, Schedule};
use super::stepper::{Inputs, State, combine};

/// Each evaluation first corrects the step that led to it, then predicts the next.
pub(super) fn step(schedule: &Schedule, state: &mut State, inputs: Inputs) -> Tensor<4> {
    let denoised = schedule.denoised(state.index, &inputs.sample, &inputs.model_output);
    let sample = match state.anchor.take() {
        Some(start) => correct(schedule, state, &start, &denoised),
        None => inputs.sample,
    };
    state.remember(denoised, 2);
    let next = predict(schedule, state, &sample);
    state.anchor = Some(sample);
    next
}

/// The step to the current evaluation once more, now knowing the prediction at its end.
fn correct(schedule: &Schedule, state: &State, start: &Tensor<4>, denoised: &Tensor<4>) -> Tensor<4> {
    let index = state.index - 1;
    let (from, to) = (schedule.steps[index].from, schedule.steps[index].to);
    let (kept, taken, h) = exponential(from, to);
    let newest = &state.history[state.history.len() - 1];
    if state.history.len() == 1 {
        return combine(&[(kept, start), (taken * 0.5, newest), (taken * 0.5, denoised)]);
    }
    // Two conditions on the weights of two differences: R rho = b in the paper.
    let r = ratio(schedule, index, h);
    let phi_1 = (-h).exp_m1();
    let phi_2 = phi_1 / -h - 1.0;
    let (b_1, b_2) = (phi_2 / phi_1, 2.0 * (phi_2 / -h - 0.5) / phi_1);
    let rho_1 = (b_1 - b_2) / (1.0 - r);
    let rho_2 = b_1 - rho_1;
    combine(&[
        (kept, start),
        (taken * (1.0 - rho_1 / r - rho_2), newest),
        (taken * rho_1 / r, &state.history[0]),
        (taken * rho_2, denoised),
    ])
}

fn predict(schedule: &Schedule, state: &State, sample: &Tensor<4>) -> Tensor<4> {
    let step = schedule.steps[state.index];
    let (kept, taken, h) = exponential(step.from, step.to);
    let newest = &state.history[state.history.len() - 1];
    // The last step, which ends without noise, is of first order, and so is the first.
    if state.history.len() == 1 || state.index + 1 == schedule.len() {
        return combine(&[(kept, sample), (taken, newest)]);
    }
    let slope = 0.5 / ratio(schedule, state.index, h);
    combine(&[(kept, sample), (taken * (1.0 - slope), newest), (taken * slope, &state.history[0])])
}

/// The exponential integrator: what is kept of the sample, what is taken of the prediction, and the step in lambda.
fn exponential(from: Level, to: Level) -> (f64, f64, f64) {
    let h = to.lambda() - from.lambda();
    (to.sigma / from.sigma, -to.alpha * (-h).exp_m1(), h)
}

/// The step before `index`, as a (negative) share of the step `h` at `index`.
fn ratio(schedule: &Schedule, index: usize, h: f64) -> f64 {
    (schedule.steps[index - 1].from.lambda() - schedule.steps[index].from.lambda()) / h
}
