//! `Pick Image`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Pick Image", "image", "Takes one picture out of a list.")
        .input(InputSpec::required("images", PortType::Image.list(), "The pictures."))
        .input(InputSpec::with_default("index", 0_i64, "Which one, counted from 0.").range(0.0..=1_000_000.0))
        .output("image", PortType::Image, "The picture.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let (images, index) = (inputs.images("images")?, inputs.integer("index")?);
    let picked = usize::try_from(index).ok().and_then(|i| images.get(i));
    let image = picked.ok_or_else(|| {
        NodeError::input("index", format!("there is no picture {index} in a list of {}", images.len()))
            .with_hint("pictures count from 0")
    })?;
    Ok(Outputs::one("image", Arc::clone(image)))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels, Value};

    use super::*;
    use crate::function::testing;

    fn pick(index: i64) -> Result<Vec<u8>, String> {
        let image = |v| Value::from(Image::new(1, 1, 1, Pixels::U8(vec![v])).unwrap());
        let images = Value::list(PortType::Image, vec![image(7), image(8)]);
        let outputs = testing::run(&node(), Inputs::default().with("images", images).with("index", index));
        match outputs.map_err(|e| e.to_string())?.get("image") {
            Some(Value::Image(i)) => Ok(i.to_u8()),
            _ => panic!(),
        }
    }

    #[test]
    fn index() {
        assert_eq!(pick(0), Ok(vec![7]));
        assert_eq!(pick(1), Ok(vec![8]));
        assert_eq!(pick(2), Err("`index`: there is no picture 2 in a list of 2".into()));
        assert_eq!(pick(-1), Err("`index`: there is no picture -1 in a list of 2".into()));
    }
}
