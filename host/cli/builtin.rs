//! The registry that the program runs with: the built-in nodes.

use anyhow::Context;
use dc_graph::registry::Registry;

/// Every node type that graphs can name. Touches no device.
pub(crate) fn registry() -> anyhow::Result<Registry> {
    let mut registry = Registry::default();
    for node in dc_graph_nodes::nodes(&dc_graph_nodes::Settings::default()) {
        registry.add(node).context("the built-in nodes contradict each other")?;
    }
    Ok(registry)
}
