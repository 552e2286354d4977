//! Writing into pictures, in Noto Sans Mono (SIL Open Font Licence), drawn beforehand in a few sizes.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::image::pixels::Samples;

/// A size of letters. Every letter is as wide as every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// 16 pixels a line.
    Small,
    /// 24 pixels a line.
    Medium,
    /// 32 pixels a line.
    Large,
}

impl Face {
    fn raster(self) -> RasterHeight {
        match self {
            Self::Small => RasterHeight::Size16,
            Self::Medium => RasterHeight::Size24,
            Self::Large => RasterHeight::Size32,
        }
    }

    /// Height of a line in pixels.
    pub(crate) fn line(self) -> usize {
        self.raster().val()
    }

    /// Width of a letter in pixels.
    pub(crate) fn letter(self) -> usize {
        get_raster_width(FontWeight::Regular, self.raster())
    }

    /// The next larger size.
    pub(crate) fn larger(self) -> Self {
        if self == Self::Small { Self::Medium } else { Self::Large }
    }

    /// Writes one line onto an RGB picture, its upper left corner at (x, y); what does not fit is left out.
    ///
    /// A character that the font lacks becomes a box.
    pub(crate) fn write(self, onto: &mut Samples, x: usize, y: usize, text: &str, ink: [f32; 3]) {
        for (i, character) in text.chars().enumerate() {
            let left = x + i * self.letter();
            match get_raster(character, FontWeight::Regular, self.raster()) {
                Some(glyph) => {
                    for (dy, row) in glyph.rows().enumerate() {
                        for (dx, cover) in row.iter().enumerate() {
                            dab(onto, left + dx, y + dy, f32::from(*cover) / 255.0, ink);
                        }
                    }
                }
                None => self.write_box(onto, left, y, ink),
            }
        }
    }

    fn write_box(self, onto: &mut Samples, x: usize, y: usize, ink: [f32; 3]) {
        let (left, right) = (1, self.letter() - 2);
        let (top, bottom) = (self.line() / 5, self.line() * 4 / 5);
        for dy in top..=bottom {
            for dx in left..=right {
                if dx == left || dx == right || dy == top || dy == bottom {
                    dab(onto, x + dx, y + dy, 0.8, ink);
                }
            }
        }
    }
}

fn dab(onto: &mut Samples, x: usize, y: usize, cover: f32, ink: [f32; 3]) {
    if x < onto.width && y < onto.height {
        onto.pixel_mut(x, y).iter_mut().zip(ink).for_each(|(p, i)| *p += cover * (i - *p));
    }
}

/// Breaks a text at its spaces into at most `lines` lines of at most `columns` letters; what is left over becomes `...`.
///
/// A word longer than a line is broken.
pub(crate) fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut result: Vec<Vec<char>> = Vec::new();
    for paragraph in text.lines() {
        let mut line: Vec<char> = Vec::new();
        for word in paragraph.split_whitespace() {
            let mut word: Vec<char> = word.chars().collect();
            if !line.is_empty() && line.len() + 1 + word.len() > columns {
                result.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            while line.len() + word.len() > columns {
                let rest = word.split_off(columns - line.len());
                line.append(&mut word);
                result.push(std::mem::take(&mut line));
                word = rest;
            }
            line.append(&mut word);
        }
        result.push(line);
    }
    if result.len() > lines {
        result.truncate(lines);
        if let Some(last) = result.last_mut() {
            last.truncate(columns.saturating_sub(3));
            last.extend("...".chars().take(columns));
        }
    }
    result.into_iter().map(String::from_iter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps() {
        let cases: &[(&str, usize, usize, &[&str])] = &[
            ("", 10, 2, &[]),
            ("a cat on a sofa", 20, 2, &["a cat on a sofa"]),
            ("a cat on a sofa", 8, 2, &["a cat on", "a sofa"]),
            ("a cat on a sofa", 8, 1, &["a cat..."]),
            ("a cat on a sofa", 7, 2, &["a cat", "on a..."]),
            ("Donaudampfschiff", 6, 9, &["Donaud", "ampfsc", "hiff"]),
            ("ein Donaudampfschiff", 6, 9, &["ein", "Donaud", "ampfsc", "hiff"]),
            ("größer  大きい\nzwei", 10, 3, &["größer 大きい", "zwei"]),
            ("abcdef", 2, 1, &[".."]),
        ];
        for (text, columns, lines, expected) in cases {
            assert_eq!(wrap(text, *columns, *lines), *expected, "{text:?} in {columns}");
        }
    }

    fn ink(text: &str, face: Face) -> Samples {
        let mut page = Samples::filled(face.letter() * 3, face.line(), &[1.0; 3]);
        face.write(&mut page, 0, 0, text, [0.0; 3]);
        page
    }

    #[test]
    fn letters_leave_ink_where_they_are() {
        for face in [Face::Small, Face::Medium, Face::Large] {
            let dark = |page: &Samples, column: usize| {
                let (from, width) = (column * face.letter(), face.letter());
                let part = page.crop(from, 0, width, page.height);
                part.values.iter().map(|v| 1.0 - v).sum::<f32>() / part.values.len() as f32
            };
            let page = ink("M ü", face);
            assert!(dark(&page, 0) > 0.1 && dark(&page, 1) == 0.0 && dark(&page, 2) > 0.05);
            let boxes = ink("猫", face);
            assert!(dark(&boxes, 0) > 0.05);
            assert_eq!(boxes, ink("犬", face));
            assert_ne!(ink("l", face), ink("I", face));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut page = Samples::filled(5, 5, &[1.0; 3]);
        Face::Large.write(&mut page, 0, 0, "WWWW", [0.0; 3]);
        Face::Large.write(&mut page, 100, 100, "猫", [0.0; 3]);
        assert_eq!(page.values.len(), 75);
    }
}
