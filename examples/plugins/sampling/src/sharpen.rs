//! Unsharp masking of one plane of latents.

/// `x + amount (x - blur x)`, with the 3 by 3 binomial blur `[1 2 1]^T [1 2 1] / 16`; the border is repeated outwards.
pub fn sharpen(plane: &mut [f32], height: usize, width: usize, amount: f32) {
    let smooth = |before: f32, here: f32, after: f32| 0.25 * (before + 2.0 * here + after);
    let mut across = vec![0.0; plane.len()];
    for (out, row) in across.chunks_exact_mut(width).zip(plane.chunks_exact(width)) {
        for x in 0..width {
            out[x] = smooth(row[x.saturating_sub(1)], row[x], row[(x + 1).min(width - 1)]);
        }
    }
    for y in 0..height {
        let (above, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
        for x in 0..width {
            let blurred = smooth(across[above * width + x], across[y * width + x], across[below * width + x]);
            let sample = &mut plane[y * width + x];
            *sample += amount * (*sample - blurred);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn flat_planes_stay_and_peaks_grow() {
        let mut flat = vec![2.5; 12];
        super::sharpen(&mut flat, 3, 4, 0.7);
        assert_eq!(flat, vec![2.5; 12]);
        let mut peak = vec![0.0; 9];
        peak[4] = 16.0;
        super::sharpen(&mut peak, 3, 3, 1.0);
        assert_eq!(peak, [-1.0, -2.0, -1.0, -2.0, 28.0, -2.0, -1.0, -2.0, -1.0]);
    }
}
