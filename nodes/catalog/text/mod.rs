//! Texts.

mod constant;
pub(crate) mod placeholders;
mod template;

use std::sync::Arc;

use dc_graph_node_api::Node;

pub(crate) fn nodes() -> Vec<Arc<dyn Node>> {
    vec![constant::node(), template::node()]
}
