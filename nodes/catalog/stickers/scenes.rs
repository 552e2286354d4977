//! Where subjects are: what the text says after the subject.

use super::picks::{Picks, grain, smooth_noise};
use super::sprite::{Color, blend, hsl};

/// A background. The order is part of what a seed means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scene {
    White,
    Red,
    Yellow,
    Blue,
    Black,
    Beach,
    Snow,
    City,
    Grass,
    Bricks,
    Checkered,
    Underwater,
    Desert,
    Forest,
    Room,
    Space,
    Sunset,
    Mountains,
    Rain,
    Road,
    Table,
    Flowers,
    Clouds,
}

impl Scene {
    pub(crate) const ALL: [Self; 23] = [
        Self::White,
        Self::Red,
        Self::Yellow,
        Self::Blue,
        Self::Black,
        Self::Beach,
        Self::Snow,
        Self::City,
        Self::Grass,
        Self::Bricks,
        Self::Checkered,
        Self::Underwater,
        Self::Desert,
        Self::Forest,
        Self::Room,
        Self::Space,
        Self::Sunset,
        Self::Mountains,
        Self::Rain,
        Self::Road,
        Self::Table,
        Self::Flowers,
        Self::Clouds,
    ];

    /// How a caption says it.
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::White => "on white",
            Self::Red => "on a red background",
            Self::Yellow => "on a yellow background",
            Self::Blue => "on a blue background",
            Self::Black => "on a black background",
            Self::Beach => "on the beach",
            Self::Snow => "in the snow",
            Self::City => "in a city at night",
            Self::Grass => "on the grass",
            Self::Bricks => "in front of a brick wall",
            Self::Checkered => "on a checkered floor",
            Self::Underwater => "under water",
            Self::Desert => "in the desert",
            Self::Forest => "in the forest",
            Self::Room => "in a room",
            Self::Space => "in space",
            Self::Sunset => "at sunset",
            Self::Mountains => "in the mountains",
            Self::Rain => "in the rain",
            Self::Road => "on a road",
            Self::Table => "on a wooden table",
            Self::Flowers => "in a field of flowers",
            Self::Clouds => "in the clouds",
        }
    }

    /// A name for tables: the phrase without its preposition and article.
    pub(crate) fn name(self) -> &'static str {
        let phrase = self.phrase();
        let starts = ["on the ", "on a ", "on ", "in the ", "in a ", "in front of a ", "in ", "under ", "at "];
        starts.iter().find_map(|start| phrase.strip_prefix(start)).unwrap_or(phrase)
    }

    /// Whether it is one color all over: nothing is left of that in grey.
    pub(super) fn is_plain(self) -> bool {
        matches!(self, Self::White | Self::Red | Self::Yellow | Self::Blue | Self::Black)
    }

    /// Whether things stand on something and cast a shadow.
    pub(super) fn has_ground(self) -> bool {
        !(self.is_plain() || matches!(self, Self::Underwater | Self::Space | Self::Clouds | Self::Bricks))
    }

    /// Paints it.
    ///
    /// # Shapes
    /// - result: `[side, side, 3]`
    pub(super) fn paint(self, picks: &mut Picks, side: usize) -> Vec<Color> {
        let paint = self.painter(picks);
        let unit = 64.0 / side as f32;
        let at = |i: usize| (i as f32 + 0.5) * unit;
        let mut pixels = Vec::with_capacity(side * side);
        for y in 0..side {
            for x in 0..side {
                pixels.push(paint(at(x), at(y)));
            }
        }
        pixels
    }

    /// The color at a point; coordinates run from 0 to 64.
    fn painter(self, picks: &mut Picks) -> Box<dyn Fn(f32, f32) -> Color> {
        let seed = picks.below(1 << 30) as u64;
        let horizon = picks.between(27.0, 37.0);
        let shift = picks.between(0.0, 64.0);
        let tone = picks.between(-0.05, 0.05);
        let noise = move |x: f32, y: f32, wave: f32| smooth_noise(seed, x / wave + 100.0, y / wave + 100.0);
        let toned = move |color: Color| color.map(|c| c + tone);
        let plain = |color: Color| -> Box<dyn Fn(f32, f32) -> Color> {
            Box::new(move |_, y| blend(color, [0.0; 3], (y - 32.0) * 0.001))
        };
        match self {
            Self::White => Box::new(|_, _| [1.0; 3]),
            Self::Red => plain(toned([0.86, 0.15, 0.16])),
            Self::Yellow => plain(toned([0.97, 0.84, 0.2])),
            Self::Blue => plain(toned([0.15, 0.35, 0.85])),
            Self::Black => plain([0.06; 3]),
            Self::Beach => {
                let sun = (picks.between(8.0, 56.0), picks.between(6.0, 12.0));
                let shore = horizon + picks.between(7.0, 12.0);
                Box::new(move |x, y| {
                    let edge = shore + 1.5 * ((x + shift) * 0.17).sin();
                    if (x - sun.0).hypot(y - sun.1) < 5.0 {
                        [1.0, 0.95, 0.55]
                    } else if y < horizon {
                        toned(blend([0.35, 0.7, 0.95], [0.75, 0.9, 0.98], y / horizon))
                    } else if y < edge {
                        if edge - y < 1.2 {
                            [0.95, 0.98, 1.0]
                        } else {
                            let wave = ((y - horizon) * 1.6 + ((x + shift) * 0.4).sin()).sin();
                            toned(blend([0.05, 0.45, 0.7], [0.2, 0.65, 0.8], 0.5 + 0.5 * wave))
                        }
                    } else {
                        toned(blend([0.95, 0.85, 0.6], [0.87, 0.74, 0.47], noise(x, y * 2.0, 6.0) * 0.7))
                    }
                })
            }
            Self::Snow => Box::new(move |x, y| {
                // Flakes sit on a grid of cells, each somewhere in its own.
                let (cell_x, cell_y) = ((x / 11.0).floor(), (y / 11.0).floor());
                let spot = |n: i32| 2.0 + 7.0 * grain(seed + 1, cell_x as i32 * 2 + n, cell_y as i32);
                let flake = (x - cell_x * 11.0 - spot(0)).hypot(y - cell_y * 11.0 - spot(1));
                let hill = horizon + 3.0 * ((x + shift) * 0.08).sin();
                let below = if y < hill {
                    toned(blend([0.55, 0.66, 0.8], [0.75, 0.82, 0.9], y / 40.0))
                } else {
                    blend([0.97, 0.98, 1.0], [0.84, 0.89, 0.97], noise(x, y * 2.0, 9.0))
                };
                blend([1.0; 3], below, (flake - 1.0) * 1.2)
            }),
            Self::City => {
                let moon = (picks.between(8.0, 56.0), picks.between(6.0, 12.0));
                Box::new(move |x, y| {
                    let block = ((x + shift) / 13.0).floor() as i32;
                    let roof = 8.0 + 24.0 * grain(seed, block, 0);
                    let (u, v) = ((x + shift).rem_euclid(13.0), y - roof);
                    if y > 54.0 {
                        return if (y - 59.0).abs() < 0.8 && (x + shift).rem_euclid(10.0) < 5.0 {
                            [0.9, 0.8, 0.4]
                        } else {
                            [0.16, 0.16, 0.2]
                        };
                    }
                    if v > 0.0 && u < 12.0 {
                        let window = (1.2..3.2).contains(&u.rem_euclid(4.0)) && (2.0..5.0).contains(&v.rem_euclid(6.0));
                        let on = grain(seed, block * 8 + (u / 4.0) as i32, (v / 6.0) as i32 + 50) < 0.7;
                        if window && on { [1.0, 0.85, 0.4] } else { toned([0.12, 0.13, 0.24]) }
                    } else if (x - moon.0).hypot(y - moon.1) < 4.0 {
                        [0.95, 0.95, 0.85]
                    } else {
                        toned(blend([0.05, 0.05, 0.17], [0.2, 0.13, 0.36], y / 50.0))
                    }
                })
            }
            Self::Grass => Box::new(move |x, y| {
                if y < horizon {
                    let puff = noise(x, y * 1.8, 11.0);
                    blend(toned([0.45, 0.75, 0.98]), [1.0; 3], (puff - 0.55) * 4.0)
                } else {
                    let blade = smooth_noise(seed, x / 2.2, y / 7.0);
                    toned(blend([0.2, 0.53, 0.14], [0.42, 0.76, 0.24], blade))
                }
            }),
            Self::Bricks => Box::new(move |x, y| {
                let row = (y / 8.0).floor();
                let u = x + shift + if row as i32 % 2 == 0 { 0.0 } else { 8.0 };
                if y.rem_euclid(8.0) < 1.2 || u.rem_euclid(16.0) < 1.2 {
                    [0.82, 0.78, 0.73]
                } else {
                    let shade = grain(seed, (u / 16.0).floor() as i32, row as i32);
                    toned(blend([0.6, 0.24, 0.17], [0.75, 0.37, 0.27], shade))
                }
            }),
            Self::Checkered => Box::new(move |x, y| {
                let wall = horizon - 12.0;
                if y < wall {
                    return toned([0.72, 0.72, 0.78]);
                }
                // A floor in perspective.
                let depth = 70.0 / (y - wall + 20.0);
                let u = ((x - 32.0) * depth / 16.0 + shift).floor();
                let v = (depth * 2.3 + shift).floor();
                if (u + v).rem_euclid(2.0) < 1.0 { [0.12; 3] } else { [0.93; 3] }
            }),
            Self::Underwater => Box::new(move |x, y| {
                let (cell_x, cell_y) = (((x + shift) / 18.0).floor(), (y / 18.0).floor());
                let spot = |n: i32| 3.0 + 12.0 * grain(seed, cell_x as i32 * 2 + n, cell_y as i32);
                let bubble = ((x + shift) - cell_x * 18.0 - spot(0)).hypot(y - cell_y * 18.0 - spot(1));
                let floor = 57.0 + 2.0 * ((x + shift) * 0.12).sin();
                let ray = (0.5 + 0.5 * ((x + y * 0.5 + shift) * 0.25).sin()) * (1.0 - y / 64.0) * 0.35;
                let water = blend(toned([0.15, 0.68, 0.78]), [0.02, 0.2, 0.45], y / 62.0);
                let water = blend(water, [0.7, 0.95, 0.95], ray);
                let weed = (x + 2.0 * (y * 0.35 + shift).sin() - shift.rem_euclid(17.0)).rem_euclid(17.0);
                if y > floor {
                    [0.75, 0.68, 0.45]
                } else if weed < 2.0 && y > 38.0 + 10.0 * grain(seed, (x / 17.0) as i32, 3) {
                    [0.08, 0.5, 0.25]
                } else if (bubble - 2.1).abs() < 0.7 {
                    [0.85, 0.97, 1.0]
                } else {
                    water
                }
            }),
            Self::Desert => {
                let sun = (picks.between(8.0, 56.0), picks.between(6.0, 12.0));
                let cactus = picks.of(&[7.0, 57.0]);
                Box::new(move |x, y| {
                    let far = horizon + 4.0 * ((x + shift) * 0.09).sin();
                    let near = horizon + 13.0 + 4.0 * ((x + shift) * 0.07 + 2.0).sin();
                    let (u, v) = ((x - cactus).abs(), y - horizon + 9.0);
                    let stem = (u < 1.6 && (0.0..20.0).contains(&v))
                        || (u < 5.0 && (8.0..10.5).contains(&v))
                        || ((3.2..5.2).contains(&u) && (4.0..10.5).contains(&v));
                    if stem {
                        [0.2, 0.5, 0.25]
                    } else if (x - sun.0).hypot(y - sun.1) < 5.5 {
                        [1.0, 0.98, 0.8]
                    } else if y < far {
                        toned(blend([0.98, 0.72, 0.35], [1.0, 0.88, 0.6], y / 36.0))
                    } else if y < near {
                        toned(blend([0.85, 0.5, 0.22], [0.78, 0.43, 0.18], (y - far) / 16.0))
                    } else {
                        toned(blend([0.93, 0.6, 0.28], [0.85, 0.5, 0.2], (y - near) / 20.0))
                    }
                })
            }
            Self::Forest => Box::new(move |x, y| {
                let trunk = (x + shift).rem_euclid(15.0);
                let ground = 52.0 + 1.5 * (x * 0.3).sin();
                if y > ground {
                    toned(blend([0.25, 0.3, 0.1], [0.38, 0.28, 0.12], noise(x, y, 5.0)))
                } else if trunk < 4.0 && y > 10.0 {
                    blend([0.36, 0.22, 0.12], [0.22, 0.13, 0.07], trunk / 4.0)
                } else {
                    let leaves = (noise(x, y, 6.5) - 0.35) * 3.0;
                    let light = blend([0.04, 0.23, 0.11], [0.14, 0.45, 0.17], leaves);
                    toned(blend(light, [0.02, 0.12, 0.07], (y - 18.0) / 50.0))
                }
            }),
            Self::Room => {
                let wall = hsl(30.0 * picks.below(12) as f32, 0.4, 0.78);
                let window = picks.of(&[(3.0, 19.0), (45.0, 61.0)]);
                let frame = picks.of(&[(46.0, 60.0), (4.0, 18.0)]);
                let frame = if frame.0 < 32.0 && window.0 < 32.0 {
                    (46.0, 60.0)
                } else if frame.0 > 32.0 && window.0 > 32.0 {
                    (4.0, 18.0)
                } else {
                    frame
                };
                Box::new(move |x, y| {
                    let floor = 46.0;
                    if y > floor + 1.5 {
                        let plank = ((y - floor) / 4.0).floor();
                        let seam =
                            (y - floor).rem_euclid(4.0) < 0.7 || (x + plank * 11.0 + shift).rem_euclid(24.0) < 0.8;
                        return if seam { [0.4, 0.24, 0.12] } else { [0.66, 0.43, 0.24] };
                    }
                    if y > floor - 1.0 {
                        return [0.95, 0.93, 0.9];
                    }
                    if (window.0..window.1).contains(&x) && (6.0..26.0).contains(&y) {
                        let bar = (x - window.0 - 8.0).abs() < 0.8 || (y - 16.0).abs() < 0.8;
                        let rim = x < window.0 + 1.5 || x > window.1 - 1.5 || !(7.5..24.5).contains(&y);
                        return if bar || rim { [0.98; 3] } else { [0.55, 0.8, 0.98] };
                    }
                    if (frame.0..frame.1).contains(&x) && (8.0..22.0).contains(&y) {
                        let rim = x < frame.0 + 1.5 || x > frame.1 - 1.5 || !(9.5..20.5).contains(&y);
                        return if rim {
                            [0.45, 0.28, 0.12]
                        } else if x - frame.0 > y - 6.0 {
                            [0.9, 0.6, 0.5]
                        } else {
                            [0.4, 0.6, 0.5]
                        };
                    }
                    if (x + shift).rem_euclid(6.0) < 1.0 { wall.map(|c| c * 0.93) } else { wall }
                })
            }
            Self::Space => {
                let planet = (picks.of(&[9.0, 55.0]), picks.between(8.0, 16.0));
                let color = hsl(30.0 * picks.below(12) as f32, 0.6, 0.55);
                Box::new(move |x, y| {
                    let from = (x - planet.0).hypot(y - planet.1);
                    let ring = ((x - planet.0) / 11.5).hypot((y - planet.1 + (x - planet.0) * 0.25) / 3.2);
                    if (0.8..1.05).contains(&ring) && (from > 6.5 || y > planet.1 - (x - planet.0) * 0.25) {
                        return [0.9, 0.85, 0.7];
                    }
                    if from < 6.5 {
                        return blend(color, [0.0; 3], (x - planet.0 + 4.0) / 16.0);
                    }
                    let star = grain(seed, x as i32, y as i32);
                    let sky = blend([0.03, 0.02, 0.1], [0.22, 0.08, 0.32], (noise(x, y, 16.0) - 0.35) * 1.3);
                    if star > 0.985 { [1.0, 1.0, 0.92] } else { sky }
                })
            }
            Self::Sunset => {
                let sun = (picks.between(16.0, 48.0), horizon + picks.between(-4.0, 0.0));
                let (top, low) = (toned([0.3, 0.13, 0.42]), toned([1.0, 0.5, 0.2]));
                Box::new(move |x, y| {
                    if y < horizon {
                        let from = (x - sun.0).hypot(y - sun.1);
                        let streak = noise(x * 0.35, y * 1.6, 6.0);
                        let sky = blend(top, low, y / horizon);
                        let sky = blend(sky, [0.95, 0.35, 0.4], (streak - 0.55) * 2.0);
                        if from < 9.0 { [1.0, 0.9, 0.4] } else { sky }
                    } else {
                        let glint = (x - sun.0).abs() < 5.0 + (y - horizon) * 0.25
                            && (y * 1.1 + (x * 0.4 + shift).sin()).sin() > 0.0;
                        if glint {
                            [1.0, 0.7, 0.35]
                        } else {
                            blend([0.55, 0.2, 0.35], [0.15, 0.07, 0.25], (y - horizon) / 30.0)
                        }
                    }
                })
            }
            Self::Mountains => Box::new(move |x, y| {
                let tent = |period: f32, offset: f32| {
                    let t = ((x + offset) / period).rem_euclid(1.0);
                    1.0 - (2.0 * t - 1.0).abs()
                };
                let far = 36.0 - 28.0 * tent(34.0, shift);
                let near = 52.0 - 14.0 * tent(22.0, shift * 1.7);
                let jag = 2.0 * noise(x, 0.0, 3.0);
                if y > 50.0 {
                    toned([0.3, 0.45, 0.25])
                } else if y > near + jag {
                    toned(blend([0.33, 0.37, 0.42], [0.25, 0.3, 0.34], noise(x, y, 5.0)))
                } else if y > far + jag {
                    if y < 17.0 + 3.0 * (x * 0.9).sin() { [0.97, 0.98, 1.0] } else { toned([0.45, 0.5, 0.6]) }
                } else {
                    toned(blend([0.5, 0.76, 0.96], [0.83, 0.92, 0.98], y / 40.0))
                }
            }),
            Self::Rain => Box::new(move |x, y| {
                let column = ((x + y * 0.3) / 6.0).floor() as i32;
                let drop = (y + 40.0 * grain(seed, column, 1)).rem_euclid(18.0);
                let streak = (x + y * 0.3).rem_euclid(6.0) < 1.5 && drop < 9.0;
                let cloud = y < 9.0 + 4.0 * noise(x, 0.0, 6.0);
                let below = if y > 52.0 {
                    let puddle = ((x - shift).rem_euclid(22.0) - 11.0).abs() + (y - 58.0).abs() * 3.0 < 9.0;
                    if puddle { [0.55, 0.63, 0.72] } else { [0.3, 0.33, 0.38] }
                } else if cloud {
                    [0.3, 0.32, 0.38]
                } else {
                    toned(blend([0.45, 0.5, 0.57], [0.58, 0.63, 0.68], y / 52.0))
                };
                if streak && !cloud { [0.72, 0.83, 0.95] } else { below }
            }),
            Self::Road => Box::new(move |x, y| {
                if y < horizon - 6.0 {
                    return toned(blend([0.5, 0.78, 0.98], [0.85, 0.93, 0.98], y / 30.0));
                }
                let depth = y - horizon + 6.0;
                let half = 6.0 + depth * 0.95;
                let across = (x - 32.0).abs();
                if across < half {
                    let stripe = across < 0.6 + depth * 0.05 && (140.0 / (depth + 6.0) + shift).rem_euclid(2.0) < 1.0;
                    let rim = (half - across) < 0.8 + depth * 0.05 && half - across > 0.4;
                    if stripe || rim {
                        [0.97, 0.97, 0.9]
                    } else {
                        toned(blend([0.33, 0.33, 0.36], [0.4, 0.4, 0.42], noise(x, y * 2.0, 7.0)))
                    }
                } else {
                    toned(blend([0.55, 0.68, 0.25], [0.65, 0.72, 0.35], noise(x, y * 2.0, 5.0)))
                }
            }),
            Self::Table => Box::new(move |x, y| {
                if y < horizon - 12.0 {
                    return toned([0.45, 0.62, 0.6]);
                }
                let plank = ((x + shift + (x - 32.0) * (y - 40.0) * 0.012) / 11.0).floor();
                let seam = (x + shift + (x - 32.0) * (y - 40.0) * 0.012).rem_euclid(11.0) < 0.9;
                let line = noise(x + plank * 37.0, y * 0.12, 2.6);
                let wood =
                    blend([0.62, 0.38, 0.18], [0.78, 0.53, 0.29], 0.75 * line + 0.25 * grain(seed, plank as i32, 0));
                if seam || (y - horizon + 12.0) < 1.2 { [0.4, 0.22, 0.1] } else { toned(wood) }
            }),
            Self::Flowers => Box::new(move |x, y| {
                if y < horizon - 8.0 {
                    return toned(blend([0.5, 0.8, 1.0], [0.85, 0.95, 1.0], y / 28.0));
                }
                let (cell_x, cell_y) = ((x / 10.0).floor(), (y / 10.0).floor());
                let spot = |n: i32| 3.2 + 3.6 * grain(seed, cell_x as i32 * 2 + n, cell_y as i32);
                let (u, v) = (x - cell_x * 10.0 - spot(0), y - cell_y * 10.0 - spot(1));
                let from = u.hypot(v);
                let colors =
                    [[0.95, 0.2, 0.35], [1.0, 0.85, 0.2], [0.95, 0.95, 1.0], [0.75, 0.35, 0.9], [1.0, 0.5, 0.7]];
                if from < 1.2 {
                    [1.0, 0.8, 0.2]
                } else if from < 3.2 {
                    colors[(grain(seed + 9, cell_x as i32, cell_y as i32) * 5.0) as usize % 5]
                } else {
                    toned(blend([0.2, 0.55, 0.18], [0.32, 0.66, 0.25], noise(x, y, 4.0)))
                }
            }),
            Self::Clouds => Box::new(move |x, y| {
                let puff = 0.65 * noise(x, y * 1.5, 15.0) + 0.35 * noise(x + 40.0, y * 1.5, 6.0);
                let low = ((y - 44.0) / 30.0).max(0.0);
                let cover = (puff - 0.47 + low) * 7.0;
                blend(
                    toned(blend([0.25, 0.55, 0.95], [0.55, 0.8, 1.0], y / 64.0)),
                    blend([1.0; 3], [0.85, 0.88, 0.95], puff),
                    cover,
                )
            }),
        }
    }
}
