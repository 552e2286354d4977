//! A descriptor of a picture's subject that is no network: its colors, and its shape.
//!
//! *Color* is a histogram over CIELAB with soft bins, 6 of lightness by 9 by 9 of a* and b*, of the subject's pixels
//! alone. *Shape* is three grids over the subject's box: gradient orientations of its outline and of its lightness
//! (Dalal and Triggs 2005: 4 x 4 cells of 8 unsigned orientations), and how much of each of 8 x 8 cells it covers. A
//! subject and its mirror image are the same to both. Roots are taken before the lengths are made 1, so that the cosine
//! of two histograms is their Bhattacharyya coefficient.

use super::subject::subject;

/// Side that pictures are brought to before they are described.
pub(super) const SIDE: usize = 64;
const LIGHTNESS_BINS: usize = 6;
const COLOR_BINS: usize = 9;
/// Bins of a* and b* cover this much on either side of 0.
const COLOR_RANGE: f32 = 80.0;
/// Side of the grid that a subject's box is resampled to.
const GRID: usize = 32;
const CELLS: usize = 4;
const ORIENTATIONS: usize = 8;
/// Cells of the coverage, along a side.
const COVER: usize = 8;
/// Room around the subject's box, as a part of its longer side.
const MARGIN: f32 = 0.06;

/// Length of [`color`].
#[cfg(test)]
const COLOR_LEN: usize = LIGHTNESS_BINS * COLOR_BINS * COLOR_BINS;

/// What the subject is colored like, of length 1.
///
/// # Shapes
/// - lab: `[SIDE, SIDE, 3]`, CIELAB
/// - result: `[6 * 9 * 9]`
pub(super) fn color(lab: &[[f32; 3]]) -> Vec<f32> {
    histogram(lab, &subject(lab, SIDE))
}

/// What the subject is shaped like, of length 1.
///
/// # Shapes
/// - lab: `[SIDE, SIDE, 3]`, CIELAB
pub(super) fn shape(lab: &[[f32; 3]]) -> Vec<f32> {
    let mask = subject(lab, SIDE);
    let (mask, lightness) = boxed(lab, &mask);
    let inner: Vec<f32> = mask.iter().zip(&lightness).map(|(m, l)| m * l).collect();
    let outline = orientations(&mask, &[1.0; GRID * GRID]);
    let surface = orientations(&inner, &eroded(&mask));
    let mut all = Vec::new();
    for (grid, cells, depth) in
        [(outline, CELLS, ORIENTATIONS), (surface, CELLS, ORIENTATIONS), (coverage(&mask), COVER, 1)]
    {
        let mirrored = mirror(&grid, cells, depth);
        let both = grid.iter().zip(&mirrored);
        let mut part: Vec<f32> = both.clone().map(|(a, b)| a + b).collect();
        part.extend(both.map(|(a, b)| (a - b).abs()));
        normalize(&mut part);
        all.extend(part);
    }
    normalize(&mut all);
    all
}

/// A soft histogram of the pixels that `mask` weighs.
fn histogram(lab: &[[f32; 3]], mask: &[f32]) -> Vec<f32> {
    let mut bins = vec![0.0; LIGHTNESS_BINS * COLOR_BINS * COLOR_BINS];
    // A value at a bin's centre belongs to it alone, one in between to two.
    let soft = |value: f32, low: f32, high: f32, count: usize| {
        let at = ((value - low) / (high - low) * count as f32 - 0.5).clamp(0.0, (count - 1) as f32);
        let first = (at as usize).min(count - 2);
        let part = at - first as f32;
        [(first, 1.0 - part), (first + 1, part)]
    };
    for (&[l, a, b], weight) in lab.iter().zip(mask) {
        for (i, u) in soft(l, 0.0, 100.0, LIGHTNESS_BINS) {
            for (j, v) in soft(a, -COLOR_RANGE, COLOR_RANGE, COLOR_BINS) {
                for (k, w) in soft(b, -COLOR_RANGE, COLOR_RANGE, COLOR_BINS) {
                    bins[(i * COLOR_BINS + j) * COLOR_BINS + k] += u * v * w * weight;
                }
            }
        }
    }
    bins.iter_mut().for_each(|b| *b = b.sqrt());
    normalize(&mut bins);
    bins
}

/// Mask and lightness (0 to 1) of the subject's box, made square.
fn boxed(lab: &[[f32; 3]], mask: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let inside = |i: &usize| mask[*i] > 0.5;
    let columns = || (0..SIDE * SIDE).filter(inside).map(|i| i % SIDE);
    let rows = || (0..SIDE * SIDE).filter(inside).map(|i| i / SIDE);
    let span =
        |low: Option<usize>, high: Option<usize>| (low.unwrap_or(0) as f32, high.unwrap_or(SIDE - 1) as f32 + 1.0);
    let (left, right) = span(columns().min(), columns().max());
    let (top, bottom) = span(rows().min(), rows().max());
    let side = (right - left).max(bottom - top) * (1.0 + 2.0 * MARGIN);
    let (x0, y0) = ((left + right - side) / 2.0, (top + bottom - side) / 2.0);
    let step = side / GRID as f32;
    let mut of = (Vec::with_capacity(GRID * GRID), Vec::with_capacity(GRID * GRID));
    for y in 0..GRID {
        for x in 0..GRID {
            let (u, v) = (x0 + (x as f32 + 0.5) * step - 0.5, y0 + (y as f32 + 0.5) * step - 0.5);
            of.0.push(bilinear(u, v, 0.0, |i| mask[i]));
            of.1.push(bilinear(u, v, 0.5, |i| lab[i][0] / 100.0));
        }
    }
    of
}

/// A value between pixels; `beyond` outside the picture.
fn bilinear(x: f32, y: f32, beyond: f32, value: impl Fn(usize) -> f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (u, v) = (x - left, y - top);
    let at = |x: f32, y: f32| {
        let inside = (0.0..SIDE as f32).contains(&x) && (0.0..SIDE as f32).contains(&y);
        if inside { value(y as usize * SIDE + x as usize) } else { beyond }
    };
    let upper = at(left, top) * (1.0 - u) + at(left + 1.0, top) * u;
    let lower = at(left, top + 1.0) * (1.0 - u) + at(left + 1.0, top + 1.0) * u;
    upper * (1.0 - v) + lower * v
}

/// Smallest value of each point and its neighbours.
fn eroded(mask: &[f32]) -> Vec<f32> {
    let near = |at: usize| at.saturating_sub(1)..(at + 2).min(GRID);
    (0..GRID * GRID)
        .map(|i| {
            let (x, y) = (i % GRID, i / GRID);
            near(y).flat_map(|v| near(x).map(move |u| v * GRID + u)).map(|j| mask[j]).fold(1.0, f32::min)
        })
        .collect()
}

/// Gradient orientations in cells, by central differences; points share their gradient between neighbouring cells and
/// orientations.
fn orientations(values: &[f32], weight: &[f32]) -> Vec<f32> {
    let mut cells = vec![0.0; CELLS * CELLS * ORIENTATIONS];
    let at = |x: usize, y: usize| values[y * GRID + x];
    for y in 0..GRID {
        for x in 0..GRID {
            let dx = at((x + 1).min(GRID - 1), y) - at(x.saturating_sub(1), y);
            let dy = at(x, (y + 1).min(GRID - 1)) - at(x, y.saturating_sub(1));
            let strength = dx.hypot(dy) * weight[y * GRID + x];
            if strength < 1e-6 {
                continue;
            }
            let turn = dy.atan2(dx).rem_euclid(std::f32::consts::PI) / std::f32::consts::PI * ORIENTATIONS as f32;
            let first = turn.floor();
            let cell = |at: usize| {
                let place = (at as f32 + 0.5) / GRID as f32 * CELLS as f32 - 0.5;
                let low = place.floor();
                [(low, 1.0 - (place - low)), (low + 1.0, place - low)]
            };
            for (row, v) in cell(y) {
                for (column, u) in cell(x) {
                    let inside = (0.0..CELLS as f32).contains(&row) && (0.0..CELLS as f32).contains(&column);
                    if !inside {
                        continue;
                    }
                    for (orientation, w) in [(first, 1.0 - (turn - first)), (first + 1.0, turn - first)] {
                        let bin = orientation as usize % ORIENTATIONS;
                        cells[(row as usize * CELLS + column as usize) * ORIENTATIONS + bin] += strength * u * v * w;
                    }
                }
            }
        }
    }
    cells.iter_mut().for_each(|c| *c = c.sqrt());
    normalize(&mut cells);
    cells
}

/// Mean of the mask in each cell.
fn coverage(mask: &[f32]) -> Vec<f32> {
    let mut cells = vec![0.0; COVER * COVER];
    let size = GRID / COVER;
    for (i, m) in mask.iter().enumerate() {
        cells[(i / GRID / size) * COVER + (i % GRID) / size] += m / (size * size) as f32;
    }
    normalize(&mut cells);
    cells
}

/// The grid of the mirror image. An orientation of t becomes one of 180 degrees less t.
fn mirror(grid: &[f32], cells: usize, depth: usize) -> Vec<f32> {
    let mut mirrored = Vec::with_capacity(grid.len());
    for row in 0..cells {
        for column in 0..cells {
            let from = (row * cells + cells - 1 - column) * depth;
            mirrored.extend((0..depth).map(|bin| grid[from + (depth - bin) % depth]));
        }
    }
    mirrored
}

/// Makes the length 1, where there is one.
pub(super) fn normalize(values: &mut [f32]) {
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 1e-9 {
        values.iter_mut().for_each(|v| *v /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::lab::lab;
    use crate::image::pixels::Samples;

    #[derive(serde::Deserialize)]
    struct Case {
        kind: i32,
        sum_of_pixels: u64,
        covered: usize,
        color: Vec<f32>,
        shape: Vec<f32>,
    }

    /// The picture of `make_descriptor_cases.py`.
    fn picture(kind: i32) -> Vec<[i32; 3]> {
        (0..(SIDE * SIDE) as i32)
            .map(|i| {
                let (x, y) = (i % SIDE as i32, i / SIDE as i32);
                let within = |a: i32, b: i32, square: i32| (x - a).pow(2) + (y - b).pow(2) < square;
                let body = (x - 30).pow(2) * (if kind == 1 { 2 } else { 1 }) + (y - 34).pow(2) < 400;
                if body || within(44, 16, if kind == 1 { 60 } else { 90 }) {
                    match (x / 5 + y / 7 * kind) % 2 {
                        _ if within(46, 15, 8) => [10, 10, 20],
                        0 => [230, 60, 40],
                        _ => [250, 220, 60],
                    }
                } else if within(8, 9, 12) {
                    [255, 255, 200]
                } else {
                    [40 + x * 2, 90 + y, 200 - y * 2]
                }
            })
            .collect()
    }

    fn lab_of(pixels: &[[i32; 3]]) -> Vec<[f32; 3]> {
        let values = pixels.iter().flatten().map(|v| *v as f32 / 255.0).collect();
        lab(&Samples { width: SIDE, height: SIDE, channels: 3, values })
    }

    #[test]
    fn numbers_are_those_of_another_implementation() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("descriptor_cases.json")).unwrap();
        assert_eq!(cases.len(), 2);
        for case in cases {
            let pixels = picture(case.kind);
            assert_eq!(pixels.iter().flatten().map(|v| *v as u64).sum::<u64>(), case.sum_of_pixels, "the same picture");
            let lab = lab_of(&pixels);
            assert_eq!(subject(&lab, SIDE).iter().filter(|m| **m > 0.5).count(), case.covered);
            assert_eq!(case.color.len(), COLOR_LEN);
            for (name, found, expected) in [("color", color(&lab), case.color), ("shape", shape(&lab), case.shape)] {
                assert_eq!(found.len(), expected.len(), "{name}");
                let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // Bins are roots: where a bin is nearly empty they magnify the rounding of float32.
                assert!(worst < 2e-3, "{name} {}: off by {worst}", case.kind);
            }
        }
    }

    #[test]
    fn mirror_images_are_the_same_and_others_are_not() {
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let pixels = picture(0);
        let flipped: Vec<_> = pixels.chunks(SIDE).flat_map(|row| row.iter().rev().copied()).collect();
        let (here, there) = (lab_of(&pixels), lab_of(&flipped));
        assert!(cosine(&color(&here), &color(&there)) > 0.9999);
        assert!(cosine(&shape(&here), &shape(&there)) > 0.999);
        let other = lab_of(&picture(1));
        assert!(cosine(&shape(&here), &shape(&other)) < 0.97);
    }
}
