//! Settling what is open in a graph, once the values are known: the nodes of a `For Each` for each element of its list,
//! the branch of a `Switch` alone.
//!
//! Nodes keep their places; new ones come after all others. Elements that are values stand in their nodes as literals
//! do, so that what depends on one element is the same work as ever, whatever the list holds besides.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use dc_graph_node_api::{Inputs, PortType, Value};
use petgraph::Direction;
use petgraph::graph::NodeIndex;

use super::composite::DEFAULT;
use super::inputs::for_port;
use super::literal::limit_problem;
use super::names;
use super::open::{Each, Open};
use super::validated::{known_inputs, read_by};
use super::{Binding, Graph, GraphNode, PortRef};

/// Most nodes of a graph with those of the documents that it includes.
pub(super) const MOST_NODES: usize = 1_000_000;

/// Why something cannot be settled.
#[derive(Debug)]
pub(crate) struct Unsettled {
    /// The node that it is about.
    pub(crate) node: NodeIndex,
    /// A stable word for scripts.
    pub(crate) code: &'static str,
    /// The node's id; that of a node that does not come to be, too.
    pub(crate) id: String,
    /// The input.
    pub(crate) port: String,
    /// What is wrong with it, to go on after its name.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Graph {
    /// Settles what hangs on values that are known: to the graph, or to `answer` by the port that they come from.
    ///
    /// # Errors
    /// The first thing that the values do not suit.
    pub(crate) fn settle(
        &mut self,
        document_dir: &Path,
        answer: &dyn Fn(PortRef) -> Option<Value>,
    ) -> Result<(), Unsettled> {
        let mut next = 0;
        while next < self.open.len() {
            let of = match &self.open[next] {
                Open::Switch(node) => (*node, 1),
                Open::Each(each) => (each.element, self.nodes[each.element].bindings.len()),
            };
            let Some(values) = self.values(of, document_dir, answer)? else {
                next += 1;
                continue;
            };
            match self.open.remove(next) {
                Open::Switch(node) => self.choose(node, values)?,
                Open::Each(each) => {
                    self.unfold(&each, values)?;
                    // What was inside is gone, and stands for each element at the end.
                    next = 0;
                }
            }
        }
        Ok(())
    }

    /// The values of a node's first inputs; nothing when one is not known. A list of links counts as known.
    fn values(
        &self,
        (node, count): (NodeIndex, usize),
        document_dir: &Path,
        answer: &dyn Fn(PortRef) -> Option<Value>,
    ) -> Result<Option<Vec<Binding>>, Unsettled> {
        let of = &self.nodes[node];
        let mut values = Vec::with_capacity(count);
        for (spec, binding) in of.node.spec().inputs.iter().zip(&of.bindings).take(count) {
            let Binding::Link(port) = binding else {
                values.push(binding.clone());
                continue;
            };
            let Some(value) = answer(*port) else { return Ok(None) };
            let found = value.port_type();
            let unsettled = |message, hint| self.unsettled(node, "bad-input", &spec.name, message, hint);
            let Some(value) = for_port(value, &spec.ty, of.home.folder.as_deref().unwrap_or(document_dir)) else {
                return Err(unsettled(format!(": expected `{}`, found `{found}`", spec.ty), None));
            };
            if let Some((message, hint)) = limit_problem(spec, &value) {
                return Err(unsettled(format!(" {message}"), hint));
            }
            values.push(Binding::Value(value));
        }
        Ok(Some(values))
    }

    fn unsettled(
        &self,
        node: NodeIndex,
        code: &'static str,
        port: &str,
        message: String,
        hint: Option<String>,
    ) -> Unsettled {
        Unsettled { node, code, id: self.nodes[node].id.clone(), port: port.into(), message, hint }
    }

    /// Leaves a `Switch` the branch that its choice names.
    fn choose(&mut self, node: NodeIndex, values: Vec<Binding>) -> Result<(), Unsettled> {
        let implementation = self.nodes[node].node.clone();
        let [choice, branches @ ..] = implementation.spec().inputs.as_slice() else { return Ok(()) };
        let chosen = match &values[..] {
            [Binding::Value(Value::Text(name))] => name.to_string(),
            [Binding::Value(Value::Boolean(value))] => value.to_string(),
            [Binding::Value(Value::Integer(number))] => number.to_string(),
            _ => String::new(),
        };
        let named = |name: &str| branches.iter().position(|branch| branch.name == name);
        let Some(branch) = named(&chosen).or_else(|| named(DEFAULT)) else {
            let all = names::list(branches.iter().map(|branch| branch.name.as_str()), "or");
            let message = format!(" must be {all}, found `{}`", super::json::shorten(&chosen));
            let hint = format!("add a branch `{DEFAULT}` for everything else");
            return Err(self.unsettled(node, "not-a-choice", &choice.name, message, Some(hint)));
        };
        // What says which branch is an ancestor still: files that it read had a part in what comes of it.
        let asked: Vec<NodeIndex> = match &self.nodes[node].bindings[0] {
            Binding::Link(port) => vec![port.node],
            _ => Vec::new(),
        };
        let before: HashSet<NodeIndex> = self.nodes[node].links().map(|port| port.node).collect();
        let bindings = &mut self.nodes[node].bindings;
        bindings[0] = values.into_iter().next().unwrap_or(Binding::Absent);
        for (index, binding) in bindings.iter_mut().enumerate().skip(1) {
            if index != branch + 1 {
                *binding = Binding::Absent;
            }
        }
        self.connect(node, &asked);
        let after: HashSet<NodeIndex> = self.nodes.neighbors_directed(node, Direction::Incoming).collect();
        self.turn_off(before.difference(&after).copied().collect());
        Ok(())
    }

    /// Nodes that only served branches that were not chosen do nothing for their effects either, nor do the others of a
    /// document that was included for such a branch alone.
    fn turn_off(&mut self, mut open: Vec<NodeIndex>) {
        let shown: HashSet<NodeIndex> = self.outputs.iter().map(|(_, port)| port.node).collect();
        while let Some(node) = open.pop() {
            let is_idle =
                |node: NodeIndex| !shown.contains(&node) && self.nodes.neighbors(node).all(|n| self.nodes[n].is_off);
            if self.nodes[node].is_off || !is_idle(node) {
                continue;
            }
            let mut off = vec![node];
            let mut within = self.nodes[node].id.as_str();
            while let Some((document, _)) = within.rsplit_once('/') {
                within = document;
                let inside: HashSet<NodeIndex> = self
                    .nodes
                    .node_indices()
                    .filter(|n| self.nodes[*n].id.strip_prefix(document).is_some_and(|rest| rest.starts_with('/')))
                    .collect();
                let serves = |n: &NodeIndex| {
                    shown.contains(n) || self.nodes.neighbors(*n).any(|r| !inside.contains(&r) && !self.nodes[r].is_off)
                };
                if inside.iter().any(serves) {
                    break;
                }
                off.extend(inside);
            }
            for node in off {
                if !std::mem::replace(&mut self.nodes[node].is_off, true) {
                    open.extend(self.nodes.neighbors_directed(node, Direction::Incoming));
                }
            }
        }
    }

    /// Puts the nodes for each element in the place of those for an unknown one.
    fn unfold(&mut self, each: &Each, values: Vec<Binding>) -> Result<(), Unsettled> {
        let lists: Vec<Vec<Binding>> = values.into_iter().map(elements).collect();
        let count = self.common_length(each, &lists)?;
        let inside: HashMap<NodeIndex, usize> = each.members.iter().enumerate().map(|(k, node)| (*node, k)).collect();
        let within = |open: &Open| match open {
            Open::Switch(node) => inside.contains_key(node),
            Open::Each(other) => inside.contains_key(&other.element),
        };
        let (inner, rest): (Vec<Open>, _) = std::mem::take(&mut self.open).into_iter().partition(within);
        self.open = rest;
        // The nodes that the lists come from stay ancestors of what is made of their elements.
        let sources: Vec<NodeIndex> = self.nodes.neighbors_directed(each.element, Direction::Incoming).collect();
        let first = self.nodes.node_count();
        for index in 0..count {
            self.add_element(each, index, &inside, &lists, &sources, &inner)?;
        }
        self.gather(each, &inside, first, count);
        for node in each.members.iter().chain([&each.element]) {
            self.nodes[*node].is_off = true;
            while let Some(edge) = self.nodes.first_edge(*node, Direction::Incoming) {
                self.nodes.remove_edge(edge);
            }
        }
        // Inside another one that is open, the new nodes are some of its own.
        let made = (first..self.nodes.node_count()).map(NodeIndex::new);
        for open in &mut self.open {
            if let Open::Each(outer) = open
                && outer.members.binary_search(&each.element).is_ok()
            {
                outer.members.extend(made.clone());
            }
        }
        Ok(())
    }

    /// Adds the nodes of one element, and what is open among them.
    fn add_element(
        &mut self,
        each: &Each,
        index: usize,
        inside: &HashMap<NodeIndex, usize>,
        lists: &[Vec<Binding>],
        sources: &[NodeIndex],
        inner: &[Open],
    ) -> Result<(), Unsettled> {
        let begin = self.nodes.node_count();
        let place = |node: NodeIndex| inside.get(&node).map_or(node, |k| NodeIndex::new(begin + k));
        let prefix = format!("{}[{index}]", each.prefix.trim_end_matches("[]"));
        let renamed = |id: &str| format!("{prefix}{}", id.strip_prefix(&each.prefix).unwrap_or(id));
        let mut given = Vec::with_capacity(each.members.len());
        for member in &each.members {
            let mut copy = self.nodes[*member].clone();
            copy.id = renamed(&copy.id);
            let got_an_element = rebind(&mut copy, each.element, &place, |port| lists[port.output][index].clone());
            if got_an_element && !copy.is_off {
                check(&mut copy, *member)?;
            }
            given.push((self.nodes.add_node(copy), got_an_element));
        }
        for (node, got_an_element) in
            given.into_iter().filter(|(node, _)| !self.nodes[*node].is_off).collect::<Vec<_>>()
        {
            self.connect(node, if got_an_element { sources } else { &[] });
        }
        self.open.extend(inner.iter().map(|open| match open {
            Open::Switch(node) => Open::Switch(place(*node)),
            Open::Each(other) => Open::Each(Each {
                element: place(other.element),
                collect: place(other.collect),
                members: other.members.iter().map(|node| place(*node)).collect(),
                prefix: renamed(&other.prefix),
            }),
        }));
        Ok(())
    }

    /// How many elements there are, when all lists agree on that.
    fn common_length(&self, each: &Each, lists: &[Vec<Binding>]) -> Result<usize, Unsettled> {
        let inputs = &self.nodes[each.element].node.spec().inputs;
        let count = lists.first().map_or(0, Vec::len);
        let unsettled = |port: usize, message, hint| Unsettled {
            id: self.nodes[each.collect].id.clone(),
            ..self.unsettled(each.collect, "bad-list", &inputs[port].name, message, hint)
        };
        if let Some(other) = lists.iter().position(|list| list.len() != count) {
            let message = format!(
                " has {} elements, but `{}` has {count}: they go side by side",
                lists[other].len(),
                inputs[0].name
            );
            return Err(unsettled(other, message, None));
        }
        if count.saturating_mul(each.members.len()).saturating_add(self.nodes.node_count()) > MOST_NODES {
            let message = format!(" has {count} elements: more than {MOST_NODES} nodes would come of that");
            return Err(unsettled(0, message, Some("go over fewer at a time".into())));
        }
        Ok(count)
    }

    /// Links the lists that a `For Each` gives to what the elements give.
    fn gather(&mut self, each: &Each, inside: &HashMap<NodeIndex, usize>, first: usize, count: usize) {
        let implementation = self.nodes[each.collect].node.clone();
        let gathered =
            self.nodes[each.collect].bindings.iter().zip(&implementation.spec().inputs).map(|(binding, input)| {
                let one = match binding {
                    Binding::List(elements) => elements.first(),
                    other => Some(other),
                };
                match one {
                    Some(Binding::Link(port)) if count > 0 => Binding::List(
                        (0..count)
                            .map(|index| match inside.get(&port.node) {
                                Some(k) => NodeIndex::new(first + index * each.members.len() + k),
                                None => port.node,
                            })
                            .map(|node| Binding::Link(PortRef { node, output: port.output }))
                            .collect(),
                    ),
                    _ => Binding::Value(Value::list(element_type(&input.ty), Vec::new())),
                }
            });
        let bindings = gathered.collect();
        self.nodes[each.collect].bindings = bindings;
        self.connect(each.collect, &[]);
    }
}

fn element_type(ty: &PortType) -> PortType {
    if let PortType::List(of) = ty { (**of).clone() } else { ty.clone() }
}

fn elements(list: Binding) -> Vec<Binding> {
    match list {
        Binding::List(items) => items,
        Binding::Value(Value::List(_, items)) => items.iter().cloned().map(Binding::Value).collect(),
        other => vec![other],
    }
}

/// Gives a copied node its own element and the copies of its neighbours. Whether it got an element.
fn rebind(
    node: &mut GraphNode,
    element: NodeIndex,
    place: &impl Fn(NodeIndex) -> NodeIndex,
    of: impl Fn(PortRef) -> Binding,
) -> bool {
    let mut given = false;
    let mut one = |binding: &mut Binding| {
        if let Binding::Link(port) = binding {
            if port.node == element {
                given = true;
                *binding = of(*port);
            } else {
                port.node = place(port.node);
            }
        }
    };
    for binding in &mut node.bindings {
        match binding {
            Binding::List(items) => items.iter_mut().for_each(&mut one),
            binding => one(binding),
        }
    }
    given
}

/// Checks what a node has got, as validation checks what a document gives, and finds out which files it reads.
fn check(node: &mut GraphNode, origin: NodeIndex) -> Result<(), Unsettled> {
    let implementation = node.node.clone();
    let folder = node.home.folder.clone().unwrap_or_default();
    let id = node.id.clone();
    let unsettled = |code, port: &str, message, hint| Unsettled {
        node: origin,
        code,
        id: id.clone(),
        port: port.into(),
        message,
        hint,
    };
    for (spec, binding) in implementation.spec().inputs.iter().zip(&mut node.bindings) {
        let fit = |binding: &mut Binding, ty: &PortType| {
            let Binding::Value(value) = binding else { return Ok(()) };
            let found = value.port_type();
            let Some(value) = for_port(value.clone(), ty, &folder) else {
                return Err(unsettled(
                    "type-mismatch",
                    &spec.name,
                    format!(": expected `{ty}`, found `{found}`"),
                    None,
                ));
            };
            if let Some((message, hint)) = limit_problem(spec, &value) {
                return Err(unsettled("out-of-range", &spec.name, format!(" {message}"), hint));
            }
            *binding = Binding::Value(value);
            Ok(())
        };
        if let Binding::List(items) = binding {
            items.iter_mut().try_for_each(|item| fit(item, &element_type(&spec.ty)))?;
            if let Some(values) = values_of(items) {
                *binding = Binding::Value(Value::list(element_type(&spec.ty), values));
            }
        } else {
            fit(binding, &spec.ty)?;
        }
    }
    let (known, unknown): (Inputs, bool) = known_inputs(implementation.spec(), &node.bindings);
    match read_by(&*implementation, &known) {
        Some(Ok(reads)) => (node.reads, node.reads_unknown) = (reads, unknown && node.reads_unknown),
        Some(Err(problems)) => {
            if let Some(first) = problems.into_iter().next() {
                return Err(unsettled("bad-input", &first.input, format!(": {}", first.message), first.hint));
            }
        }
        None => return Err(unsettled("node-panicked", "", ": it panicked while checking its inputs".into(), None)),
    }
    Ok(())
}

fn values_of(items: &[Binding]) -> Option<Vec<Value>> {
    items.iter().map(|item| if let Binding::Value(value) = item { Some(value.clone()) } else { None }).collect()
}
