//! Pictures in a terminal.
//!
//! | file | what it does |
//! | --- | --- |
//! | `way` | which way a terminal can show pictures |
//! | `strip` | several pictures side by side, as large as there is room |
//! | `kitty`, `iterm2`, `sixel`, `blocks` | a picture as what a terminal understands |
//! | `palette` | the few colours that sixel has |

mod blocks;
mod iterm2;
mod kitty;
mod palette;
mod sixel;
mod strip;
#[cfg(test)]
mod testing;
mod way;

pub(crate) use way::{Choice, Way};

use dc_graph::api::Image;

/// How wide a cell of a terminal is taken to be, in pixels. Terminals that know better scale.
const CELL: (u32, u32) = (8, 16);
/// The most rows of a terminal that pictures take.
const MAX_ROWS: u32 = 20;

/// These pictures side by side, as text for a terminal of `columns`.
pub(crate) fn text(pictures: &[Image], way: Way, columns: u32) -> String {
    let columns = columns.clamp(8, 160);
    let (width, height) = match way {
        Way::Blocks { .. } => (columns, MAX_ROWS * 2),
        Way::Kitty | Way::Iterm2 | Way::Sixel => (columns * CELL.0, MAX_ROWS * CELL.1),
    };
    let Some(strip) = strip::strip(pictures, width, height) else { return String::new() };
    let cells = strip.width().div_ceil(CELL.0);
    match way {
        Way::Kitty => kitty::text(&strip, cells),
        Way::Iterm2 => iterm2::text(&strip, cells),
        Way::Sixel => sixel::text(&strip),
        Way::Blocks { true_colour } => blocks::text(&strip, true_colour),
    }
}
