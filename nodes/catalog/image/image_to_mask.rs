//! `Image To Mask`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Mask, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::pixels::{Samples, luma};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Image To Mask", "image", "Takes one channel of a picture as a mask.")
        .input(InputSpec::required("image", PortType::Image, "The picture."))
        .input(
            InputSpec::with_default(
                "channel",
                "luma",
                "What becomes the mask: brightness, transparency or one colour.",
            )
            .choices(&["luma", "alpha", "red", "green", "blue"]),
        )
        .input(InputSpec::with_default("invert", false, "Whether to take 1 minus the channel."))
        .input(
            InputSpec::optional(
                "threshold",
                PortType::Number,
                "From here on (0 to 1) a pixel is foreground, else background; without it the mask stays soft.",
            )
            .range(0.0..=1.0),
        )
        .output("mask", PortType::Mask, "The mask, 0 to 1; an image without alpha has 1 there.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let image = inputs.image("image")?;
    let channel: fn(&[f32]) -> f32 = match inputs.text("channel")? {
        "alpha" => |p| p[3],
        "red" => |p| p[0],
        "green" => |p| p[1],
        "blue" => |p| p[2],
        _ => luma,
    };
    let invert = inputs.boolean("invert")?;
    let threshold = inputs.get("threshold").map(|_| inputs.number("threshold")).transpose()?;
    let value = |pixel: &[f32]| {
        let v = channel(pixel).clamp(0.0, 1.0);
        let v = if invert { 1.0 - v } else { v };
        match threshold {
            Some(t) => f32::from(f64::from(v) >= t),
            None => v,
        }
    };
    let samples = Samples::of(image).into_rgba();
    let values = samples.values.chunks_exact(4).map(value).collect();
    Ok(Outputs::one("mask", Mask::new(image.width(), image.height(), values)?))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels, Value};

    use super::*;
    use crate::function::testing;

    #[track_caller]
    fn check(pixels: &[u8], inputs: Inputs, expected: f32) {
        let image = Image::new(1, 1, pixels.len() as u8, Pixels::U8(pixels.to_vec())).unwrap();
        let outputs = testing::run(&node(), inputs.with("image", image)).unwrap();
        let Some(Value::Mask(found)) = outputs.get("mask") else { panic!() };
        assert!((found.values()[0] - expected).abs() < 1e-6, "{:?}, expected {expected}", found.values());
    }

    #[test]
    fn channels() {
        let rgba = [51, 102, 153, 204];
        let channel = |name: &str| Inputs::default().with("channel", name);
        check(&rgba, channel("luma"), 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6);
        check(&rgba, channel("red"), 0.2);
        check(&rgba, channel("green"), 0.4);
        check(&rgba, channel("blue"), 0.6);
        check(&rgba, channel("alpha"), 0.8);
        check(&rgba[..3], channel("alpha"), 1.0);
        check(&rgba[..1], channel("luma"), 0.2);
        check(&rgba, channel("red").with("invert", true), 0.8);
        check(&rgba, channel("red").with("threshold", 0.5), 0.0);
        check(&rgba, channel("blue").with("threshold", 0.5), 1.0);
        check(&rgba, channel("red").with("threshold", 0.5).with("invert", true), 1.0);
    }
}
