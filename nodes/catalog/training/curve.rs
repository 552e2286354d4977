//! The loss of a run as a picture: every step as a dot, their running mean as a line, both axes logarithmic where that
//! shows more.

use dc_diffusion::training::Record;
use dc_graph_node_api::{Image, NodeError};

use crate::image::pixels::{Depth, Samples};
use crate::sheet::lettering::Face;

const WIDTH: usize = 800;
const HEIGHT: usize = 400;
/// Room for the letters at the left and below.
const LEFT: usize = 80;
const BELOW: usize = 28;
const ABOVE: usize = 24;
const PAPER: [f32; 3] = [1.0; 3];
const INK: [f32; 3] = [0.13; 3];
const RULE: [f32; 3] = [0.88; 3];
const DOT: [f32; 3] = [0.68, 0.78, 0.92];
const LINE: [f32; 3] = [0.10, 0.30, 0.65];

/// Draws the history of a run of `steps`.
pub(super) fn curve(history: &[Record], steps: u64) -> Result<Image, NodeError> {
    let mut picture = Samples::filled(WIDTH, HEIGHT, &PAPER);
    let means = running_mean(history);
    // The first steps are far above all others; the axis begins where the mean is.
    let losses = history.iter().skip(history.len() / 50).map(|r| f64::from(r.loss).max(1e-9));
    let (low, high) = losses.fold((f64::INFINITY, 0.0_f64), |(low, high), l| (low.min(l), high.max(l)));
    if !low.is_finite() || high <= 0.0 {
        return picture.into_image(Depth::U8);
    }
    let (low, high) = (low.ln(), high.max(low * 1.1).ln());
    let (width, height) = ((WIDTH - LEFT - 12) as f64, (HEIGHT - BELOW - ABOVE) as f64);
    let x = |step: u64| LEFT + (step as f64 / steps.max(1) as f64 * width) as usize;
    let y = |loss: f64| {
        let up = (loss.max(1e-9).ln() - low) / (high - low).max(1e-9);
        ABOVE + ((1.0 - up.clamp(0.0, 1.0)) * height) as usize
    };
    for i in 0..=4 {
        let loss = (low + (high - low) * f64::from(i) / 4.0).exp();
        (LEFT..WIDTH - 12).for_each(|x| dot(&mut picture, x, y(loss), RULE));
        Face::Small.write(&mut picture, 4, y(loss).saturating_sub(8), &format!("{loss:>8.4}"), INK);
        let step = steps * i as u64 / 4;
        (ABOVE..HEIGHT - BELOW).for_each(|y| dot(&mut picture, x(step), y, RULE));
        let label = step.to_string();
        let left = x(step).saturating_sub(label.len() * Face::Small.letter() / 2);
        let left = left.min(WIDTH - label.len() * Face::Small.letter() - 2);
        Face::Small.write(&mut picture, left, HEIGHT - BELOW + 6, &label, INK);
    }
    for record in history {
        dot(&mut picture, x(record.step), y(f64::from(record.loss)), DOT);
    }
    for (pair, records) in means.windows(2).zip(history.windows(2)) {
        let (from, to) = ((x(records[0].step), y(pair[0])), (x(records[1].step), y(pair[1])));
        let along = (to.0 - from.0).max(from.1.abs_diff(to.1)).max(1);
        for i in 0..=along {
            let at = |a: usize, b: usize| (a as f64 + (b as f64 - a as f64) * i as f64 / along as f64).round() as usize;
            let (x, y) = (at(from.0, to.0), at(from.1, to.1));
            dot(&mut picture, x, y, LINE);
            dot(&mut picture, x, y + 1, LINE);
        }
    }
    let last = history.last().map_or(0, |r| r.step);
    let mean = means.last().copied().unwrap_or_default();
    Face::Small.write(&mut picture, LEFT, 4, &format!("loss, mean {mean:.5} after {last} of {steps} steps"), INK);
    picture.into_image(Depth::U8)
}

/// Exponential, over about a fiftieth of what there is.
fn running_mean(history: &[Record]) -> Vec<f64> {
    let keep = 1.0 - 1.0 / (history.len() as f64 / 50.0).max(1.0);
    let mut mean = None;
    let losses = history.iter().map(|r| f64::from(r.loss));
    losses.map(|loss| *mean.insert(mean.map_or(loss, |m: f64| m * keep + loss * (1.0 - keep)))).collect()
}

fn dot(picture: &mut Samples, x: usize, y: usize, color: [f32; 3]) {
    if x < picture.width && y < picture.height {
        picture.pixel_mut(x, y).copy_from_slice(&color);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64, loss: f32) -> Record {
        Record { step, loss, learning_rate: 1.0, gradient_norm: 1.0, seconds: 1.0, held_out: Default::default() }
    }

    #[test]
    fn a_falling_loss_falls_in_the_picture() {
        let history: Vec<_> = (1..=100).map(|step| record(step, 1.0 / step as f32)).collect();
        let picture = Samples::of(&curve(&history, 200).unwrap());
        let top = |x: usize| (0..HEIGHT).find(|y| (0..3).all(|c| (picture.pixel(x, *y)[c] - LINE[c]).abs() < 0.01));
        // Half of the steps are done, so half of the picture is.
        let (early, late) = (top(LEFT + 30).unwrap(), top(LEFT + 340).unwrap());
        assert!(late > early + 100, "{early} and {late}");
        assert_eq!(top(WIDTH - 100), None);
    }

    #[test]
    fn nothing_to_draw_is_no_fault() {
        assert!(curve(&[], 10).is_ok());
        assert!(curve(&[record(1, 0.0)], 0).is_ok());
    }
}
