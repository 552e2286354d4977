//! Colors and patterns of drawn subjects.

use crate::stickers::canvas::Canvas;
use crate::stickers::picks::Picks;
use crate::stickers::sprite::{Color, blend, hsl};

pub(super) const INK: Color = [0.12, 0.1, 0.14];
pub(super) const WHITE: Color = [0.97, 0.97, 0.97];

/// A color with a name: vivid, pastel, dark or nearly grey.
pub(super) fn color(picks: &mut Picks) -> Color {
    let hue = 15.0 * picks.below(24) as f32;
    match picks.below(8) {
        0 | 1 => hsl(hue, 0.75, 0.72),
        2 => hsl(hue, 0.6, 0.3),
        3 => hsl(hue, 0.15, picks.between(0.3, 0.85)),
        _ => hsl(hue, 0.85, picks.between(0.45, 0.6)),
    }
}

/// A color that is seen on `other`.
pub(super) fn contrasting(picks: &mut Picks, other: Color) -> Color {
    for _ in 0..8 {
        let found = color(picks);
        if (0..3).map(|c| (found[c] - other[c]).abs()).sum::<f32>() > 0.7 {
            return found;
        }
    }
    if other.iter().sum::<f32>() > 1.5 { INK } else { WHITE }
}

/// A darker shade.
pub(super) fn shade(color: Color) -> Color {
    blend(color, [0.08, 0.05, 0.12], 0.4)
}

/// How a surface is painted.
#[derive(Clone, Copy)]
pub(super) enum Pattern {
    Plain,
    Stripes { across: f32, down: f32 },
    Dots { pitch: f32 },
    Checks { pitch: f32 },
    Half { across: f32, down: f32, at: f32 },
}

/// A surface: a color, another one, and how they share it.
#[derive(Clone, Copy)]
pub(super) struct Coat {
    pub(super) main: Color,
    pub(super) second: Color,
    pattern: Pattern,
}

impl Coat {
    pub(super) fn pick(picks: &mut Picks) -> Self {
        let main = color(picks);
        let second = contrasting(picks, main);
        let angle = [(1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)];
        let (across, down) = picks.of(&angle);
        let pitch = picks.between(3.0, 5.5);
        let pattern = match picks.below(7) {
            0 | 1 => Pattern::Plain,
            2 | 3 => Pattern::Stripes { across: across * pitch, down: down * pitch },
            4 => Pattern::Dots { pitch: pitch * 0.8 },
            5 => Pattern::Checks { pitch: pitch * 0.8 },
            _ => Pattern::Half { across, down, at: picks.between(-0.2, 0.3) },
        };
        Self { main, second, pattern }
    }

    /// The color at a point, lit from the upper left.
    pub(super) fn at(&self, x: f32, y: f32) -> Color {
        let second = match self.pattern {
            Pattern::Plain => false,
            Pattern::Stripes { across, down } => (x * across + y * down).rem_euclid(2.0) < 1.0,
            Pattern::Dots { pitch } => {
                let (u, v) = (x * pitch, y * pitch);
                let shifted = u + 0.5 * (v.floor().rem_euclid(2.0));
                (shifted.rem_euclid(1.0) - 0.5).hypot(v.rem_euclid(1.0) - 0.5) < 0.3
            }
            Pattern::Checks { pitch } => ((x * pitch).floor() + (y * pitch).floor()).rem_euclid(2.0) < 1.0,
            Pattern::Half { across, down, at } => x * across + y * down > at,
        };
        lit(if second { self.second } else { self.main }, x, y)
    }
}

/// Lighter at the upper left, darker at the lower right.
pub(super) fn lit(color: Color, x: f32, y: f32) -> Color {
    let light = -0.16 * (x + y);
    if light > 0.0 { blend(color, [1.0; 3], light) } else { blend(color, [0.05, 0.03, 0.1], -light) }
}

/// A shape with a dark outline, filled by a coat.
pub(super) fn coated(canvas: &mut Canvas, coat: &Coat, shape: impl Fn(f32, f32) -> f32 + Copy) {
    canvas.fill(shade(shade(coat.main)), move |x, y| shape(x, y) - 0.035);
    let coat = *coat;
    canvas.paint(move |x, y| coat.at(x, y), shape);
}

/// A shape with a dark outline, filled by one color.
pub(super) fn solid(canvas: &mut Canvas, color: Color, shape: impl Fn(f32, f32) -> f32 + Copy) {
    canvas.fill(shade(shade(color)), move |x, y| shape(x, y) - 0.03);
    canvas.paint(move |x, y| lit(color, x, y), shape);
}
