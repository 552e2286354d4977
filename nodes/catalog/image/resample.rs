//! Changing the number of pixels.
//!
//! Separable filters whose support grows with the reduction, as in Pillow: pixel `i` of the result lies at
//! `(i + 0.5) * scale` of the source, weights are normalised at the borders. Colours are weighted by their alpha, so that
//! what is transparent does not bleed.

use dc_graph_node_api::Image;

use super::pixels::{Depth, Samples};

/// The kernels people know by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The pixel whose area holds the point.
    Nearest,
    /// A triangle; averages when reducing.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
    /// A sinc of three lobes.
    Lanczos,
}

impl Filter {
    /// The names in documents.
    pub(crate) const NAMES: [&'static str; 4] = ["nearest", "bilinear", "bicubic", "lanczos"];

    /// By its name in documents.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "nearest" => Some(Self::Nearest),
            "bilinear" => Some(Self::Bilinear),
            "bicubic" => Some(Self::Bicubic),
            "lanczos" => Some(Self::Lanczos),
            _ => None,
        }
    }

    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Nearest => 1.0,
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

/// A picture at another size, as `Resize` makes it unless told otherwise. A side of 0 counts as 1.
pub fn resized(image: &Image, width: u32, height: u32) -> Image {
    let (width, height) = (width.max(1) as usize, height.max(1) as usize);
    let samples = resample(&Samples::of(image), width, height, Filter::Lanczos);
    // Sizes and samples agree.
    samples.into_image(Depth::of(image)).unwrap_or_else(|_| image.clone())
}

/// The same picture at another size; both sides at least 1.
pub(crate) fn resample(source: &Samples, width: usize, height: usize, filter: Filter) -> Samples {
    if (source.width, source.height) == (width, height) {
        return source.clone();
    }
    if filter == Filter::Nearest {
        let mut result = Samples::filled(width, height, &vec![0.0; source.channels]);
        for y in 0..height {
            let from = (2 * y + 1) * source.height / (2 * height);
            for x in 0..width {
                result.pixel_mut(x, y).copy_from_slice(source.pixel((2 * x + 1) * source.width / (2 * width), from));
            }
        }
        return result;
    }
    let mut working = source.clone();
    if source.channels == 4 {
        working.values.chunks_exact_mut(4).for_each(|p| (0..3).for_each(|c| p[c] *= p[3]));
    }
    let mut result = rows(&columns(&working, width, filter), height, filter);
    if source.channels == 4 {
        for p in result.values.chunks_exact_mut(4) {
            p[3] = p[3].clamp(0.0, 1.0);
            if p[3] > 0.0 {
                (0..3).for_each(|c| p[c] /= p[3]);
            }
        }
    }
    result
}

fn columns(source: &Samples, width: usize, filter: Filter) -> Samples {
    let channels = source.channels;
    let taps = taps(source.width, width, filter);
    let mut values = Vec::with_capacity(source.height * width * channels);
    for row in source.values.chunks_exact(source.width * channels) {
        for (start, weights) in &taps {
            for c in 0..channels {
                values.push(weights.iter().enumerate().map(|(i, w)| w * row[(start + i) * channels + c]).sum());
            }
        }
    }
    Samples { width, values, ..*source }
}

fn rows(source: &Samples, height: usize, filter: Filter) -> Samples {
    let stride = source.width * source.channels;
    let mut values = vec![0.0; height * stride];
    for (row, (start, weights)) in values.chunks_exact_mut(stride).zip(taps(source.height, height, filter)) {
        for (i, weight) in weights.iter().enumerate() {
            let from = &source.values[(start + i) * stride..(start + i + 1) * stride];
            row.iter_mut().zip(from).for_each(|(to, v)| *to += weight * v);
        }
    }
    Samples { height, values, ..*source }
}

/// For each pixel of the result, the first source pixel and the weights from there on; they sum to 1.
fn taps(from: usize, to: usize, filter: Filter) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let tap = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let start = ((center - support + 0.5).floor().max(0.0) as usize).min(from - 1);
        let end = ((center + support + 0.5).floor() as usize).clamp(start + 1, from);
        let weights: Vec<f64> = (start..end).map(|s| filter.weight((s as f64 + 0.5 - center) / stretch)).collect();
        let sum: f64 = weights.iter().sum();
        (start, weights.iter().map(|w| (w / sum) as f32).collect())
    };
    (0..to).map(tap).collect()
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Samples {
        Samples { width: values.len(), height: 1, channels: 1, values: values.to_vec() }
    }

    #[track_caller]
    fn check(source: &[f32], filter: Filter, expected: &[f32]) {
        let turned = Samples { width: 1, height: source.len(), ..row(source) };
        let found = resample(&row(source), expected.len(), 1, filter);
        let found_turned = resample(&turned, 1, expected.len(), filter);
        assert_eq!(found.values, found_turned.values);
        for (a, b) in found.values.iter().zip(expected) {
            assert!((a - b).abs() < 1e-5, "{:?}, expected {expected:?}", found.values);
        }
    }

    /// Expected values by Pillow 13's `Image.resize` on float images.
    #[test]
    fn rows_and_columns() {
        let five = [0.0, 1.0, 4.0, 2.0, 3.0];
        check(&[0.0, 1.0, 4.0, 2.0, 3.0, 7.0], Filter::Nearest, &[0.0, 4.0, 2.0, 7.0]);
        check(&[0.0, 1.0, 4.0], Filter::Nearest, &[0.0, 0.0, 1.0, 4.0, 4.0]);
        check(&[0.0, 1.0], Filter::Bilinear, &[0.0, 0.25, 0.75, 1.0]);
        check(&[0.0, 0.0, 8.0, 8.0], Filter::Bilinear, &[1.142857, 6.857143]);
        check(&[0.0, 1.0, 2.0, 5.0, 3.0], Filter::Bilinear, &[0.428571, 2.444444, 3.857143]);
        check(&five, Filter::Bicubic, &[-0.058252, 0.360111, 1.857143, 4.0, 2.498542, 2.307479, 3.058252]);
        check(&five, Filter::Bicubic, &[0.384615, 2.953488, 2.615385]);
        check(&five, Filter::Lanczos, &[-0.00468, 0.162076, 2.067713, 4.0, 2.573121, 2.176595, 3.130604]);
        check(&five, Filter::Lanczos, &[1.330565, 2.943599]);
    }

    #[test]
    fn transparent_pixels_do_not_bleed() {
        let source = Samples { width: 2, height: 1, channels: 4, values: vec![1.0, 0.5, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0] };
        assert_eq!(resample(&source, 1, 1, Filter::Bilinear).values, [1.0, 0.5, 0.0, 0.5]);
    }
}
