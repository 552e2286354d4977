//! What hangs on values that only a run tells: a `For Each` whose list comes through a link, a `Switch` whose choice does.
//!
//! Such a graph is run in stages: the values that are asked for first, then, with these, what was open is settled
//! ([`unfold`](super::unfold)) and the rest is an ordinary graph, or one with fewer questions.

use std::collections::HashMap;

use petgraph::Direction;
use petgraph::graph::NodeIndex;

use super::{Binding, Graph, PortRef};

/// Something that is not settled.
#[derive(Clone, Debug)]
pub(crate) enum Open {
    /// A `Switch`: its first input is the choice.
    Switch(NodeIndex),
    /// A `For Each`.
    Each(Each),
}

/// A `For Each`, of whose nodes the graph holds one set for an unknown element.
#[derive(Clone, Debug)]
pub(crate) struct Each {
    /// Takes the lists and stands for one element of each.
    pub(super) element: NodeIndex,
    /// Gathers what the elements give.
    pub(super) collect: NodeIndex,
    /// The nodes of the included document, in ascending order.
    pub(super) members: Vec<NodeIndex>,
    /// How the ids of the members begin: `cut[]`.
    pub(super) prefix: String,
}

impl Graph {
    /// The ports whose values say what is to be done next; none when nothing that is to be done is open.
    pub(crate) fn questions(&self) -> Vec<PortRef> {
        let owner = self.owners();
        // What comes after something open is not known yet.
        let mut after: Vec<bool> =
            (0..self.nodes.node_count()).map(|n| owner.contains_key(&NodeIndex::new(n))).collect();
        let mut walk: Vec<NodeIndex> = owner.keys().copied().collect();
        while let Some(node) = walk.pop() {
            for reader in self.nodes.neighbors(node) {
                if !std::mem::replace(&mut after[reader.index()], true) {
                    walk.push(reader);
                }
            }
        }
        let effects = self.nodes.node_indices().filter(|n| self.nodes[*n].has_effect());
        let mut walk: Vec<NodeIndex> = self.outputs.iter().map(|(_, port)| port.node).chain(effects).collect();
        let mut seen = vec![false; self.nodes.node_count()];
        let mut asked = Vec::new();
        while let Some(node) = walk.pop() {
            if std::mem::replace(&mut seen[node.index()], true) {
                continue;
            }
            let Some(&open) = owner.get(&node) else {
                walk.extend(self.nodes[node].links().map(|port| port.node));
                continue;
            };
            let ports: Vec<PortRef> = self.asks(&self.open[open]).collect();
            walk.extend(ports.iter().map(|port| port.node));
            if ports.iter().all(|port| !after[port.node.index()]) {
                asked.extend(ports);
            }
        }
        asked.sort_by_key(|port| (port.node, port.output));
        asked.dedup();
        asked
    }

    /// The outermost open thing that each node belongs to.
    fn owners(&self) -> HashMap<NodeIndex, usize> {
        let mut eaches: Vec<(usize, &Each)> = Vec::new();
        let mut owner = HashMap::new();
        for (index, open) in self.open.iter().enumerate() {
            match open {
                Open::Each(each) => eaches.push((index, each)),
                Open::Switch(node) => drop(owner.insert(*node, index)),
            }
        }
        // Inner ones have fewer nodes.
        eaches.sort_by_key(|(_, each)| each.members.len());
        for (index, each) in eaches {
            let nodes = each.members.iter().chain([&each.element, &each.collect]);
            owner.extend(nodes.map(|node| (*node, index)));
        }
        owner
    }

    /// The ports on whose values something hangs.
    fn asks(&self, open: &Open) -> impl Iterator<Item = PortRef> {
        let bindings = match open {
            Open::Switch(node) => &self.nodes[*node].bindings[..1],
            Open::Each(each) => &self.nodes[each.element].bindings[..],
        };
        bindings.iter().filter_map(|binding| if let Binding::Link(port) = binding { Some(*port) } else { None })
    }

    /// Makes the edges that lead to a node those of its links and of `more`.
    pub(super) fn connect(&mut self, node: NodeIndex, more: &[NodeIndex]) {
        while let Some(edge) = self.nodes.first_edge(node, Direction::Incoming) {
            self.nodes.remove_edge(edge);
        }
        let mut sources: Vec<NodeIndex> = self.nodes[node].links().map(|port| port.node).collect();
        sources.extend(more);
        for source in sources {
            self.nodes.add_edge(source, node, ());
        }
    }
}
