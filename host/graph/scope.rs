//! Laying out the nodes of a document and of the documents that it includes, in the order in which they are written.
//!
//! A scope is one inclusion of a document: a document that is included twice has two. Scopes come after the ones that
//! include them.

use std::collections::HashMap;

use dc_graph_node_api::InputSpec;
use petgraph::graph::NodeIndex;

use super::bind::Reader;
use super::composite::{Composite, Element, VALUE};
use super::document::{Document, Given, GivenKind, NodeDeclaration};
use super::inputs::{self, GraphInput, InputState};
use super::names;
use super::unfold::MOST_NODES;
use super::validate::Check;
use super::{Binding, Diagnostic, Location, PortRef};

/// How deep documents may include documents.
const MOST_LEVELS: usize = 32;

/// Most inclusions in one graph.
const MOST_SCOPES: usize = 100_000;

/// One inclusion of a document; the first scope is the root.
pub(super) struct Scope<'a> {
    /// The document, by its number in the library.
    pub(super) part: usize,
    /// How the ids of its nodes begin: nothing, `portrait/`, `cut[]/small/`.
    pub(super) prefix: String,
    /// The scope and the node that include it.
    pub(super) within: Option<(usize, &'a NodeDeclaration)>,
    pub(super) inputs: Vec<GraphInput<'a>>,
    /// What became of each node of the document.
    pub(super) places: Vec<Place>,
    /// What each output of the document is linked to.
    pub(super) outputs: Vec<Option<PortRef>>,
}

/// What became of a node of a document.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// A node of the graph.
    Node(usize),
    /// A scope.
    Graph(usize),
    /// A scope for each element of a list.
    Each(usize),
    /// Nothing: what it includes cannot be had, which has been reported.
    Nothing,
}

/// A `For Each`.
pub(super) struct EachPlan<'a> {
    pub(super) declared: &'a NodeDeclaration,
    /// The scope that it stands in.
    pub(super) outer: usize,
    /// The scope of the included document for an unknown element.
    pub(super) inner: usize,
    /// The node that stands for the element.
    pub(super) element: usize,
    /// The node that gathers the outputs.
    pub(super) collect: usize,
    /// The nodes of the inner scope and those in it.
    pub(super) members: std::ops::Range<usize>,
}

/// A node of the graph to be.
pub(super) struct Flat<'a> {
    pub(super) scope: usize,
    pub(super) what: What<'a>,
}

/// Where a node comes from.
pub(super) enum What<'a> {
    /// A document, as it is.
    Declared(&'a NodeDeclaration),
    /// An input of an included document that has to be looked at when its value is known: what is given to it.
    Entry(&'a NodeDeclaration, &'a str, Binding),
    /// An unknown element of a `For Each`.
    Element(&'a NodeDeclaration),
    /// The lists of a `For Each`.
    Collect(usize, &'a NodeDeclaration),
}

/// Where the nodes and inputs of a document stand in it, by name.
pub(super) struct Names<'a> {
    pub(super) nodes: HashMap<&'a str, usize>,
    pub(super) inputs: HashMap<&'a str, usize>,
    pub(super) outputs: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    pub(super) fn of(document: &'a Document) -> Self {
        Self {
            nodes: document.nodes.iter().enumerate().map(|(index, node)| (node.id.as_str(), index)).collect(),
            inputs: document.inputs.iter().enumerate().map(|(index, input)| (input.name.as_str(), index)).collect(),
            outputs: document.outputs.iter().enumerate().map(|(index, o)| (o.name.as_str(), index)).collect(),
        }
    }
}

impl<'a> Flat<'a> {
    /// The node of the document that it is, or is a part of.
    pub(super) fn declared(&self) -> &'a NodeDeclaration {
        match &self.what {
            What::Declared(node) | What::Entry(node, ..) | What::Element(node) | What::Collect(_, node) => node,
        }
    }

    /// Its id in the document.
    pub(super) fn id(&self) -> String {
        let id = &self.declared().id;
        match &self.what {
            What::Declared(_) | What::Collect(..) => id.clone(),
            What::Entry(_, input, _) => format!("{id}.{input}"),
            What::Element(_) => format!("{id}[]"),
        }
    }
}

impl<'a> Check<'a> {
    /// Lays out the nodes of a scope and of those in it.
    pub(super) fn lay_out(&mut self, scope: usize) {
        let document = self.document(scope);
        for (index, declared) in document.nodes.iter().enumerate() {
            let composite = declared.type_name.as_ref().and_then(|(name, _)| Composite::of(name));
            let place = match composite {
                Some(kind @ (Composite::Graph | Composite::ForEach)) => {
                    self.include(scope, index, kind).unwrap_or_else(|| {
                        self.links_missing = true;
                        self.lost.push((scope, declared));
                        Place::Nothing
                    })
                }
                _ => {
                    let ty = declared.type_name.as_ref().and_then(|(name, _)| self.registry.get(name)).cloned();
                    let node = self.add(Flat { scope, what: What::Declared(declared) });
                    self.types[node] = ty;
                    if composite == Some(Composite::Switch) {
                        self.untyped.push(node);
                    }
                    Place::Node(node)
                }
            };
            self.scopes[scope].places.push(place);
        }
    }

    /// Adds a node whose type is not known yet.
    pub(super) fn add(&mut self, flat: Flat<'a>) -> usize {
        self.flats.push(flat);
        self.types.push(None);
        self.links.add_node(()).index()
    }

    fn include(&mut self, scope: usize, index: usize, kind: Composite) -> Option<Place> {
        let declared = &self.document(scope).nodes[index];
        let part = self.library.included(self.scopes[scope].part, index)?;
        self.may_include(scope, declared, part)?;
        let prefix = format!("{}{}", self.scopes[scope].prefix, declared.id);
        if kind == Composite::Graph {
            let inputs = self.given_inputs(scope, declared, part, None);
            let inner = self.enter(scope, declared, part, format!("{prefix}/"), inputs);
            return Some(Place::Graph(inner));
        }
        let ports = self.each_ports(scope, declared, part)?;
        let element = self.add(Flat { scope, what: What::Element(declared) });
        let names: Vec<String> = ports.iter().map(|port| port.name.clone()).collect();
        self.types[element] = Some(std::sync::Arc::new(Element::of(ports)));
        let collect = self.add(Flat { scope, what: What::Collect(self.eaches.len(), declared) });
        self.untyped.push(collect);
        let each = self.eaches.len();
        let begin = self.flats.len();
        let plan =
            EachPlan { declared, outer: scope, inner: self.scopes.len(), element, collect, members: begin..begin };
        self.eaches.push(plan);
        let inputs = self.given_inputs(scope, declared, part, Some((element, &names)));
        self.eaches[each].inner = self.enter(scope, declared, part, format!("{prefix}[]/"), inputs);
        self.eaches[each].members = begin..self.flats.len();
        Some(Place::Each(each))
    }

    /// Whether one more document may be included here.
    fn may_include(&mut self, scope: usize, declared: &'a NodeDeclaration, part: usize) -> Option<()> {
        let mut chain = Vec::new();
        let mut next = Some(scope);
        while let Some(scope) = next {
            chain.push(self.scopes[scope].part);
            next = self.scopes[scope].within.map(|(scope, _)| scope);
        }
        let at = declared.path.as_ref().map_or(declared.at, |(_, at)| *at);
        let problem = if let Some(known) = chain.iter().position(|known| *known == part) {
            let mut way: Vec<String> = chain[..=known].iter().rev().map(|part| self.part_name(*part)).collect();
            way.push(self.part_name(part));
            let message = format!("`{}` includes itself: {}", self.part_name(part), way.join(" -> "));
            Diagnostic::error("recursion", message).hint("a graph cannot be a part of itself".to_owned())
        } else if chain.len() > MOST_LEVELS {
            Diagnostic::error("too-deep", format!("graphs include graphs more than {MOST_LEVELS} levels deep here"))
        } else if self.flats.len() + self.library.parts[part].document.nodes.len() > MOST_NODES {
            Diagnostic::error("too-large", format!("the included graphs make more than {MOST_NODES} nodes"))
        } else if self.scopes.len() > MOST_SCOPES {
            Diagnostic::error("too-large", format!("graphs are included more than {MOST_SCOPES} times"))
        } else {
            return Some(());
        };
        self.report_in(scope, problem.at(at).node(&declared.id));
        None
    }

    /// What a document is called in messages.
    pub(super) fn part_name(&self, part: usize) -> String {
        match &self.library.parts[part].home.key {
            Some(key) => key.clone(),
            None => self.library.parts[part].document.name.clone(),
        }
    }

    fn enter(
        &mut self,
        outer: usize,
        declared: &'a NodeDeclaration,
        part: usize,
        prefix: String,
        inputs: Vec<GraphInput<'a>>,
    ) -> usize {
        let within = Some((outer, declared));
        self.scopes.push(Scope { part, prefix, within, inputs, places: Vec::new(), outputs: Vec::new() });
        let inner = self.scopes.len() - 1;
        self.lay_out(inner);
        inner
    }

    /// The inputs that a `For Each` gives one element at a time.
    fn each_ports(&mut self, scope: usize, declared: &'a NodeDeclaration, part: usize) -> Option<Vec<InputSpec>> {
        let document = &*self.library.parts[part].document;
        let mut ports: Vec<InputSpec> = Vec::new();
        let mut wrong = declared.each.is_empty();
        for (name, at) in &declared.each {
            let input = self.names[part].inputs.get(name.as_str()).map(|index| &document.inputs[*index]);
            let Some(input) = input else {
                let all = document.inputs.iter().map(|input| input.name.as_str());
                let hint = self.how_to_name(name, all, part, "inputs");
                let message = format!("`{}` has no input `{}`", self.part_name(part), super::json::shorten(name));
                self.report_in(
                    scope,
                    Diagnostic::error("unknown-input", message).at(*at).node(&declared.id).hint(hint),
                );
                wrong = true;
                continue;
            };
            if ports.iter().any(|port| port.name == *name) {
                continue;
            }
            match input.port() {
                Some(port) => ports.push(port),
                None => wrong = true,
            }
        }
        (!wrong).then_some(ports)
    }

    /// `did you mean ..`, or the names that there are.
    pub(super) fn how_to_name<'n>(
        &mut self,
        name: &str,
        all: impl Iterator<Item = &'n str> + Clone,
        part: usize,
        what: &str,
    ) -> String {
        let near = self.suggestions.did_you_mean(name, all.clone());
        near.unwrap_or_else(|| match names::list(all, "and") {
            none if none.is_empty() => format!("`{}` has no {what}", self.part_name(part)),
            list => format!("the {what} of `{}` are {list}", self.part_name(part)),
        })
    }

    /// The inputs of an included document: what the node gives that includes it, else their defaults.
    fn given_inputs(
        &mut self,
        scope: usize,
        declared: &'a NodeDeclaration,
        part: usize,
        each: Option<(usize, &[String])>,
    ) -> Vec<GraphInput<'a>> {
        let document = self.document_of(part);
        for given in &declared.inputs {
            if self.names[part].inputs.contains_key(given.port.as_str()) {
                continue;
            }
            let all = document.inputs.iter().map(|input| input.name.as_str());
            let hint = self.how_to_name(&given.port, all, part, "inputs");
            let message = format!("`{}` has no input `{}`", self.part_name(part), super::json::shorten(&given.port));
            let problem = Diagnostic::error("unknown-input", message).at(given.at).hint(hint);
            self.report_in(scope, problem.node(&declared.id).port(&given.port));
            self.stray.push((scope, declared, given));
        }
        let mut inputs = Vec::with_capacity(document.inputs.len());
        for input in &document.inputs {
            let given = declared.inputs.iter().find(|given| given.port == input.name);
            let mut folder = self.folder(scope);
            let output = each.and_then(|(_, names)| names.iter().position(|name| *name == input.name));
            let state = match (each.zip(output), given, input.port()) {
                (Some(((element, _), output)), _, _) => {
                    InputState::Bound(Binding::Link(PortRef { node: NodeIndex::new(element), output }))
                }
                (None, Some(given), Some(_)) if self.is_linked(scope, &given.given) => InputState::Linked(&given.given),
                (None, Some(given), Some(port)) => {
                    if let GivenKind::Input(name) = &given.given.kind
                        && let Some(index) = self.names[self.scopes[scope].part].inputs.get(name.as_str())
                    {
                        folder = self.scopes[scope].inputs[*index].folder;
                    }
                    let reader = Reader { scope, node: None, declared };
                    match self.bind_as(&reader, &port, &given.given) {
                        Some(Binding::Value(value)) => InputState::Known(value),
                        _ => InputState::Missing,
                    }
                }
                (None, None, Some(port)) => match &input.default {
                    Some(default) => {
                        folder = self.library.parts[part].folder.as_path();
                        let value = inputs::evaluate(input, default, folder, &mut self.suggestions);
                        match value {
                            Ok(value) => value.map_or(InputState::Missing, InputState::Known),
                            Err((subject, unfit)) => {
                                let message = format!("{subject} {}", unfit.message);
                                let problem = Diagnostic::error(unfit.code, message).at(unfit.at).hint(unfit.hint);
                                let source = self.library.parts[part].home.source.clone();
                                self.problems.push(Diagnostic { source, ..problem });
                                InputState::Missing
                            }
                        }
                    }
                    None => {
                        let message = format!(
                            "`{}` includes `{}`, but gives nothing to its input `{}`",
                            declared.id,
                            self.part_name(part),
                            input.name
                        );
                        let hint = self.how_to_give(&input.name, &port.ty);
                        let problem = Diagnostic::error("missing-input", message).at(declared.at).hint(hint);
                        self.report_in(scope, problem.node(&declared.id).port(&input.name));
                        InputState::Missing
                    }
                },
                (None, _, None) => InputState::Missing,
            };
            inputs.push(GraphInput {
                name: &input.name,
                at: input.at,
                ty: input.ty.as_ref(),
                state,
                folder,
                overridden: false,
                used: false,
            });
        }
        inputs
    }

    /// Whether a node is a `Switch`.
    pub(super) fn is_switch(&self, node: usize) -> bool {
        let What::Declared(declared) = &self.flats[node].what else { return false };
        declared.type_name.as_ref().is_some_and(|(name, _)| Composite::of(name) == Some(Composite::Switch))
    }

    /// Whether what a document gives holds a link, so that its value is not known before the run.
    fn is_linked(&self, scope: usize, given: &Given) -> bool {
        match &given.kind {
            GivenKind::Link(_) => true,
            GivenKind::Input(name) => {
                let inside = &self.scopes[scope];
                let input = self.names[inside.part].inputs.get(name.as_str()).map(|index| &inside.inputs[*index].state);
                matches!(input, Some(InputState::Linked(_) | InputState::Bound(_)))
            }
            GivenKind::List(items) => items.iter().any(|item| self.is_linked(scope, item)),
            GivenKind::Literal(_) | GivenKind::Broken => false,
        }
    }

    /// The port that `node.port` names in a scope, if there is one.
    pub(super) fn look(&self, scope: usize, link: &str) -> Option<PortRef> {
        let (id, port) = link.split_once('.')?;
        let inside = &self.scopes[scope];
        let place = inside.places[*self.names[inside.part].nodes.get(id)?];
        let output_of = |inner: usize| self.names[self.scopes[inner].part].outputs.get(port).copied();
        let (node, output) = match place {
            Place::Node(node) => match &self.types[node] {
                Some(ty) => (node, ty.spec().outputs.iter().position(|output| output.name == port)?),
                // A `Switch` gets its type late.
                None if self.is_switch(node) && port == VALUE => (node, 0),
                None => return None,
            },
            Place::Graph(inner) => return self.scopes[inner].outputs.get(output_of(inner)?).copied().flatten(),
            Place::Each(each) => (self.eaches[each].collect, output_of(self.eaches[each].inner)?),
            Place::Nothing => return None,
        };
        Some(PortRef { node: NodeIndex::new(node), output })
    }

    /// Finds out what the outputs of all scopes are linked to; inner ones first, as outer ones may lead there.
    pub(super) fn outputs(&mut self) {
        for scope in (0..self.scopes.len()).rev() {
            let document = self.document(scope);
            let mut outputs = Vec::with_capacity(document.outputs.len());
            for output in &document.outputs {
                let before = self.problems.len();
                let port = output.link.as_ref().and_then(|(link, at)| self.port(scope, link, *at));
                let message = |p: &str| format!("the graph output `{}`: {p}", output.name);
                self.problems[before..].iter_mut().for_each(|p| p.message = message(&p.message));
                self.tag(before, scope);
                outputs.push(port);
            }
            self.scopes[scope].outputs = outputs;
        }
    }

    /// Says of problems in which document they are.
    pub(super) fn tag(&mut self, before: usize, scope: usize) {
        let Scope { part, prefix, .. } = &self.scopes[scope];
        let Some(source) = &self.library.parts[*part].home.source else { return };
        for problem in self.problems[before..].iter_mut().filter(|problem| problem.source.is_none()) {
            problem.source = Some(source.clone());
            if let Some(node) = &mut problem.node {
                *node = format!("{prefix}{node}");
            }
        }
    }

    /// Reports a problem of a scope's document.
    pub(super) fn report_in(&mut self, scope: usize, problem: Diagnostic) {
        let before = self.problems.len();
        self.problems.push(problem);
        self.tag(before, scope);
    }

    /// Where a link between two nodes is written.
    pub(super) fn edge(&mut self, from: NodeIndex, to: usize, scope: usize, at: Location) {
        self.links.add_edge(from, NodeIndex::new(to), (scope, at));
    }
}
