//! What a reference goes through before it is cached in training (arXiv 2411.17786, section 4 and supplement), so that the
//! adapters learn the subject and not its place in the reference.
//!
//! | change | how often | how much |
//! | --- | --- | --- |
//! | crop to the subject, resize, place | always | 70 % of the area or more |
//! | flip left and right | 0.5 | |
//! | brightness, contrast, saturation; hue | 0.1 | 0.2; 0.05 of the circle |
//! | erase a rectangle to white | 0.4 | 2 to 25 % of the area |

use super::dataset::{Picture, Triplet};
use super::draws::{between, chance};
use crate::random::TorchGenerator;

/// The reference of a triplet, changed. Of the same size.
pub fn augment(triplet: &Triplet, generator: &mut TorchGenerator) -> Picture {
    let Picture { width, height, .. } = triplet.reference;
    let mut picture = place(triplet, generator);
    if chance(generator, 0.1) {
        jitter(&mut picture, generator);
    }
    if chance(generator, 0.4) {
        let area = between(generator, 0.02, 0.25) * (width * height) as f32;
        // Between tall and wide alike: the logarithm of the ratio is uniform.
        let ratio = between(generator, 0.3_f32.ln(), (1.0_f32 / 0.3).ln()).exp();
        let side = |length: f32, most: usize| (length.round() as usize).clamp(1, most);
        let (w, h) = (side((area * ratio).sqrt(), width), side((area / ratio).sqrt(), height));
        let x = between(generator, 0.0, (width - w) as f32 + 0.999) as usize;
        let y = between(generator, 0.0, (height - h) as f32 + 0.999) as usize;
        for row in y..y + h {
            picture.pixels[(row * width + x) * 3..][..w * 3].fill(255);
        }
    }
    picture
}

/// The subject alone, in a square of at least 70 % of the area somewhere on white, flipped or not.
fn place(triplet: &Triplet, generator: &mut TorchGenerator) -> Picture {
    let Picture { width, height, ref pixels } = triplet.reference;
    let subject = |i: &usize| triplet.mask[*i] > 25;
    let columns = || (0..width * height).filter(subject).map(|i| i % width);
    let rows = || (0..width * height).filter(subject).map(|i| i / width);
    let (left, right) = (columns().min().unwrap_or(0), columns().max().unwrap_or(width - 1) + 1);
    let (top, bottom) = (rows().min().unwrap_or(0), rows().max().unwrap_or(height - 1) + 1);
    let side = (right - left).max(bottom - top) as f32;
    let (middle_x, middle_y) = ((left + right) as f32 / 2.0, (top + bottom) as f32 / 2.0);
    let size = between(generator, 0.7, 1.0).sqrt() * width.min(height) as f32;
    let (x0, y0) = (between(generator, 0.0, width as f32 - size), between(generator, 0.0, height as f32 - size));
    let flip = chance(generator, 0.5);
    // White outside of the subject's box.
    let at = |x: i64, y: i64, channel: usize| {
        let inside = (left as i64..right as i64).contains(&x) && (top as i64..bottom as i64).contains(&y);
        if inside { f32::from(pixels[(y as usize * width + x as usize) * 3 + channel]) } else { 255.0 }
    };
    let mut placed = Vec::with_capacity(pixels.len());
    for y in 0..height {
        for x in 0..width {
            let u = (x as f32 + 0.5 - x0) / size - 0.5;
            let v = (y as f32 + 0.5 - y0) / size - 0.5;
            let source_x = middle_x + if flip { -u } else { u } * side - 0.5;
            let source_y = middle_y + v * side - 0.5;
            let (column, row) = (source_x.floor(), source_y.floor());
            let (right_part, lower_part) = (source_x - column, source_y - row);
            for channel in 0..3 {
                let pixel = |dx: i64, dy: i64| at(column as i64 + dx, row as i64 + dy, channel);
                let upper = pixel(0, 0) * (1.0 - right_part) + pixel(1, 0) * right_part;
                let lower = pixel(0, 1) * (1.0 - right_part) + pixel(1, 1) * right_part;
                placed.push((upper * (1.0 - lower_part) + lower * lower_part).round() as u8);
            }
        }
    }
    Picture { width, height, pixels: placed }
}

/// Brightness, contrast, saturation and hue of what is not white.
fn jitter(picture: &mut Picture, generator: &mut TorchGenerator) {
    let [brightness, contrast, saturation] = [0; 3].map(|_| between(generator, 0.8, 1.2));
    let hue = between(generator, -0.05, 0.05) * std::f32::consts::TAU;
    let is_white = |p: &[u8]| p.iter().all(|v| *v >= 250);
    let luma = |p: [f32; 3]| 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
    let floats = |p: &[u8]| [p[0], p[1], p[2]].map(f32::from);
    let lumas = picture.pixels.chunks_exact(3).filter(|p| !is_white(p)).map(|p| luma(floats(p)));
    let (sum, count) = lumas.fold((0.0, 0.0), |(sum, count), l| (sum + l, count + 1.0_f32));
    let mean = brightness * sum / count.max(1.0);
    let (sin, cos) = hue.sin_cos();
    for pixel in picture.pixels.chunks_exact_mut(3).filter(|p| !is_white(p)) {
        let p = floats(pixel).map(|v| (v * brightness - mean) * contrast + mean);
        let grey = luma(p);
        let [r, g, b] = p.map(|v| (v - grey) * saturation);
        // A rotation of the two colour differences of YIQ.
        let (i, q) = (0.596 * r - 0.274 * g - 0.322 * b, 0.211 * r - 0.523 * g + 0.312 * b);
        let (i, q) = (i * cos - q * sin, i * sin + q * cos);
        let turned = [0.956 * i + 0.621 * q, -0.272 * i - 0.647 * q, -1.106 * i + 1.703 * q];
        for (value, turned) in pixel.iter_mut().zip(turned) {
            *value = (grey + turned).clamp(0.0, 255.0).round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A red block, 8 x 16 pixels in the upper left corner of 32 x 32.
    fn triplet() -> Triplet {
        let inside = |i: usize| i % 32 < 8 && i / 32 < 16;
        let pixels = (0..32 * 32).flat_map(|i| if inside(i) { [200, 20, 20] } else { [255; 3] }).collect();
        let reference = Picture { width: 32, height: 32, pixels };
        let mask = (0..32 * 32).map(|i| if inside(i) { 255 } else { 0 }).collect();
        let caption = String::new();
        let target = reference.clone();
        Triplet { target, caption: caption.clone(), reference, reference_caption: caption, mask, subject: 0 }
    }

    #[test]
    fn the_subject_stays_large_and_of_its_color() {
        let (mut erased, mut exact, mut flipped) = (0, 0, 0);
        for seed in 0..400 {
            let picture = augment(&triplet(), &mut TorchGenerator::new(seed));
            assert_eq!((picture.width, picture.height, picture.pixels.len()), (32, 32, 32 * 32 * 3));
            let is_red = |p: &[u8]| p[0] > 130 && p[1] < 120 && p[2] < 120;
            let red = picture.pixels.chunks_exact(3).filter(|p| is_red(p)).count();
            // Half of a square of 70 to 100 % of the area, less what is erased.
            let (least, most) = (0.35 * 1024.0 - 100.0, 0.5 * 1024.0 + 60.0);
            assert!((red as f64) < most, "{red}");
            erased += usize::from((red as f64) < least + 60.0);
            exact += usize::from(picture.pixels.chunks_exact(3).any(|p| p == [200, 20, 20]));
            let first = picture.pixels.chunks_exact(3).take(32 * 16).position(is_red).unwrap_or(0) % 32;
            flipped += usize::from(first > 16);
        }
        assert!((40..240).contains(&erased), "{erased} of 400 lost something");
        assert!((330..390).contains(&exact), "{exact} of 400 kept their colour");
        assert!(flipped < 100, "{flipped}");
    }

    #[test]
    fn the_same_seed_gives_the_same_picture() {
        let draw = |seed| augment(&triplet(), &mut TorchGenerator::new(seed));
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }
}
