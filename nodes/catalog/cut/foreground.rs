//! From a picture to the mask of its subject.

use super::background::{Background, background, distance};
use super::lab::lab;
use super::matte::{box_mean, guided_filter};
use super::min_cut::min_cut;
use super::mixture::Mixture;
use super::regions;
use crate::image::pixels::Samples;
use crate::image::resample::{Filter, resample};

/// Longest side at which the outline is found, in pixels.
const CUT_SIDE: usize = 320;
/// Longest side at which the outline is fitted to the picture's edges, in pixels.
const MATTE_SIDE: usize = 1024;
/// What one pixel of outline costs where the picture is flat, in nats.
const SMOOTHNESS: f32 = 8.0;
/// Rounds of fitting colours and cutting; GrabCut settles in a few.
const ROUNDS: usize = 4;
/// A subject covers at least this part of the picture, and leaves at least this part of it.
const PARTS: (f64, f64) = (0.004, 0.04);

/// The mask of the subject, one channel of 0 to 1, or nothing when the picture does not tell subject and background apart.
pub(crate) fn foreground(rgb: &Samples) -> Option<Samples> {
    let small = limited(rgb, CUT_SIDE);
    let (width, height) = (small.width, small.height);
    if width < 8 || height < 8 {
        return None;
    }
    let mask = outline(width, height, &lab(&small))?;
    let part = mask.iter().filter(|m| **m).count() as f64 / mask.len() as f64;
    if part < PARTS.0 || part > 1.0 - PARTS.1 {
        return None;
    }
    let mask = Samples { width, height, channels: 1, values: mask.into_iter().map(f32::from).collect() };
    let matte = matte(&limited(rgb, MATTE_SIDE), &mask);
    Some(resample(&matte, rgb.width, rgb.height, Filter::Bilinear))
}

fn limited(picture: &Samples, side: usize) -> Samples {
    let longest = picture.width.max(picture.height);
    if longest <= side {
        return picture.clone();
    }
    let scaled = |s: usize| (s * side).div_ceil(longest).max(1);
    resample(picture, scaled(picture.width), scaled(picture.height), Filter::Bilinear)
}

fn outline(width: usize, height: usize, sharp: &[[f32; 3]]) -> Option<Vec<bool>> {
    let lab = blurred(width, height, sharp);
    let behind = background(width, height, &lab)?;
    let prior = prior(width, height, &behind);
    let mut mask: Vec<bool> = prior.iter().map(|p| *p > 0.0).collect();

    let neighbours = (0..lab.len()).filter(|p| p % width + 1 < width).map(|p| distance(lab[p], lab[p + 1]).powi(2));
    let contrast = (neighbours.sum::<f32>() / lab.len() as f32).clamp(4.0, 60.0);
    let disagreement = |a: usize, b: usize| {
        let far = if a.abs_diff(b) == 1 || a.abs_diff(b) == width { 1.0 } else { std::f32::consts::SQRT_2 };
        (100.0 * SMOOTHNESS / far * (-distance(lab[a], lab[b]).powi(2) / (2.0 * contrast)).exp()).round() as i32
    };
    for _ in 0..ROUNDS {
        let colors = |of: bool| -> Vec<[f32; 3]> {
            behind.residual.iter().zip(&mask).filter(|(_, m)| **m == of).map(|(c, _)| *c).collect()
        };
        let (Some(subject), Some(rest)) = (Mixture::fit(&colors(true)), Mixture::fit(&colors(false))) else {
            return None;
        };
        let preference: Vec<i32> = (0..lab.len())
            .map(|p| {
                let color = behind.residual[p];
                let told = (rest.cost(color) - subject.cost(color)).clamp(-6.0, 6.0) as f32;
                (100.0 * (prior[p] + told)) as i32
            })
            .collect();
        let next = min_cut(width, height, &preference, disagreement);
        if next == mask {
            break;
        }
        mask = next;
    }
    let pixels = width * height;
    regions::drop_threads(width, height, &mut mask);
    regions::clean(width, height, &mut mask, 0.08, pixels / 1500, |hole| {
        // A hole that shows the background (the handle of a cup) stays open.
        let plain = hole.iter().filter(|p| behind.evidence[**p] < 2.0).count();
        plain * 10 < hole.len() * 7
    });
    Some(mask)
}

/// What speaks for the subject (positive) at each pixel before its colours are known, in nats.
fn prior(width: usize, height: usize, behind: &Background) -> Vec<f32> {
    let told = |p: usize| {
        let (x, y) = (p % width, p / width);
        let at_border = x == 0 || y == 0 || x + 1 == width || y + 1 == height;
        let evidence = behind.evidence[p];
        match (behind.reached[p], at_border) {
            (true, true) => -50.0,
            // The deeper a soft shadow, the less sure it is one.
            (true, false) => (0.04 * evidence - 5.0).clamp(-5.0, -1.0),
            (false, _) => (0.5 * evidence - 4.0).clamp(-4.0, 8.0),
        }
    };
    (0..width * height).map(told).collect()
}

/// A binomial blur of 3 by 3: noise and compression leave single pixels that no outline should follow.
fn blurred(width: usize, height: usize, lab: &[[f32; 3]]) -> Vec<[f32; 3]> {
    let mix = |a: [f32; 3], b: [f32; 3], c: [f32; 3]| std::array::from_fn(|i| 0.25 * (a[i] + c[i]) + 0.5 * b[i]);
    let row = |p: usize| {
        let x = p % width;
        mix(lab[if x > 0 { p - 1 } else { p }], lab[p], lab[if x + 1 < width { p + 1 } else { p }])
    };
    let rows: Vec<[f32; 3]> = (0..lab.len()).map(row).collect();
    let column = |p: usize| {
        let y = p / width;
        mix(rows[if y > 0 { p - width } else { p }], rows[p], rows[if y + 1 < height { p + width } else { p }])
    };
    (0..lab.len()).map(column).collect()
}

/// The outline at the size of `picture`, following its edges.
fn matte(picture: &Samples, outline: &Samples) -> Samples {
    let (width, height) = (picture.width, picture.height);
    let scale = (width as f64 / outline.width as f64).max(height as f64 / outline.height as f64);
    let coarse = resample(outline, width, height, Filter::Bilinear).values;
    let radius = (scale * 1.5).round() as usize + 1;
    let guide = unlike_surroundings(picture, &coarse, 4 * radius);
    let soft = guided_filter(width, height, &guide, &coarse, radius, 1e-3);
    // Only the outline is soft: away from it the filter would let texture through.
    let near = box_mean(width, height, &coarse, radius);
    let value = |i: usize| match near[i] {
        n if n < 0.02 => 0.0,
        n if n > 0.98 => 1.0,
        _ => ((soft[i] - 0.5) * 1.6 + 0.5).clamp(0.0, 1.0),
    };
    Samples { width, height, channels: 1, values: (0..width * height).map(value).collect() }
}

/// How unlike the background nearby a pixel is, 0 to 1: a better guide to the outline than brightness, which the
/// subject may share with what is behind it.
fn unlike_surroundings(picture: &Samples, coarse: &[f32], radius: usize) -> Vec<f32> {
    /// A colour difference that nobody takes for the same colour.
    const CLEAR: f32 = 20.0;
    let (width, height) = (picture.width, picture.height);
    let lab = lab(picture);
    let weight: Vec<f32> = coarse.iter().map(|m| f32::from(*m < 0.01)).collect();
    let total = box_mean(width, height, &weight, radius);
    let behind: [Vec<f32>; 3] = std::array::from_fn(|c| {
        let weighted: Vec<f32> = lab.iter().zip(&weight).map(|(l, w)| l[c] * w).collect();
        box_mean(width, height, &weighted, radius)
    });
    let unlike = |i: usize| {
        if total[i] < 1e-3 {
            return 1.0;
        }
        let behind = std::array::from_fn(|c| behind[c][i] / total[i]);
        (distance(lab[i], behind) / CLEAR).min(1.0)
    };
    (0..lab.len()).map(unlike).collect()
}

#[cfg(test)]
mod tests {
    use super::super::scenes::{SCENES, Scene, plain};
    use super::*;

    /// Intersection over union of a soft mask and the truth.
    fn overlap(found: &Samples, truth: &[bool]) -> f64 {
        let both = found.values.iter().zip(truth).filter(|(f, t)| **f > 0.5 && **t).count();
        let either = found.values.iter().zip(truth).filter(|(f, t)| **f > 0.5 || **t).count();
        both as f64 / either as f64
    }

    #[test]
    fn subjects_are_cut_out() {
        let mut worst = Vec::new();
        for scene in SCENES {
            let (picture, truth) = scene.draw();
            let Scene { name, .. } = scene;
            let found = foreground(&picture).unwrap_or_else(|| panic!("{name}: nothing found"));
            assert_eq!((found.width, found.height), (picture.width, picture.height));
            let overlap = overlap(&found, &truth);
            worst.push((overlap, *name));
        }
        let failed: Vec<_> = worst.iter().filter(|(overlap, _)| *overlap < 0.9).collect();
        assert!(failed.is_empty(), "intersection over union below 0.9: {failed:?}");
    }

    #[test]
    fn pictures_without_a_subject() {
        for picture in plain() {
            assert!(foreground(&picture).is_none());
        }
    }
}
