//! What enters included documents, and what `For Each` nodes take and give.

use std::collections::BTreeSet;
use std::sync::Arc;

use dc_graph_node_api::{InputSpec, PortType};
use petgraph::graph::NodeIndex;

use super::bind::{Bound, Reader};
use super::composite::{Composite, Pass};
use super::document::{Given, NodeDeclaration};
use super::inputs::InputState;
use super::names;
use super::scope::{Flat, What};
use super::validate::Check;
use super::{Binding, Diagnostic, PortRef};

impl<'a> Check<'a> {
    /// Checks that the opaque types of graph inputs are such as nodes know.
    pub(super) fn input_types(&mut self) {
        let specs = || self.registry.iter().map(|node| node.spec());
        let ports =
            specs().flat_map(|spec| spec.inputs.iter().map(|i| &i.ty).chain(spec.outputs.iter().map(|o| &o.ty)));
        let known: BTreeSet<&str> = ports.filter_map(opaque).collect();
        for part in &self.library.parts {
            for input in &part.document.inputs {
                let Some(name) = input.ty.as_ref().and_then(opaque).filter(|name| !known.contains(name)) else {
                    continue;
                };
                let hint = self.suggestions.did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
                    format!("types that nodes know are {}", names::list(known.iter().copied(), "and"))
                });
                let message = format!("no node gives or takes `{name}`");
                let problem = Diagnostic::error("unknown-type", message).at(input.at).hint(hint);
                self.problems.push(Diagnostic { source: part.home.source.clone(), ..problem });
            }
        }
    }

    /// Checks what the documents are given by links, and puts a node in between where a value has to be looked at or
    /// converted before the nodes of the document get it.
    pub(super) fn bind_scopes(&mut self) {
        for scope in 1..self.scopes.len() {
            let Some((outer, declared)) = self.scopes[scope].within else { continue };
            for index in 0..self.scopes[scope].inputs.len() {
                let InputState::Linked(given) = self.scopes[scope].inputs[index].state else { continue };
                let port = self.document(scope).inputs[index].port();
                let reader = Reader { scope: outer, node: None, declared };
                let bound = port.as_ref().and_then(|port| self.bind_as(&reader, port, given));
                let state = match (bound, port) {
                    (Some(binding), Some(port)) => {
                        InputState::Bound(self.entered(outer, declared, &port, binding, given))
                    }
                    _ => InputState::Missing,
                };
                self.scopes[scope].inputs[index].state = state;
            }
        }
    }

    /// The same value through a node that checks and converts it, where that is needed.
    fn entered(
        &mut self,
        scope: usize,
        declared: &'a NodeDeclaration,
        port: &InputSpec,
        binding: Binding,
        given: &Given,
    ) -> Binding {
        let gives = |port: PortRef| Some(&self.types[port.node.index()].as_ref()?.spec().outputs[port.output].ty);
        let exact = match (&binding, &port.ty) {
            (Binding::List(_), PortType::List(of)) => binding.links().all(|link| gives(link) == Some(of)),
            _ => binding.links().all(|link| gives(link) == Some(&port.ty)),
        };
        if exact && port.range.is_none() && port.choices.is_empty() {
            return binding;
        }
        let name = declared.inputs.iter().find(|input| input.port == port.name).map_or("", |input| &input.port);
        let links: Vec<PortRef> = binding.links().collect();
        let node = self.add(Flat { scope, what: What::Entry(declared, name, binding) });
        self.types[node] = Some(Arc::new(Pass::one(Composite::Graph, port.clone())));
        links.into_iter().for_each(|link| self.edge(link.node, node, scope, given.at));
        Binding::Link(PortRef { node: NodeIndex::new(node), output: 0 })
    }

    /// What the node gets that stands for an unknown element.
    pub(super) fn element(&mut self, index: usize, declared: &'a NodeDeclaration) -> Option<Vec<Binding>> {
        let element = self.types[index].clone()?;
        let scope = self.flats[index].scope;
        let mut bindings = Vec::new();
        for input in &element.spec().inputs {
            let Some(given) = declared.inputs.iter().find(|given| given.port == input.name) else {
                let message = format!("`{}` goes over `{}`, but gives nothing to it", declared.id, input.name);
                let hint = self.how_to_give(&input.name, &input.ty);
                let problem = Diagnostic::error("missing-input", message).at(declared.at).hint(hint);
                self.report_in(scope, problem.node(&declared.id).port(&input.name));
                continue;
            };
            if let Bound::To(binding) = self.bind(index, input, &given.given) {
                let binding = match binding {
                    Binding::List(_) => self.entered(scope, declared, input, binding, &given.given),
                    other => other,
                };
                if let Binding::Link(port) = &binding {
                    self.edge(port.node, index, scope, given.at);
                }
                bindings.push(binding);
            }
        }
        (bindings.len() == element.spec().inputs.len()).then_some(bindings)
    }

    /// What the node gets that gathers the outputs of the elements: those of the unknown one.
    pub(super) fn collect(&mut self, index: usize, each: usize) -> Option<Vec<Binding>> {
        let (scope, at) = (self.eaches[each].outer, self.eaches[each].declared.at);
        let outputs: Vec<PortRef> =
            self.scopes[self.eaches[each].inner].outputs.iter().copied().collect::<Option<_>>()?;
        outputs.iter().for_each(|port| self.edge(port.node, index, scope, at));
        Some(outputs.into_iter().map(|port| Binding::List(vec![Binding::Link(port)])).collect())
    }
}

fn opaque(ty: &PortType) -> Option<&str> {
    match ty {
        PortType::List(of) => opaque(of),
        PortType::Native(name) => Some(name),
        _ => None,
    }
}
