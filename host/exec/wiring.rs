//! Who reads what: the way of values from node to node.

use std::ops::Range;

use dc_graph_node_api::Value;

use super::{Digest, Plan};
use crate::graph::{Graph, PortRef};
use crate::store::KeptOutput;

/// Where the outputs of each planned node are kept: slot `first[place] + output`.
pub(super) struct Slots {
    first: Vec<usize>,
    /// How many links and named outputs read each slot.
    pub(super) wanted: Vec<u32>,
}

/// One value on its way to its readers; dropped with the last one.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) value: Option<Value>,
    /// How many links and named outputs may still read it.
    pub(super) readers: u32,
    /// The digest of the value, once it is known.
    pub(super) digest: Option<Digest>,
    /// What the store has of it.
    pub(super) kept: Option<KeptOutput>,
}

/// For each planned node, the nodes of the run that read it, once per link: `list[first[place]..first[place + 1]]`.
pub(super) struct Readers {
    first: Vec<usize>,
    list: Vec<usize>,
}

impl Slot {
    /// Whether the value is at hand, here or in the store.
    pub(super) fn is_held(&self) -> bool {
        self.value.is_some() || self.kept.is_some()
    }

    /// One reader fewer. The value goes with the last one.
    pub(super) fn release(&mut self) {
        self.readers = self.readers.saturating_sub(1);
        if self.readers == 0 {
            self.value = None;
        }
    }

    /// The value, for one reader.
    pub(super) fn take(&mut self) -> Option<Value> {
        self.readers = self.readers.saturating_sub(1);
        if self.readers == 0 { self.value.take() } else { self.value.clone() }
    }
}

impl Slots {
    pub(super) fn new(graph: &Graph, plan: &Plan) -> Self {
        let mut first = Vec::with_capacity(plan.nodes.len());
        let mut count = 0;
        for planned in &plan.nodes {
            first.push(count);
            count += graph.nodes[planned.node].node.spec().outputs.len();
        }
        Self { first, wanted: vec![0; count] }
    }

    /// The slots of a node's outputs.
    pub(super) fn all(&self, place: usize) -> Range<usize> {
        self.first[place]..self.first.get(place + 1).copied().unwrap_or(self.wanted.len())
    }

    /// The slot that a link reads.
    pub(super) fn of(&self, plan: &Plan, port: PortRef) -> usize {
        self.first[source(plan, port)] + port.output
    }
}

impl Readers {
    /// The readers among the `open` nodes, of open nodes; and for each node the number of links that lead to one.
    pub(super) fn new(graph: &Graph, plan: &Plan, open: &[bool]) -> (Self, Vec<u32>) {
        let mut waiting = vec![0; plan.nodes.len()];
        let mut links_to_wait_for = Vec::new();
        for (place, planned) in plan.nodes.iter().enumerate().filter(|(place, _)| open[*place]) {
            for port in graph.nodes[planned.node].links() {
                let from = source(plan, port);
                if open[from] {
                    waiting[place] += 1;
                    links_to_wait_for.push((from, place));
                }
            }
        }
        // A counting sort by source.
        let mut first = vec![0; plan.nodes.len() + 2];
        for (from, _) in &links_to_wait_for {
            first[from + 2] += 1;
        }
        for i in 1..first.len() {
            first[i] += first[i - 1];
        }
        let mut list = vec![0; links_to_wait_for.len()];
        for (from, place) in links_to_wait_for {
            list[first[from + 1]] = place;
            first[from + 1] += 1;
        }
        (Self { first, list }, waiting)
    }

    pub(super) fn of(&self, place: usize) -> &[usize] {
        &self.list[self.first[place]..self.first[place + 1]]
    }
}

/// The place of the node that computes what a link reads. Planning has made sure that it has one.
pub(super) fn source(plan: &Plan, port: PortRef) -> usize {
    let place = plan.position(port.node).expect("a planned link leads to a planned node");
    plan.nodes[place].same_as.unwrap_or(place)
}
