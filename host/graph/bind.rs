//! What an input port gets: a value, a link, or a list of both.

use dc_graph_node_api::{InputSpec, PortType};
use petgraph::graph::NodeIndex;

use super::composite::{Composite, VALUE};
use super::document::{Given, GivenKind, NodeDeclaration};
use super::inputs::{InputState, for_port};
use super::json;
use super::literal::{self, Unfit};
use super::names;
use super::scope::Place;
use super::validate::Check;
use super::{Binding, Diagnostic, Location, PortRef};

/// What became of an input port.
pub(super) enum Bound {
    /// The document does not mention it.
    NotGiven,
    /// What it was given does not work; that has been reported.
    Broken,
    /// It has a value or a link.
    To(Binding),
}

/// Who reads: a node of the graph, or a node that includes a document and hands on what it is given.
pub(super) struct Reader<'a> {
    pub(super) scope: usize,
    pub(super) node: Option<usize>,
    pub(super) declared: &'a NodeDeclaration,
}

impl<'a> Check<'a> {
    /// Gives to a port what the document says.
    pub(super) fn bind(&mut self, node: usize, input: &InputSpec, given: &'a Given) -> Bound {
        let flat = &self.flats[node];
        let reader = Reader { scope: flat.scope, node: Some(node), declared: flat.declared() };
        self.bind_as(&reader, input, given).map_or(Bound::Broken, Bound::To)
    }

    /// What a port gets; nothing, and a problem, when that does not suit it.
    pub(super) fn bind_as(&mut self, reader: &Reader<'a>, input: &InputSpec, given: &'a Given) -> Option<Binding> {
        let before = self.problems.len();
        let bound = self.binding(reader, input, &input.ty, given);
        for problem in &mut self.problems[before..] {
            problem.node = Some(reader.declared.id.clone());
            problem.port = Some(input.name.clone());
        }
        self.tag(before, reader.scope);
        bound
    }

    fn binding(&mut self, reader: &Reader<'a>, input: &InputSpec, ty: &PortType, given: &'a Given) -> Option<Binding> {
        let subject = format!("`{}.{}`", reader.declared.id, input.name);
        match &given.kind {
            GivenKind::Broken => None,
            GivenKind::Literal(json) => match literal::literal(json, ty, self.folder(reader.scope)) {
                Ok(value) => self.limited(&subject, input, value, given.at),
                Err(unfit) => self.unfit(&subject, unfit),
            },
            GivenKind::Input(name) => self.graph_input(reader, input, ty, name, given.at),
            GivenKind::Link(link) => {
                let port = self.link(reader.scope, reader.node, link, given.at)?;
                let output = self.types[port.node.index()].as_ref()?.spec().outputs[port.output].ty.clone();
                if ty.accepts(&output) {
                    return Some(Binding::Link(port));
                }
                let message = format!("{subject} expects `{ty}`, but `{link}` gives `{output}`");
                let problem = Diagnostic::error("type-mismatch", message).at(given.at);
                let hints = self.how_to_convert(&reader.declared.id, link, port, ty);
                self.problems.push(hints.into_iter().fold(problem, |problem, hint| problem.hint(hint)));
                None
            }
            GivenKind::List(items) => {
                let PortType::List(of) = ty else {
                    let message = format!("{subject} takes one `{ty}`, found an array of {}", items.len());
                    let hint = match items.len() {
                        1 => "write it without the brackets",
                        _ => "keep one of them",
                    };
                    let problem = Diagnostic::error("several-values", message).at(given.at).hint(hint.to_owned());
                    self.problems.push(problem);
                    items.iter().for_each(|item| self.follow(reader, &input.name, item));
                    return None;
                };
                let bindings: Vec<_> = items.iter().map(|item| self.binding(reader, input, of, item)).collect();
                let bindings: Vec<_> = bindings.into_iter().collect::<Option<_>>()?;
                self.list(&subject, of, bindings, given.at)
            }
        }
    }

    /// A list of values is a value; a list with links in it stays one.
    fn list(&mut self, subject: &str, of: &PortType, items: Vec<Binding>, at: Location) -> Option<Binding> {
        if items.iter().any(|item| matches!(item, Binding::List(_))) {
            let message = format!("{subject} has a link inside an inner list");
            self.problems.push(Diagnostic::error("bad-link", message).at(at));
            return None;
        }
        let values = items.iter().map(|item| if let Binding::Value(value) = item { Some(value.clone()) } else { None });
        match values.collect::<Option<Vec<_>>>() {
            Some(values) => Some(Binding::Value(dc_graph_node_api::Value::list(of.clone(), values))),
            None => Some(Binding::List(items)),
        }
    }

    fn limited(
        &mut self,
        subject: &str,
        input: &InputSpec,
        value: dc_graph_node_api::Value,
        at: Location,
    ) -> Option<Binding> {
        match literal::check_limits(&value, input.range.as_ref(), &input.choices, at, &mut self.suggestions) {
            Ok(()) => Some(Binding::Value(value)),
            Err(unfit) => self.unfit(subject, unfit),
        }
    }

    fn unfit(&mut self, subject: &str, unfit: Unfit) -> Option<Binding> {
        let message = format!("{subject} {}", unfit.message);
        self.problems.push(Diagnostic::error(unfit.code, message).at(unfit.at).hint(unfit.hint));
        None
    }

    fn graph_input(
        &mut self,
        reader: &Reader<'a>,
        input: &InputSpec,
        ty: &PortType,
        name: &str,
        at: Location,
    ) -> Option<Binding> {
        let subject = format!("`{}.{}`", reader.declared.id, input.name);
        let index = self.input_named(reader.scope, name, at)?;
        let found = self.scopes[reader.scope].inputs[index].ty?;
        if !ty.accepts(found) {
            let message = format!("{subject} expects `{ty}`, but the graph input `{name}` is `{found}`");
            let problem = Diagnostic::error("type-mismatch", message).at(at);
            let hint = match ty {
                PortType::Image | PortType::Mask | PortType::Native(_) => {
                    let between = self.converters(found, ty);
                    between.map(|nodes| format!("put {nodes} node between `{name}` and {subject}"))
                }
                _ => Some(format!("give the graph input the type `{ty}`")),
            };
            self.problems.push(problem.hint(hint));
            return None;
        }
        let given = &self.scopes[reader.scope].inputs[index];
        match &given.state {
            InputState::Missing | InputState::Linked(_) => None,
            InputState::Known(value) => {
                let value = for_port(value.clone(), ty, given.folder)?;
                let limited = self.limited(&format!("the graph input `{name}`, as {subject},"), input, value, at);
                let by = self.scopes[reader.scope].within.filter(|(_, by)| by.inputs.iter().any(|i| i.port == name));
                if let (None, Some((_, by)), Some(problem)) = (&limited, by, self.problems.last_mut()) {
                    problem.hints.push(format!("the value comes from `{}.{name}`", by.id));
                }
                limited
            }
            InputState::Bound(binding) => {
                let binding = binding.clone();
                if let Some(node) = reader.node {
                    let links: Vec<_> = binding.links().collect();
                    links.into_iter().for_each(|port| self.edge(port.node, node, reader.scope, at));
                }
                Some(binding)
            }
        }
    }

    /// The input of a scope's document of a name, noted as used.
    fn input_named(&mut self, scope: usize, name: &str, at: Location) -> Option<usize> {
        let part = self.scopes[scope].part;
        if let Some(&index) = self.names[part].inputs.get(name) {
            self.scopes[scope].inputs[index].used = true;
            return Some(index);
        }
        let document = self.document_of(part);
        let all = || document.inputs.iter().map(|input| input.name.as_str());
        let hint = self.suggestions.did_you_mean(name, all()).unwrap_or_else(|| match document.inputs.len() {
            0 => format!("declare it: \"inputs\": {{ \"{}\": {{ \"type\": \"text\" }} }}", json::shorten(name)),
            _ => format!("the graph's inputs are {}", names::list(all(), "and")),
        });
        self.links_missing = true;
        let message = format!("the graph has no input `{}`", json::shorten(name));
        self.problems.push(Diagnostic::error("unknown-graph-input", message).at(at).hint(hint));
        None
    }

    /// The port a link names, noted as an edge when a node reads it.
    fn link(&mut self, scope: usize, reader: Option<usize>, link: &str, at: Location) -> Option<PortRef> {
        let port = self.port(scope, link, at);
        let from = port.map(|port| port.node).or_else(|| {
            // A node that has no such output is still one to wait for.
            let inside = &self.scopes[scope];
            let (id, _) = link.split_once('.')?;
            match inside.places[*self.names[inside.part].nodes.get(id)?] {
                Place::Node(node) => Some(NodeIndex::new(node)),
                _ => None,
            }
        });
        if let (Some(from), Some(reader)) = (from, reader) {
            self.edge(from, reader, scope, at);
        }
        port
    }

    /// Checks where an input comes from whose own port is not known.
    pub(super) fn follow(&mut self, reader: &Reader<'a>, port: &str, given: &'a Given) {
        let before = self.problems.len();
        match &given.kind {
            GivenKind::Link(link) => drop(self.link(reader.scope, reader.node, link, given.at)),
            GivenKind::Input(name) => drop(self.input_named(reader.scope, name, given.at)),
            GivenKind::List(items) => items.iter().for_each(|item| self.follow(reader, port, item)),
            GivenKind::Literal(_) | GivenKind::Broken => {}
        }
        for problem in &mut self.problems[before..] {
            problem.node = Some(reader.declared.id.clone());
            problem.port = Some(port.into());
        }
        self.tag(before, reader.scope);
    }

    /// The port that `node.port` names.
    pub(super) fn port(&mut self, scope: usize, link: &str, at: Location) -> Option<PortRef> {
        if let Some(port) = self.look(scope, link) {
            return Some(port);
        }
        self.links_missing = true;
        let (id, port) = link.split_once('.').unwrap_or((link, ""));
        let shown = json::shorten(link);
        let part = self.scopes[scope].part;
        let Some(&index) = self.names[part].nodes.get(id) else {
            let ids = self.document_of(part).nodes.iter().map(|node| node.id.as_str());
            let hint = self.suggestions.nearest(id, ids).map(|near| match port {
                "" => format!("did you mean `{near}`?"),
                port => format!("did you mean `{near}.{port}`?"),
            });
            let message = format!("`{shown}` names no node: there is no `{}`", json::shorten(id));
            self.problems.push(Diagnostic::error("dangling-link", message).at(at).hint(hint));
            return None;
        };
        let (kind, of, outputs) = self.outputs_of(self.scopes[scope].places[index])?;
        let all = || outputs.iter().map(String::as_str);
        if all().any(|name| name == port) {
            // An output of an included document that is linked to nothing; that has been reported.
            return None;
        }
        let mut hints = Vec::new();
        if port.is_empty() {
            hints.extend(all().next().map(|first| format!("links are written `node.port`: `{id}.{first}`")));
        } else {
            hints.extend(self.suggestions.nearest(port, all()).map(|near| format!("did you mean `{id}.{near}`?")));
        }
        hints.push(match outputs.len() {
            0 => format!("{of} has no outputs"),
            _ => format!("the outputs of {of} are {}", names::list(all(), "and")),
        });
        let (code, message) = match port {
            "" => ("bad-link", format!("`{shown}` names a node, but no port of it")),
            _ => ("bad-port", format!("`{id}` ({kind}) has no output `{}`", json::shorten(port))),
        };
        let problem = Diagnostic::error(code, message).at(at);
        self.problems.push(hints.into_iter().fold(problem, |problem, hint| problem.hint(hint)));
        None
    }

    /// What kind of node it is, what its outputs belong to, and their names; nothing when that is not known.
    fn outputs_of(&self, place: Place) -> Option<(String, String, Vec<String>)> {
        let inner = match place {
            Place::Nothing => return None,
            Place::Node(node) => {
                let (kind, outputs) = match &self.types[node] {
                    Some(ty) => {
                        let spec = ty.spec();
                        (spec.type_name.clone(), spec.outputs.iter().map(|output| output.name.clone()).collect())
                    }
                    None if self.is_switch(node) => (Composite::Switch.type_name().into(), vec![VALUE.to_owned()]),
                    None => return None,
                };
                return Some((kind.clone(), kind, outputs));
            }
            Place::Graph(inner) => (Composite::Graph, inner),
            Place::Each(each) => (Composite::ForEach, self.eaches[each].inner),
        };
        let part = self.scopes[inner.1].part;
        let outputs = self.document_of(part).outputs.iter().map(|output| output.name.clone()).collect();
        Some((inner.0.type_name().into(), format!("`{}`", self.part_name(part)), outputs))
    }

    fn how_to_convert(&self, reader: &str, link: &str, port: PortRef, wanted: &PortType) -> Vec<String> {
        let source = link.split_once('.').map_or(link, |(id, _)| id);
        let Some(spec) = self.types[port.node.index()].as_ref().map(|node| node.spec()) else { return Vec::new() };
        let is_its_own = self.flats[port.node.index()].id() == source;
        let other = spec.outputs.iter().filter(|_| is_its_own).find(|output| wanted.accepts(&output.ty));
        let other = other.map(|output| format!("did you mean `{source}.{}`?", output.name));
        let found = &spec.outputs[port.output].ty;
        let one_by_one = match found {
            PortType::List(of) if wanted.accepts(of) => {
                Some("a `For Each` node takes the elements of a list one by one".to_owned())
            }
            _ => None,
        };
        let between = self.converters(found, wanted);
        let between = between.map(|types| format!("put {types} node between `{source}` and `{reader}`"));
        other.into_iter().chain(between).chain(one_by_one).collect()
    }

    /// ``an `Encode VAE` ``: the node types that take one type and give another, those first that need least besides.
    fn converters(&self, from: &PortType, to: &PortType) -> Option<String> {
        let mut found: Vec<_> = self
            .registry
            .iter()
            .map(|node| node.spec())
            // An input with a default is a setting, not what the node works on.
            .filter(|spec| spec.inputs.iter().any(|input| input.default.is_none() && input.ty.accepts(from)))
            .filter(|spec| spec.outputs.iter().any(|output| to.accepts(&output.ty)))
            .map(|spec| {
                let inexact = !spec.inputs.iter().any(|input| input.required && input.ty == *from);
                let needs = spec.inputs.iter().filter(|input| input.required).count();
                ((inexact, needs), spec.type_name.as_str())
            })
            .collect();
        found.sort_unstable();
        let (least, first) = *found.first()?;
        let best = found.into_iter().take_while(|(rank, _)| *rank == least).take(3).map(|(_, name)| name);
        Some(format!("{} {}", names::article(first), names::list(best, "or")))
    }
}
