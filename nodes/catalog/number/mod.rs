//! Numbers.

mod integer;
mod real;

use std::sync::Arc;

use dc_graph_node_api::Node;

pub(crate) fn nodes() -> Vec<Arc<dyn Node>> {
    vec![real::node(), integer::node()]
}
