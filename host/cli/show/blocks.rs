//! Half blocks: a cell shows two pixels, one above the other, as the colours of `▀` and of what is behind it.

use std::fmt::Write;

use dc_graph::api::Image;

/// A picture, a column a pixel. A last row that is alone stands on the terminal's own background.
pub(super) fn text(image: &Image, true_colour: bool) -> String {
    let width = image.width() as usize;
    let samples = image.to_u8();
    let rows: Vec<&[u8]> = samples.chunks_exact(width * 3).collect();
    let mut text = String::new();
    for pair in rows.chunks(2) {
        let mut before: (Option<String>, Option<String>) = (None, None);
        for x in 0..width {
            let colour = |row: &[u8]| colour([row[3 * x], row[3 * x + 1], row[3 * x + 2]], true_colour);
            let (top, bottom) = (colour(pair[0]), pair.get(1).map(|row| colour(row)));
            // Writing to a `String` does not fail.
            if before.0.as_ref() != Some(&top) {
                let _ = write!(text, "\x1b[38;{top}m");
            }
            if let Some(bottom) = bottom.as_ref().filter(|_| before.1 != bottom) {
                let _ = write!(text, "\x1b[48;{bottom}m");
            }
            text.push('▀');
            before = (Some(top), bottom);
        }
        text += "\x1b[0m\n";
    }
    text
}

fn colour([r, g, b]: [u8; 3], true_colour: bool) -> String {
    if true_colour { format!("2;{r};{g};{b}") } else { format!("5;{}", nearest([r, g, b])) }
}

/// The nearest of xterm's 256 colours, the first 16 aside: those are the user's own.
fn nearest(pixel: [u8; 3]) -> usize {
    (16..256).min_by_key(|index| distance(xterm(*index), pixel)).unwrap_or(16)
}

/// A cube of 6 levels a channel, then 24 greys.
fn xterm(index: usize) -> [u8; 3] {
    if index >= 232 {
        return [(8 + 10 * (index - 232)) as u8; 3];
    }
    let level = |n: usize| [0, 95, 135, 175, 215, 255][n % 6];
    let cube = index - 16;
    [level(cube / 36), level(cube / 6), level(cube)]
}

fn distance(a: [u8; 3], b: [u8; 3]) -> u32 {
    a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{image, pixel};
    use super::*;

    /// What a terminal would show: for each row of cells the colours of both halves.
    fn shown(text: &str) -> Vec<Vec<[Option<[u8; 3]>; 2]>> {
        let mut rows = Vec::new();
        for line in text.lines() {
            let mut row = Vec::new();
            let mut now = [None, None];
            let mut rest = line;
            while let Some(first) = rest.chars().next() {
                if first == '▀' {
                    row.push(now);
                    rest = &rest['▀'.len_utf8()..];
                    continue;
                }
                let (code, after) = rest.strip_prefix("\x1b[").unwrap().split_once('m').unwrap();
                rest = after;
                let numbers: Vec<usize> = code.split(';').map(|n| n.parse().unwrap()).collect();
                match numbers[..] {
                    [0] => now = [None, None],
                    [ground, 2, r, g, b] => now[(ground - 38) / 10] = Some([r as u8, g as u8, b as u8]),
                    [ground, 5, index] => now[(ground - 38) / 10] = Some(xterm(index)),
                    _ => panic!("{code}"),
                }
            }
            assert_eq!(now, [None, None], "no colour runs over");
            rows.push(row);
        }
        rows
    }

    #[test]
    fn cells_show_the_pixels() {
        for (width, height) in [(1, 1), (6, 4), (5, 7)] {
            let picture = image(width, height);
            for true_colour in [true, false] {
                let rows = shown(&text(&picture, true_colour));
                assert_eq!(rows.len(), height.div_ceil(2) as usize);
                for (y, row) in rows.iter().enumerate() {
                    assert_eq!(row.len(), width as usize);
                    for (x, halves) in row.iter().enumerate() {
                        for (half, found) in halves.iter().enumerate() {
                            let y = 2 * y as u32 + half as u32;
                            let wanted = (y < height).then(|| pixel(&picture, x as u32, y));
                            match (found, wanted) {
                                (Some(found), Some(wanted)) if !true_colour => {
                                    assert_eq!(*found, xterm(nearest(wanted)));
                                }
                                (found, wanted) => assert_eq!(*found, wanted),
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn few_colours_are_the_nearest() {
        let names =
            [([0, 0, 0], 16), ([255, 255, 255], 231), ([95, 135, 175], 67), ([8, 8, 8], 232), ([250, 0, 0], 196)];
        for (pixel, index) in names {
            assert_eq!(nearest(pixel), index, "{pixel:?}");
        }
    }
}
