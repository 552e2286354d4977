//! Few colours for a picture: median cut (Heckbert 1982), refined by k-means, with error diffusion (Floyd, Steinberg 1976).

use crate::pixels::Picture;

/// Red, green, blue, 0 to 1. Grey pictures have three equal ones.
pub type Color = [f32; 3];

/// Rounds of k-means after the cut.
const ROUNDS: usize = 4;

/// A color as `#rrggbb`.
pub fn name(color: Color) -> String {
    let [r, g, b] = color.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn color(pixel: &[f32]) -> Color {
    if pixel.len() < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] }
}

fn distance(a: Color, b: Color) -> f32 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
}

fn nearest(palette: &[Color], color: Color) -> usize {
    let mut best = (0, f32::INFINITY);
    for (index, candidate) in palette.iter().enumerate() {
        let distance = distance(*candidate, color);
        if distance < best.1 {
            best = (index, distance);
        }
    }
    best.0
}

/// At most `count` colors for a picture, the most used first, rounded to what 8 bits can say.
pub fn choose(picture: &Picture, count: usize) -> Vec<Color> {
    let mut colors: Vec<Color> = picture.samples.chunks_exact(picture.channels).map(color).collect();
    let mut boxes = vec![colors.as_mut_slice()];
    while boxes.len() < count {
        // The box with the widest side is cut next.
        let widths: Vec<_> = boxes.iter().map(|colors| widest(colors)).collect();
        let Some((index, &(width, axis))) = widths.iter().enumerate().max_by(|a, b| a.1.0.total_cmp(&b.1.0)) else { break };
        if width <= 0.0 {
            break;
        }
        let cut = boxes.swap_remove(index);
        cut.sort_unstable_by(|a, b| a[axis].total_cmp(&b[axis]).then_with(|| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)));
        // Equal values stay together, so that no color is in two boxes.
        let middle = cut[cut.len() / 2][axis];
        let mut at = cut.partition_point(|c| c[axis] < middle);
        if at == 0 {
            at = cut.partition_point(|c| c[axis] <= middle);
        }
        let (low, high) = cut.split_at_mut(at);
        boxes.push(low);
        boxes.push(high);
    }
    let mut palette: Vec<Color> = boxes.iter().map(|colors| mean(colors)).collect();
    drop(boxes);
    let mut uses = Vec::new();
    for _ in 0..ROUNDS {
        let mut sums = vec![([0.0; 3], 0); palette.len()];
        for color in &colors {
            let (sum, count): &mut ([f64; 3], usize) = &mut sums[nearest(&palette, *color)];
            for (sum, value) in sum.iter_mut().zip(color) {
                *sum += f64::from(*value);
            }
            *count += 1;
        }
        for (entry, (sum, count)) in palette.iter_mut().zip(&sums).filter(|(_, (_, count))| *count > 0) {
            *entry = sum.map(|s| (s / *count as f64) as f32);
        }
        uses = sums.iter().map(|(_, count)| *count).collect();
    }
    let mut ranked: Vec<_> = uses.into_iter().zip(palette).filter(|(uses, _)| *uses > 0).collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0));
    let mut palette = Vec::with_capacity(ranked.len());
    for (_, color) in ranked {
        let rounded = color.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() / 255.0);
        if !palette.contains(&rounded) {
            palette.push(rounded);
        }
    }
    palette
}

/// The widest side of the box around some colors, and its axis.
fn widest(colors: &[Color]) -> (f32, usize) {
    let mut widest = (-1.0, 0);
    for axis in 0..3 {
        let (low, high) = colors
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), c| (low.min(c[axis]), high.max(c[axis])));
        if high - low > widest.0 {
            widest = (high - low, axis);
        }
    }
    widest
}

fn mean(colors: &[Color]) -> Color {
    [0, 1, 2].map(|axis| (colors.iter().map(|c| f64::from(c[axis])).sum::<f64>() / colors.len() as f64) as f32)
}

/// Paints every pixel in the nearest color of the palette.
pub fn apply(picture: &mut Picture, palette: &[Color], dither: bool) {
    let (width, height, channels) = (picture.width as usize, picture.height as usize, picture.channels);
    // What the pixels of this row and of the next owe, with a column to spare on both sides.
    let mut owed = [vec![[0.0; 3]; width + 2], vec![[0.0; 3]; width + 2]];
    for y in 0..height {
        for x in 0..width {
            let pixel = &mut picture.samples[(y * width + x) * channels..][..channels];
            let mut wanted = color(pixel);
            if dither {
                wanted = [0, 1, 2].map(|c| wanted[c] + owed[0][x + 1][c]);
            }
            let painted = palette[nearest(palette, wanted)];
            let colors = channels.min(3);
            if colors == 1 {
                pixel[0] = 0.2126 * painted[0] + 0.7152 * painted[1] + 0.0722 * painted[2];
            } else {
                pixel[..colors].copy_from_slice(&painted);
            }
            if dither {
                for c in 0..3 {
                    let error = wanted[c] - painted[c];
                    owed[0][x + 2][c] += error * 7.0 / 16.0;
                    owed[1][x][c] += error * 3.0 / 16.0;
                    owed[1][x + 1][c] += error * 5.0 / 16.0;
                    owed[1][x + 2][c] += error * 1.0 / 16.0;
                }
            }
        }
        let [this, next] = &mut owed;
        std::mem::swap(this, next);
        next.fill([0.0; 3]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(samples: Vec<f32>, width: u32, height: u32) -> Picture {
        Picture { width, height, channels: 3, samples, bytes: true }
    }

    #[test]
    fn few_colors_stay_as_they_are() {
        let samples: Vec<f32> = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]].concat();
        let mut picture = picture(samples.clone(), 2, 2);
        let palette = choose(&picture, 8);
        assert_eq!(palette.len(), 3);
        assert_eq!(name(palette[0]), "#ff0000", "the most used first");
        apply(&mut picture, &palette, true);
        assert_eq!(picture.samples, samples);
    }

    #[test]
    fn never_more_colors_than_asked_for() {
        let samples: Vec<f32> = (0..300).map(|i| (i * 97 % 256) as f32 / 255.0).collect();
        for count in [2, 3, 16, 256] {
            assert!(choose(&picture(samples.clone(), 10, 10), count).len() <= count);
        }
    }
}
