//! Contact sheets: many pictures and their labels in one.

pub(crate) mod axis_sheet;
mod contact_sheet;
pub(crate) mod lettering;

use std::sync::Arc;

use dc_graph_node_api::Node;

pub(crate) fn nodes() -> Vec<Arc<dyn Node>> {
    vec![contact_sheet::node()]
}
