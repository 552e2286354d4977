//! Subjects that are glyphs of Noto Color Emoji (OFL 1.1): the list of them, and the font's bitmaps.

use std::path::Path;
use std::sync::LazyLock;

use dc_graph_node_api::NodeError;
use ttf_parser::{Face, RasterImageFormat};

use super::categories::{Category, category};
use super::sprite::Sprite;

/// Where Debian's `fonts-noto-color-emoji` puts the font, and other places where it is found.
const PLACES: &[&str] = &[
    "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
    "/usr/share/fonts/noto/NotoColorEmoji.ttf",
    "/usr/share/fonts/noto-emoji/NotoColorEmoji.ttf",
    "/usr/share/fonts/google-noto-color-emoji-fonts/NotoColorEmoji.ttf",
];

/// The largest font that is read; Noto Color Emoji has 11 MB.
const MAX_BYTES: u64 = 64 << 20;

/// A subject that is a glyph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Glyph {
    pub(super) point: char,
    pub(super) category: Category,
    pub(super) name: &'static str,
}

/// Every one, in Unicode's order; `make_glyphs.py` chose them.
pub(super) static GLYPHS: LazyLock<Vec<Glyph>> = LazyLock::new(|| {
    let rows = include_str!("glyphs.tsv").lines().map(|line| {
        let mut fields = line.split('\t');
        let point = u32::from_str_radix(fields.next()?, 16).ok().and_then(char::from_u32)?;
        Some(Glyph { point, category: category(fields.next()?)?, name: fields.next()? })
    });
    rows.collect::<Option<Vec<_>>>().expect("the list is well-formed")
});

/// The font's file.
pub(super) struct Font {
    bytes: Vec<u8>,
}

impl Font {
    /// The font of this machine, if it has it.
    pub(super) fn installed() -> Option<&'static str> {
        PLACES.iter().copied().find(|place| Path::new(place).is_file())
    }

    /// Reads a font with color bitmaps.
    pub(super) fn read(path: &Path) -> Result<Self, NodeError> {
        let file = |source| NodeError::File { path: path.into(), source };
        if std::fs::metadata(path).map_err(file)?.len() > MAX_BYTES {
            return Err(NodeError::input("font", format!("too large for a font: {}", path.display())));
        }
        let font = Self { bytes: std::fs::read(path).map_err(file)? };
        if font.sprite('\u{1F426}').is_none() {
            return Err(NodeError::input("font", format!("not a font with color bitmaps: {}", path.display()))
                .with_hint("Noto Color Emoji in its CBDT form is meant; Debian's package is fonts-noto-color-emoji"));
        }
        Ok(font)
    }

    /// What tells one version of the font from another.
    pub(super) fn digest(&self) -> String {
        blake3::hash(&self.bytes).to_hex()[..16].into()
    }

    /// Whether the font has a glyph.
    pub(super) fn has(&self, point: char) -> bool {
        Face::parse(&self.bytes, 0).is_ok_and(|face| face.glyph_index(point).is_some())
    }

    /// A glyph as a sprite, when the font has it.
    pub(super) fn sprite(&self, point: char) -> Option<Sprite> {
        let face = Face::parse(&self.bytes, 0).ok()?;
        let image = face.glyph_raster_image(face.glyph_index(point)?, u16::MAX)?;
        if image.format != RasterImageFormat::PNG {
            return None;
        }
        let decoded = image::load_from_memory_with_format(image.data, image::ImageFormat::Png).ok()?.into_rgba8();
        let premultiplied = decoded.pixels().map(|p| {
            let [r, g, b, a] = p.0.map(|v| f32::from(v) / 255.0);
            [r * a, g * a, b * a, a]
        });
        Sprite::cut(&premultiplied.collect::<Vec<_>>(), decoded.width() as usize, decoded.height() as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_is_whole() {
        assert_eq!(GLYPHS.len(), 725);
        assert_eq!(GLYPHS.iter().map(|g| g.point).collect::<HashSet<_>>().len(), GLYPHS.len());
        assert!(GLYPHS.iter().any(|g| g.name == "parrot" && g.category.name == "bird"));
    }
}
