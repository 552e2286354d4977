//! From a document that can be wrong to a graph that cannot: every problem at once, before anything expensive runs.
//!
//! One pass over nodes and links, then one over cycles and one over reachability; all linear and none recursive, so that
//! 100,000 nodes are no trouble. A mistake is reported once: what depends on something broken is not reported again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dc_graph_node_api::{Node, PortType, Value};
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::bind::{Bound, Reader};
use super::composite::Composite;
use super::cycles::find_cycles;
use super::document::{Document, GivenInput, NodeDeclaration};
use super::include::Library;
use super::inputs::{self, GraphInput, Overrides};
use super::names::{self, Suggestions};
use super::open::{Each, Open};
use super::scope::{EachPlan, Flat, Names, Scope, What};
use super::sweep;
use super::validated::{known_inputs, read_by};
use super::{Binding, Diagnostic, Graph, GraphNode, Location, Severity};
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

/// Checks a document and all that it includes. Gives the graph and the warnings, in document order.
///
/// # Errors
/// All errors and warnings, in document order, those of included documents after those of the document itself; what has
/// no place comes last.
pub fn validate(
    document: &Document,
    registry: &Registry,
    settings: &Settings,
) -> Result<(Graph, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut suggestions = Suggestions::default();
    let mut problems = document.problems.clone();
    let inputs = inputs::resolve(document, settings, &mut suggestions, &mut problems);
    sweep::check(document, settings, &mut suggestions, &mut problems);
    let library = Library::of(document, &settings.folder, &settings.current);
    problems.extend(library.problems.iter().cloned());
    let mut check = Check::new(&library, registry, settings, inputs, suggestions, problems);
    check.input_types();
    check.lay_out(0);
    check.outputs();
    check.set_types();
    check.bind_scopes();
    let mut bindings = Vec::with_capacity(check.flats.len());
    // Nodes that stand between two others join on the way.
    while bindings.len() < check.flats.len() {
        bindings.push(check.node(bindings.len()));
    }
    check.follow_strays();
    check.cycles();
    check.purpose();
    let is_fine = |problems: &[Diagnostic]| problems.iter().all(|p| p.severity != Severity::Error);
    if let Some(unbound) = bindings.iter().position(Option::is_none).filter(|_| is_fine(&check.problems)) {
        let message = format!("the type of `{}` cannot be told from what it is given", check.id(unbound));
        let at = check.flats[unbound].declared().at;
        check.report_in(check.flats[unbound].scope, Diagnostic::error("unknown-type", message).at(at));
    }
    if !is_fine(&check.problems) {
        return Err(in_order(check.problems));
    }
    let mut graph = check.graph(bindings);
    let warnings = std::mem::take(&mut check.problems);
    let Err(unsettled) = graph.settle(&settings.folder, &|_| None) else { return Ok((graph, in_order(warnings))) };
    check.problems = warnings;
    let node = &graph.nodes[unsettled.node];
    let message = format!("`{}.{}`{}", unsettled.id, unsettled.port, unsettled.message);
    let mut problem = Diagnostic::error(unsettled.code, message).at(node.location).hint(unsettled.hint);
    problem.source.clone_from(&node.home.source);
    check.problems.push(problem.node(&unsettled.id).port(&unsettled.port));
    Err(in_order(check.problems))
}

/// In document order, each once: what is wrong in a document that is included twice is wrong once.
fn in_order(mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let file = |p: &Diagnostic| p.source.as_ref().map(|source| source.name().to_owned());
    problems.sort_by_cached_key(|p| (file(p), p.location.is_none(), p.location));
    let mut seen = HashSet::new();
    problems.retain(|p| p.source.is_none() || seen.insert((file(p), p.location, p.code, p.message.clone())));
    problems
}

/// What is known of a document and those it includes while they are checked.
pub(super) struct Check<'a> {
    pub(super) library: &'a Library<'a>,
    pub(super) registry: &'a Registry,
    pub(super) settings: &'a Settings,
    /// The names in each part of the library.
    pub(super) names: Vec<Names<'a>>,
    pub(super) scopes: Vec<Scope<'a>>,
    pub(super) eaches: Vec<EachPlan<'a>>,
    /// The nodes.
    pub(super) flats: Vec<Flat<'a>>,
    /// The type of each node; absent when it is not known.
    pub(super) types: Vec<Option<Arc<dyn Node>>>,
    /// Nodes whose types follow from those of others.
    pub(super) untyped: Vec<usize>,
    /// Nodes that include what cannot be had.
    pub(super) lost: Vec<(usize, &'a NodeDeclaration)>,
    /// What is given to inputs that are not there.
    pub(super) stray: Vec<(usize, &'a NodeDeclaration, &'a GivenInput)>,
    /// An edge for every link between nodes that are there, with its place.
    pub(super) links: DiGraph<(), (usize, Location)>,
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
        library: &'a Library<'a>,
        registry: &'a Registry,
        settings: &'a Settings,
        inputs: Vec<GraphInput<'a>>,
        suggestions: Suggestions,
        problems: Vec<Diagnostic>,
    ) -> Self {
        let root =
            Scope { part: 0, prefix: String::new(), within: None, inputs, places: Vec::new(), outputs: Vec::new() };
        Self {
            library,
            registry,
            settings,
            names: library.parts.iter().map(|part| Names::of(&part.document)).collect(),
            scopes: vec![root],
            eaches: Vec::new(),
            flats: Vec::new(),
            types: Vec::new(),
            untyped: Vec::new(),
            lost: Vec::new(),
            stray: Vec::new(),
            links: DiGraph::new(),
            links_missing: !library.parts[0].document.problems.is_empty(),
            suggestions,
            problems,
        }
    }

    /// A part of the library.
    pub(super) fn document_of(&self, part: usize) -> &'a Document {
        &self.library.parts[part].document
    }

    /// The document of a scope.
    pub(super) fn document(&self, scope: usize) -> &'a Document {
        self.document_of(self.scopes[scope].part)
    }

    /// What relative paths in the document of a scope count from.
    pub(super) fn folder(&self, scope: usize) -> &'a Path {
        &self.library.parts[self.scopes[scope].part].folder
    }

    /// A node's id in the graph.
    fn id(&self, node: usize) -> String {
        format!("{}{}", self.scopes[self.flats[node].scope].prefix, self.flats[node].id())
    }

    /// Checks what is given where there is nobody to take it.
    fn follow_strays(&mut self) {
        for (scope, declared) in std::mem::take(&mut self.lost) {
            let reader = Reader { scope, node: None, declared };
            declared.inputs.iter().for_each(|given| self.follow(&reader, &given.port, &given.given));
        }
        for (scope, declared, given) in std::mem::take(&mut self.stray) {
            self.follow(&Reader { scope, node: None, declared }, &given.port, &given.given);
        }
    }

    /// Checks one node.
    fn node(&mut self, index: usize) -> Option<BoundNode> {
        let ready = |bindings| Some(BoundNode { bindings, reads: Vec::new(), reads_unknown: false });
        match &self.flats[index].what {
            What::Declared(_) => self.declared(index),
            What::Entry(_, _, binding) => ready(vec![binding.clone()]),
            What::Element(declared) => ready(self.element(index, declared)?),
            What::Collect(each, _) => ready(self.collect(index, *each)?),
        }
    }

    /// Checks one node of a document: its type, what it is given, what it lacks and what it reads.
    fn declared(&mut self, index: usize) -> Option<BoundNode> {
        let (scope, declared) = (self.flats[index].scope, self.flats[index].declared());
        let Some(node) = self.types[index].clone() else {
            self.unknown_type(index, declared);
            return None;
        };
        let reader = Reader { scope, node: Some(index), declared };
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
                    self.report_in(scope, problem.node(&declared.id).port(&given.port));
                    self.follow(&reader, &given.port, &given.given);
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
                    self.report_in(scope, problem.node(&declared.id).port(&input.name).hint(hint));
                }
            }
        }
        if self.problems.len() > before || bindings.len() < spec.inputs.len() {
            return None;
        }
        let bound = self.reads(declared, &node, bindings);
        self.tag(before, scope);
        bound
    }

    fn unknown_type(&mut self, index: usize, declared: &'a NodeDeclaration) {
        let scope = self.flats[index].scope;
        // The branches of a `Switch` do not fit together; that has been reported.
        if let Some((name, at)) = declared.type_name.as_ref().filter(|_| !self.is_switch(index)) {
            self.links_missing = true;
            let composites = super::composite_specs();
            let known = self.registry.iter().map(|node| node.spec()).chain(&composites);
            let near = self.suggestions.did_you_mean(name, known.map(|spec| spec.type_name.as_str()));
            let hint = near.unwrap_or_else(|| "`dc-graph nodes` lists all node types".into());
            let message = format!("unknown node type `{}`", super::json::shorten(name));
            self.report_in(scope, Diagnostic::error("unknown-type", message).at(*at).node(&declared.id).hint(hint));
        }
        self.links_missing = true;
        let reader = Reader { scope, node: Some(index), declared };
        declared.inputs.iter().for_each(|given| self.follow(&reader, &given.port, &given.given));
    }

    /// Asks the node for the files it will read.
    fn reads(&mut self, declared: &NodeDeclaration, node: &Arc<dyn Node>, bindings: Vec<Binding>) -> Option<BoundNode> {
        let spec = node.spec();
        let (known, reads_unknown) = known_inputs(spec, &bindings);
        // A `Switch` opens no file.
        let reads_unknown = reads_unknown && Composite::of(&spec.type_name).is_none();
        let node_at = |problem: Diagnostic| problem.at(declared.at).node(&declared.id);
        let problems = match read_by(&**node, &known) {
            Some(Ok(reads)) => return Some(BoundNode { bindings, reads, reads_unknown }),
            Some(Err(problems)) => problems,
            // Its panic is no reason to lose the other problems.
            None => {
                let message = format!("`{}` ({}) panicked while checking its inputs", declared.id, spec.type_name);
                self.problems.push(node_at(Diagnostic::error("node-panicked", message)));
                return None;
            }
        };
        for problem in problems {
            let given = declared.inputs.iter().find(|given| given.port == problem.input);
            let message = format!("`{}.{}`: {}", declared.id, problem.input, problem.message);
            let path = match known.get(&problem.input) {
                Some(Value::Path(path)) => Some(PathBuf::from(&**path)),
                _ => None,
            };
            let mut told = node_at(Diagnostic::error("bad-input", message)).port(&problem.input).hint(problem.hint);
            told = told.path(path);
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

    fn cycles(&mut self) {
        const SHOWN: usize = 12;
        for cycle in find_cycles(&self.links) {
            let id = |index: &usize| format!("`{}`", self.id(*index));
            let mut path: Vec<String> = cycle.nodes.iter().take(SHOWN).map(id).collect();
            if cycle.nodes.len() > SHOWN {
                path.push(format!("({} more)", cycle.nodes.len() - SHOWN));
            }
            path.push(id(&cycle.nodes[0]));
            let message = format!("these nodes wait for each other: {}", path.join(" -> "));
            let (scope, at) = cycle.at;
            let problem = Diagnostic::error("cycle", message).at(at).hint("remove one of the links".to_owned());
            let source = self.library.parts[self.scopes[scope].part].home.source.clone();
            let problem = problem.node(&self.id(cycle.nodes[0]));
            self.problems.push(Diagnostic { source, ..problem });
        }
    }

    /// Finds nodes and graph inputs that serve nothing.
    fn purpose(&mut self) {
        let has_effect = |node: &Option<Arc<dyn Node>>| node.as_ref().is_some_and(|n| n.spec().effect);
        let outputs = &self.scopes[0].outputs;
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
            outputs.iter().filter_map(|port| Some(port.as_ref()?.node)).chain(effects).collect();
        while let Some(node) = open.pop() {
            if !std::mem::replace(&mut useful[node.index()], true) {
                open.extend(self.links.neighbors_directed(node, Direction::Incoming));
            }
        }
        // A node that includes a document is of use if one of the document's nodes is.
        let document = self.document(0);
        let mut serves: HashMap<*const NodeDeclaration, bool> = HashMap::new();
        for (node, useful) in useful.iter().enumerate() {
            let (mut scope, mut declared) = (self.flats[node].scope, self.flats[node].declared());
            while let Some((outer, by)) = self.scopes[scope].within {
                (scope, declared) = (outer, by);
            }
            *serves.entry(std::ptr::from_ref(declared)).or_default() |= useful;
        }
        for node in document.nodes.iter().filter(|node| serves.get(&std::ptr::from_ref(*node)) == Some(&false)) {
            let message = format!("`{}` feeds no output and writes nothing; it will not run", node.id);
            let hint = "remove it, or name it in `outputs`".to_owned();
            self.problems.push(Diagnostic::warning("unused-node", message).at(node.at).node(&node.id).hint(hint));
        }
        for input in self.scopes[0].inputs.iter().filter(|input| !input.used) {
            let message = format!("no node uses the graph input `{}`", input.name);
            let hint = format!("remove it, or use it with {{\"input\": \"{}\"}}", input.name);
            self.problems.push(Diagnostic::warning("unused-graph-input", message).at(input.at).hint(hint));
        }
    }

    /// The graph, when nothing is wrong with it.
    fn graph(&self, bindings: Vec<Option<BoundNode>>) -> Graph {
        let mut nodes = DiGraph::with_capacity(self.flats.len(), self.links.edge_count());
        let mut open = Vec::new();
        for (index, bound) in bindings.into_iter().enumerate() {
            // Both are there, for an error would have been reported otherwise.
            let (Some(node), Some(bound)) = (self.types[index].clone(), bound) else { continue };
            let home = self.library.parts[self.scopes[self.flats[index].scope].part].home.clone();
            let new = GraphNode::new(self.id(index), node, bound.bindings, self.flats[index].declared().at);
            let (reads, reads_unknown) = (bound.reads, bound.reads_unknown);
            let added = nodes.add_node(GraphNode { reads, reads_unknown, home, ..new });
            if self.is_switch(index) {
                open.push(Open::Switch(added));
            }
        }
        for link in self.links.raw_edges() {
            nodes.add_edge(link.source(), link.target(), ());
        }
        for plan in &self.eaches {
            let prefix = self.id(plan.element);
            // Nodes that check what enters a document were added last.
            let inside = format!("{prefix}/");
            let laid_out = plan.members.clone();
            let entries = (laid_out.end..self.flats.len()).filter(|node| {
                matches!(self.flats[*node].what, What::Entry(..)) && self.id(*node).starts_with(&inside)
            });
            open.push(Open::Each(Each {
                element: NodeIndex::new(plan.element),
                collect: NodeIndex::new(plan.collect),
                members: laid_out.chain(entries).map(NodeIndex::new).collect(),
                prefix,
            }));
        }
        let (document, root) = (self.document(0), &self.scopes[0]);
        let outputs = document.outputs.iter().zip(&root.outputs);
        let mut json = inputs::with_values(document, &root.inputs, self.settings);
        self.library.carry(&mut json);
        Graph {
            name: document.name.clone(),
            nodes,
            outputs: outputs.filter_map(|(output, port)| Some((output.name.clone(), (*port)?))).collect(),
            document: json,
            inputs: root.inputs.iter().filter_map(|i| Some((i.name.to_owned(), i.value()?.clone()))).collect(),
            included: self.library.files().to_vec(),
            open,
        }
    }

    /// What a person can write for an input.
    pub(super) fn how_to_give(&self, name: &str, ty: &PortType) -> String {
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
