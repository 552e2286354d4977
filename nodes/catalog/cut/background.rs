//! What the background looks like, as far as the picture's border tells.

use std::collections::VecDeque;

use super::mixture::{Mixture, clusters};

/// A picture seen against its background.
pub(crate) struct Background {
    /// Colours minus the smooth background behind them, in L*a*b*.
    pub(crate) residual: Vec<[f32; 3]>,
    /// How far a pixel is from what the border shows, in nats; about 0 for the background itself, growing with the
    /// square of the colour distance.
    pub(crate) evidence: Vec<f32>,
    /// Pixels reached from the border without crossing an edge, and no brighter or more colourful than the background:
    /// the background itself and soft shadows on it.
    pub(crate) reached: Vec<bool>,
}

/// Width of the border that is looked at, as a part of the shorter side.
const BAND: f64 = 0.04;

/// Fits the background; nothing when the border has no colour that two sides share.
///
/// A smooth surface suits a backdrop under uneven light, plain colours suit a floor in front of a wall: whichever makes
/// the border likelier is taken.
pub(crate) fn background(width: usize, height: usize, lab: &[[f32; 3]]) -> Option<Background> {
    let band = band(width, height);
    let smooth = Fit::new(minus_surface(width, height, lab, &band), &band);
    let plain = Fit::new(lab.to_vec(), &band);
    let fit = match (smooth, plain) {
        (Some(smooth), Some(plain)) => Some(if smooth.usual <= plain.usual { smooth } else { plain }),
        (smooth, plain) => smooth.or(plain),
    }?;
    let evidence: Vec<f32> = fit.residual.iter().map(|c| (fit.mixture.cost(*c) - fit.usual) as f32).collect();
    let reached = flood(width, height, lab, &fit, &evidence);
    Some(Background { residual: fit.residual, evidence, reached })
}

/// The colours of the border, explained in one way.
struct Fit {
    residual: Vec<[f32; 3]>,
    /// The pixels of the border that are the background's.
    seen: Vec<usize>,
    mixture: Mixture,
    /// What nine of ten of these pixels cost at most.
    usual: f64,
}

impl Fit {
    fn new(residual: Vec<[f32; 3]>, band: &[Vec<usize>; 4]) -> Option<Self> {
        let seen = shared_by_sides(&residual, band)?;
        let colors: Vec<_> = seen.iter().map(|p| residual[*p]).collect();
        let mixture = Mixture::fit(&colors)?;
        let mut costs: Vec<f64> = colors.iter().map(|c| mixture.cost(*c)).collect();
        costs.sort_by(f64::total_cmp);
        let usual = costs[costs.len() * 9 / 10];
        Some(Self { residual, seen, mixture, usual })
    }
}

/// The pixels of each side's band: left, right, top, bottom.
fn band(width: usize, height: usize) -> [Vec<usize>; 4] {
    let depth = ((width.min(height) as f64 * BAND).round() as usize).max(1);
    let rectangle = |xs: std::ops::Range<usize>, ys: std::ops::Range<usize>| -> Vec<usize> {
        ys.flat_map(|y| xs.clone().map(move |x| y * width + x)).collect()
    };
    [
        rectangle(0..depth.min(width), 0..height),
        rectangle(width.saturating_sub(depth)..width, 0..height),
        rectangle(0..width, 0..depth.min(height)),
        rectangle(0..width, height.saturating_sub(depth)..height),
    ]
}

/// The colours minus the quadratic surface that fits the band best. Pixels far from it count ever less, so that a subject that
/// touches the border does not bend it.
fn minus_surface(width: usize, height: usize, lab: &[[f32; 3]], band: &[Vec<usize>; 4]) -> Vec<[f32; 3]> {
    let terms = |pixel: usize| -> [f64; 6] {
        let x = (pixel % width) as f64 / width as f64 * 2.0 - 1.0;
        let y = (pixel / width) as f64 / height as f64 * 2.0 - 1.0;
        [1.0, x, y, x * x, x * y, y * y]
    };
    let at = |surface: &[[f64; 6]; 3], pixel: usize| -> [f32; 3] {
        let terms = terms(pixel);
        std::array::from_fn(|c| terms.iter().zip(surface[c]).map(|(t, s)| t * s).sum::<f64>() as f32)
    };
    let pixels: Vec<usize> = band.iter().flatten().copied().collect();
    let mut weights = vec![1.0; pixels.len()];
    let mut surface = [[0.0; 6]; 3];
    for round in 0..12 {
        let mut matrix = [[0.0; 9]; 6];
        for (pixel, weight) in pixels.iter().zip(&weights) {
            let terms = terms(*pixel);
            for i in 0..6 {
                (0..6).for_each(|j| matrix[i][j] += weight * terms[i] * terms[j]);
                (0..3).for_each(|c| matrix[i][6 + c] += weight * terms[i] * f64::from(lab[*pixel][c]));
            }
        }
        // A little ridge on all but the constant: bands of a few pixels do not fix all terms.
        (1..6).for_each(|i| matrix[i][i] += 1e-3 * matrix[0][0]);
        surface = solve(matrix);
        let mut distances: Vec<f64> = Vec::with_capacity(pixels.len());
        for pixel in &pixels {
            distances.push(f64::from(distance(lab[*pixel], at(&surface, *pixel))));
        }
        let mut sorted = distances.clone();
        sorted.sort_by(f64::total_cmp);
        // From generous to strict: the first fits are bent by whatever is in the band.
        let scale = (sorted[sorted.len() / 2] * (3.0 - 0.15 * f64::from(round))).max(1.5);
        weights = distances.iter().map(|d| 1.0 / (1.0 + (d / scale).powi(2)).powi(2)).collect();
    }
    let minus = |(pixel, color): (usize, &[f32; 3])| {
        let behind = at(&surface, pixel);
        std::array::from_fn(|c| color[c] - behind[c])
    };
    lab.iter().enumerate().map(minus).collect()
}

/// Solves six equations for three right-hand sides.
fn solve(mut m: [[f64; 9]; 6]) -> [[f64; 6]; 3] {
    for i in 0..6 {
        let pivot = (i..6).max_by(|a, b| m[*a][i].abs().total_cmp(&m[*b][i].abs())).unwrap_or(i);
        m.swap(i, pivot);
        let row = m[i].map(|v| v / m[i][i]);
        m[i] = row;
        for (j, other) in m.iter_mut().enumerate() {
            if j != i {
                let factor = other[i];
                other.iter_mut().zip(row).for_each(|(v, r)| *v -= factor * r);
            }
        }
    }
    std::array::from_fn(|c| std::array::from_fn(|i| m[i][6 + c]))
}

/// The pixels of the band whose colour two sides share: a subject mostly touches one side, a floor or a wall three.
fn shared_by_sides(residual: &[[f32; 3]], band: &[Vec<usize>; 4]) -> Option<Vec<usize>> {
    const CLUSTERS: usize = 6;
    let pixels: Vec<usize> = band.iter().flatten().copied().collect();
    let colors: Vec<_> = pixels.iter().map(|p| residual[*p]).collect();
    let labels = clusters(&colors, CLUSTERS, 12)?;
    let mut counts = [[0_usize; 4]; CLUSTERS];
    let sides = band.iter().enumerate().flat_map(|(side, pixels)| pixels.iter().map(move |_| side));
    for (label, side) in labels.iter().zip(sides) {
        counts[*label][side] += 1;
    }
    let shared = counts.map(|c| (0..4).filter(|s| c[*s] * 14 > band[*s].len()).count() >= 2);
    let seen: Vec<usize> = pixels.iter().zip(&labels).filter(|(_, l)| shared[**l]).map(|(p, _)| *p).collect();
    (!seen.is_empty()).then_some(seen)
}

/// Spreads from the border over what is background or a shadow on it, never across an edge.
fn flood(width: usize, height: usize, lab: &[[f32; 3]], fit: &Fit, evidence: &[f32]) -> Vec<bool> {
    /// Steps in lightness at the rim of a shadow that a lamp throws, per pixel; outlines are steeper.
    const RIM: f32 = 7.0;
    let steps = fit.seen.iter().filter(|p| *p % width + 1 < width).map(|p| distance(lab[*p], lab[p + 1]));
    let mut steps: Vec<f32> = steps.collect();
    steps.sort_by(f32::total_cmp);
    let noise = steps.get(steps.len() * 9 / 10).copied().unwrap_or(0.0);
    let darkened = |pixel: usize| {
        let color = lab[pixel];
        let behind: [f32; 3] = std::array::from_fn(|c| color[c] - fit.residual[pixel][c]);
        fit.mixture.means().any(|mean| {
            let lit: [f32; 3] = std::array::from_fn(|c| behind[c] + mean[c]);
            // Less light scales X, Y and Z alike, so L* + 16, a* and b* alike (all cube roots).
            let dark = (color[0] + 16.0) / (lit[0] + 16.0);
            // The light that is left in a shadow has another tint: more so, the deeper it is.
            let tint = (color[1] - lit[1] * dark).hypot(color[2] - lit[2] * dark);
            (0.45..1.04).contains(&dark) && tint < 4.0 + noise + 12.0 * (1.0 - dark)
        })
    };
    let shadow: Vec<bool> = (0..lab.len()).map(|p| evidence[p] < 2.0 || darkened(p)).collect();
    let mut reached = vec![false; lab.len()];
    fit.seen.iter().for_each(|p| reached[*p] = true);
    spread(width, height, lab, &shadow, 1.2 + 1.5 * noise, &mut reached);
    // What is left and could be a shadow is one only next to a subject that could not: else it is a grey subject.
    let left = |could: bool| (0..lab.len()).filter(|p| !reached[*p] && shadow[*p] == could).count();
    if left(false) > 2 * left(true) {
        spread(width, height, lab, &shadow, (1.2 + 1.5 * noise).max(RIM), &mut reached);
    }
    reached
}

fn spread(width: usize, height: usize, lab: &[[f32; 3]], allowed: &[bool], longest_step: f32, reached: &mut [bool]) {
    let mut queue: VecDeque<usize> = (0..reached.len()).filter(|p| reached[*p]).collect();
    while let Some(pixel) = queue.pop_front() {
        let (x, y) = (pixel % width, pixel / width);
        let around = [
            (x > 0, pixel.wrapping_sub(1)),
            (y > 0, pixel.wrapping_sub(width)),
            (x + 1 < width, pixel + 1),
            (y + 1 < height, pixel + width),
        ];
        for (inside, other) in around {
            if inside && !reached[other] && allowed[other] && distance(lab[pixel], lab[other]) < longest_step {
                reached[other] = true;
                queue.push_back(other);
            }
        }
    }
}

/// The colour difference CIE76.
pub(crate) fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curved_background_vanishes_even_behind_a_subject_at_the_border() {
        let (width, height) = (80, 60);
        let behind = |x: usize, y: usize| {
            let (x, y) = (x as f32 / 80.0, y as f32 / 60.0);
            [80.0 - 20.0 * y + 6.0 * x * x, 3.0 * x, 8.0 - 4.0 * x * y]
        };
        let subject = |x: usize, y: usize| (25..55).contains(&x) && y > 20;
        let lab: Vec<[f32; 3]> = (0..width * height)
            .map(|p| (p % width, p / width))
            .map(|(x, y)| if subject(x, y) { [40.0, 50.0, 10.0] } else { behind(x, y) })
            .collect();
        let found = background(width, height, &lab).unwrap();
        for p in 0..width * height {
            let (x, y) = (p % width, p / width);
            if subject(x, y) {
                assert!(found.evidence[p] > 20.0 && !found.reached[p], "{x}, {y}: {}", found.evidence[p]);
            } else {
                assert!(distance(found.residual[p], [0.0; 3]) < 1.0, "{x}, {y}: {:?}", found.residual[p]);
                assert!(found.reached[p]);
            }
        }
    }

    #[test]
    fn solves() {
        let mut matrix = [[0.0; 9]; 6];
        let answer = |i: usize, c: usize| (i as f64 - 2.0) * (c as f64 + 1.0);
        for (i, row) in matrix.iter_mut().enumerate() {
            for j in 0..6 {
                row[j] = ((i * 7 + j * 3) % 5) as f64 + if i == j { 0.0 } else { 1.0 + (i * j % 4) as f64 };
                (0..3).for_each(|c| row[6 + c] += row[j] * answer(j, c));
            }
        }
        let found = solve(matrix);
        for (c, column) in found.iter().enumerate() {
            assert!(column.iter().enumerate().all(|(i, v)| (v - answer(i, c)).abs() < 1e-9), "{column:?}");
        }
    }
}
