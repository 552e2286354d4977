//! `Image Info`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::pixels::Depth;
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Image Info", "image", "Tells the size of a picture and how it is stored.")
        .input(InputSpec::required("image", PortType::Image, "The picture."))
        .output("width", PortType::Integer, "In pixels.")
        .output("height", PortType::Integer, "In pixels.")
        .output("channels", PortType::Integer, "1 (grey), 3 (RGB) or 4 (RGB and alpha).")
        .output("text", PortType::Text, "All of it in words: `512x512 RGB, u8`.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let image = inputs.image("image")?;
    let kind = ["grey", "RGB", "RGBA"][usize::from(image.channels() / 2)];
    let depth = if Depth::of(image) == Depth::U8 { "u8" } else { "f32" };
    Ok(Outputs::one("width", i64::from(image.width()))
        .with("height", i64::from(image.height()))
        .with("channels", i64::from(image.channels()))
        .with("text", format!("{}x{} {kind}, {depth}", image.width(), image.height())))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels, Value};

    use super::*;
    use crate::function::testing;

    #[track_caller]
    fn check(channels: u8, pixels: Pixels, expected: &str) {
        let image = Image::new(2, 1, channels, pixels).unwrap();
        let outputs = testing::run(&node(), Inputs::default().with("image", image)).unwrap();
        let found = ["width", "height", "channels"].map(|port| match outputs.get(port) {
            Some(Value::Integer(i)) => *i,
            _ => panic!(),
        });
        assert_eq!(found, [2, 1, i64::from(channels)]);
        assert!(matches!(outputs.get("text"), Some(Value::Text(t)) if &**t == expected), "{outputs:?}");
    }

    #[test]
    fn words() {
        check(1, Pixels::U8(vec![0; 2]), "2x1 grey, u8");
        check(3, Pixels::U8(vec![0; 6]), "2x1 RGB, u8");
        check(4, Pixels::F32(vec![0.0; 8]), "2x1 RGBA, f32");
    }
}
