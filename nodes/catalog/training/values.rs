//! What travels between the training nodes.

use std::sync::Arc;

use dc_diffusion::training::{Split, Triplets};
use dc_graph_node_api::{NativeObject, PortType};

pub(crate) const TRIPLETS: PortType = PortType::native("dc:triplets");

/// `dc:triplets`: a data set.
pub(crate) struct Dataset(pub(crate) Arc<dyn Triplets>);

impl NativeObject for Dataset {
    fn type_name(&self) -> &'static str {
        "dc:triplets"
    }

    fn summary(&self) -> String {
        format!("{} triplets, {} held out", self.0.len(Split::Train), self.0.len(Split::HeldOut))
    }

    fn size_bytes(&self) -> usize {
        // Triplets are drawn or read when they are asked for.
        0
    }
}
