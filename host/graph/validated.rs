//! The validated graph: what planning and execution work on.

use std::path::PathBuf;
use std::sync::Arc;

use dc_graph_node_api::{Node, Value};
use petgraph::graph::{DiGraph, NodeIndex};

use super::Location;

/// A graph in which every link, type, range and required input has been checked. Acyclic.
pub struct Graph {
    /// The document's name.
    pub name: String,
    /// The nodes; an edge for every link, from source to reader.
    pub nodes: DiGraph<GraphNode, ()>,
    /// The named outputs, in document order.
    pub outputs: Vec<(String, PortRef)>,
    /// The values of the graph's named inputs in this run, in document order.
    pub inputs: Vec<(String, Value)>,
    /// The document as JSON, with the values of this run as the defaults of its inputs: running it again gives the same graph.
    pub document: serde_json::Value,
}

/// One node of a [`Graph`].
pub struct GraphNode {
    /// The id in the document.
    pub id: String,
    /// The implementation.
    pub node: Arc<dyn Node>,
    /// One binding for each input of the node's spec, in the spec's order.
    pub bindings: Vec<Binding>,
    /// The files it reads, as far as they are known before the run.
    pub reads: Vec<PathBuf>,
    /// Whether a path comes through a link, so that the files it reads are not known before the run.
    pub reads_unknown: bool,
    /// Where it stands in the document.
    pub location: Location,
}

/// Where the value of an input comes from.
#[derive(Clone, Debug)]
pub enum Binding {
    /// Nowhere: an optional input that was not given.
    Absent,
    /// A literal, a graph input or a default; of the port's type.
    Value(Value),
    /// The output of another node; accepted by the port's type.
    Link(PortRef),
    /// The elements of a list port, each a value or a link (never a list of lists).
    List(Vec<Binding>),
}

/// An output port of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRef {
    /// The node.
    pub node: NodeIndex,
    /// The index of the output in the node's spec.
    pub output: usize,
}
