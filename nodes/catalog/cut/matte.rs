//! From a coarse outline to soft edges that follow the picture: He, Sun and Tang, "Guided Image Filtering" (2010).

/// Smooths `mask` so that it follows the edges of `guide` (one number per pixel, 0 to 1), within `radius` pixels.
///
/// `epsilon` is the variance of the guide below which there is no edge.
pub(crate) fn guided_filter(
    width: usize,
    height: usize,
    guide: &[f32],
    mask: &[f32],
    radius: usize,
    epsilon: f32,
) -> Vec<f32> {
    let mean = |values: Vec<f32>| box_mean(width, height, &values, radius);
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>();
    let mean_guide = mean(guide.to_vec());
    let mean_mask = mean(mask.to_vec());
    let mean_both = mean(product(guide, mask));
    let mean_square = mean(product(guide, guide));
    let (mut slope, mut offset) = (vec![0.0; mask.len()], vec![0.0; mask.len()]);
    for i in 0..mask.len() {
        let variance = (mean_square[i] - mean_guide[i] * mean_guide[i]).max(0.0);
        slope[i] = (mean_both[i] - mean_guide[i] * mean_mask[i]) / (variance + epsilon);
        offset[i] = mean_mask[i] - slope[i] * mean_guide[i];
    }
    let (slope, offset) = (mean(slope), mean(offset));
    guide.iter().zip(slope.iter().zip(offset)).map(|(g, (a, b))| (a * g + b).clamp(0.0, 1.0)).collect()
}

/// The mean over a square of `2 * radius + 1` pixels, cut off at the border.
pub(crate) fn box_mean(width: usize, height: usize, values: &[f32], radius: usize) -> Vec<f32> {
    let rows = box_columns(width, height, values, radius);
    let turned = transpose(width, height, &rows);
    let columns = box_columns(height, width, &turned, radius);
    transpose(height, width, &columns)
}

fn box_columns(width: usize, height: usize, values: &[f32], radius: usize) -> Vec<f32> {
    let mut result = Vec::with_capacity(width * height);
    // f64 sums: rows are long, and what is subtracted must be what was added.
    let mut sums = vec![0.0_f64; width + 1];
    for row in values.chunks_exact(width) {
        for (x, value) in row.iter().enumerate() {
            sums[x + 1] = sums[x] + f64::from(*value);
        }
        for x in 0..width {
            let (start, end) = (x.saturating_sub(radius), (x + radius + 1).min(width));
            result.push(((sums[end] - sums[start]) / (end - start) as f64) as f32);
        }
    }
    result
}

fn transpose(width: usize, height: usize, values: &[f32]) -> Vec<f32> {
    (0..width).flat_map(|x| (0..height).map(move |y| values[y * width + x])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_means() {
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        // Rows 0 1 2 3, 4 5 6 7, 8 9 10 11.
        let found = box_mean(4, 3, &values, 1);
        assert_eq!(found[0], (0.0 + 1.0 + 4.0 + 5.0) / 4.0);
        assert_eq!(found[5], 5.0);
        assert_eq!(found[7], (2.0 + 3.0 + 6.0 + 7.0 + 10.0 + 11.0) / 6.0);
        assert_eq!(box_mean(4, 3, &values, 9), [5.5; 12]);
    }

    #[test]
    fn a_shifted_mask_moves_to_the_edge() {
        let (width, height) = (40, 20);
        let guide: Vec<f32> = (0..width * height).map(|i| if i % width < 20 { 0.2 } else { 0.8 }).collect();
        let mask: Vec<f32> = (0..width * height).map(|i| f32::from(i % width >= 22)).collect();
        let found = guided_filter(width, height, &guide, &mask, 5, 1e-4);
        for (i, value) in found.iter().enumerate() {
            assert_eq!(*value > 0.5, i % width >= 20, "{}: {value}", i % width);
        }
    }
}
