//! `Mask To Image`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use super::pixels::{Depth, Samples};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Mask To Image", "image", "Shows a mask as a grey picture.")
        .input(InputSpec::required("mask", PortType::Mask, "The mask, 0 to 1."))
        .output("image", PortType::Image, "Black where the mask is 0, white where it is 1; one channel, f32.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    Ok(Outputs::one("image", Samples::of_mask(inputs.mask("mask")?).into_image(Depth::F32)?))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Mask, Pixels, Value};

    use super::*;
    use crate::function::testing;

    #[test]
    fn values_stay() {
        let mask = Mask::new(2, 1, vec![0.125, 1.0]).unwrap();
        let outputs = testing::run(&node(), Inputs::default().with("mask", mask)).unwrap();
        let Some(Value::Image(found)) = outputs.get("image") else { panic!() };
        assert_eq!(**found, Image::new(2, 1, 1, Pixels::F32(vec![0.125, 1.0])).unwrap());
    }
}
