//! The built-in nodes of dc-graph, one a file, grouped by the kind of thing they work on. No maths here: pixels are the
//! `image` crate's business, tensors are `dc_diffusion`'s.
//!
//! A new node is one file and one line in [`nodes`] and one in `plugin.toml`.

use std::sync::Arc;

use dc_graph_node_api::Node;

/// The manifest of this pack: `plugin.toml`.
pub const MANIFEST: &str = include_str!("../../plugin.toml");

/// Every built-in node. Makes no device and reads no file: both wait until a node runs.
pub fn nodes() -> Vec<Arc<dyn Node>> {
    Vec::new()
}
