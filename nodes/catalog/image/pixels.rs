//! Samples as floating-point numbers: the one place where nodes meet the number types and channel counts of images.

use dc_graph_node_api::{Image, Mask, NodeError, Pixels};

/// How a picture is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// 0 to 255.
    U8,
    /// 0 to 1.
    F32,
}

impl Depth {
    /// How `image` is stored.
    pub(crate) fn of(image: &Image) -> Self {
        match image.pixels() {
            Pixels::U8(_) => Self::U8,
            Pixels::F32(_) => Self::F32,
        }
    }

    /// The depth that loses nothing of either.
    pub(crate) fn max(self, other: Self) -> Self {
        if self == Self::F32 { Self::F32 } else { other }
    }
}

/// Samples in 0 to 1, row-major `[height, width, channels]`; of 4 channels, the last is alpha, not premultiplied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Samples {
    /// Pixels from left to right.
    pub(crate) width: usize,
    /// Pixels from top to bottom.
    pub(crate) height: usize,
    /// Samples per pixel.
    pub(crate) channels: usize,
    /// `height * width * channels` samples.
    pub(crate) values: Vec<f32>,
}

impl Samples {
    /// The samples of an image as they are.
    pub(crate) fn of(image: &Image) -> Self {
        Self {
            width: image.width() as usize,
            height: image.height() as usize,
            channels: usize::from(image.channels()),
            values: image.to_f32(),
        }
    }

    /// A mask as a picture of one channel.
    pub(crate) fn of_mask(mask: &Mask) -> Self {
        Self {
            width: mask.width() as usize,
            height: mask.height() as usize,
            channels: 1,
            values: mask.values().to_vec(),
        }
    }

    /// A picture of one colour, one sample per channel.
    pub(crate) fn filled(width: usize, height: usize, color: &[f32]) -> Self {
        let values = color.iter().copied().cycle().take(width * height * color.len()).collect();
        Self { width, height, channels: color.len(), values }
    }

    /// The same picture with alpha: grey becomes RGB, what has no alpha is opaque.
    pub(crate) fn into_rgba(self) -> Self {
        let values = match self.channels {
            4 => self.values,
            3 => self.values.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 1.0]).collect(),
            _ => self.values.iter().flat_map(|v| [*v, *v, *v, 1.0]).collect(),
        };
        Self { channels: 4, values, ..self }
    }

    /// The same picture without alpha, over one colour.
    pub(crate) fn into_rgb_over(self, color: [f32; 3]) -> Self {
        let values = match self.channels {
            4 => {
                let over = |p: &[f32], c: usize| p[c] * p[3] + color[c] * (1.0 - p[3]);
                self.values.chunks_exact(4).flat_map(|p| [over(p, 0), over(p, 1), over(p, 2)]).collect()
            }
            3 => self.values,
            _ => self.values.iter().flat_map(|v| [*v; 3]).collect(),
        };
        Self { channels: 3, values, ..self }
    }

    /// The samples of one pixel.
    pub(crate) fn pixel(&self, x: usize, y: usize) -> &[f32] {
        let at = (y * self.width + x) * self.channels;
        &self.values[at..at + self.channels]
    }

    /// The samples of one pixel.
    pub(crate) fn pixel_mut(&mut self, x: usize, y: usize) -> &mut [f32] {
        let at = (y * self.width + x) * self.channels;
        &mut self.values[at..at + self.channels]
    }

    /// A part of the picture. The rectangle must lie inside it.
    pub(crate) fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        let row = |y: usize| {
            let at = (y * self.width + x) * self.channels;
            &self.values[at..at + width * self.channels]
        };
        let values = (y..y + height).flat_map(row).copied().collect();
        Self { width, height, channels: self.channels, values }
    }

    /// Puts `other`, of as many channels, with its corner at (x, y); what does not fit is left out.
    pub(crate) fn paste(&mut self, other: &Self, x: usize, y: usize) {
        let width = other.width.min(self.width.saturating_sub(x)) * self.channels;
        for row in 0..other.height.min(self.height.saturating_sub(y)) {
            let from = row * other.width * other.channels;
            let to = ((y + row) * self.width + x) * self.channels;
            self.values[to..to + width].copy_from_slice(&other.values[from..from + width]);
        }
    }

    /// An image stored as `depth`. Rounds and clamps for [`Depth::U8`].
    pub(crate) fn into_image(self, depth: Depth) -> Result<Image, NodeError> {
        let pixels = match depth {
            Depth::U8 => Pixels::U8(self.values.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8).collect()),
            Depth::F32 => Pixels::F32(self.values),
        };
        Image::new(self.width as u32, self.height as u32, self.channels as u8, pixels)
    }

    /// The first channel as a mask, clamped to 0 to 1.
    pub(crate) fn into_mask(self) -> Result<Mask, NodeError> {
        let values = self.values.chunks_exact(self.channels).map(|p| p[0].clamp(0.0, 1.0)).collect();
        Mask::new(self.width as u32, self.height as u32, values)
    }
}

/// Luma of sRGB-encoded samples (Rec. 601, as ITU-R BT.601 and the PNG specification weigh them).
pub(crate) fn luma(pixel: &[f32]) -> f32 {
    if pixel.len() < 3 { pixel[0] } else { 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2] }
}

/// An error when two pictures that must have one size do not.
pub(crate) fn same_size(port: &str, found: (u32, u32), of: &str, expected: (u32, u32)) -> Result<(), NodeError> {
    if found == expected {
        return Ok(());
    }
    let (fw, fh) = found;
    let (ew, eh) = expected;
    Err(NodeError::input(port, format!("has {fw}x{fh} pixels, but `{of}` has {ew}x{eh}"))
        .with_hint("put a `Resize` node in front of one of them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels() {
        let grey = Samples { width: 2, height: 1, channels: 1, values: vec![0.25, 1.0] };
        assert_eq!(grey.clone().into_rgba().values, [0.25, 0.25, 0.25, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(grey.into_rgb_over([0.0; 3]).values, [0.25, 0.25, 0.25, 1.0, 1.0, 1.0]);
        let rgba = Samples { width: 1, height: 1, channels: 4, values: vec![1.0, 0.5, 0.0, 0.25] };
        assert_eq!(rgba.into_rgb_over([0.0, 0.5, 1.0]).values, [0.25, 0.5, 0.75]);
    }

    #[test]
    fn depth_survives() {
        for depth in [Depth::U8, Depth::F32] {
            let image = Samples::filled(2, 2, &[0.0, 1.0, 51.0 / 255.0]).into_image(depth).unwrap();
            assert_eq!(Depth::of(&image), depth);
            assert_eq!(image.to_u8()[..3], [0, 255, 51]);
        }
        assert_eq!(Depth::U8.max(Depth::F32), Depth::F32);
        assert_eq!(Depth::F32.max(Depth::U8), Depth::F32);
        assert_eq!(Depth::U8.max(Depth::U8), Depth::U8);
    }

    #[test]
    fn crop_and_paste_are_inverse() {
        let picture = Samples { width: 3, height: 2, channels: 1, values: (0..6).map(|v| v as f32).collect() };
        let part = picture.crop(1, 0, 2, 2);
        assert_eq!(part.values, [1.0, 2.0, 4.0, 5.0]);
        let mut other = Samples::filled(3, 2, &[9.0]);
        other.paste(&part, 1, 0);
        assert_eq!(other.values, [9.0, 1.0, 2.0, 9.0, 4.0, 5.0]);
        other.paste(&part, 2, 1);
        assert_eq!(other.values, [9.0, 1.0, 2.0, 9.0, 4.0, 1.0]);
        other.paste(&part, 5, 5);
        assert_eq!(other.values, [9.0, 1.0, 2.0, 9.0, 4.0, 1.0]);
    }
}
