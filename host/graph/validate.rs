//! From a document that can be wrong to a graph that cannot: every problem at once, before anything expensive runs.
//!
//! One pass over nodes and links, then one over cycles and one over reachability; all linear and none recursive, so that
//! 100,000 nodes are no trouble. A mistake is reported once: what depends on something broken is not reported again.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use dc_graph_node_api::{Inputs, Node, PortType};
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::bind::Bound;
use super::cycles::find_cycles;
use super::document::{Document, NodeDeclaration};
use super::inputs::{self, GraphInput, Overrides};
use super::names::{self, Suggestions};
use super::sweep;
use super::{Binding, Diagnostic, Graph, GraphNode, Location, PortRef, Severity};
use crate::registry::Registry;

/// What a document's meaning depends on, beside the document.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Values for the graph's inputs.
    pub overrides: Overrides,
    /// The absolute path of the document's folder: relative paths in it count from there.
    pub folder: PathBuf,
    /// The absolute path that relative paths in `overrides` count from.
    pub current: PathBuf,
}

/// Checks a document. Gives the graph and the warnings, in document order.
///
/// # Errors
/// All errors and warnings, in document order; what has no place in the document comes last.
pub fn validate(
    document: &Document,
    registry: &Registry,
    settings: &Settings,
) -> Result<(Graph, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut suggestions = Suggestions::default();
    let mut problems = document.problems.clone();
    let inputs = inputs::resolve(document, settings, &mut suggestions, &mut problems);
    sweep::check(document, settings, &mut suggestions, &mut problems);
    let mut check = Check::new(document, registry, settings, inputs, suggestions, problems);
    let bindings: Vec<_> = (0..document.nodes.len()).map(|index| check.node(index)).collect();
    let outputs = check.outputs();
    check.cycles();
    check.purpose(&outputs);
    let Check { inputs, links, types, mut problems, .. } = check;
    problems.sort_by_key(|p| (p.location.is_none(), p.location));
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return Err(problems);
    }
    let mut nodes = DiGraph::with_capacity(document.nodes.len(), links.edge_count());
    for ((declared, node), bound) in document.nodes.iter().zip(types).zip(bindings) {
        // Both are there, for an error would have been reported otherwise.
        let (Some(node), Some(BoundNode { bindings, reads, reads_unknown })) = (node, bound) else { continue };
        let (id, location) = (declared.id.clone(), declared.at);
        nodes.add_node(GraphNode { id, node: node.clone(), bindings, reads, reads_unknown, location });
    }
    for link in links.raw_edges() {
        nodes.add_edge(link.source(), link.target(), ());
    }
    let graph = Graph {
        name: document.name.clone(),
        nodes,
        outputs: outputs.into_iter().filter_map(|(name, port)| Some((name, port?))).collect(),
        document: inputs::with_values(document, &inputs, settings),
        inputs: inputs.into_iter().filter_map(|input| Some((input.name.to_owned(), input.value?))).collect(),
    };
    Ok((graph, problems))
}

/// What is known of a document while it is checked.
pub(super) struct Check<'a> {
    pub(super) document: &'a Document,
    pub(super) registry: &'a Registry,
    pub(super) settings: &'a Settings,
    pub(super) inputs: Vec<GraphInput<'a>>,
    pub(super) input_index: HashMap<&'a str, usize>,
    pub(super) node_index: HashMap<&'a str, usize>,
    /// The type of each node; absent when it is not known.
    pub(super) types: Vec<Option<&'a Arc<dyn Node>>>,
    /// An edge for every link between nodes that are there, with its place.
    pub(super) links: DiGraph<(), Location>,
    /// Whether something was meant to be linked and could not be, so that nothing can be said about what is unused.
    pub(super) links_missing: bool,
    pub(super) suggestions: Suggestions,
    pub(super) problems: Vec<Diagnostic>,
}

struct BoundNode {
    bindings: Vec<Binding>,
    reads: Vec<PathBuf>,
    reads_unknown: bool,
}

impl<'a> Check<'a> {
    fn new(
        document: &'a Document,
        registry: &'a Registry,
        settings: &'a Settings,
        inputs: Vec<GraphInput<'a>>,
        suggestions: Suggestions,
        problems: Vec<Diagnostic>,
    ) -> Self {
        let mut links = DiGraph::with_capacity(document.nodes.len(), document.nodes.len());
        let mut types = Vec::with_capacity(document.nodes.len());
        for node in &document.nodes {
            links.add_node(());
            types.push(node.type_name.as_ref().and_then(|(name, _)| registry.get(name)));
        }
        Self {
            document,
            registry,
            settings,
            input_index: inputs.iter().enumerate().map(|(index, input)| (input.name, index)).collect(),
            inputs,
            node_index: document.nodes.iter().enumerate().map(|(index, node)| (node.id.as_str(), index)).collect(),
            types,
            links,
            links_missing: !document.problems.is_empty(),
            suggestions,
            problems,
        }
    }

    /// Checks one node: its type, what it is given, what it lacks and what it reads.
    fn node(&mut self, index: usize) -> Option<BoundNode> {
        let document = self.document;
        let declared = &document.nodes[index];
        let Some(node) = self.types[index] else {
            self.unknown_type(index, declared);
            return None;
        };
        let before = self.problems.len();
        let spec = node.spec();
        let mut bound: Vec<Bound> = spec.inputs.iter().map(|_| Bound::NotGiven).collect();
        for given in &declared.inputs {
            match spec.inputs.iter().position(|input| input.name == given.port) {
                Some(port) => bound[port] = self.bind(index, &spec.inputs[port], &given.given),
                None => {
                    let all = || spec.inputs.iter().map(|input| input.name.as_str());
                    let near = self.suggestions.nearest(&given.port, all());
                    // A misspelt required input is not missing too.
                    if let Some(port) = near.and_then(|near| all().position(|name| name == near))
                        && matches!(bound[port], Bound::NotGiven)
                    {
                        bound[port] = Bound::Broken;
                    }
                    let hint = match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None if spec.inputs.is_empty() => "it has no inputs".into(),
                        None => format!("its inputs are {}", names::list(all(), "and")),
                    };
                    let message = format!("`{}` ({}) has no input `{}`", declared.id, spec.type_name, given.port);
                    let problem = Diagnostic::error("unknown-input", message).at(given.at).hint(hint);
                    self.problems.push(problem.node(&declared.id).port(&given.port));
                    self.follow(index, &given.port, &given.given);
                }
            }
        }
        let mut bindings = Vec::with_capacity(bound.len());
        for (input, bound) in spec.inputs.iter().zip(bound) {
            match bound {
                Bound::To(binding) => bindings.push(binding),
                Bound::Broken => {}
                Bound::NotGiven if !input.required => {
                    bindings.push(input.default.clone().map_or(Binding::Absent, Binding::Value));
                }
                Bound::NotGiven => {
                    let message = format!("`{}` ({}) lacks its input `{}`", declared.id, spec.type_name, input.name);
                    let problem = Diagnostic::error("missing-input", message).at(declared.at);
                    let hint = self.how_to_give(&input.name, &input.ty);
                    self.problems.push(problem.node(&declared.id).port(&input.name).hint(hint));
                }
            }
        }
        if self.problems.len() > before || bindings.len() < spec.inputs.len() {
            return None;
        }
        self.reads(declared, node, bindings)
    }

    fn unknown_type(&mut self, index: usize, declared: &'a NodeDeclaration) {
        self.links_missing = true;
        if let Some((name, at)) = &declared.type_name {
            let near = self.suggestions.did_you_mean(name, self.registry.iter().map(|n| n.spec().type_name.as_str()));
            let hint = near.unwrap_or_else(|| "`dc-graph nodes` lists all node types".into());
            let message = format!("unknown node type `{}`", super::json::shorten(name));
            self.problems.push(Diagnostic::error("unknown-type", message).at(*at).node(&declared.id).hint(hint));
        }
        declared.inputs.iter().for_each(|given| self.follow(index, &given.port, &given.given));
    }

    /// Asks the node for the files it will read.
    fn reads(&mut self, declared: &NodeDeclaration, node: &Arc<dyn Node>, bindings: Vec<Binding>) -> Option<BoundNode> {
        let spec = node.spec();
        let mut known = Inputs::default();
        let mut reads_unknown = false;
        for (input, binding) in spec.inputs.iter().zip(&bindings) {
            match binding {
                Binding::Value(value) => known.set(&input.name, value.clone()),
                Binding::Link(_) | Binding::List(_) => reads_unknown |= holds_paths(&input.ty),
                Binding::Absent => {}
            }
        }
        let node_at = |problem: Diagnostic| problem.at(declared.at).node(&declared.id);
        // A pack's code runs here already, and its panic is no reason to lose the other problems.
        let problems = match catch_unwind(AssertUnwindSafe(|| node.reads(&known))) {
            Ok(Ok(reads)) => return Some(BoundNode { bindings, reads, reads_unknown }),
            Ok(Err(problems)) => problems,
            Err(_) => {
                let message = format!("`{}` ({}) panicked while checking its inputs", declared.id, spec.type_name);
                self.problems.push(node_at(Diagnostic::error("node-panicked", message)));
                return None;
            }
        };
        for problem in problems {
            let given = declared.inputs.iter().find(|given| given.port == problem.input);
            let message = format!("`{}.{}`: {}", declared.id, problem.input, problem.message);
            let mut told = node_at(Diagnostic::error("bad-input", message)).port(&problem.input).hint(problem.hint);
            if let Some(given) = given {
                told = told.at(given.given.at);
                if let super::document::GivenKind::Input(name) = &given.given.kind {
                    told = told.hint(format!("the value comes from the graph input `{name}`"));
                }
            }
            self.problems.push(told);
        }
        None
    }

    fn outputs(&mut self) -> Vec<(String, Option<PortRef>)> {
        let document = self.document;
        let mut outputs = Vec::with_capacity(document.outputs.len());
        for output in &document.outputs {
            let before = self.problems.len();
            let port = output.link.as_ref().and_then(|(link, at)| self.port(link, *at));
            let message = |p: &str| format!("the graph output `{}`: {p}", output.name);
            self.problems[before..].iter_mut().for_each(|p| p.message = message(&p.message));
            outputs.push((output.name.clone(), port));
        }
        outputs
    }

    fn cycles(&mut self) {
        const SHOWN: usize = 12;
        for cycle in find_cycles(&self.links) {
            let id = |index: &usize| format!("`{}`", self.document.nodes[*index].id);
            let mut path: Vec<String> = cycle.nodes.iter().take(SHOWN).map(id).collect();
            if cycle.nodes.len() > SHOWN {
                path.push(format!("({} more)", cycle.nodes.len() - SHOWN));
            }
            path.push(id(&cycle.nodes[0]));
            let message = format!("these nodes wait for each other: {}", path.join(" -> "));
            let problem = Diagnostic::error("cycle", message).at(cycle.at).hint("remove one of the links".to_owned());
            self.problems.push(problem.node(&self.document.nodes[cycle.nodes[0]].id));
        }
    }

    /// Finds nodes and graph inputs that serve nothing.
    fn purpose(&mut self, outputs: &[(String, Option<PortRef>)]) {
        let has_effect = |node: &Option<&Arc<dyn Node>>| node.is_some_and(|n| n.spec().effect);
        if outputs.is_empty() && !self.types.iter().any(has_effect) && !self.links_missing {
            let hint = "add \"outputs\": { \"name\": \"node.port\" }, or a node that writes a file".to_owned();
            self.problems.push(Diagnostic::error("nothing-to-do", "the graph has no outputs").hint(hint));
            return;
        }
        if self.links_missing {
            return;
        }
        let mut useful = vec![false; self.types.len()];
        let effects = (0..self.types.len()).filter(|index| has_effect(&self.types[*index])).map(NodeIndex::new);
        let mut open: Vec<NodeIndex> =
            outputs.iter().filter_map(|(_, port)| Some(port.as_ref()?.node)).chain(effects).collect();
        while let Some(node) = open.pop() {
            if !std::mem::replace(&mut useful[node.index()], true) {
                open.extend(self.links.neighbors_directed(node, Direction::Incoming));
            }
        }
        for (node, _) in self.document.nodes.iter().zip(useful).filter(|(_, useful)| !useful) {
            let message = format!("`{}` feeds no output and writes nothing; it will not run", node.id);
            let hint = "remove it, or name it in `outputs`".to_owned();
            self.problems.push(Diagnostic::warning("unused-node", message).at(node.at).node(&node.id).hint(hint));
        }
        for input in self.inputs.iter().filter(|input| !input.used) {
            let message = format!("no node uses the graph input `{}`", input.name);
            let hint = format!("remove it, or use it with {{\"input\": \"{}\"}}", input.name);
            self.problems.push(Diagnostic::warning("unused-graph-input", message).at(input.at).hint(hint));
        }
    }

    /// What a person can write for an input.
    fn how_to_give(&self, name: &str, ty: &PortType) -> String {
        let mut givers = HashSet::new();
        let mut names = Vec::new();
        for node in self.registry.iter().map(|n| n.spec()) {
            if node.outputs.iter().any(|output| output.ty == *ty) && givers.insert(&node.type_name) && names.len() < 3 {
                names.push(node.type_name.as_str());
            }
        }
        match ty {
            PortType::Image | PortType::Mask | PortType::Native(_) if names.is_empty() => {
                format!("add \"{name}\": {{\"from\": \"node.port\"}}")
            }
            PortType::Image | PortType::Mask | PortType::Native(_) => format!(
                "add \"{name}\": {{\"from\": \"node.port\"}}; `{ty}` comes from nodes such as {}",
                names::list(names, "or")
            ),
            _ => format!("add \"{name}\": a value of type `{ty}`"),
        }
    }
}

fn holds_paths(ty: &PortType) -> bool {
    match ty {
        PortType::Path => true,
        PortType::List(of) => holds_paths(of),
        _ => false,
    }
}
