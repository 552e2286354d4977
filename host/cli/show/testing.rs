//! Pictures to test with.

use dc_graph::api::{Image, Pixels};

/// A picture of many colours, all pixels of a small one different.
pub(super) fn image(width: u32, height: u32) -> Image {
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels = pixels
        .flat_map(|(x, y)| [(x * 255 / width.max(2)) as u8, (y * 255 / height.max(2)) as u8, (x * 7 + y * 31) as u8]);
    Image::new(width, height, 3, Pixels::U8(pixels.collect())).unwrap()
}

/// A pixel of a picture of three channels.
pub(super) fn pixel(image: &Image, x: u32, y: u32) -> [u8; 3] {
    let at = (y * image.width() + x) as usize * 3;
    image.to_u8()[at..at + 3].try_into().unwrap()
}

/// A PNG as a picture.
pub(super) fn decoded_png(bytes: &[u8]) -> Image {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    Image::new(info.width, info.height, info.color_type.samples() as u8, Pixels::U8(pixels)).unwrap()
}
