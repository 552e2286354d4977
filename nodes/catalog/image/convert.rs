//! Between image files and pixels: the one place that knows the `image` crate.

use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use dc_graph_node_api::{Image, Mask, NodeError, Pixels};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};

use super::pixels::Samples;

/// Longest side of a picture that is read, in pixels.
pub(crate) const MAX_SIDE: u32 = 16_384;
const MAX_BYTES: u64 = 1 << 30;
const READABLE: &str = "PNG, JPEG and WebP files can be read";

/// The format of a file by its first bytes, when it is one that can be read.
pub(crate) fn sniff(path: &Path) -> Result<ImageFormat, NodeError> {
    let file_error = |source| NodeError::File { path: path.into(), source };
    let mut start = Vec::new();
    std::fs::File::open(path).and_then(|f| f.take(32).read_to_end(&mut start)).map_err(file_error)?;
    let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    image::guess_format(&start)
        .ok()
        .filter(|f| known.contains(f))
        .ok_or_else(|| NodeError::input("path", format!("not a picture: {}", path.display())).with_hint(READABLE))
}

/// Reads a picture upright: RGB or RGBA, u8, or f32 when the file has 16 bits a sample.
///
/// Returns the picture and its alpha as a mask (1 everywhere when the file has none).
pub(crate) fn read(path: &Path) -> Result<(Image, Mask), NodeError> {
    let format = sniff(path)?;
    let bytes = std::fs::read(path).map_err(|source| NodeError::File { path: path.into(), source })?;
    if format == ImageFormat::Jpeg && !jpeg_is_complete(&bytes) {
        return Err(unreadable(path, "the file ends in the middle of the picture".into()));
    }
    let decoded = decode(format, BufReader::new(Cursor::new(bytes))).map_err(|e| match e {
        image::ImageError::Limits(_) => {
            unreadable(path, format!("{e} (at most {MAX_SIDE} pixels a side, 1 GiB in all)"))
        }
        other => unreadable(path, other.to_string()),
    })?;
    let image = from_decoded(decoded)?;
    let mask = match image.channels() {
        4 => image.to_f32().chunks_exact(4).map(|p| p[3]).collect(),
        _ => vec![1.0; image.width() as usize * image.height() as usize],
    };
    let mask = Mask::new(image.width(), image.height(), mask)?;
    Ok((image, mask))
}

/// Reads a picture upright, as `Load Image` does.
///
/// # Errors
/// When the file cannot be read or is no picture.
pub fn read_picture(path: &Path) -> Result<Image, NodeError> {
    read(path).map(|(image, _)| image)
}

fn unreadable(path: &Path, why: String) -> NodeError {
    NodeError::input("path", format!("cannot read {}: {why}", path.display()))
}

fn decode(format: ImageFormat, reader: impl std::io::BufRead + Seek) -> Result<DynamicImage, image::ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    let mut reader = ImageReader::with_format(reader, format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    limits.check_dimensions(decoder.dimensions().0, decoder.dimensions().1)?;
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let mut decoded = DynamicImage::from_decoder(decoder)?;
    decoded.apply_orientation(orientation);
    Ok(decoded)
}

fn from_decoded(decoded: DynamicImage) -> Result<Image, NodeError> {
    let (width, height, alpha) = (decoded.width(), decoded.height(), decoded.color().has_alpha());
    let deep = decoded.color().bytes_per_pixel() > decoded.color().channel_count();
    let (channels, pixels) = match (deep, alpha) {
        (false, false) => (3, Pixels::U8(decoded.into_rgb8().into_raw())),
        (false, true) => (4, Pixels::U8(decoded.into_rgba8().into_raw())),
        (true, false) => (3, Pixels::F32(decoded.into_rgb32f().into_raw())),
        (true, true) => (4, Pixels::F32(decoded.into_rgba32f().into_raw())),
    };
    Image::new(width, height, channels, pixels)
}

/// Whether the end-of-image marker follows the first scan: the decoder fills the rest of a truncated file with grey.
///
/// Segments before the scan are skipped by their lengths, for a thumbnail in them has an end marker of its own.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some([0xff, marker, high, low]) = bytes.get(at..at + 4) {
        match marker {
            0xff => at += 1,
            0xda => return bytes[at..].windows(2).any(|w| w == [0xff, 0xd9]),
            _ => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
        }
    }
    false
}

/// The formats that pictures are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lossless, 8 bits a sample, with the provenance as a text chunk.
    Png,
    /// Lossy; transparent parts become white.
    Jpeg,
    /// Lossless.
    WebP,
}

impl Format {
    /// By a file's extension.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::WebP),
            _ => None,
        }
    }
}

/// Writes a picture with 8 bits a sample. The same picture gives the same bytes. `quality`, 1 to 100, is JPEG's;
/// `provenance` goes into a PNG.
pub(crate) fn write(
    image: &Image,
    format: Format,
    quality: u8,
    provenance: Option<&str>,
    mut to: impl Write,
) -> Result<(), NodeError> {
    let (width, height) = (image.width(), image.height());
    let encoding = |e: image::ImageError| NodeError::caused_by("the picture cannot be encoded", e);
    match format {
        Format::Png => super::provenance::write_png(image, provenance, to),
        Format::Jpeg if image.channels() == 1 => JpegEncoder::new_with_quality(&mut to, quality)
            .write_image(&image.to_u8(), width, height, ExtendedColorType::L8)
            .map_err(encoding),
        Format::Jpeg => {
            let opaque = Samples::of(image).into_rgb_over([1.0; 3]).into_image(super::pixels::Depth::U8)?;
            JpegEncoder::new_with_quality(&mut to, quality)
                .write_image(&opaque.to_u8(), width, height, ExtendedColorType::Rgb8)
                .map_err(encoding)
        }
        Format::WebP => {
            let color = match image.channels() {
                1 => ExtendedColorType::L8,
                3 => ExtendedColorType::Rgb8,
                _ => ExtendedColorType::Rgba8,
            };
            WebPEncoder::new_lossless(&mut to).write_image(&image.to_u8(), width, height, color).map_err(encoding)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_extension() {
        let cases = [
            ("a.png", Some(Format::Png)),
            ("a.b/c.JPG", Some(Format::Jpeg)),
            ("a.jpeg", Some(Format::Jpeg)),
            ("a.webp", Some(Format::WebP)),
            ("a.gif", None),
            ("png", None),
        ];
        for (path, expected) in cases {
            assert_eq!(Format::of(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn written_files_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let values: Vec<u8> = (0..8 * 8 * 4).map(|i| (i * 7 % 256) as u8).collect();
        for (name, channels, tolerance) in [
            ("a.png", 1, 0),
            ("a.png", 3, 0),
            ("a.png", 4, 0),
            ("a.webp", 1, 0),
            ("a.webp", 3, 0),
            ("a.webp", 4, 0),
            ("a.jpg", 1, 8),
        ] {
            let pixels = Pixels::U8(values[..64 * usize::from(channels)].to_vec());
            let image = Image::new(8, 8, channels, pixels).unwrap();
            let path = folder.path().join(name);
            let format = Format::of(&path).unwrap();
            write(&image, format, 100, None, std::fs::File::create(&path).unwrap()).unwrap();
            let (found, mask) = read(&path).unwrap();
            let expected =
                if channels == 1 { Samples::of(&image).into_rgb_over([0.0; 3]) } else { Samples::of(&image) };
            let expected = expected.into_image(super::super::pixels::Depth::U8).unwrap();
            let worst = found.to_u8().iter().zip(expected.to_u8()).map(|(a, b)| a.abs_diff(b)).max().unwrap();
            assert!(worst <= tolerance, "{name} of {channels} channels is off by {worst}");
            assert_eq!(mask.values()[1], if channels == 4 { f32::from(values[7]) / 255.0 } else { 1.0 });
        }
    }

    #[test]
    fn jpeg_puts_transparent_pixels_on_white() {
        let image = Image::new(8, 8, 4, Pixels::U8([0, 0, 0, 0].repeat(64))).unwrap();
        let mut bytes = Vec::new();
        write(&image, Format::Jpeg, 90, None, &mut bytes).unwrap();
        let decoded = decode(ImageFormat::Jpeg, Cursor::new(bytes)).unwrap();
        assert!(decoded.into_rgb8().iter().all(|v| *v >= 254));
    }
}
