//! The validated graph: what planning and execution work on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use dc_graph_node_api::{InputProblem, Inputs, Node, NodeSpec, PortType, Value};
use petgraph::graph::{DiGraph, NodeIndex};

use super::Location;
use super::open::Open;
use super::render::Source;

/// A graph in which every link, type, range and required input has been checked. Acyclic.
///
/// The nodes of included documents stand among the others: the node `small` of the document that `portrait` includes is
/// `portrait/small`, in the third element of a `For Each` `cut[2]/small`.
#[derive(Clone)]
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
    /// The files of the documents that it includes.
    pub included: Vec<PathBuf>,
    /// What hangs on values that only a run tells.
    pub(crate) open: Vec<Open>,
}

impl Graph {
    /// A graph without inputs that no document describes. There has to be an edge for every link.
    pub fn new(name: impl Into<String>, nodes: DiGraph<GraphNode, ()>, outputs: Vec<(String, PortRef)>) -> Self {
        Self {
            name: name.into(),
            nodes,
            outputs,
            inputs: Vec::new(),
            document: serde_json::json!({}),
            included: Vec::new(),
            open: Vec::new(),
        }
    }

    /// How many nodes it has, those of included documents among them.
    pub fn size(&self) -> usize {
        self.nodes.node_weights().filter(|node| !node.is_off).count()
    }
}

/// One node of a [`Graph`].
#[derive(Clone)]
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
    /// The document that it stands in.
    pub home: Arc<Home>,
    /// Whether nothing is to be done for its effect alone: it belongs to a branch that was not chosen.
    pub(crate) is_off: bool,
}

impl GraphNode {
    /// A node of the document itself.
    pub fn new(id: impl Into<String>, node: Arc<dyn Node>, bindings: Vec<Binding>, location: Location) -> Self {
        Self {
            id: id.into(),
            node,
            bindings,
            reads: Vec::new(),
            reads_unknown: false,
            location,
            home: Arc::default(),
            is_off: false,
        }
    }

    /// Its links, in the order of its inputs.
    pub(crate) fn links(&self) -> impl Iterator<Item = PortRef> {
        self.bindings.iter().flat_map(Binding::links)
    }

    /// Whether it is to run whoever reads what it gives.
    pub(crate) fn has_effect(&self) -> bool {
        self.node.spec().effect && !self.is_off
    }
}

/// The inputs whose values are known before the run, and whether the name of a file is not among them.
pub(super) fn known_inputs(spec: &NodeSpec, bindings: &[Binding]) -> (Inputs, bool) {
    let mut known = Inputs::default();
    let mut reads_unknown = false;
    for (input, binding) in spec.inputs.iter().zip(bindings) {
        match binding {
            Binding::Value(value) => known.set(&input.name, value.clone()),
            Binding::Link(_) | Binding::List(_) => reads_unknown |= holds_paths(&input.ty),
            Binding::Absent => {}
        }
    }
    (known, reads_unknown)
}

/// The files that a node reads with these inputs; nothing when it panics: a pack's code runs here before the run.
pub(super) fn read_by(node: &dyn Node, known: &Inputs) -> Option<Result<Vec<PathBuf>, Vec<InputProblem>>> {
    catch_unwind(AssertUnwindSafe(|| node.reads(known))).ok()
}

fn holds_paths(ty: &PortType) -> bool {
    match ty {
        PortType::Path => true,
        PortType::List(of) => holds_paths(of),
        _ => false,
    }
}

/// A document that nodes stand in.
#[derive(Debug, Default)]
pub struct Home {
    /// What relative paths in it count from; nothing for what the run says.
    pub folder: Option<PathBuf>,
    /// Its text, when it is an included one.
    pub(crate) source: Option<Arc<Source>>,
    /// What the document that includes all others calls it, in `graphs`.
    pub(crate) key: Option<String>,
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

impl Binding {
    /// The links in it.
    pub(crate) fn links(&self) -> impl Iterator<Item = PortRef> {
        let all = match self {
            Self::List(elements) => elements.as_slice(),
            one => std::slice::from_ref(one),
        };
        all.iter().filter_map(|binding| if let Self::Link(port) = binding { Some(*port) } else { None })
    }
}

/// An output port of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRef {
    /// The node.
    pub node: NodeIndex,
    /// The index of the output in the node's spec.
    pub output: usize,
}
