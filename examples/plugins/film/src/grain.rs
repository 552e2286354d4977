//! The grain of film: noise of a certain size, laid over the midtones.

use crate::pixels::Picture;

/// How the grain looks.
pub struct Grain {
    /// Standard deviation in the midtones.
    pub amount: f32,
    /// Pixels from grain to grain, at least 1.
    pub size: f32,
    /// One grain for all colours.
    pub monochrome: bool,
}

impl Grain {
    /// Points of noise that a picture of this size needs: a grid one grain wide, with a point to spare at each end.
    fn grid(&self, width: u32, height: u32) -> (usize, usize) {
        let points = |side: u32| (side as f32 / self.size).ceil() as usize + 2;
        (points(width), points(height))
    }

    /// How many normally distributed numbers [`Self::apply`] takes.
    pub fn count(&self, width: u32, height: u32) -> u32 {
        let (columns, rows) = self.grid(width, height);
        (columns * rows * if self.monochrome { 1 } else { 3 }) as u32
    }

    /// Adds `amount * 4 L (1 - L) * noise` to the colours, where `L` is the pixel's luma (Rec. 709, on encoded samples).
    ///
    /// The noise is interpolated between the points of the grid with weights of constant power (`cos` and `sin`), so that
    /// its variance is the same between the points as on them.
    pub fn apply(&self, picture: &mut Picture, noise: &[f32]) {
        let (columns, rows) = self.grid(picture.width, picture.height);
        let plane = columns * rows;
        let (channels, colors, width) = (picture.channels, picture.colors(), picture.width as usize);
        let across: Vec<_> = (0..width).map(|x| self.place(x)).collect();
        for (y, row) in picture.samples.chunks_exact_mut(width * channels).enumerate() {
            let (top, upper, lower) = self.place(y);
            for (pixel, &(left, west, east)) in row.chunks_exact_mut(channels).zip(&across) {
                let color = &mut pixel[..colors];
                let luma = match *color {
                    [r, g, b] => 0.2126 * r + 0.7152 * g + 0.0722 * b,
                    _ => color[0],
                }
                .clamp(0.0, 1.0);
                let strength = self.amount * 4.0 * luma * (1.0 - luma);
                for (index, sample) in color.iter_mut().enumerate() {
                    let start = if self.monochrome { 0 } else { index * plane } + top * columns + left;
                    let point = |at: usize| noise[start + at];
                    let between = upper * (west * point(0) + east * point(1))
                        + lower * (west * point(columns) + east * point(columns + 1));
                    *sample = (*sample + strength * between).clamp(0.0, 1.0);
                }
            }
        }
    }

    /// The point of the grid before a pixel, and the weights of it and the next one.
    fn place(&self, pixel: usize) -> (usize, f32, f32) {
        let at = pixel as f32 / self.size;
        let angle = at.fract() * std::f32::consts::FRAC_PI_2;
        (at as usize, angle.cos(), angle.sin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(value: f32) -> Picture {
        Picture { width: 7, height: 5, channels: 3, samples: vec![value; 105], bytes: false }
    }

    #[test]
    fn black_and_white_stay_and_grey_gets_the_noise() {
        let grain = Grain { amount: 0.1, size: 1.0, monochrome: true };
        let noise = vec![1.0; grain.count(7, 5) as usize];
        for (before, after) in [(0.0, 0.0), (1.0, 1.0), (0.5, 0.6)] {
            let mut picture = grey(before);
            grain.apply(&mut picture, &noise);
            assert!(picture.samples.iter().all(|s| (s - after).abs() < 1e-6), "{before}: {:?}", &picture.samples[..3]);
        }
    }
}
