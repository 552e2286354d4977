//! A run: what is to be computed, what is known already, what comes out.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use dc_graph_node_api::{Inputs, Outputs, Value};
use petgraph::graph::NodeIndex;

use super::demand::{State, Status};
use super::stages::Stages;
use super::wiring::{Readers, Slot, Slots, source};
use super::{Cache, CancelToken, Digests, Event, FileRead, NodeTiming, Plan};
use crate::graph::{Graph, GraphNode, PortRef};
use crate::store::Store;

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
    /// Outputs of earlier runs of this process, if they are to be used and added to.
    pub cache: Option<&'a Cache>,
    /// Outputs of earlier runs of any process, if they are to be used and added to.
    pub store: Option<&'a Store>,
    /// The graph's file, so that the store remembers what its nodes depended on.
    pub document: Option<PathBuf>,
}

impl<'a> RunOptions<'a> {
    /// As many threads as the machine has cores, no cache and no store.
    pub fn new(output_dir: &Path, document_dir: &Path, digests: &'a Digests) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Self {
            output_dir: absolute(output_dir),
            document_dir: absolute(document_dir),
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            digests,
            cache: None,
            store: None,
            document: None,
        }
    }
}

/// A run under way, or a stage of one.
pub(super) struct Run<'a> {
    pub(super) graph: &'a Graph,
    pub(super) plan: &'a Plan,
    pub(super) options: &'a RunOptions<'a>,
    pub(super) cancel: &'a CancelToken,
    pub(super) listener: &'a (dyn Fn(Event) + Sync),
    pub(super) slots: Slots,
    pub(super) readers: Readers,
    /// Whether each planned node is to be looked up or computed.
    pub(super) open: Vec<bool>,
    /// Whether each slot is one that the run is to give back.
    pub(super) shown: Vec<bool>,
    /// Nodes whose end was told in an earlier stage.
    pub(super) told: &'a HashSet<Arc<str>>,
    /// Whether the contents of values matter: to a store, to later runs of this process, or to a plugin that draws its
    /// randomness from them.
    pub(super) tracks: bool,
    /// The nodes with the same key as an open one.
    pub(super) twins: HashMap<usize, Vec<usize>>,
    /// Files whose names came through a link, so that no plan knows them.
    pub(super) late_reads: Mutex<HashMap<NodeIndex, Vec<FileRead>>>,
    pub(super) state: Mutex<State>,
    /// One for the idle threads of each lane.
    pub(super) wake: [Condvar; 2],
    /// Running nodes are to stop: another one failed.
    pub(super) stop: AtomicBool,
}

impl<'a> Run<'a> {
    /// Decides what to look at, from the ports whose values are to be given back to the sources: a node whose outputs an
    /// earlier stage or the cache has needs no ancestors.
    pub(super) fn prepare(
        (graph, plan, ports): (&'a Graph, &'a Plan, &[PortRef]),
        options: &'a RunOptions<'a>,
        cancel: &'a CancelToken,
        listener: &'a (dyn Fn(Event) + Sync),
        before: &'a Stages,
    ) -> Self {
        let mut slots = Slots::new(graph, plan);
        let mut values: Vec<Slot> = Vec::new();
        values.resize_with(slots.wanted.len(), Slot::default);
        let mut shown = vec![false; values.len()];
        let mut needed = vec![false; plan.nodes.len()];
        let mut open = vec![false; plan.nodes.len()];
        for port in ports {
            needed[source(plan, *port)] = true;
            let slot = slots.of(plan, *port);
            slots.wanted[slot] += 1;
            shown[slot] = true;
        }
        for port in later(graph, plan) {
            let slot = slots.of(plan, port);
            slots.wanted[slot] += 1;
        }
        for (place, planned) in plan.nodes.iter().enumerate().rev() {
            let node = &graph.nodes[planned.node];
            if !needed[place] && !node.has_effect() {
                continue;
            }
            if let Some(carried) = before.carried(planned)
                && slots.all(place).zip(carried).all(|(slot, known)| slots.wanted[slot] == 0 || known.value.is_some())
            {
                for (slot, known) in slots.all(place).zip(carried) {
                    values[slot].value.clone_from(&known.value);
                    values[slot].digest = known.digest;
                    // It is held anyhow: whoever may come back for it finds it.
                    slots.wanted[slot] += u32::from(slots.wanted[slot] > 0);
                }
                continue;
            }
            let known = options.cache.filter(|_| planned.reusable).and_then(|cache| cache.get(&planned.key));
            if let Some((known, digests)) =
                known.and_then(|(outputs, digests)| Some((in_order(node, &outputs)?, digests)))
            {
                let mut digests = digests.iter();
                for (slot, value) in slots.all(place).zip(known) {
                    // All readers come later in the plan, so all have been counted.
                    let is_wanted = slots.wanted[slot] > 0;
                    values[slot].value = is_wanted.then_some(value);
                    values[slot].digest = digests.next().copied();
                    // The cache holds it anyhow: whoever may come back for it finds it.
                    slots.wanted[slot] += u32::from(is_wanted);
                }
                continue;
            }
            open[place] = true;
            for port in node.links() {
                needed[source(plan, port)] = true;
                let slot = slots.of(plan, port);
                slots.wanted[slot] += 1;
            }
        }
        for (slot, wanted) in values.iter_mut().zip(&slots.wanted) {
            slot.readers = *wanted;
        }
        let (readers, unknown) = Readers::new(graph, plan, &open);
        let mut twins: HashMap<usize, Vec<usize>> = HashMap::new();
        for (place, planned) in plan.nodes.iter().enumerate() {
            if let Some(first) = planned.same_as.filter(|first| open[*first]) {
                twins.entry(first).or_default().push(place);
            }
        }
        let has_plugins = graph.nodes.node_weights().any(|node| node.node.origin().is_some());
        let tracks = options.store.is_some() || options.cache.is_some() || has_plugins;
        let state = State {
            ready: Default::default(),
            status: open.iter().map(|open| if *open { Status::Open } else { Status::Apart }).collect(),
            unknown,
            missing: vec![0; plan.nodes.len()],
            awaited_by: vec![Vec::new(); plan.nodes.len()],
            slots: values,
            left: open.iter().filter(|open| **open).count(),
            error: None,
            timings: Vec::new(),
            observed: Vec::new(),
            untold: Vec::new(),
            threads: [1, 0],
            idle: [0, 0],
        };
        Self {
            graph,
            plan,
            options,
            cancel,
            listener,
            slots,
            readers,
            open,
            shown,
            told: before.told(),
            tracks,
            twins,
            late_reads: Mutex::new(before.late_reads().clone()),
            state: Mutex::new(state),
            wake: Default::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Tells which nodes need not run.
    pub(super) fn report_known(&mut self) {
        let mut timings = Vec::with_capacity(self.plan.nodes.len());
        for (place, planned) in self.plan.nodes.iter().enumerate() {
            let open = self.open[planned.same_as.unwrap_or(place)];
            if !open {
                timings.extend(self.tell_cached(place));
            }
        }
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).timings = timings;
    }

    /// Tells of those nodes that would have run if somebody had needed what they give.
    pub(super) fn report_untold(&self) {
        let mut state = self.lock();
        let mut untold = std::mem::take(&mut state.untold);
        untold.retain(|place| matches!(state.status[*place], Status::Known { .. }));
        drop(state);
        let timings: Vec<_> = untold.into_iter().flat_map(|place| self.tell_found(place, &[])).collect();
        self.lock().timings.extend(timings);
    }

    /// Notes the files that a node reads whose names came through links.
    pub(super) fn note_late_reads(&self, place: usize, reads: Option<Vec<FileRead>>) {
        if let Some(reads) = reads {
            let (node, _) = self.names(place);
            for FileRead { path, digest } in &reads {
                self.tell(Event::Reads { node: node.clone(), path: path.clone(), digest: Some(*digest) });
            }
            let mut late = self.late_reads.lock().unwrap_or_else(PoisonError::into_inner);
            late.insert(self.plan.nodes[place].node, reads);
        }
    }

    /// Tells the files that a node fails for, as far as its inputs name them.
    pub(super) fn tell_unread(&self, place: usize, inputs: &Inputs) {
        let mut values: Vec<&Value> = inputs.iter().map(|(_, value)| value).collect();
        while let Some(value) = values.pop() {
            match value {
                Value::Path(path) => {
                    let (node, _) = self.names(place);
                    let path = PathBuf::from(&**path);
                    let digest = self.options.digests.of(&path).ok();
                    self.tell(Event::Reads { node, path, digest });
                }
                Value::List(_, elements) => values.extend(elements.iter()),
                _ => {}
            }
        }
    }

    /// Tells that a node need not run, unless it was told in an earlier stage how it ended.
    pub(super) fn tell_cached(&self, place: usize) -> Option<NodeTiming> {
        let (node, type_name) = self.names(place);
        if self.told.contains(&node) {
            return None;
        }
        self.tell(Event::Cached { node: node.clone() });
        Some(NodeTiming { node, type_name, seconds: 0.0, cached: true })
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

/// What nodes outside of the plan, and outputs of the graph, read of those inside: a later stage wants it.
fn later<'a>(graph: &'a Graph, plan: &'a Plan) -> impl Iterator<Item = PortRef> + 'a {
    let outside = graph.nodes.node_indices().filter(|node| !graph.open.is_empty() && plan.position(*node).is_none());
    let outputs = graph.outputs.iter().map(|(_, port)| *port).filter(|_| !graph.open.is_empty());
    let read = outside.flat_map(|node| graph.nodes[node].links()).chain(outputs);
    read.filter(|port| plan.position(port.node).is_some())
}

/// The values of all outputs in the order of the node's spec; nothing when one is missing.
pub(super) fn in_order(node: &GraphNode, outputs: &Outputs) -> Option<Vec<Value>> {
    node.node.spec().outputs.iter().map(|output| outputs.get(&output.name).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use dc_graph_node_api::{InputSpec, NativeObject, Node, NodeSpec, PortType};

    use super::super::testing::{Build, Setup, add, binary, binary_spec, link, literal, number};
    use super::*;
    use crate::graph::Binding;
    use crate::testing::TestNode;

    fn counting(count: &Arc<AtomicUsize>) -> Arc<dyn Node> {
        let count = count.clone();
        binary("Count", move |a, b, _| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(a + b)
        })
    }

    #[test]
    fn equal_nodes_are_computed_once() {
        let count = Arc::default();
        let node = counting(&count);
        let mut build = Build::new();
        let first: Vec<_> = ["a", "b"].map(|id| build.node(id, node.clone(), vec![literal(1.0), literal(2.0)])).into();
        let second: Vec<_> = ["c", "d"]
            .iter()
            .zip(&first)
            .map(|(id, a)| build.node(id, node.clone(), vec![link(*a), link(*a)]))
            .collect();
        let sum = build.node("sum", add(), vec![link(second[0]), link(second[1])]);
        build.output("sum", sum);
        build.output("d", second[1]);
        let (result, heard) = Setup { threads: 1, ..Setup::default() }.run(&build.0);
        let report = result.unwrap();
        assert_eq!((number(&report, "sum"), number(&report, "d")), (12.0, 6.0));
        assert_eq!(count.load(Ordering::SeqCst), 2);
        let expected = [
            "run of 5",
            "started a",
            "finished a",
            "cached b",
            "started c",
            "finished c",
            "cached d",
            "started sum",
            "finished sum",
        ];
        assert_eq!(heard, expected);
        let cached: Vec<_> = report.nodes.iter().filter(|timing| timing.cached).map(|timing| &*timing.node).collect();
        assert_eq!(cached, ["b", "d"]);
    }

    #[test]
    fn nothing_runs_twice_with_a_cache() {
        let count = Arc::default();
        let node = counting(&count);
        let build = |middle: f64| {
            let mut build = Build::new();
            let a = build.node("a", node.clone(), vec![literal(1.0), literal(1.0)]);
            let b = build.node("b", node.clone(), vec![link(a), literal(middle)]);
            let c = build.node("c", node.clone(), vec![link(b), link(a)]);
            build.output("c", c);
            build.0
        };
        let cache = Cache::new(1 << 20);
        let setup = Setup { cache: Some(&cache), threads: 1, ..Setup::default() };
        // The middle number, the result, how many nodes run, what is heard of the others.
        for (middle, expected, runs, cached) in [
            (1.0, 5.0, 3, vec![]),
            (1.0, 5.0, 0, vec!["cached a", "cached b", "cached c"]),
            (2.0, 6.0, 2, vec!["cached a"]),
            (1.0, 5.0, 0, vec!["cached a", "cached b", "cached c"]),
        ] {
            count.store(0, Ordering::SeqCst);
            let (result, heard) = setup.run(&build(middle));
            let report = result.unwrap();
            assert_eq!(number(&report, "c"), expected);
            assert_eq!(count.load(Ordering::SeqCst), runs);
            let heard: Vec<_> = heard.iter().filter(|line| line.starts_with("cached")).collect();
            assert_eq!(heard, cached);
            assert_eq!(report.nodes.len(), 3);
        }
    }

    #[test]
    fn effects_and_chance_run_every_time() {
        let count = Arc::new(AtomicUsize::new(0));
        let make = |change: fn(&mut NodeSpec)| -> Arc<dyn Node> {
            let mut spec = binary_spec("Odd");
            change(&mut spec);
            let count = count.clone();
            Arc::new(TestNode::new(spec, move |_, _| {
                Ok(Outputs::one("out", count.fetch_add(1, Ordering::SeqCst) as f64))
            }))
        };
        for change in [|spec: &mut NodeSpec| spec.effect = true, |spec: &mut NodeSpec| spec.deterministic = false] {
            count.store(0, Ordering::SeqCst);
            let node = make(change);
            let mut build = Build::new();
            let source = build.node("source", add(), vec![literal(1.0), literal(1.0)]);
            let odd = ["a", "b"].map(|id| build.node(id, node.clone(), vec![link(source), Binding::Absent]));
            let sum = build.node("sum", add(), vec![link(odd[0]), link(odd[1])]);
            build.output("sum", sum);
            let cache = Cache::new(1 << 20);
            let setup = Setup { cache: Some(&cache), ..Setup::default() };
            for expected in [1.0, 5.0, 9.0] {
                assert_eq!(number(&setup.run(&build.0).0.unwrap(), "sum"), expected);
            }
        }
    }

    /// Counts how many of its kind are alive.
    struct Alive(Arc<AtomicUsize>);

    impl Alive {
        fn new(count: &Arc<AtomicUsize>) -> Self {
            count.fetch_add(1, Ordering::SeqCst);
            Self(count.clone())
        }
    }

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl NativeObject for Alive {
        fn type_name(&self) -> &'static str {
            "test:alive"
        }
        fn summary(&self) -> String {
            "alive".into()
        }
        fn size_bytes(&self) -> usize {
            1
        }
    }

    #[test]
    fn values_go_with_their_last_reader() {
        const ALIVE: PortType = PortType::native("test:alive");
        let alive = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (counter, peak) = (alive.clone(), most.clone());
        let spec = NodeSpec::new("Alive", "test", "Makes two values.")
            .input(InputSpec::optional("a", ALIVE, "Read."))
            .input(InputSpec::optional("b", ALIVE, "Read."))
            .output("out", ALIVE, "A value.")
            .output("unread", ALIVE, "A value that nobody reads.");
        let node: Arc<dyn Node> = Arc::new(TestNode::new(spec, move |_, _| {
            peak.fetch_max(counter.load(Ordering::SeqCst), Ordering::SeqCst);
            let make = || Value::native(Alive::new(&counter));
            Ok(Outputs::one("out", make()).with("unread", make()))
        }));
        let mut build = Build::new();
        let mut last = build.node("0", node.clone(), vec![Binding::Absent, Binding::Absent]);
        for n in 1..100 {
            // Two links to one value count as two readers.
            last = build.node(&n.to_string(), node.clone(), vec![link(last), link(last)]);
        }
        build.output("end", last);
        let (result, _) = Setup { threads: 1, ..Setup::default() }.run(&build.0);
        let report = result.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), 1, "a node of the chain finds its own input alive only");
        assert_eq!(alive.load(Ordering::SeqCst), 1, "the output of the run");
        drop(report);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_small_cache_forgets_but_results_stay_right() {
        let count = Arc::default();
        let node = counting(&count);
        let mut build = Build::new();
        let mut last = build.node("0", node.clone(), vec![literal(0.0), literal(0.0)]);
        for n in 1..100 {
            last = build.node(&n.to_string(), node.clone(), vec![link(last), literal(1.0)]);
        }
        build.output("end", last);
        let other = {
            let mut build = Build::new();
            let a = build.node("a", node.clone(), vec![literal(0.0), literal(7.0)]);
            build.output("end", a);
            build.0
        };
        let cache = Cache::new(600);
        let setup = Setup { cache: Some(&cache), ..Setup::default() };
        for (graph, expected, runs) in
            [(&build.0, 99.0, 100), (&build.0, 99.0, 0), (&other, 7.0, 1), (&build.0, 99.0, 0)]
        {
            count.store(0, Ordering::SeqCst);
            assert_eq!(number(&setup.run(graph).0.unwrap(), "end"), expected);
            assert_eq!(count.load(Ordering::SeqCst), runs);
            assert!(cache.size_bytes() <= 600);
        }
    }
}
