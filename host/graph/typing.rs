//! The types of nodes whose ports follow from what they are linked to: `Switch` and `For Each`.

use std::sync::Arc;

use dc_graph_node_api::{InputSpec, PortType};

use super::composite::{CHOICE, DEFAULT, Pass, Switch, choice};
use super::document::{Given, GivenKind, NodeDeclaration};
use super::json::Kind;
use super::names;
use super::scope::What;
use super::validate::Check;
use super::{Diagnostic, PortRef};

/// What is known of the type of something that a document gives.
enum Guess {
    Type(PortType),
    /// A list of nothing.
    Empty,
    /// A list of things of different types.
    Mixed,
    /// It is broken, or linked to something broken; that is reported elsewhere.
    Nothing,
}

impl<'a> Check<'a> {
    /// Finds the types of nodes that take theirs from others; those first that others depend on. Nodes that wait for each
    /// other stay without: a circle is reported as such.
    pub(super) fn set_types(&mut self) {
        let mut begun = vec![false; self.flats.len()];
        for start in self.untyped.clone() {
            let mut stack = vec![start];
            while let Some(&node) = stack.last() {
                if std::mem::replace(&mut begun[node], true) {
                    stack.pop();
                    if self.types[node].is_none() {
                        self.set_type(node);
                    }
                    continue;
                }
                let before = self.sources(node);
                stack.extend(before.into_iter().filter(|source| !begun[*source]));
            }
        }
    }

    /// The nodes that a node takes its type from and that have none yet.
    fn sources(&self, node: usize) -> Vec<usize> {
        let ports: Vec<PortRef> = match &self.flats[node].what {
            What::Collect(each, _) => self.scopes[self.eaches[*each].inner].outputs.iter().copied().flatten().collect(),
            _ => {
                let mut links = Vec::new();
                self.flats[node].declared().inputs.iter().for_each(|given| collect_links(&given.given, &mut links));
                links.into_iter().filter_map(|link| self.look(self.flats[node].scope, link)).collect()
            }
        };
        ports.into_iter().map(|port| port.node.index()).filter(|node| self.types[*node].is_none()).collect()
    }

    fn set_type(&mut self, node: usize) {
        match &self.flats[node].what {
            What::Collect(each, _) => {
                let inner = self.eaches[*each].inner;
                let outputs = self.document(inner).outputs.iter().zip(&self.scopes[inner].outputs);
                let typed = outputs.map(|(output, port)| Some((output.name.clone(), self.type_at((*port)?)?)));
                if let Some(elements) = typed.collect::<Option<Vec<_>>>() {
                    self.types[node] = Some(Arc::new(Pass::lists(&elements)));
                }
            }
            _ => {
                let (scope, declared) = (self.flats[node].scope, self.flats[node].declared());
                let before = self.problems.len();
                if let Some(switch) = self.switch(scope, declared) {
                    self.types[node] = Some(Arc::new(switch));
                }
                self.problems[before..].iter_mut().for_each(|problem| problem.node = Some(declared.id.clone()));
                self.tag(before, scope);
            }
        }
    }

    fn type_at(&self, port: PortRef) -> Option<PortType> {
        Some(self.types[port.node.index()].as_ref()?.spec().outputs.get(port.output)?.ty.clone())
    }

    fn switch(&mut self, scope: usize, declared: &'a NodeDeclaration) -> Option<Switch> {
        let branches: Vec<_> = declared.inputs.iter().filter(|given| given.port != CHOICE).collect();
        if branches.is_empty() {
            let message = format!("`{}` (Switch) has no branches", declared.id);
            let hint = "add some beside `choice`, such as \"day\": {\"from\": \"node.port\"}".to_owned();
            self.problems.push(Diagnostic::error("missing-input", message).at(declared.at).hint(hint));
            return None;
        }
        let mut known: Vec<(&str, PortType)> = Vec::new();
        for branch in &branches {
            match self.guess(scope, &branch.given) {
                Guess::Type(ty) => known.push((&branch.port, ty)),
                Guess::Empty => {}
                Guess::Mixed => {
                    let message = format!("the elements of `{}.{}` must be of one type", declared.id, branch.port);
                    let problem = Diagnostic::error("type-mismatch", message).at(branch.given.at);
                    self.problems.push(problem.port(&branch.port));
                    return None;
                }
                Guess::Nothing => return None,
            }
        }
        let fits = |ty: &PortType| known.iter().all(|(_, other)| ty.accepts(other));
        let ty = match known.iter().map(|(_, ty)| ty).find(|ty| fits(ty)) {
            Some(ty) => ty.clone(),
            None if known.is_empty() => PortType::Text.list(),
            None => {
                let (first, ty) = &known[0];
                let (other, found) = known.iter().find(|(_, other)| !ty.accepts(other)).unwrap_or(&known[0]);
                let message = format!(
                    "the branches of `{}` must be of one type: `{first}` is `{ty}`, `{other}` is `{found}`",
                    declared.id
                );
                self.problems.push(Diagnostic::error("type-mismatch", message).at(declared.at));
                return None;
            }
        };
        let names: Vec<&str> = branches.iter().map(|branch| branch.port.as_str()).collect();
        Some(Switch::between(self.choice(scope, declared, &names)?, names, ty))
    }

    /// The port that says which branch, of the type that it gets.
    fn choice(&mut self, scope: usize, declared: &'a NodeDeclaration, branches: &[&str]) -> Option<InputSpec> {
        let Some(given) = declared.inputs.iter().find(|given| given.port == CHOICE) else {
            // Lacking is reported as for any node.
            return Some(choice(PortType::Text));
        };
        let has = |name: &str| branches.contains(&name);
        match self.guess(scope, &given.given) {
            Guess::Type(PortType::Text) if has(DEFAULT) => Some(choice(PortType::Text)),
            Guess::Type(PortType::Text) => Some(choice(PortType::Text).choices(branches)),
            Guess::Type(PortType::Integer) => Some(choice(PortType::Integer)),
            Guess::Type(PortType::Boolean) => {
                if let Some(lacking) = ["true", "false"].into_iter().find(|name| !has(name) && !has(DEFAULT)) {
                    let message =
                        format!("`{}` chooses by `true` and `false`, but has no branch `{lacking}`", declared.id);
                    let hint = format!("the branches are {}", names::list(branches.iter().copied(), "and"));
                    let problem = Diagnostic::error("missing-input", message).at(given.given.at).hint(hint);
                    self.problems.push(problem.port(CHOICE));
                    return None;
                }
                Some(choice(PortType::Boolean))
            }
            Guess::Type(other) => {
                let message =
                    format!("`{}.{CHOICE}` must be a text, a boolean or an integer, found `{other}`", declared.id);
                self.problems.push(Diagnostic::error("type-mismatch", message).at(given.given.at).port(CHOICE));
                None
            }
            Guess::Empty | Guess::Mixed => {
                let message = format!("`{}.{CHOICE}` must be one value, found a list", declared.id);
                self.problems.push(Diagnostic::error("several-values", message).at(given.given.at).port(CHOICE));
                None
            }
            Guess::Nothing => None,
        }
    }

    fn guess(&self, scope: usize, given: &Given) -> Guess {
        let known = match &given.kind {
            GivenKind::Literal(json) => match &json.kind {
                Kind::Boolean(_) => Some(PortType::Boolean),
                Kind::Number(text) if text.parse::<i64>().is_ok() => Some(PortType::Integer),
                Kind::Number(_) => Some(PortType::Number),
                Kind::Text(_) => Some(PortType::Text),
                Kind::Null | Kind::Array(_) | Kind::Object(_) => None,
            },
            GivenKind::Link(link) => self.look(scope, link).and_then(|port| self.type_at(port)),
            GivenKind::Input(name) => {
                let inside = &self.scopes[scope];
                let index = self.names[inside.part].inputs.get(name.as_str());
                index.and_then(|index| inside.inputs[*index].ty).cloned()
            }
            GivenKind::List(items) if items.is_empty() => return Guess::Empty,
            GivenKind::List(items) => {
                let mut types = Vec::new();
                for item in items {
                    match self.guess(scope, item) {
                        Guess::Type(ty) => types.push(ty),
                        Guess::Empty => {}
                        other => return other,
                    }
                }
                match types.iter().find(|ty| types.iter().all(|other| ty.accepts(other))) {
                    Some(ty) => Some(ty.clone().list()),
                    None if types.is_empty() => return Guess::Empty,
                    None => return Guess::Mixed,
                }
            }
            GivenKind::Broken => None,
        };
        known.map_or(Guess::Nothing, Guess::Type)
    }
}

fn collect_links<'a>(given: &'a Given, links: &mut Vec<&'a str>) {
    match &given.kind {
        GivenKind::Link(link) => links.push(link),
        GivenKind::List(items) => items.iter().for_each(|item| collect_links(item, links)),
        GivenKind::Input(_) | GivenKind::Literal(_) | GivenKind::Broken => {}
    }
}
