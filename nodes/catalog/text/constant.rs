//! `Text`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Text", "text", "A text to use in several places.")
        .input(InputSpec::required("value", PortType::Text, "The text."))
        .output("value", PortType::Text, "The same text.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
    Ok(Outputs::one("value", inputs.text("value")?))
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::Value;

    use super::*;
    use crate::function::testing;

    #[test]
    fn stays() {
        let outputs = testing::run(&node(), Inputs::default().with("value", "größer")).unwrap();
        assert!(matches!(outputs.get("value"), Some(Value::Text(t)) if &**t == "größer"));
    }
}
