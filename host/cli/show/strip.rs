//! Several pictures side by side.

use dc_graph::api::{Image, Pixels};
use dc_graph_nodes::resized;

/// White between pictures, in pixels; one in a strip of few.
const GAP: u32 = 8;

/// The pictures side by side on white, all of one height, within a width and a height. No picture is enlarged; those that
/// have no room are left out. Nothing without pictures.
pub(super) fn strip(pictures: &[Image], width: u32, height: u32) -> Option<Image> {
    let gap = if height < 200 { 1 } else { GAP };
    let tallest = pictures.iter().map(Image::height).max()?;
    let mut shown = pictures.len();
    let widths = |height: u32, shown: usize| -> Vec<u32> {
        let scaled = |picture: &Image| {
            let width = u64::from(picture.width()) * u64::from(height) / u64::from(picture.height());
            (width as u32).max(1)
        };
        pictures.iter().take(shown).map(scaled).collect()
    };
    let wide = |height: u32, shown: usize| {
        let gaps = u64::from(gap) * (shown as u64 - 1);
        widths(height, shown).into_iter().map(u64::from).sum::<u64>() + gaps
    };
    let mut height = height.min(tallest).max(1);
    // Half the height is small enough; with less, fewer pictures are shown.
    let least = if shown > 1 { (height / 2).max(1) } else { 1 };
    while wide(height, shown) > u64::from(width) {
        if height > least || shown == 1 && height > 1 {
            height -= 1;
        } else if shown > 1 {
            shown -= 1;
        } else {
            break;
        }
    }
    let widths = widths(height, shown);
    let total = widths.iter().sum::<u32>().min(width) + gap * (shown as u32 - 1);
    let mut pixels = vec![255; total as usize * height as usize * 3];
    let mut left = 0;
    for (picture, wide) in pictures.iter().zip(widths) {
        let wide = wide.min(total);
        let small = resized(picture, wide, height);
        let channels = usize::from(small.channels());
        for (row, samples) in small.to_u8().chunks_exact(wide as usize * channels).enumerate() {
            let at = (row * total as usize + left as usize) * 3;
            for (to, from) in pixels[at..].chunks_exact_mut(3).zip(samples.chunks_exact(channels)) {
                to.copy_from_slice(&on_white(from));
            }
        }
        left += wide + gap;
    }
    Image::new(total, height, 3, Pixels::U8(pixels)).ok()
}

fn on_white(pixel: &[u8]) -> [u8; 3] {
    match *pixel {
        [grey] => [grey; 3],
        [r, g, b] => [r, g, b],
        [r, g, b, a] => {
            let over = |sample: u8| {
                let sum = u32::from(sample) * u32::from(a) + 255 * (255 - u32::from(a));
                ((sum + 127) / 255) as u8
            };
            [over(r), over(g), over(b)]
        }
        _ => [255; 3],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{image, pixel};
    use super::*;

    #[test]
    fn one_that_fits_is_as_it_was() {
        let picture = image(5, 7);
        assert_eq!(strip(std::slice::from_ref(&picture), 100, 100), Some(picture));
        assert_eq!(strip(&[], 100, 100), None);
    }

    #[test]
    fn transparent_is_white() {
        let picture = Image::new(3, 1, 4, Pixels::U8(vec![9, 9, 9, 0, 0, 100, 200, 255, 0, 0, 0, 51])).unwrap();
        let shown = strip(&[picture], 10, 10).unwrap();
        assert_eq!(shown.to_u8(), [255, 255, 255, 0, 100, 200, 204, 204, 204]);
        let grey = Image::new(1, 1, 1, Pixels::F32(vec![0.5])).unwrap();
        assert_eq!(strip(&[grey], 10, 10).unwrap().to_u8(), [128; 3]);
    }

    #[test]
    fn several_are_shrunk_together_and_the_last_left_out() {
        let pictures = [image(40, 20), image(10, 20), image(30, 30)];
        let shown = strip(&pictures[..2], 100, 20).unwrap();
        assert_eq!((shown.width(), shown.height()), (51, 20));
        assert_eq!(pixel(&shown, 0, 0), pixel(&pictures[0], 0, 0));
        assert_eq!(pixel(&shown, 40, 7), [255; 3], "between them");
        assert_eq!(pixel(&shown, 41, 0), pixel(&pictures[1], 0, 0));
        for (width, height) in [(100, 30), (70, 30), (40, 30), (20, 30), (1, 30), (200, 300), (1, 1), (300, 400)] {
            let shown = strip(&pictures, width, height).unwrap();
            assert!(shown.width() <= width.max(1) && shown.height() <= height, "{width}x{height}");
        }
    }
}
