//! The text chunk in which a PNG carries what made it.
//!
//! The chunk is an `iTXt` (UTF-8, compressed) with the keyword [`PROVENANCE_KEYWORD`]; its text is JSON as the host
//! gives it: the graph, the values of its inputs and the digests of the files it read.

use std::io::{BufReader, Write};
use std::path::Path;

use dc_graph_node_api::{Image, NodeError};
use png::text_metadata::ITXtChunk;

/// The keyword of the text chunk.
pub const PROVENANCE_KEYWORD: &str = "dc-graph";
/// Longest provenance that is read, in bytes: a small file must not unpack into a large memory.
const MAX_TEXT: usize = 64 << 20;

/// What made a PNG, as JSON, or nothing when it does not say.
///
/// # Errors
/// When the file cannot be read, is no PNG, or its text chunk is broken.
pub fn read_provenance(path: &Path) -> Result<Option<String>, NodeError> {
    let file = std::fs::File::open(path).map_err(|source| NodeError::File { path: path.into(), source })?;
    let unreadable = |e: png::DecodingError| NodeError::caused_by(format!("cannot read {}: {e}", path.display()), e);
    let limits = png::Limits { bytes: MAX_TEXT };
    let decoder = png::Decoder::new_with_limits(BufReader::new(file), limits);
    let reader = decoder.read_info().map_err(unreadable)?;
    let Some(chunk) = reader.info().utf8_text.iter().find(|c| c.keyword == PROVENANCE_KEYWORD) else {
        return Ok(None);
    };
    let mut chunk = chunk.clone();
    chunk.decompress_text_with_limit(MAX_TEXT).map_err(unreadable)?;
    chunk.get_text().map(Some).map_err(unreadable)
}

/// A picture as a PNG of 8 bits a sample.
///
/// # Errors
/// When it cannot be encoded.
pub fn png_bytes(image: &Image) -> Result<Vec<u8>, NodeError> {
    let mut bytes = Vec::new();
    write_png(image, None, &mut bytes)?;
    Ok(bytes)
}

/// Writes a PNG of 8 bits a sample. The same picture and provenance give the same bytes.
pub(crate) fn write_png(image: &Image, provenance: Option<&str>, to: impl Write) -> Result<(), NodeError> {
    let encoding = |e: png::EncodingError| NodeError::caused_by("the picture cannot be encoded", e);
    let mut encoder = png::Encoder::new(to, image.width(), image.height());
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_color(match image.channels() {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    });
    let mut writer = encoder.write_header().map_err(encoding)?;
    if let Some(text) = provenance {
        let mut chunk = ITXtChunk::new(PROVENANCE_KEYWORD, text);
        chunk.compressed = true;
        writer.write_text_chunk(&chunk).map_err(encoding)?;
    }
    writer.write_image_data(&image.to_u8()).map_err(encoding)?;
    writer.finish().map_err(encoding)
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::Pixels;

    use super::*;

    fn png(provenance: Option<&str>) -> Vec<u8> {
        let image = Image::new(2, 1, 3, Pixels::U8(vec![1, 2, 3, 4, 5, 6])).unwrap();
        let mut bytes = Vec::new();
        write_png(&image, provenance, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn text_comes_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = "größer 大きい ".repeat(10_000);
        for text in [None, Some("{}"), Some(r#"{"a": "ä"}"#), Some(&long)] {
            std::fs::write(file.path(), png(text)).unwrap();
            assert_eq!(read_provenance(file.path()).unwrap().as_deref(), text);
            assert_eq!(png(text), png(text));
        }
    }

    #[test]
    fn broken_files() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_provenance(&folder.path().join("gone")), Err(NodeError::File { .. })));
        let path = folder.path().join("a.png");
        let whole = png(Some("text"));
        for bytes in [&b"no picture"[..], &whole[..40], &[]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(read_provenance(&path).unwrap_err().to_string().starts_with("cannot read"));
        }
    }
}
