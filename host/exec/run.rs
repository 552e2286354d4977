//! A run: what is to be computed, what is known already, what comes out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use dc_graph_node_api::{Outputs, Value};
use petgraph::graph::NodeIndex;

use super::lanes::State;
use super::plan::links;
use super::{Cache, CancelToken, Digests, Event, FileRead, NodeTiming, Plan, RunError, RunReport};
use crate::graph::{Graph, GraphNode, PortRef};

/// What a run needs beside the graph.
#[derive(Clone, Debug)]
pub struct RunOptions<'a> {
    /// The folder that nodes write to; absolute.
    pub output_dir: PathBuf,
    /// The folder of the document, from which relative paths count that reach a path input through a link.
    pub document_dir: PathBuf,
    /// How many nodes may run at the same time, beside the one on the device.
    pub threads: usize,
    /// Digests of files.
    pub digests: &'a Digests,
    /// Outputs of earlier runs, if they are to be used and added to.
    pub cache: Option<&'a Cache>,
}

impl<'a> RunOptions<'a> {
    /// As many threads as the machine has cores, and no cache.
    pub fn new(output_dir: &Path, document_dir: &Path, digests: &'a Digests) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Self {
            output_dir: absolute(output_dir),
            document_dir: absolute(document_dir),
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            digests,
            cache: None,
        }
    }
}

/// Computes what the plan of a graph says, on this thread and others, and tells `listener` on the way (from any of them).
/// Returns when no node runs any more.
///
/// A node whose outputs the cache has does not run, nor do those that only it needs: they count as cached. Nodes with an
/// effect always run.
///
/// # Errors
/// The first failure. Nodes that run at that time are asked to stop and waited for.
pub fn execute(
    graph: &Graph,
    plan: &Plan,
    options: &RunOptions<'_>,
    cancel: &CancelToken,
    listener: &(dyn Fn(Event) + Sync),
) -> Result<RunReport, RunError> {
    let began = Instant::now();
    let mut run = Run::prepare(graph, plan, options, cancel, listener);
    run.tell(Event::RunStarted { nodes: plan.nodes.len() });
    run.report_known();
    run.work_all();
    let state = run.state.get_mut().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.error.take() {
        return Err(error);
    }
    let nodes = std::mem::take(&mut state.timings);
    let named = graph.outputs.iter().map(|(name, port)| (name, run.slots.of(plan, *port)));
    let outputs = named.filter_map(|(name, slot)| Some((name.clone(), state.slots[slot].take()?))).collect();
    Ok(RunReport { outputs, nodes, seconds: began.elapsed().as_secs_f64() })
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) graph: &'a Graph,
    pub(super) plan: &'a Plan,
    pub(super) options: &'a RunOptions<'a>,
    pub(super) cancel: &'a CancelToken,
    pub(super) listener: &'a (dyn Fn(Event) + Sync),
    pub(super) slots: Slots,
    pub(super) readers: Readers,
    /// Whether each planned node is to be computed.
    pub(super) computed: Vec<bool>,
    /// The nodes with the same key as a computed one.
    pub(super) twins: HashMap<usize, Vec<usize>>,
    /// Files whose names came through a link, so that no plan knows them.
    pub(super) late_reads: Mutex<HashMap<NodeIndex, Vec<FileRead>>>,
    pub(super) state: Mutex<State>,
    /// One for the idle threads of each lane.
    pub(super) wake: [Condvar; 2],
    /// Running nodes are to stop: another one failed.
    pub(super) stop: AtomicBool,
}

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
    fn new(graph: &Graph, plan: &Plan) -> Self {
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
    pub(super) fn of(&self, place: usize) -> &[usize] {
        &self.list[self.first[place]..self.first[place + 1]]
    }
}

/// The place of the node that computes what a link reads. Planning has made sure that it has one.
fn source(plan: &Plan, port: PortRef) -> usize {
    let place = plan.position(port.node).expect("a planned link leads to a planned node");
    plan.nodes[place].same_as.unwrap_or(place)
}

impl<'a> Run<'a> {
    /// Decides what to compute, from the outputs back to the sources: a node whose outputs are known needs no ancestors.
    fn prepare(
        graph: &'a Graph,
        plan: &'a Plan,
        options: &'a RunOptions<'a>,
        cancel: &'a CancelToken,
        listener: &'a (dyn Fn(Event) + Sync),
    ) -> Self {
        let mut slots = Slots::new(graph, plan);
        let mut values: Vec<Slot> = Vec::new();
        values.resize_with(slots.wanted.len(), Slot::default);
        let mut needed = vec![false; plan.nodes.len()];
        let mut computed = vec![false; plan.nodes.len()];
        for (_, port) in &graph.outputs {
            needed[source(plan, *port)] = true;
            let slot = slots.of(plan, *port);
            slots.wanted[slot] += 1;
        }
        for (place, planned) in plan.nodes.iter().enumerate().rev() {
            let node = &graph.nodes[planned.node];
            if !needed[place] && !node.node.spec().effect {
                continue;
            }
            let known = options.cache.filter(|_| planned.reusable).and_then(|cache| cache.get(&planned.key));
            if let Some(known) = known.and_then(|outputs| in_order(node, &outputs)) {
                for (slot, value) in (slots.first(place)..).zip(known) {
                    // All readers come later in the plan, so all have been counted.
                    values[slot].value = (slots.wanted[slot] > 0).then_some(value);
                }
                continue;
            }
            computed[place] = true;
            for port in links(node) {
                needed[source(plan, port)] = true;
                let slot = slots.of(plan, port);
                slots.wanted[slot] += 1;
            }
        }
        for (slot, wanted) in values.iter_mut().zip(&slots.wanted) {
            slot.readers = *wanted;
        }
        let (readers, waiting) = Readers::new(graph, plan, &computed);
        let mut twins: HashMap<usize, Vec<usize>> = HashMap::new();
        for (place, planned) in plan.nodes.iter().enumerate() {
            if let Some(first) = planned.same_as.filter(|first| computed[*first]) {
                twins.entry(first).or_default().push(place);
            }
        }
        let state = State::new(graph, plan, &computed, waiting, values);
        Self {
            graph,
            plan,
            options,
            cancel,
            listener,
            slots,
            readers,
            computed,
            twins,
            late_reads: Mutex::default(),
            state: Mutex::new(state),
            wake: Default::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Tells which nodes need not run.
    fn report_known(&mut self) {
        let mut timings = Vec::with_capacity(self.plan.nodes.len());
        for (place, planned) in self.plan.nodes.iter().enumerate() {
            let computed = self.computed[planned.same_as.unwrap_or(place)];
            if !computed {
                timings.push(self.tell_cached(place));
            }
        }
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).timings = timings;
    }

    /// Tells that a node need not run.
    pub(super) fn tell_cached(&self, place: usize) -> NodeTiming {
        let (node, type_name) = self.names(place);
        self.tell(Event::Cached { node: node.clone() });
        NodeTiming { node, type_name, seconds: 0.0, cached: true }
    }

    pub(super) fn node(&self, place: usize) -> &'a GraphNode {
        &self.graph.nodes[self.plan.nodes[place].node]
    }

    /// A node's id and type, for events.
    pub(super) fn names(&self, place: usize) -> (Arc<str>, Arc<str>) {
        let node = self.node(place);
        (node.id.as_str().into(), node.node.spec().type_name.as_str().into())
    }
}

impl Readers {
    /// The readers, and for each node the number of links it waits for.
    fn new(graph: &Graph, plan: &Plan, computed: &[bool]) -> (Self, Vec<u32>) {
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
}

/// The values of all outputs in the order of the node's spec; nothing when one is missing.
pub(super) fn in_order(node: &GraphNode, outputs: &Outputs) -> Option<Vec<Value>> {
    node.node.spec().outputs.iter().map(|output| outputs.get(&output.name).cloned()).collect()
}
