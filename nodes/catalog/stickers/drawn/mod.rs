//! Subjects drawn by formula: as many creatures and things as one likes, told apart by shape, pattern and colors.

mod creatures;
mod paint;
mod things;

use super::canvas::Canvas;
use super::picks::Picks;
use super::sprite::Sprite;

type Draw = fn(&mut Canvas, &mut Picks);

/// Category and painter of each kind. The order is part of what a seed means.
const KINDS: &[(&str, Draw)] = &[
    ("monster", creatures::monster),
    ("bird", creatures::bird),
    ("fish", creatures::fish),
    ("bug", creatures::bug),
    ("cat", creatures::cat),
    ("bear", creatures::bear),
    ("face", creatures::face),
    ("monster", creatures::robot),
    ("mug", things::mug),
    ("bottle", things::bottle),
    ("house", things::house),
    ("car", things::car),
    ("boat", things::boat),
    ("plane", things::rocket),
    ("flower", things::flower),
    ("tree", things::tree),
    ("plant", things::mushroom),
    ("ball", things::ball),
    ("cake", things::cake),
    ("star", things::star),
    ("hat", things::hat),
    ("shirt", things::shirt),
    ("lamp", things::lamp),
    ("fruit", things::fruit),
];

/// How many there are.
pub(super) const COUNT: usize = 1200;

/// Category of the drawn subject `index`.
pub(super) fn category(index: usize) -> &'static str {
    KINDS[index % KINDS.len()].0
}

/// The drawn subject `index`: always the same.
pub(super) fn draw(index: usize) -> Sprite {
    let mut canvas = Canvas::new();
    (KINDS[index % KINDS.len()].1)(&mut canvas, &mut Picks::new(&[0x0064_7261_776E, index as u64]));
    canvas.sprite().expect("every kind draws something")
}
