//! Pictures in and out: from the host's buffers to `f32` samples and back to the type they came in.

use crate::dc_graph::node::types::{Buffer, ElementType, Image};

/// A picture of 1, 3 or 4 channels, samples 0 to 1, `[height, width, channels]`.
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub channels: usize,
    pub samples: Vec<f32>,
    /// Whether the samples came as bytes and go back as bytes.
    pub bytes: bool,
}

impl Picture {
    /// How many of the channels are colours; the fourth is alpha.
    pub fn colors(&self) -> usize {
        self.channels.min(3)
    }
}

/// Copies an image out of the host.
pub fn read(image: Image) -> Picture {
    let Image { width, height, channels, elements, data } = image;
    let bytes = elements == ElementType::Uint8;
    let data = data.read_all();
    let samples = if bytes { data.iter().map(|b| f32::from(*b) / 255.0).collect() } else { floats(&data) };
    Picture { width, height, channels: channels as usize, samples, bytes }
}

/// Copies a picture to the host.
pub fn write(picture: Picture) -> Image {
    let Picture { width, height, channels, samples, bytes } = picture;
    let (elements, data): (_, Vec<u8>) = if bytes {
        (ElementType::Uint8, samples.iter().map(|s| (s.clamp(0.0, 1.0) * 255.0).round() as u8).collect())
    } else {
        (ElementType::Float32, samples.iter().flat_map(|s| s.to_le_bytes()).collect())
    };
    Image { width, height, channels: channels as u32, elements, data: Buffer::from_bytes(&data) }
}

/// Little-endian `f32` numbers.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
