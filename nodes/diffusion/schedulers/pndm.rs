//! PNDM's linear multistep method: Liu et al., arXiv 2202.09778, equations 9 and 12, started without Runge-Kutta steps.

use burn::tensor::Tensor;

use super::schedule::Schedule;
use super::stepper::{Inputs, State, combine};

pub(super) fn step(schedule: &Schedule, state: &mut State, inputs: Inputs) -> Tensor<4> {
    let Inputs { mut sample, model_output, .. } = inputs;
    let output = if state.index == 1 {
        // The first step once more, now with the mean of the outputs at both its ends.
        sample = state.anchor.take().unwrap_or(sample);
        let first = state.history.last().unwrap_or(&model_output);
        combine(&[(0.5, &model_output), (0.5, first)])
    } else {
        if state.index == 0 {
            state.anchor = Some(sample.clone());
        }
        state.remember(model_output, 4);
        // Adams-Bashforth, of the order that the history allows.
        let weights: &[f64] = match state.history.len() {
            1 => &[1.0],
            2 => &[1.5, -0.5],
            3 => &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
            _ => &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
        };
        let terms: Vec<_> = weights.iter().copied().zip(state.history.iter().rev()).collect();
        combine(&terms)
    };
    let step = schedule.steps[state.index];
    let (from, to) = (step.from, step.to);
    let (a_from, a_to) = (from.alpha.powi(2), to.alpha.powi(2));
    let of_noise = (a_from - a_to) / (a_from * to.sigma + from.alpha * from.sigma * to.alpha);
    let (of_sample, of_output) = from.noise(schedule.prediction_type);
    combine(&[(to.alpha / from.alpha + of_noise * of_sample, &sample), (of_noise * of_output, &output)])
}
