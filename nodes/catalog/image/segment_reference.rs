//! `Segment Reference`.

use std::sync::Arc;

use dc_graph_node_api::{Image, InputSpec, Inputs, Mask, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::pixels::{Depth, Samples, same_size};
use super::resample::{Filter, resample};
use crate::cut::foreground::foreground;
use crate::function::function_node;

const WHITE: [f32; 3] = [1.0; 3];
/// Alpha below this is not just rounding, and a mask must have this many such pixels (as a part of all) to mean something.
const OPAQUE: (f32, f64) = (0.98, 0.002);
/// A mask that covers less or more than this part of the picture tells nothing.
const PARTS: std::ops::RangeInclusive<f64> = 0.0005..=0.998;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Segment Reference",
        "image",
        "Cuts the subject of a reference picture out, puts it on white, crops to it, pads to a square and resizes.",
    )
    .input(InputSpec::required("image", PortType::Image, "The reference picture."))
    .input(InputSpec::optional("mask", PortType::Mask, "Where the subject is (1) in the picture, of the picture's size."))
    .input(
        InputSpec::with_default(
            "method",
            "auto",
            "What tells the subject: `alpha` the picture's alpha, `mask` the given mask, `background` a cut against a reasonably plain background, `whole` nothing (the whole picture is the subject). `auto` takes the mask when there is one, else the alpha when it is not opaque throughout, else the background.",
        )
        .choices(&["auto", "alpha", "mask", "background", "whole"]),
    )
    .input(
        InputSpec::with_default("size", 512_i64, "Side of the result in pixels: the model's native size.")
            .range(64.0..=2048.0),
    )
    .input(
        InputSpec::with_default("margin", 0.05, "White around the subject, as a part of its longer side, 0 to 1.")
            .range(0.0..=1.0),
    )
    .output("image", PortType::Image, "The subject on white, RGB, `size` by `size` pixels, stored as the input is.")
    .output("mask", PortType::Mask, "The subject in the result, 0 to 1.")
    .output("full_mask", PortType::Mask, "The subject in the frame of the input picture, 0 to 1.")
    .output("x", PortType::Integer, "Left edge of the subject's box in the input picture, in pixels.")
    .output("y", PortType::Integer, "Upper edge of the subject's box in the input picture, in pixels.")
    .output("width", PortType::Integer, "Width of the subject's box in pixels.")
    .output("height", PortType::Integer, "Height of the subject's box in pixels.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let image = inputs.image("image")?;
    let full_mask = subject(inputs, image)?;
    let size = inputs.integer("size")?.max(1) as usize;
    let laid = lay_on_white(image, &full_mask, inputs.number("margin")?, size);
    let ((x, y, width, height), subject, mask) = laid.ok_or_else(|| unclear("the mask is empty"))?;
    Ok(Outputs::one("image", subject.into_image(Depth::of(image))?)
        .with("mask", mask.into_mask()?)
        .with("full_mask", full_mask.into_mask()?)
        .with("x", x as i64)
        .with("y", y as i64)
        .with("width", width as i64)
        .with("height", height as i64))
}

/// A rectangle: x, y, width, height.
type Rectangle = (usize, usize, usize, usize);

/// The masked subject on white, cropped to its box, padded to a square with `margin` times its larger side around it and
/// resized to `size`; with the box and the mask beside it. Nothing when the mask is empty.
pub(crate) fn lay_on_white(
    image: &Image,
    full_mask: &Samples,
    margin: f64,
    size: usize,
) -> Option<(Rectangle, Samples, Samples)> {
    let (x, y, width, height) = bounds(full_mask)?;
    let mut subject = Samples::of(image).crop(x, y, width, height).into_rgba();
    let mask = full_mask.crop(x, y, width, height);
    subject.values.chunks_exact_mut(4).zip(&mask.values).for_each(|(p, m)| p[3] = *m);
    let subject = subject.into_rgb_over(WHITE);
    let side = (width.max(height) as f64 * (1.0 + 2.0 * margin)).ceil() as usize;
    let squared = |part: &Samples, color: &[f32]| {
        let mut square = Samples::filled(side, side, color);
        square.paste(part, (side - width) / 2, (side - height) / 2);
        resample(&square, size, size, Filter::Bilinear)
    };
    Some(((x, y, width, height), squared(&subject, &WHITE), squared(&mask, &[0.0])))
}

/// The mask of the subject in the picture's frame.
fn subject(inputs: &Inputs, image: &Image) -> Result<Samples, NodeError> {
    let given = inputs.get("mask").map(|_| inputs.mask("mask")).transpose()?;
    let has_alpha = image.channels() == 4;
    let method = match inputs.text("method")? {
        "auto" if given.is_some() => "mask",
        "auto" if has_alpha && !is_opaque(&alpha(image)) => "alpha",
        "auto" => "background",
        method => method,
    };
    let mask = match (method, given) {
        ("whole", _) => return Ok(Samples::filled(image.width() as usize, image.height() as usize, &[1.0])),
        ("mask", Some(mask)) => given_mask(mask, image)?,
        ("mask", None) => {
            return Err(NodeError::input("mask", "`method` is `mask`, but no mask is given").with_hint("connect one"));
        }
        ("alpha", _) if !has_alpha => {
            return Err(NodeError::input("image", "`method` is `alpha`, but the picture has no alpha")
                .with_hint("use a picture with alpha, or the method `background`"));
        }
        ("alpha", _) => alpha(image),
        _ => foreground(&Samples::of(image).into_rgb_over(WHITE))
            .ok_or_else(|| unclear("the picture's border does not look like a plain background around it"))?,
    };
    let covered = mask.values.iter().filter(|m| **m > 0.5).count() as f64 / mask.values.len() as f64;
    if covered < *PARTS.start() {
        return Err(unclear("the mask is empty"));
    }
    if covered > *PARTS.end() {
        return Err(unclear("the mask covers the whole picture"));
    }
    Ok(mask)
}

fn given_mask(mask: &Mask, image: &Image) -> Result<Samples, NodeError> {
    same_size("mask", (mask.width(), mask.height()), "image", (image.width(), image.height()))?;
    let mut mask = Samples::of_mask(mask);
    mask.values.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    Ok(mask)
}

fn alpha(image: &Image) -> Samples {
    let samples = Samples::of(image);
    let values = samples.values.chunks_exact(4).map(|p| p[3].clamp(0.0, 1.0)).collect();
    Samples { channels: 1, values, ..samples }
}

fn is_opaque(alpha: &Samples) -> bool {
    let clear = alpha.values.iter().filter(|v| **v < OPAQUE.0).count();
    clear as f64 <= alpha.values.len() as f64 * OPAQUE.1
}

fn unclear(why: &str) -> NodeError {
    NodeError::failed(format!("`Segment Reference` could not tell the subject from the background: {why}"))
        .with_hint("give a `mask`, or a picture with alpha or a plainer background; `method: whole` takes it as it is")
}

/// The box around everything that is more than a trace of the mask: x, y, width, height.
fn bounds(mask: &Samples) -> Option<Rectangle> {
    let row = |y: &usize| (0..mask.width).any(|x| mask.pixel(x, *y)[0] > 0.1);
    let column = |x: &usize| (0..mask.height).any(|y| mask.pixel(*x, y)[0] > 0.1);
    let (top, bottom) = ((0..mask.height).find(row)?, (0..mask.height).rfind(row)?);
    let (left, right) = ((0..mask.width).find(column)?, (0..mask.width).rfind(column)?);
    Some((left, top, right - left + 1, bottom - top + 1))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Pixels, Value};

    use super::*;
    use crate::cut::scenes::SCENES;
    use crate::function::testing;

    struct Found {
        image: Arc<Image>,
        mask: Arc<Mask>,
        full_mask: Arc<Mask>,
        rectangle: [i64; 4],
    }

    fn segment(inputs: Inputs) -> Result<Found, NodeError> {
        let outputs = testing::run(&node(), inputs)?;
        let mask = |port| match outputs.get(port) {
            Some(Value::Mask(m)) => m.clone(),
            _ => panic!(),
        };
        let rectangle = ["x", "y", "width", "height"].map(|port| match outputs.get(port) {
            Some(Value::Integer(i)) => *i,
            _ => panic!(),
        });
        let Some(Value::Image(image)) = outputs.get("image") else { panic!() };
        Ok(Found { image: image.clone(), mask: mask("mask"), full_mask: mask("full_mask"), rectangle })
    }

    /// 20 x 10 pixels: red on black, the subject 8 x 4 at (6, 3).
    fn picture(channels: u8) -> Image {
        let inside = |i: usize| (6..14).contains(&(i % 20)) && (3..7).contains(&(i / 20));
        let pixel = |i| {
            let rgba = if inside(i) { [255, 0, 0, 255] } else { [0, 0, 0, 0] };
            rgba[..usize::from(channels)].to_vec()
        };
        Image::new(20, 10, channels, Pixels::U8((0..200).flat_map(pixel).collect())).unwrap()
    }

    fn mask(value: impl Fn(usize, usize) -> f32) -> Mask {
        Mask::new(20, 10, (0..200).map(|i| value(i % 20, i / 20)).collect()).unwrap()
    }

    #[track_caller]
    fn check(inputs: Inputs) {
        let found = segment(inputs.with("size", 64_i64).with("margin", 0.0)).unwrap();
        assert_eq!(found.rectangle, [6, 3, 8, 4]);
        assert_eq!((found.image.width(), found.image.height(), found.image.channels()), (64, 64, 3));
        let pixel = |x: usize, y: usize| found.image.to_u8()[(y * 64 + x) * 3..][..3].to_vec();
        assert_eq!(pixel(32, 32), [255, 0, 0]);
        assert_eq!(pixel(1, 32), [255, 0, 0]);
        assert_eq!(pixel(32, 8), [255, 255, 255]);
        assert_eq!(pixel(32, 60), [255, 255, 255]);
        assert_eq!((found.mask.values()[32 * 64 + 32], found.mask.values()[0]), (1.0, 0.0));
        let full = mask(|x, y| f32::from((6..14).contains(&x) && (3..7).contains(&y)));
        assert_eq!(*found.full_mask, full);
    }

    #[test]
    fn alpha_and_masks() {
        let subject = || mask(|x, y| f32::from((6..14).contains(&x) && (3..7).contains(&y)));
        check(Inputs::default().with("image", picture(4)));
        check(Inputs::default().with("image", picture(4)).with("method", "alpha"));
        check(Inputs::default().with("image", picture(3)).with("mask", subject()));
        check(Inputs::default().with("image", picture(4)).with("mask", subject()).with("method", "mask"));
    }

    #[test]
    fn partly_covered_pixels_are_partly_white() {
        let half = mask(|x, _| if x < 10 { 0.6 } else { 0.0 });
        let inputs = Inputs::default().with("image", picture(3)).with("mask", half).with("margin", 0.0);
        let found = segment(inputs.with("size", 100_i64)).unwrap();
        // At (8, 5) of the picture, in the middle of a pixel of the tenfold enlarged square.
        let pixel = &found.image.to_u8()[(55 * 100 + 85) * 3..][..3];
        assert!(pixel[0] == 255 && pixel[1].abs_diff(102) <= 1, "{pixel:?}");
    }

    #[test]
    fn background_and_whole() {
        let (scene, truth) = SCENES[0].draw();
        let image = scene.into_image(Depth::U8).unwrap();
        let found = segment(Inputs::default().with("image", image.clone())).unwrap();
        let [x, y, width, height] = found.rectangle;
        let set: Vec<usize> = (0..truth.len()).filter(|i| truth[*i]).collect();
        let columns = set.iter().map(|i| i64::from((i % 512) as u32));
        let (left, right) = (columns.clone().min().unwrap(), columns.max().unwrap());
        let (top, bottom) = ((set[0] / 512) as i64, (set[set.len() - 1] / 512) as i64);
        for (found, expected) in [(x, left), (y, top), (x + width, right + 1), (y + height, bottom + 1)] {
            assert!((found - expected).abs() <= 4, "{:?}", found - expected);
        }
        assert_eq!((found.image.width(), found.mask.width(), found.full_mask.width()), (512, 512, 512));

        let found =
            segment(Inputs::default().with("image", image).with("method", "whole").with("margin", 0.0)).unwrap();
        assert_eq!(found.rectangle, [0, 0, 512, 512]);
        assert!(found.mask.values().iter().all(|v| *v == 1.0));
    }

    /// The reference of the main job: a yellow duck with a red and white scarf on a grey backdrop, with a shadow to the right.
    #[test]
    fn the_committed_reference_is_cut_well() {
        let decoded = image::load_from_memory(include_bytes!("../../../graphs/reference.png")).unwrap().into_rgb8();
        let image = Image::new(decoded.width(), decoded.height(), 3, Pixels::U8(decoded.to_vec())).unwrap();
        let mask = segment(Inputs::default().with("image", image)).unwrap().full_mask;
        let (mut colorful, mut missed, mut grey) = (0, 0, 0);
        for (i, pixel) in decoded.pixels().enumerate() {
            let [r, g, b] = pixel.0.map(i32::from);
            let spread = r.max(g).max(b) - r.min(g).min(b);
            let inside = mask.values()[i] > 0.5;
            colorful += i32::from(spread > 60);
            missed += i32::from(spread > 60 && !inside);
            grey += i32::from(spread < 12 && inside);
        }
        // Of what is colourful all but the outline is in; the grey pixels inside are eyes, stripes and highlights.
        assert!(colorful > 40_000 && missed * 200 < colorful, "{missed} of {colorful} missed");
        assert!(grey * 20 < colorful, "{grey} grey pixels");
        let at = |x: usize, y: usize| mask.values()[y * 512 + x];
        for (x, y) in [(318, 143), (285, 235), (400, 172), (270, 380)] {
            assert_eq!(at(x, y), 1.0, "({x}, {y}) is the duck's");
        }
        for (x, y) in [(420, 355), (300, 402), (150, 200), (440, 172), (20, 500)] {
            assert_eq!(at(x, y), 0.0, "({x}, {y}) is the studio's");
        }
    }

    #[test]
    fn refusals() {
        let opaque = Image::new(20, 10, 4, Pixels::U8([10, 20, 30, 255].repeat(200))).unwrap();
        let clear = Image::new(20, 10, 4, Pixels::U8([10, 20, 30, 0].repeat(200))).unwrap();
        let plain = Image::new(64, 64, 3, Pixels::U8(vec![128; 64 * 64 * 3])).unwrap();
        let image = |i: &Image| Inputs::default().with("image", i.clone());
        let cases = [
            (image(&plain), "could not tell"),
            (image(&opaque), "could not tell"),
            (image(&opaque).with("method", "alpha"), "the mask covers the whole picture"),
            (image(&clear), "the mask is empty"),
            (image(&plain).with("method", "alpha"), "has no alpha"),
            (image(&plain).with("method", "mask"), "no mask is given"),
            (image(&opaque).with("mask", mask(|_, _| 0.0)), "the mask is empty"),
            (image(&opaque).with("mask", mask(|_, _| 1.0)), "the mask covers the whole picture"),
            (image(&plain).with("mask", mask(|_, _| 1.0)), "has 20x10 pixels, but `image` has 64x64"),
        ];
        for (inputs, expected) in cases {
            let error = segment(inputs).err().unwrap();
            assert!(error.to_string().contains(expected), "{error}, expected {expected}");
            assert!(error.hint().is_some(), "{error}");
        }
    }
}
