//! `Blend`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::pixels::{Depth, Samples, same_size};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Blend", "image", "Mixes two pictures of one size.")
        .input(InputSpec::required("image", PortType::Image, "The lower picture; the result has its alpha."))
        .input(InputSpec::required(
            "overlay",
            PortType::Image,
            "The upper picture; where it is transparent, the lower one stays.",
        ))
        .input(
            InputSpec::with_default("factor", 0.5, "How much of the mix to take, 0 (the lower picture) to 1.")
                .range(0.0..=1.0),
        )
        .input(
            InputSpec::with_default(
                "mode",
                "normal",
                "What the mix is: `normal` the upper picture, `multiply` the product (darkens), `screen` the product of the negatives (brightens).",
            )
            .choices(&["normal", "multiply", "screen"]),
        )
        .output("image", PortType::Image, "The mix; f32 when one of the pictures is.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let (image, overlay) = (inputs.image("image")?, inputs.image("overlay")?);
    same_size("overlay", (overlay.width(), overlay.height()), "image", (image.width(), image.height()))?;
    let factor = inputs.number("factor")? as f32;
    let mix: fn(f32, f32) -> f32 = match inputs.text("mode")? {
        "multiply" => |a, b| a * b,
        "screen" => |a, b| 1.0 - (1.0 - a) * (1.0 - b),
        _ => |_, b| b,
    };
    let mut result = Samples::of(image);
    if result.channels == 1 && overlay.channels() > 1 {
        result = result.into_rgb_over([0.0; 3]);
    }
    let upper = Samples::of(overlay).into_rgba();
    let colors = result.channels.min(3);
    for (a, b) in result.values.chunks_exact_mut(result.channels).zip(upper.values.chunks_exact(4)) {
        for c in 0..colors {
            a[c] += factor * b[3] * (mix(a[c], b[c]) - a[c]);
        }
    }
    Ok(Outputs::one("image", result.into_image(Depth::of(image).max(Depth::of(overlay)))?))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels, Value};

    use super::*;
    use crate::function::testing;

    fn image(pixels: &[u8]) -> Image {
        Image::new(1, 1, pixels.len() as u8, Pixels::U8(pixels.to_vec())).unwrap()
    }

    #[track_caller]
    fn check(lower: &[u8], upper: &[u8], factor: f64, mode: &str, expected: &[u8]) {
        let inputs = Inputs::default().with("image", image(lower)).with("overlay", image(upper));
        let outputs = testing::run(&node(), inputs.with("factor", factor).with("mode", mode)).unwrap();
        let Some(Value::Image(found)) = outputs.get("image") else { panic!() };
        assert_eq!(found.to_u8(), expected);
    }

    #[test]
    fn modes() {
        check(&[0, 100, 200], &[255, 200, 100], 0.5, "normal", &[128, 150, 150]);
        check(&[0, 100, 200], &[255, 200, 100], 0.0, "screen", &[0, 100, 200]);
        check(&[255, 100, 0], &[51, 51, 51], 1.0, "multiply", &[51, 20, 0]);
        check(&[255, 0, 100], &[51, 51, 51], 1.0, "screen", &[255, 51, 131]);
        check(&[10, 20, 30, 40], &[110, 120, 130, 0], 1.0, "normal", &[10, 20, 30, 40]);
        check(&[10, 20, 30, 40], &[110, 120, 130, 255], 1.0, "normal", &[110, 120, 130, 40]);
        check(&[100], &[200], 1.0, "normal", &[200]);
        check(&[100], &[200, 0, 100], 1.0, "normal", &[200, 0, 100]);
    }

    #[test]
    fn sizes_must_agree() {
        let wide = Image::new(2, 1, 1, Pixels::U8(vec![0, 0])).unwrap();
        let inputs = Inputs::default().with("image", image(&[1])).with("overlay", wide);
        let error = testing::run(&node(), inputs).unwrap_err();
        assert_eq!(error.to_string(), "`overlay`: has 2x1 pixels, but `image` has 1x1");
        assert!(error.hint().unwrap().contains("Resize"));
    }
}
