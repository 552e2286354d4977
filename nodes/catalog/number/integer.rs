//! `Integer`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Integer", "number", "A whole number to use in several places, such as a seed.")
        .input(InputSpec::required("value", PortType::Integer, "The number."))
        .output("value", PortType::Integer, "The same number.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    Ok(Outputs::one("value", inputs.integer("value")?))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::Value;

    use super::*;
    use crate::function::testing;

    #[test]
    fn stays() {
        let outputs = testing::run(&node(), Inputs::default().with("value", 7_i64)).unwrap();
        assert!(matches!(outputs.get("value"), Some(Value::Integer(v)) if *v == 7_i64));
    }
}
