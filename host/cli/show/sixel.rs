//! Sixel graphics of DEC's terminals (VT330/VT340 Programmer Reference Manual, volume 2, chapter 14): bands of six rows, one
//! colour after the other.

use std::fmt::Write;

use dc_graph::api::Image;

use super::palette::palette;

/// Rows of a band.
const BAND: usize = 6;

/// A picture in its own size and up to 255 colours.
pub(super) fn text(image: &Image) -> String {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels: Vec<[u8; 3]> = image.to_u8().chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect();
    let (colours, places) = palette(&pixels);
    // No background; square pixels; writing to a `String` does not fail.
    let mut text = format!("\x1bP0;1;0q\"1;1;{width};{height}");
    for (index, colour) in colours.iter().enumerate() {
        let [r, g, b] = colour.map(|sample| (u32::from(sample) * 100 + 127) / 255);
        let _ = write!(text, "#{index};2;{r};{g};{b}");
    }
    for band in places.chunks(width * BAND) {
        let mut first = true;
        for colour in 0..colours.len() {
            let at = |x: usize| {
                let rows = band.chunks(width).enumerate();
                rows.filter(|(_, row)| usize::from(row[x]) == colour).fold(0, |bits, (y, _)| bits | 1 << y)
            };
            if !band.iter().any(|place| usize::from(*place) == colour) {
                continue;
            }
            let sixels: Vec<u8> = (0..width).map(at).collect();
            let _ = write!(text, "{}#{colour}", if first { "" } else { "$" });
            first = false;
            let mut rest = sixels.as_slice();
            while let Some(sixel) = rest.first().copied() {
                let run = rest.iter().take_while(|next| **next == sixel).count();
                rest = &rest[run..];
                let character = char::from(63 + sixel);
                match run {
                    // What is empty to the end need not be said.
                    _ if sixel == 0 && rest.is_empty() => {}
                    1..=3 => (0..run).for_each(|_| text.push(character)),
                    _ => {
                        let _ = write!(text, "!{run}{character}");
                    }
                }
            }
        }
        text.push('-');
    }
    text + "\x1b\\\n"
}

#[cfg(test)]
mod tests {
    use super::super::testing::{image, pixel};
    use super::*;

    /// What a terminal would show.
    fn shown(text: &str) -> (usize, usize, Vec<Option<[u8; 3]>>) {
        let body = text.strip_prefix("\x1bP0;1;0q\"1;1;").unwrap().strip_suffix("\x1b\\\n").unwrap();
        let end = body.find('#').unwrap();
        let (width, height) = body[..end].split_once(';').unwrap();
        let (width, height): (usize, usize) = (width.parse().unwrap(), height.parse().unwrap());
        let mut pixels = vec![None; width * height];
        let mut colours = std::collections::HashMap::new();
        let (mut x, mut top, mut colour) = (0, 0, 0);
        let mut rest = &body[end..];
        let number = |rest: &mut &str| -> usize {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, after) = rest.split_at(end);
            *rest = after;
            digits.parse().unwrap()
        };
        while let Some(character) = rest.chars().next() {
            rest = &rest[1..];
            match character {
                '#' => {
                    colour = number(&mut rest);
                    if let Some(mut definition) = rest.strip_prefix(";2;") {
                        let mut rgb = [0; 3];
                        for (index, channel) in rgb.iter_mut().enumerate() {
                            *channel = ((number(&mut definition) * 255 + 50) / 100) as u8;
                            definition = if index < 2 { definition.strip_prefix(';').unwrap() } else { definition };
                        }
                        colours.insert(colour, rgb);
                        rest = definition;
                    }
                }
                '$' => x = 0,
                '-' => (x, top) = (0, top + BAND),
                character => {
                    let (run, sixel) = match character {
                        '!' => {
                            let run = number(&mut rest);
                            let sixel = rest.chars().next().unwrap();
                            rest = &rest[1..];
                            (run, sixel)
                        }
                        sixel => (1, sixel),
                    };
                    let bits = u32::from(sixel).checked_sub(63).filter(|bits| *bits < 64).unwrap();
                    for _ in 0..run {
                        for y in (0..BAND).filter(|y| bits >> y & 1 == 1) {
                            let place = &mut pixels[(top + y) * width + x];
                            assert_eq!(*place, None, "each pixel is painted once");
                            *place = Some(colours[&colour]);
                        }
                        x += 1;
                    }
                }
            }
        }
        (width, height, pixels)
    }

    #[test]
    fn every_pixel_is_painted_in_its_colour() {
        for (width, height) in [(1, 1), (9, 6), (13, 17)] {
            let picture = image(width, height);
            let (w, h, pixels) = shown(&text(&picture));
            assert_eq!((w, h), (width as usize, height as usize));
            for (index, found) in pixels.into_iter().enumerate() {
                let wanted = pixel(&picture, index as u32 % width, index as u32 / width);
                // Colours are percentages.
                let near = found.is_some_and(|found| found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 2));
                assert!(near, "pixel {index}: {found:?} for {wanted:?}");
            }
        }
    }

    #[test]
    fn many_colours_come_near() {
        let picture = image(200, 120);
        let (_, _, pixels) = shown(&text(&picture));
        let all: Vec<u8> = picture.to_u8();
        let off: u64 = pixels.iter().flat_map(|p| p.unwrap()).zip(&all).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = off as f64 / all.len() as f64;
        assert!(mean < 12.0, "{mean}");
    }
}
