//! `Composite`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::color::color;
use super::pixels::{Depth, Samples, same_size};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Composite", "image", "Puts a picture over a colour or over another picture.")
        .input(InputSpec::required("image", PortType::Image, "The picture in front."))
        .input(InputSpec::optional(
            "mask",
            PortType::Mask,
            "How much of the picture covers the background, 0 to 1, times its alpha; everywhere 1 without it.",
        ))
        .input(InputSpec::optional("background", PortType::Image, "The picture behind, which gives the size."))
        .input(InputSpec::with_default(
            "color",
            "white",
            "What is behind the background, or behind the picture without one: `#rrggbb`, `white`, `black` or `grey`.",
        ))
        .input(
            InputSpec::with_default("x", 0_i64, "Where the picture's left edge lies on the background, in pixels.")
                .range(-65535.0..=65535.0),
        )
        .input(
            InputSpec::with_default("y", 0_i64, "Where the picture's upper edge lies on the background, in pixels.")
                .range(-65535.0..=65535.0),
        )
        .output("image", PortType::Image, "The result without alpha; f32 when one of the pictures is.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let image = inputs.image("image")?;
    let color = color(inputs, "color")?;
    let mut front = Samples::of(image).into_rgba();
    if inputs.get("mask").is_some() {
        let mask = inputs.mask("mask")?;
        same_size("mask", (mask.width(), mask.height()), "image", (image.width(), image.height()))?;
        front.values.chunks_exact_mut(4).zip(mask.values()).for_each(|(p, m)| p[3] *= m);
    }
    if inputs.get("background").is_none() {
        return Ok(Outputs::one("image", front.into_rgb_over(color).into_image(Depth::of(image))?));
    }
    let background = inputs.image("background")?;
    let mut result = Samples::of(background).into_rgb_over(color);
    let (x, y) = (inputs.integer("x")?, inputs.integer("y")?);
    for row in 0..result.height {
        for column in 0..result.width {
            let (fx, fy) = (column as i64 - x, row as i64 - y);
            if (0..front.width as i64).contains(&fx) && (0..front.height as i64).contains(&fy) {
                let over = front.pixel(fx as usize, fy as usize);
                result.pixel_mut(column, row).iter_mut().zip(over).for_each(|(b, f)| *b += over[3] * (f - *b));
            }
        }
    }
    Ok(Outputs::one("image", result.into_image(Depth::of(image).max(Depth::of(background)))?))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Mask, Pixels, Value};

    use super::*;
    use crate::function::testing;

    fn image(width: u32, channels: u8, pixels: &[u8]) -> Image {
        let height = pixels.len() as u32 / width / u32::from(channels);
        Image::new(width, height, channels, Pixels::U8(pixels.to_vec())).unwrap()
    }

    #[track_caller]
    fn check(inputs: Inputs, expected: &[u8]) {
        let outputs = testing::run(&node(), inputs).unwrap();
        let Some(Value::Image(found)) = outputs.get("image") else { panic!() };
        assert_eq!(found.to_u8(), expected);
        assert_eq!(found.channels(), 3);
    }

    #[test]
    fn over_a_color() {
        let half = image(1, 4, &[200, 0, 100, 51]);
        check(Inputs::default().with("image", half.clone()), &[244, 204, 224]);
        check(Inputs::default().with("image", half.clone()).with("color", "black"), &[40, 0, 20]);
        let mask = Mask::new(1, 1, vec![0.5]).unwrap();
        check(Inputs::default().with("image", half).with("color", "#000000").with("mask", mask.clone()), &[20, 0, 10]);
        check(Inputs::default().with("image", image(1, 1, &[100])).with("color", "black").with("mask", mask), &[50; 3]);
    }

    #[test]
    fn over_a_picture() {
        let back = image(2, 1, &[10, 20, 30, 40]);
        let front = image(1, 3, &[1, 2, 3]);
        let at = |x: i64, y: i64| {
            Inputs::default().with("image", front.clone()).with("background", back.clone()).with("x", x).with("y", y)
        };
        check(at(0, 0), &[1, 2, 3, 20, 20, 20, 30, 30, 30, 40, 40, 40]);
        check(at(1, 1), &[10, 10, 10, 20, 20, 20, 30, 30, 30, 1, 2, 3]);
        check(at(-1, 0), &[10, 10, 10, 20, 20, 20, 30, 30, 30, 40, 40, 40]);
    }

    #[test]
    fn problems() {
        let inputs = || Inputs::default().with("image", image(1, 1, &[100]));
        let mask = Mask::new(2, 1, vec![0.5; 2]).unwrap();
        let error = testing::run(&node(), inputs().with("mask", mask)).unwrap_err();
        assert_eq!(error.to_string(), "`mask`: has 2x1 pixels, but `image` has 1x1");
        let error = testing::run(&node(), inputs().with("color", "sky")).unwrap_err();
        assert_eq!(error.to_string(), "`color`: `sky` is no colour");
    }
}
