//! `Invert`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::pixels::{Depth, Samples};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Invert", "image", "The negative of a picture: every colour becomes 1 minus itself.")
        .input(InputSpec::required("image", PortType::Image, "The picture; its alpha stays as it is."))
        .output("image", PortType::Image, "The negative, stored as the input is.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let image = inputs.image("image")?;
    let mut samples = Samples::of(image);
    let colors = if samples.channels == 4 { 3 } else { samples.channels };
    for pixel in samples.values.chunks_exact_mut(samples.channels) {
        pixel[..colors].iter_mut().for_each(|v| *v = 1.0 - *v);
    }
    Ok(Outputs::one("image", samples.into_image(Depth::of(image))?))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels, Value};

    use super::*;
    use crate::function::testing;

    #[track_caller]
    fn check(channels: u8, pixels: Pixels, expected: Pixels) {
        let image = Image::new(1, 1, channels, pixels).unwrap();
        let outputs = testing::run(&node(), Inputs::default().with("image", image)).unwrap();
        let Some(Value::Image(found)) = outputs.get("image") else { panic!() };
        assert_eq!(*found.pixels(), expected);
    }

    #[test]
    fn negative() {
        check(1, Pixels::U8(vec![0]), Pixels::U8(vec![255]));
        check(3, Pixels::U8(vec![0, 100, 255]), Pixels::U8(vec![255, 155, 0]));
        check(4, Pixels::U8(vec![0, 100, 255, 7]), Pixels::U8(vec![255, 155, 0, 7]));
        check(3, Pixels::F32(vec![0.25, 1.5, 0.0]), Pixels::F32(vec![0.75, -0.5, 1.0]));
    }
}
