//! `Crop`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::pixels::{Depth, Samples};
use crate::function::function_node;

const SIDE: std::ops::RangeInclusive<f64> = 1.0..=65536.0;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Crop", "image", "Cuts a rectangle out of a picture.")
        .input(InputSpec::required("image", PortType::Image, "The picture."))
        .input(InputSpec::with_default("x", 0_i64, "Left edge, in pixels from the left.").range(0.0..=65535.0))
        .input(InputSpec::with_default("y", 0_i64, "Upper edge, in pixels from the top.").range(0.0..=65535.0))
        .input(InputSpec::required("width", PortType::Integer, "Width of the rectangle in pixels.").range(SIDE))
        .input(InputSpec::required("height", PortType::Integer, "Height of the rectangle in pixels.").range(SIDE))
        .output("image", PortType::Image, "The part, stored as the input is.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let image = inputs.image("image")?;
    let side = |name: &str| inputs.integer(name).map(|v| v.max(0) as usize);
    let (x, y, width, height) = (side("x")?, side("y")?, side("width")?, side("height")?);
    let whole = Samples::of(image);
    for (port, start, length, limit) in [("width", x, width, whole.width), ("height", y, height, whole.height)] {
        if start.saturating_add(length) > limit {
            return Err(NodeError::input(
                port,
                format!("a rectangle from {start} of {length} pixels goes beyond the picture's {limit}"),
            )
            .with_hint("the whole rectangle must lie inside the picture; `Image Info` tells its size"));
        }
    }
    Ok(Outputs::one("image", whole.crop(x, y, width, height).into_image(Depth::of(image))?))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels, Value};

    use super::*;
    use crate::function::testing;

    fn crop(x: i64, y: i64, width: i64, height: i64) -> Result<Vec<u8>, String> {
        let image = Image::new(3, 2, 1, Pixels::U8(vec![1, 2, 3, 4, 5, 6])).unwrap();
        let inputs = Inputs::default().with("image", image).with("x", x).with("y", y);
        let outputs = testing::run(&node(), inputs.with("width", width).with("height", height));
        match outputs.map_err(|e| e.to_string())?.get("image") {
            Some(Value::Image(i)) => Ok(i.to_u8()),
            _ => panic!(),
        }
    }

    #[test]
    fn rectangles() {
        assert_eq!(crop(0, 0, 3, 2), Ok(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(crop(1, 0, 2, 2), Ok(vec![2, 3, 5, 6]));
        assert_eq!(crop(2, 1, 1, 1), Ok(vec![6]));
        assert!(crop(2, 0, 2, 1).unwrap_err().starts_with("`width`: a rectangle from 2 of 2 pixels"));
        assert!(crop(0, 2, 1, 1).unwrap_err().starts_with("`height`: a rectangle from 2 of 1 pixels"));
    }
}
