//! ITerm2's inline images (<https://iterm2.com/documentation-images.html>): a PNG in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dc_graph::api::Image;
use dc_graph_nodes::png_bytes;

/// A picture, `cells` wide; the terminal keeps its proportions.
pub(super) fn text(image: &Image, cells: u32) -> String {
    let Ok(png) = png_bytes(image) else { return String::new() };
    let (size, data) = (png.len(), STANDARD.encode(png));
    format!("\x1b]1337;File=inline=1;size={size};width={cells};preserveAspectRatio=1:{data}\x07\n")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{decoded_png, image};
    use super::*;

    #[test]
    fn the_data_are_the_picture() {
        let picture = image(120, 80);
        let text = text(&picture, 15);
        let body = text.strip_prefix("\x1b]1337;File=").unwrap().strip_suffix("\x07\n").unwrap();
        let (control, data) = body.split_once(':').unwrap();
        let png = STANDARD.decode(data).unwrap();
        assert_eq!(control, format!("inline=1;size={};width=15;preserveAspectRatio=1", png.len()));
        assert_eq!(decoded_png(&png), picture);
    }
}
