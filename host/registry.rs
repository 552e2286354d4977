//! Node type to implementation, native and third-party alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use dc_graph_node_api::{Decode, Decoders, Node};

use crate::graph::Composite;

/// Every node type that graphs can name.
#[derive(Clone, Default)]
pub struct Registry {
    nodes: BTreeMap<String, Arc<dyn Node>>,
    decoders: Decoders,
}

/// Two packs bring a node type of the same name.
#[derive(Debug, thiserror::Error)]
#[error("node type `{0}` is there already")]
pub struct DuplicateNodeType(pub String);

impl Registry {
    /// Adds a node type.
    ///
    /// # Errors
    /// When there is one of this name; the registry is unchanged then.
    pub fn add(&mut self, node: Arc<dyn Node>) -> Result<(), DuplicateNodeType> {
        let name = node.spec().type_name.clone();
        if self.nodes.contains_key(&name) || Composite::of(&name).is_some() {
            return Err(DuplicateNodeType(name));
        }
        self.nodes.insert(name, node);
        Ok(())
    }

    /// Adds the function that puts values of an opaque port type together again.
    pub fn add_decoder(&mut self, type_name: &'static str, decode: Decode) {
        self.decoders.add(type_name, decode);
    }

    /// The functions that put opaque values together again.
    pub fn decoders(&self) -> &Decoders {
        &self.decoders
    }

    /// The implementation of a node type.
    pub fn get(&self, type_name: &str) -> Option<&Arc<dyn Node>> {
        self.nodes.get(type_name)
    }

    /// All node types by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Node>> {
        self.nodes.values()
    }
}
