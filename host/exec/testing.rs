//! Graphs by hand for the tests of planning and execution.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};
use petgraph::graph::NodeIndex;

use super::{Cache, CancelToken, Digests, Event, RunError, RunOptions, RunReport, execute, plan};
use crate::graph::{Binding, Graph, GraphNode, Location, PortRef};
use crate::store::Store;
use crate::testing::TestNode;

/// A graph under construction.
pub(super) struct Build(pub(super) Graph);

impl Build {
    pub(super) fn new() -> Self {
        Self(Graph::new("test", Default::default(), Vec::new()))
    }

    /// Adds a node with one binding for each input of its spec.
    pub(super) fn node(&mut self, id: &str, node: Arc<dyn Node>, bindings: Vec<Binding>) -> NodeIndex {
        let mut known = Inputs::default();
        for (spec, binding) in node.spec().inputs.iter().zip(&bindings) {
            if let Binding::Value(value) = binding {
                known.set(&spec.name, value.clone());
            }
        }
        let reads = node.reads(&known).unwrap_or_default();
        let location = Location { line: 1, column: 1 };
        let links = bindings.clone();
        let added = self.0.nodes.add_node(GraphNode { reads, ..GraphNode::new(id, node, bindings, location) });
        self.connect(added, &links);
        added
    }

    fn connect(&mut self, reader: NodeIndex, bindings: &[Binding]) {
        for binding in bindings {
            match binding {
                Binding::Link(port) => {
                    self.0.nodes.add_edge(port.node, reader, ());
                }
                Binding::List(elements) => self.connect(reader, elements),
                Binding::Absent | Binding::Value(_) => {}
            }
        }
    }

    /// Names the first output of a node as an output of the graph.
    pub(super) fn output(&mut self, name: &str, node: NodeIndex) {
        self.0.outputs.push((name.into(), PortRef { node, output: 0 }));
    }
}

/// A link to the first output of a node.
pub(super) fn link(node: NodeIndex) -> Binding {
    Binding::Link(PortRef { node, output: 0 })
}

/// A literal.
pub(super) fn literal(value: impl Into<Value>) -> Binding {
    Binding::Value(value.into())
}

/// A node with the inputs `a` and `b` (optional numbers) and the output `out` (a number).
pub(super) fn binary(
    name: &str,
    run: impl Fn(f64, f64, &dyn RunContext) -> Result<f64, NodeError> + Send + Sync + 'static,
) -> Arc<dyn Node> {
    Arc::new(TestNode::new(binary_spec(name), move |i, context| {
        let get = |name| i.number(name).unwrap_or(0.0);
        Ok(Outputs::one("out", run(get("a"), get("b"), context)?))
    }))
}

/// What [`binary`] nodes look like.
pub(super) fn binary_spec(name: &str) -> NodeSpec {
    NodeSpec::new(name, "test", "A test node.")
        .input(InputSpec::optional("a", PortType::Number, "A number."))
        .input(InputSpec::optional("b", PortType::Number, "A number."))
        .output("out", PortType::Number, "A number.")
}

/// Adds its inputs.
pub(super) fn add() -> Arc<dyn Node> {
    binary("Add", |a, b, _| Ok(a + b))
}

/// How to run a graph in a test.
pub(super) struct Setup<'a> {
    pub(super) threads: usize,
    pub(super) cache: Option<&'a Cache>,
    pub(super) store: Option<&'a Store>,
    pub(super) cancel: CancelToken,
    pub(super) digests: Digests,
    pub(super) dir: PathBuf,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            threads: 4,
            cache: None,
            store: None,
            cancel: CancelToken::default(),
            digests: Digests::default(),
            dir: Path::new("/").into(),
        }
    }
}

impl Setup<'_> {
    /// Plans and runs a graph; the result, and what the listener heard as `started a`, `cached b`.
    pub(super) fn run(&self, graph: &Graph) -> (Result<RunReport, RunError>, Vec<String>) {
        let plan = plan(graph, &self.digests).expect("the graph can be planned");
        let mut options = RunOptions::new(&self.dir, &self.dir, &self.digests);
        options.threads = self.threads;
        options.cache = self.cache;
        options.store = self.store;
        let heard = Mutex::new(Vec::new());
        let listener = |event: Event| {
            let line = match event {
                Event::RunStarted { nodes } => format!("run of {nodes}"),
                Event::RunGrew { nodes } => format!("grew to {nodes}"),
                Event::Started { node, .. } => format!("started {node}"),
                Event::Reads { node, path, .. } => format!("reads {node} {}", path.display()),
                Event::Progress { node, step, total } => format!("progress {node} {step}/{total}"),
                Event::Preview { node, .. } => format!("preview {node}"),
                Event::Log { node, message, .. } => format!("log {node} {message}"),
                Event::Wrote { node, path } => format!("wrote {node} {}", path.display()),
                Event::Kept { node, path } => format!("kept {node} {}", path.display()),
                Event::Cached { node } => format!("cached {node}"),
                Event::Finished { node, .. } => format!("finished {node}"),
                Event::Failed { node, message, .. } => format!("failed {node} {message}"),
            };
            heard.lock().unwrap().push(line);
        };
        let result = execute(graph, &plan, &options, &self.cancel, &listener);
        (result, heard.into_inner().unwrap())
    }
}

/// A named output of a run as a number.
pub(super) fn number(report: &RunReport, name: &str) -> f64 {
    match report.outputs.iter().find(|(n, _)| n == name) {
        Some((_, Value::Number(v))) => *v,
        other => panic!("expected a number, found {other:?}"),
    }
}
