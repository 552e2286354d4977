//! Who reads what: the way of values from node to node.

use dc_graph_node_api::Value;

use super::Plan;
use super::plan::links;
use crate::graph::{Graph, PortRef};

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
    pub(super) readers: u32,
}

/// For each planned node, the computed nodes that wait for it, once per link: `list[first[place]..first[place + 1]]`.
pub(super) struct Readers {
    first: Vec<usize>,
    list: Vec<usize>,
}

impl Slot {
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

    /// The slot of a node's first output.
    pub(super) fn first(&self, place: usize) -> usize {
        self.first[place]
    }

    /// The slot that a link reads.
    pub(super) fn of(&self, plan: &Plan, port: PortRef) -> usize {
        self.first[source(plan, port)] + port.output
    }
}

impl Readers {
    /// The readers, and for each node the number of links it waits for.
    pub(super) fn new(graph: &Graph, plan: &Plan, computed: &[bool]) -> (Self, Vec<u32>) {
        let mut waiting = vec![0; plan.nodes.len()];
        let mut links_to_wait_for = Vec::new();
        for (place, planned) in plan.nodes.iter().enumerate().filter(|(place, _)| computed[*place]) {
            for port in links(&graph.nodes[planned.node]) {
                let from = source(plan, port);
                if computed[from] {
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
