//! Kitty's graphics protocol (<https://sw.kovidgoyal.net/kitty/graphics-protocol/>): a PNG in pieces of base64.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dc_graph::api::Image;
use dc_graph_nodes::png_bytes;

/// The longest piece that the protocol allows.
const PIECE: usize = 4096;

/// A picture, `cells` wide; the terminal keeps its proportions and does not answer.
pub(super) fn text(image: &Image, cells: u32) -> String {
    let Ok(png) = png_bytes(image) else { return String::new() };
    let data = STANDARD.encode(png);
    let pieces = data.as_bytes().chunks(PIECE);
    let last = pieces.len() - 1;
    let mut text = String::with_capacity(data.len() + 16 * (last + 2));
    for (index, piece) in pieces.enumerate() {
        let more = u8::from(index < last);
        let control = if index == 0 { format!("a=T,f=100,q=2,c={cells},m={more}") } else { format!("m={more}") };
        // Base64 is ASCII.
        let _ = write!(text, "\x1b_G{control};{}\x1b\\", String::from_utf8_lossy(piece));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::testing::{decoded_png, image};
    use super::*;

    #[test]
    fn pieces_make_the_picture() {
        for (width, height) in [(1, 1), (300, 200)] {
            let picture = image(width, height);
            let text = text(&picture, 7);
            let mut data = String::new();
            let mut pieces = text.trim_end().split_terminator("\x1b\\").peekable();
            let mut first = true;
            while let Some(piece) = pieces.next() {
                let (control, part) = piece.strip_prefix("\x1b_G").unwrap().split_once(';').unwrap();
                let more = if pieces.peek().is_some() { "m=1" } else { "m=0" };
                let expected = if first { format!("a=T,f=100,q=2,c=7,{more}") } else { more.into() };
                assert_eq!(control, expected);
                assert!(part.len() <= 4096 && part.len().is_multiple_of(4));
                data += part;
                first = false;
            }
            assert_eq!(decoded_png(&STANDARD.decode(data).unwrap()), picture);
        }
    }
}
