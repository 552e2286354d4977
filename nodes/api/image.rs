//! Plain pixels: what images and masks are between nodes.

use crate::error::NodeError;

/// The samples of an [`Image`], row-major, channels interleaved.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 0 to 255, sRGB-encoded.
    U8(Vec<u8>),
    /// 0 to 1, sRGB-encoded. Values outside are kept and clamped only when written to a file.
    F32(Vec<f32>),
}

/// An image of 1 (grey), 3 (RGB) or 4 (RGBA, alpha not premultiplied) channels.
///
/// `pixels` holds `height * width * channels` samples in `[height, width, channels]` order.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    width: u32,
    height: u32,
    channels: u8,
    pixels: Pixels,
}

impl Image {
    /// Checks the sizes and wraps the samples.
    ///
    /// # Errors
    /// When a side is 0, `channels` is none of 1, 3, 4, or the number of samples is not `width * height * channels`.
    pub fn new(width: u32, height: u32, channels: u8, pixels: Pixels) -> Result<Self, NodeError> {
        let found = match &pixels {
            Pixels::U8(v) => v.len(),
            Pixels::F32(v) => v.len(),
        };
        if width == 0 || height == 0 || !matches!(channels, 1 | 3 | 4) {
            return Err(NodeError::failed(format!(
                "an image of {width}x{height} with {channels} channels: sides must be at least 1 and channels 1, 3 or 4"
            )));
        }
        let expected = u64::from(width) * u64::from(height) * u64::from(channels);
        if found as u64 != expected {
            return Err(NodeError::failed(format!(
                "an image of {width}x{height}x{channels} needs {expected} samples, found {found}"
            )));
        }
        Ok(Self { width, height, channels, pixels })
    }

    /// Pixels from left to right.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// 1, 3 or 4.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// The samples as they are stored.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// All samples as 0 to 255, rounded and clamped.
    pub fn to_u8(&self) -> Vec<u8> {
        match &self.pixels {
            Pixels::U8(v) => v.clone(),
            Pixels::F32(v) => v.iter().map(|x| (x.clamp(0.0, 1.0) * 255.0).round() as u8).collect(),
        }
    }

    /// All samples as 0 to 1 (u8 divided by 255).
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.pixels {
            Pixels::U8(v) => v.iter().map(|x| f32::from(*x) / 255.0).collect(),
            Pixels::F32(v) => v.clone(),
        }
    }

    /// Number of samples times their size.
    pub fn size_bytes(&self) -> usize {
        match &self.pixels {
            Pixels::U8(v) => v.len(),
            Pixels::F32(v) => v.len() * 4,
        }
    }
}

/// One number per pixel, 0 (background) to 1 (foreground), row-major `[height, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    width: u32,
    height: u32,
    values: Vec<f32>,
}

impl Mask {
    /// Checks the sizes and wraps the values.
    ///
    /// # Errors
    /// When a side is 0 or the number of values is not `width * height`.
    pub fn new(width: u32, height: u32, values: Vec<f32>) -> Result<Self, NodeError> {
        let expected = u64::from(width) * u64::from(height);
        if expected == 0 || values.len() as u64 != expected {
            return Err(NodeError::failed(format!(
                "a mask of {width}x{height} needs {expected} values and sides of at least 1, found {} values",
                values.len()
            )));
        }
        Ok(Self { width, height, values })
    }

    /// Pixels from left to right.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
