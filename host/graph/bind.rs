//! What an input port gets: a value, a link, or a list of both.

use dc_graph_node_api::{InputSpec, PortType};
use petgraph::graph::NodeIndex;

use super::document::{Given, GivenKind};
use super::json;
use super::literal::{self, Unfit};
use super::names;
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

impl<'a> Check<'a> {
    /// Gives to a port what the document says.
    pub(super) fn bind(&mut self, node: usize, input: &InputSpec, given: &'a Given) -> Bound {
        let before = self.problems.len();
        let bound = self.binding(node, input, &input.ty, given);
        let id = &self.document.nodes[node].id;
        for problem in &mut self.problems[before..] {
            problem.node = Some(id.clone());
            problem.port = Some(input.name.clone());
        }
        bound.map_or(Bound::Broken, Bound::To)
    }

    fn binding(&mut self, node: usize, input: &InputSpec, ty: &PortType, given: &'a Given) -> Option<Binding> {
        let subject = format!("`{}.{}`", self.document.nodes[node].id, input.name);
        match &given.kind {
            GivenKind::Broken => None,
            GivenKind::Literal(json) => match literal::literal(json, ty, &self.settings.folder) {
                Ok(value) => self.limited(&subject, input, value, given.at),
                Err(unfit) => self.unfit(&subject, unfit),
            },
            GivenKind::Input(name) => self.graph_input(&subject, input, ty, name, given.at),
            GivenKind::Link(link) => {
                let port = self.link(node, link, given.at)?;
                let output = &self.types[port.node.index()]?.spec().outputs[port.output];
                if ty.accepts(&output.ty) {
                    return Some(Binding::Link(port));
                }
                let message = format!("{subject} expects `{ty}`, but `{link}` gives `{}`", output.ty);
                let problem = Diagnostic::error("type-mismatch", message).at(given.at);
                let hints = self.how_to_convert(node, port, ty);
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
                    items.iter().for_each(|item| self.follow(node, &input.name, item));
                    return None;
                };
                let bindings: Vec<_> = items.iter().map(|item| self.binding(node, input, of, item)).collect();
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
        subject: &str,
        input: &InputSpec,
        ty: &PortType,
        name: &str,
        at: Location,
    ) -> Option<Binding> {
        let index = self.input_named(name, at)?;
        let found = self.inputs[index].ty?;
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
        let value = self.inputs[index].for_port(ty, self.settings)?;
        let subject = format!("the graph input `{name}`, as {subject},");
        self.limited(&subject, input, value, at)
    }

    /// The graph input of a name, noted as used.
    fn input_named(&mut self, name: &str, at: Location) -> Option<usize> {
        if let Some(&index) = self.input_index.get(name) {
            self.inputs[index].used = true;
            return Some(index);
        }
        let all = || self.document.inputs.iter().map(|input| input.name.as_str());
        let hint = self.suggestions.did_you_mean(name, all()).unwrap_or_else(|| match self.document.inputs.len() {
            0 => format!("declare it: \"inputs\": {{ \"{}\": {{ \"type\": \"text\" }} }}", json::shorten(name)),
            _ => format!("the graph's inputs are {}", names::list(all(), "and")),
        });
        self.links_missing = true;
        let message = format!("the graph has no input `{}`", json::shorten(name));
        self.problems.push(Diagnostic::error("unknown-graph-input", message).at(at).hint(hint));
        None
    }

    /// The port a link names, noted as an edge.
    fn link(&mut self, node: usize, link: &str, at: Location) -> Option<PortRef> {
        let source = link.split_once('.').and_then(|(id, _)| self.node_index.get(id));
        if let Some(&source) = source {
            self.links.add_edge(NodeIndex::new(source), NodeIndex::new(node), at);
        }
        self.port(link, at)
    }

    /// Checks where an input comes from whose own port is not known.
    pub(super) fn follow(&mut self, node: usize, port: &str, given: &Given) {
        let before = self.problems.len();
        match &given.kind {
            GivenKind::Link(link) => drop(self.link(node, link, given.at)),
            GivenKind::Input(name) => drop(self.input_named(name, given.at)),
            GivenKind::List(items) => items.iter().for_each(|item| self.follow(node, port, item)),
            GivenKind::Literal(_) | GivenKind::Broken => {}
        }
        for problem in &mut self.problems[before..] {
            problem.node = Some(self.document.nodes[node].id.clone());
            problem.port = Some(port.into());
        }
    }

    /// The port that `node.port` names.
    pub(super) fn port(&mut self, link: &str, at: Location) -> Option<PortRef> {
        let (id, port) = link.split_once('.').unwrap_or((link, ""));
        let shown = json::shorten(link);
        let Some(&index) = self.node_index.get(id) else {
            self.links_missing = true;
            let ids = self.document.nodes.iter().map(|node| node.id.as_str());
            let hint = self.suggestions.nearest(id, ids).map(|near| match port {
                "" => format!("did you mean `{near}`?"),
                port => format!("did you mean `{near}.{port}`?"),
            });
            let message = format!("`{shown}` names no node: there is no `{}`", json::shorten(id));
            self.problems.push(Diagnostic::error("dangling-link", message).at(at).hint(hint));
            return None;
        };
        let Some(node) = self.types[index] else {
            self.links_missing = true;
            return None;
        };
        let spec = node.spec();
        let all = || spec.outputs.iter().map(|output| output.name.as_str());
        if let Some(output) = all().position(|name| name == port) {
            return Some(PortRef { node: NodeIndex::new(index), output });
        }
        let mut hints = Vec::new();
        if port.is_empty() {
            hints.extend(all().next().map(|first| format!("links are written `node.port`: `{id}.{first}`")));
        } else {
            hints.extend(self.suggestions.nearest(port, all()).map(|near| format!("did you mean `{id}.{near}`?")));
        }
        hints.push(match spec.outputs.len() {
            0 => format!("{} has no outputs", spec.type_name),
            _ => format!("the outputs of {} are {}", spec.type_name, names::list(all(), "and")),
        });
        let (code, message) = match port {
            "" => ("bad-link", format!("`{shown}` names a node, but no port of it")),
            _ => ("bad-port", format!("`{id}` ({}) has no output `{}`", spec.type_name, json::shorten(port))),
        };
        self.links_missing = true;
        let problem = Diagnostic::error(code, message).at(at);
        self.problems.push(hints.into_iter().fold(problem, |problem, hint| problem.hint(hint)));
        None
    }

    fn how_to_convert(&self, reader: usize, port: PortRef, wanted: &PortType) -> Vec<String> {
        let nodes = &self.document.nodes;
        let source = &nodes[port.node.index()].id;
        let Some(spec) = self.types[port.node.index()].map(|node| node.spec()) else { return Vec::new() };
        let other = spec.outputs.iter().find(|output| wanted.accepts(&output.ty));
        let other = other.map(|output| format!("did you mean `{source}.{}`?", output.name));
        let between = self.converters(&spec.outputs[port.output].ty, wanted);
        let between = between.map(|types| format!("put {types} node between `{source}` and `{}`", nodes[reader].id));
        other.into_iter().chain(between).collect()
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
