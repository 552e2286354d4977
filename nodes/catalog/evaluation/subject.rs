//! Where the subject of a small picture is, told from the picture alone: what differs from the picture's edges.

/// Part of the picture's side that counts as its edge.
const EDGE: f32 = 1.0 / 16.0;
/// A pixel is compared with edge pixels so far from its own row or column, as a part of the side.
const BAND: f32 = 1.0 / 14.0;
/// So many edge pixels must be alike: the subject itself may touch the edge.
const ALIKE: usize = 4;
/// CIELAB distances at which a pixel begins to be the subject's, and is wholly.
const DISTANCES: (f32, f32) = (7.0, 19.0);
/// Parts of less than this share of the largest one are no subject: a sun, a moon.
const PART: f32 = 0.3;

/// How much of each pixel is subject, 0 to 1. Everything when nothing differs from the edges.
///
/// # Shapes
/// - lab: `[side, side, 3]`, CIELAB
/// - result: `[side, side]`
pub(super) fn subject(lab: &[[f32; 3]], side: usize) -> Vec<f32> {
    let edge = ((side as f32 * EDGE).round() as usize).max(1);
    let band = ((side as f32 * BAND).round() as usize).max(1);
    let distance = |a: [f32; 3], b: [f32; 3]| (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f32>();
    let mut found: Vec<f32> = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            // The nearest few distances, ascending.
            let mut nearest = [f32::MAX; ALIKE];
            let mut compare = |at: usize| {
                let mut d = distance(lab[y * side + x], lab[at]);
                for slot in &mut nearest {
                    if d < *slot {
                        std::mem::swap(slot, &mut d);
                    }
                }
            };
            for depth in (0..edge).flat_map(|d| [d, side - 1 - d]) {
                for row in y.saturating_sub(band)..(y + band + 1).min(side) {
                    compare(row * side + depth);
                }
                for column in x.saturating_sub(band)..(x + band + 1).min(side) {
                    compare(depth * side + column);
                }
            }
            let far = nearest[ALIKE - 1].sqrt();
            found.push(((far - DISTANCES.0) / (DISTANCES.1 - DISTANCES.0)).clamp(0.0, 1.0));
        }
    }
    let inside = filled(&smoothed(&found, side), side);
    let parts = parts(&inside, side);
    let mut sizes = vec![0_usize; parts.iter().max().map_or(1, |m| m + 1)];
    parts.iter().for_each(|p| sizes[*p] += 1);
    let largest = sizes.iter().skip(1).max().copied().unwrap_or(0);
    if largest == 0 {
        return vec![1.0; side * side];
    }
    parts.iter().map(|p| if *p > 0 && sizes[*p] as f32 >= PART * largest as f32 { 1.0 } else { 0.0 }).collect()
}

/// Which pixels have more subject than not around them.
fn smoothed(found: &[f32], side: usize) -> Vec<bool> {
    let mut inside = Vec::with_capacity(side * side);
    for y in 0..side {
        for x in 0..side {
            let (mut sum, mut count) = (0.0, 0.0);
            for v in y.saturating_sub(1)..(y + 2).min(side) {
                for u in x.saturating_sub(1)..(x + 2).min(side) {
                    sum += found[v * side + u];
                    count += 1.0;
                }
            }
            inside.push(sum > 0.5 * count);
        }
    }
    inside
}

/// The mask without holes: what cannot be reached from the edges of the picture is inside.
fn filled(inside: &[bool], side: usize) -> Vec<bool> {
    let mut outside = vec![false; side * side];
    let on_edge = |i: &usize| i.is_multiple_of(side) || i % side == side - 1 || i / side == 0 || i / side == side - 1;
    let mut open: Vec<usize> = (0..side * side).filter(|i| on_edge(i) && !inside[*i]).collect();
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut outside[at], true) {
            open.extend(neighbours(at, side).filter(|n| !inside[*n] && !outside[*n]));
        }
    }
    outside.into_iter().map(|o| !o).collect()
}

/// Numbers of connected parts from 1; 0 outside.
fn parts(inside: &[bool], side: usize) -> Vec<usize> {
    let mut parts = vec![0; side * side];
    let mut count = 0;
    for start in 0..side * side {
        if !inside[start] || parts[start] > 0 {
            continue;
        }
        count += 1;
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            if parts[at] == 0 {
                parts[at] = count;
                open.extend(neighbours(at, side).filter(|n| inside[*n] && parts[*n] == 0));
            }
        }
    }
    parts
}

fn neighbours(at: usize, side: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (at % side, at / side);
    let left = (x > 0).then(|| at - 1);
    let right = (x + 1 < side).then(|| at + 1);
    let up = (y > 0).then(|| at - side);
    let down = (y + 1 < side).then(|| at + side);
    [left, right, up, down].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disc before a sky and a meadow, with a small sun.
    #[test]
    fn a_disc_is_found_and_a_sun_is_not() {
        let side = 64;
        let near = |i: usize, x: f32, y: f32| ((i % side) as f32 - x).hypot((i / side) as f32 - y);
        let lab: Vec<[f32; 3]> = (0..side * side)
            .map(|i| match i {
                _ if near(i, 34.0, 36.0) < 6.0 => [95.0, 0.0, 0.0],
                _ if near(i, 34.0, 36.0) < 17.0 => [50.0, 60.0, 40.0],
                _ if near(i, 12.0, 10.0) < 5.0 => [95.0, 0.0, 60.0],
                _ if i / side < 30 => [70.0, -10.0, -40.0],
                _ => [60.0, -50.0, 40.0],
            })
            .collect();
        let found = subject(&lab, side);
        for (i, v) in found.iter().enumerate() {
            let from = near(i, 34.0, 36.0);
            assert!((from > 15.5 || *v == 1.0) && (from < 18.5 || *v == 0.0), "{} {}: {v}", i % side, i / side);
        }
        assert!(subject(&vec![[50.0; 3]; side * side], side).iter().all(|v| *v == 1.0));
    }
}
