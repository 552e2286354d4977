//! The registry that the program runs with: the built-in nodes.

use anyhow::Context;
use dc_graph::registry::Registry;
use dc_graph_nodes::Settings;

/// Every node type that graphs can name. Touches no device.
pub(crate) fn registry(settings: &Settings) -> anyhow::Result<Registry> {
    let mut registry = Registry::default();
    for node in dc_graph_nodes::nodes(settings) {
        registry.add(node).context("the built-in nodes contradict each other")?;
    }
    for (type_name, decode) in dc_graph_nodes::decoders() {
        registry.add_decoder(type_name, decode);
    }
    Ok(registry)
}
