//! Who is in the pictures: glyphs and drawn subjects, each in many colors and patterns, and who of them is held out.

use std::sync::OnceLock;

use dc_graph_node_api::NodeError;

use super::categories::{Category, category};
use super::drawn;
use super::glyphs::{Font, GLYPHS};
use super::picks::{Picks, mix};
use super::sprite::{SIDE, Sprite};

/// One of so many origins is held out, whatever its colors.
const HELD_OUT_ONE_OF: u64 = 8;
/// Colors and patterns of one origin; 0 is how it is.
pub(super) const VARIANTS: usize = 64;
/// Numbers of drawn origins begin here; below are code points.
const DRAWN: u64 = 1 << 24;

/// What a subject was before it was given colors and a pattern: a glyph, or a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Glyph(char),
    Drawn(usize),
}

impl Origin {
    /// The same number in every version and on every machine.
    fn number(self) -> u64 {
        match self {
            Self::Glyph(point) => u64::from(u32::from(point)),
            Self::Drawn(index) => DRAWN + index as u64,
        }
    }

    /// Whether training must not see it. A hash of the number alone decides, so that it does not matter which other
    /// subjects there are, or whether there is a font.
    pub(super) fn is_held_out(self) -> bool {
        mix(self.number() ^ 0x6865_6C64).is_multiple_of(HELD_OUT_ONE_OF)
    }
}

/// One origin and its picture, made when it is first needed.
struct Entry {
    origin: Origin,
    category: Category,
    name: String,
    sprite: OnceLock<Option<Sprite>>,
}

/// Everybody there is.
pub(super) struct Cast {
    font: Option<Font>,
    entries: Vec<Entry>,
    /// Entries by split (trained, held out) and kind (glyph, drawn).
    groups: [[Vec<usize>; 2]; 2],
}

/// One subject: an entry of the cast in certain colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) entry: usize,
    pub(super) variant: usize,
}

impl Cast {
    /// The drawn subjects, and the glyphs of a font if there is one.
    pub(super) fn new(font: Option<Font>) -> Self {
        let mut entries = Vec::new();
        if let Some(font) = &font {
            entries.extend(GLYPHS.iter().filter(|g| font.has(g.point)).map(|g| Entry {
                origin: Origin::Glyph(g.point),
                category: g.category,
                name: g.name.into(),
                sprite: OnceLock::new(),
            }));
        }
        entries.extend((0..drawn::COUNT).map(|index| Entry {
            origin: Origin::Drawn(index),
            category: category(drawn::category(index)).expect("drawn subjects are of known categories"),
            name: format!("drawn {} {index}", drawn::category(index)),
            sprite: OnceLock::new(),
        }));
        let mut groups: [[Vec<usize>; 2]; 2] = Default::default();
        for (i, entry) in entries.iter().enumerate() {
            let kind = usize::from(matches!(entry.origin, Origin::Drawn(_)));
            groups[usize::from(entry.origin.is_held_out())][kind].push(i);
        }
        Self { font, entries, groups }
    }

    /// What tells it from another: the font's digest.
    pub(super) fn font_digest(&self) -> Option<String> {
        self.font.as_ref().map(Font::digest)
    }

    /// Someone of a split. Seven of ten are glyphs where there is a font; half are in their own colors.
    pub(super) fn pick(&self, held_out: bool, picks: &mut Picks) -> Subject {
        let [glyphs, drawn] = &self.groups[usize::from(held_out)];
        let from_font = picks.chance(70) && !glyphs.is_empty();
        let group = if from_font { glyphs } else { drawn };
        let entry = group[picks.below(group.len())];
        let variant = if picks.chance(50) { 0 } else { picks.below(VARIANTS) };
        Subject { entry, variant }
    }

    /// The held-out subjects in their own colors, glyphs and drawn ones by turns, in an order that a hash of each
    /// decides, at most `each` of one category.
    pub(super) fn held_out(&self, each: usize) -> Vec<Subject> {
        let order = |group: &[usize]| {
            let mut group = group.to_vec();
            group.sort_by_key(|e| mix(self.entries[*e].origin.number() ^ 0x006F_7264_6572));
            group
        };
        let [glyphs, drawn] = &self.groups[1];
        let (glyphs, drawn) = (order(glyphs), order(drawn));
        let mut found: Vec<Subject> = Vec::new();
        let longest = glyphs.len().max(drawn.len());
        for entry in (0..longest).flat_map(|i| [glyphs.get(i), drawn.get(i)]).flatten() {
            let category = self.entries[*entry].category;
            let same = found.iter().filter(|s| self.entries[s.entry].category == category).count();
            if same < each {
                found.push(Subject { entry: *entry, variant: 0 });
            }
        }
        found
    }

    pub(super) fn category(&self, subject: Subject) -> Category {
        self.entries[subject.entry].category
    }

    /// For people.
    pub(super) fn name(&self, subject: Subject) -> &str {
        &self.entries[subject.entry].name
    }

    /// The same number for the same subject on every machine.
    pub(super) fn number(&self, subject: Subject) -> u64 {
        self.entries[subject.entry].origin.number() * VARIANTS as u64 + subject.variant as u64
    }

    /// How many there are in a split, colors aside.
    pub(super) fn count(&self, held_out: bool) -> usize {
        self.groups[usize::from(held_out)].iter().map(Vec::len).sum()
    }

    /// The subject's picture.
    pub(super) fn sprite(&self, subject: Subject) -> Result<Sprite, NodeError> {
        let entry = &self.entries[subject.entry];
        let sprite = entry.sprite.get_or_init(|| match entry.origin {
            Origin::Glyph(point) => self.font.as_ref()?.sprite(point),
            Origin::Drawn(index) => Some(drawn::draw(index)),
        });
        let sprite =
            sprite.as_ref().ok_or_else(|| NodeError::failed(format!("the font cannot draw `{}`", entry.name)))?;
        let mut sprite = sprite.clone();
        if subject.variant > 0 {
            vary(&mut sprite, &mut Picks::new(&[0x7661_7279, entry.origin.number(), subject.variant as u64]));
        }
        Ok(sprite)
    }
}

/// Turns the hues, changes how vivid and how light they are, and perhaps lays a pattern on the colored parts.
fn vary(sprite: &mut Sprite, picks: &mut Picks) {
    let turn = (30 * (1 + picks.below(11))) as f32;
    let (sin, cos) = turn.to_radians().sin_cos();
    let vivid = picks.between(0.7, 1.3);
    let gamma = picks.between(0.8, 1.25);
    let pattern = picks.below(8);
    let pitch = picks.between(5.0, 11.0);
    let (across, down) = picks.of(&[(1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)]);
    let other = 90.0 + 60.0 * picks.below(4) as f32;
    let (other_sin, other_cos) = (turn + other).to_radians().sin_cos();
    for (i, pixel) in sprite.pixels.iter_mut().enumerate() {
        let alpha = pixel[3];
        if alpha < 1e-3 {
            continue;
        }
        let [r, g, b] = [0, 1, 2].map(|c| pixel[c] / alpha);
        // Hue and saturation in the plane of YIQ's chroma.
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        let (in_phase, quadrature) = (0.596 * r - 0.274 * g - 0.322 * b, 0.211 * r - 0.523 * g + 0.312 * b);
        let (x, y) = ((i % SIDE) as f32, (i / SIDE) as f32);
        let phase = (x * across + y * down) / pitch;
        let marked = match pattern {
            0 | 1 => phase.rem_euclid(2.0) < 1.0,
            2 => ((x / pitch).floor() + (y / pitch).floor()).rem_euclid(2.0) < 1.0,
            3 => ((x / pitch).fract() - 0.5).hypot((y / pitch).fract() - 0.5) < 0.32,
            _ => false,
        };
        let colored = in_phase.hypot(quadrature) > 0.12;
        let (sin, cos) = if marked && colored { (other_sin, other_cos) } else { (sin, cos) };
        let (u, v) = ((in_phase * cos - quadrature * sin) * vivid, (in_phase * sin + quadrature * cos) * vivid);
        let luma = luma.clamp(0.0, 1.0).powf(gamma);
        let turned = [luma + 0.956 * u + 0.621 * v, luma - 0.272 * u - 0.647 * v, luma - 1.107 * u + 1.704 * v];
        (0..3).for_each(|c| pixel[c] = turned[c].clamp(0.0, 1.0) * alpha);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_a_hundred_are_held_out_with_and_without_the_font() {
        let held_out = |origins: Vec<Origin>| origins.iter().filter(|o| o.is_held_out()).count();
        let drawn = held_out((0..drawn::COUNT).map(Origin::Drawn).collect());
        let glyphs = held_out(GLYPHS.iter().map(|g| Origin::Glyph(g.point)).collect());
        // The numbers themselves are part of what held out means: a list that changes would let trained subjects in.
        assert_eq!((drawn, glyphs), (HELD_OUT_DRAWN, HELD_OUT_GLYPHS));
        assert!(drawn >= 100);
    }

    const HELD_OUT_DRAWN: usize = 165;
    const HELD_OUT_GLYPHS: usize = 87;

    #[test]
    fn variants_differ_and_repeat() {
        let cast = Cast::new(None);
        let subject = cast.pick(true, &mut Picks::new(&[1]));
        let sprites: Vec<_> = (0..4).map(|variant| cast.sprite(Subject { variant, ..subject }).unwrap()).collect();
        assert_eq!(sprites[2], cast.sprite(Subject { variant: 2, ..subject }).unwrap());
        for i in 1..4 {
            assert_ne!(sprites[0], sprites[i]);
            let same_outline = sprites[0].pixels.iter().zip(&sprites[i].pixels).all(|(a, b)| a[3] == b[3]);
            assert!(same_outline);
        }
    }
}
