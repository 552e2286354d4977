//! Runs in stages: where the shape of a graph hangs on values, these are computed first, and with them the rest.
//!
//! A stage is a run of its own over what its ports need. What it computed is carried on to the next, so that nothing runs
//! twice; events tell of one run. Most graphs have nothing open, and one stage.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use dc_graph_node_api::Value;
use petgraph::graph::NodeIndex;

use super::demand::Status;
use super::look_up::numbers;
use super::plan::{plan, plan_for};
use super::run::Run;
use super::{
    CancelToken, Digest, Event, FileRead, Key, NodeTiming, Plan, PlanError, PlannedNode, RunError, RunOptions,
    RunReport,
};
use crate::graph::{Graph, PortRef, Unsettled};
use crate::store::{LastNode, LastRun, Observation};

/// Computes what the plan of a graph says, on this thread and others, and tells `listener` on the way (from any of them).
/// Returns when no node runs any more.
///
/// A node whose outputs the cache has does not run, nor do those that only it needs: they count as cached. What the store
/// knows does not run either, unless somebody needs a value that the store does not hold, such as a model. A node with an
/// effect runs unless the store knows the files that it wrote, and they are still there and the same.
///
/// What the plan holds of a `For Each` over an unknown list, or of the branches of a `Switch`, gives way to what the values
/// say once they are known.
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
    let mut stages = Stages::default();
    let run = stages.run(graph, plan, &Means { options, cancel, listener });
    stages.remember(options);
    let outputs = run?;
    stages.read.extend(graph.included.iter().cloned());
    stages.read.extend(stages.late_reads.values().flatten().map(|read| read.path.clone()));
    let read = stages.read.into_iter().collect();
    Ok(RunReport { outputs, nodes: stages.timings, seconds: began.elapsed().as_secs_f64(), read })
}

struct Means<'a> {
    options: &'a RunOptions<'a>,
    cancel: &'a CancelToken,
    listener: &'a (dyn Fn(Event) + Sync),
}

/// What the stages of a run know of each other.
#[derive(Default)]
pub(super) struct Stages {
    /// What nodes gave, by their keys in the plan.
    carried: HashMap<Key, Vec<Carried>>,
    /// Nodes whose end was told.
    told: HashSet<Arc<str>>,
    timings: Vec<NodeTiming>,
    timed: Vec<(String, Observation)>,
    last: BTreeMap<String, LastNode>,
    late_reads: HashMap<NodeIndex, Vec<FileRead>>,
    read: BTreeSet<PathBuf>,
}

/// An output of a node of an earlier stage.
pub(super) struct Carried {
    pub(super) value: Option<Value>,
    pub(super) digest: Option<Digest>,
}

impl Stages {
    /// What a node gave in an earlier stage.
    pub(super) fn carried(&self, planned: &PlannedNode) -> Option<&[Carried]> {
        self.carried.get(&planned.key).map(Vec::as_slice)
    }

    /// Nodes whose end was told in an earlier stage.
    pub(super) fn told(&self) -> &HashSet<Arc<str>> {
        &self.told
    }

    /// The files of earlier stages whose names came through links.
    pub(super) fn late_reads(&self) -> &HashMap<NodeIndex, Vec<FileRead>> {
        &self.late_reads
    }

    fn run(&mut self, graph: &Graph, first: &Plan, means: &Means<'_>) -> Result<Vec<(String, Value)>, RunError> {
        let tell = |event| {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (means.listener)(event)));
        };
        tell(Event::RunStarted { nodes: first.nodes.len() });
        let mut questions = graph.questions();
        if questions.is_empty() {
            return self.last(graph, first, means);
        }
        let mut grown = graph.clone();
        while !questions.is_empty() {
            let nodes = questions.iter().map(|port| port.node);
            let plan = plan_for(&grown, means.options.digests, nodes).map_err(unplanned)?;
            let values = self.stage(&grown, &plan, &questions, false, means)?;
            let answers: HashMap<PortRef, Value> =
                questions.iter().zip(values).filter_map(|(port, value)| Some((*port, value?))).collect();
            if let Some(port) = questions.iter().find(|port| !answers.contains_key(port)) {
                return Err(lost(&grown, *port));
            }
            let settled = grown.settle(&means.options.document_dir, &|port| answers.get(&port).cloned());
            settled.map_err(|unsettled| failed(&grown, &unsettled))?;
            questions = grown.questions();
        }
        let plan = plan(&grown, means.options.digests).map_err(unplanned)?;
        tell(Event::RunGrew { nodes: plan.nodes.len() });
        self.last(&grown, &plan, means)
    }

    /// The stage that gives the graph's outputs.
    fn last(&mut self, graph: &Graph, plan: &Plan, means: &Means<'_>) -> Result<Vec<(String, Value)>, RunError> {
        let ports: Vec<PortRef> = graph.outputs.iter().map(|(_, port)| *port).collect();
        let values = self.stage(graph, plan, &ports, true, means)?;
        let named = graph.outputs.iter().zip(values);
        Ok(named.filter_map(|((name, _), value)| Some((name.clone(), value?))).collect())
    }

    /// Runs what some ports need; their values.
    fn stage(
        &mut self,
        graph: &Graph,
        plan: &Plan,
        ports: &[PortRef],
        is_last: bool,
        means: &Means<'_>,
    ) -> Result<Vec<Option<Value>>, RunError> {
        let mut run = Run::prepare((graph, plan, ports), means.options, means.cancel, means.listener, self);
        run.report_known();
        run.begin(&mut run.lock());
        run.work_all();
        if is_last {
            run.report_untold();
        }
        let mut state = run.lock();
        let noted = Noted::of(&run, &mut state);
        let values = match state.error.take() {
            Some(error) => Err(error),
            None => Ok(ports.iter().map(|port| state.slots[run.slots.of(plan, *port)].take()).collect()),
        };
        let mut carried = Vec::new();
        if !is_last {
            for (place, planned) in plan.nodes.iter().enumerate() {
                if matches!(state.status[place], Status::Done | Status::Known { .. }) {
                    let one = |slot: usize| {
                        let slot = &mut state.slots[slot];
                        Carried { value: slot.value.take(), digest: slot.digest }
                    };
                    carried.push((planned.key, run.slots.all(place).map(one).collect()));
                }
            }
        }
        drop(state);
        drop(run);
        self.carried.extend(carried);
        self.note(noted, plan);
        values
    }

    fn note(&mut self, noted: Noted, plan: &Plan) {
        self.told.extend(noted.timings.iter().map(|timing| timing.node.clone()));
        self.timings.extend(noted.timings);
        self.timed.extend(noted.timed);
        self.last.extend(noted.last);
        self.late_reads = noted.late_reads;
        self.read.extend(plan.reads().map(Path::to_path_buf));
    }

    /// Leaves to the store what the next run and the next plan want to know.
    fn remember(&mut self, options: &RunOptions<'_>) {
        let Some(store) = options.store else { return };
        store.add_timings(std::mem::take(&mut self.timed));
        if let Some(graph) = &options.document {
            let nodes = std::mem::take(&mut self.last);
            store.put_last_run(LastRun { graph: graph.clone(), peak_bytes: super::memory::peak_bytes(), nodes });
        }
        store.put_digests(options.digests);
        store.keep_bound();
    }
}

/// What a stage learned.
struct Noted {
    timings: Vec<NodeTiming>,
    timed: Vec<(String, Observation)>,
    last: Vec<(String, LastNode)>,
    late_reads: HashMap<NodeIndex, Vec<FileRead>>,
}

impl Noted {
    fn of(run: &Run<'_>, state: &mut super::demand::State) -> Self {
        let observed = std::mem::take(&mut state.observed);
        let timing = |(place, observed): &(usize, super::Observed)| {
            let (node, device) = (run.node(*place), run.plan.nodes[*place].salt.clone());
            let observation = Observation { device, numbers: numbers(node), seconds: observed.seconds? };
            Some((node.node.spec().type_name.clone(), observation))
        };
        let timed = observed.iter().filter_map(timing).collect();
        let last = observed.into_iter().flat_map(|(place, observed)| {
            let node = LastNode { key: observed.key.to_string(), ingredients: observed.ingredients };
            let twins = run.twins.get(&place).into_iter().flatten().copied();
            std::iter::once(place).chain(twins).map(move |place| (run.node(place).id.clone(), node.clone()))
        });
        let late = run.late_reads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { timings: std::mem::take(&mut state.timings), timed, last: last.collect(), late_reads: late }
    }
}

/// The nodes of a later stage cannot be planned.
fn unplanned(error: PlanError) -> RunError {
    let (PlanError::File { node, .. } | PlanError::Panicked { node, .. } | PlanError::Inconsistent { node }) = &error;
    RunError::NodeFailed { node: node.clone(), type_name: String::new(), message: error.to_string(), hint: None }
}

fn lost(graph: &Graph, port: PortRef) -> RunError {
    let node = &graph.nodes[port.node];
    RunError::NodeFailed {
        node: node.id.clone(),
        type_name: node.node.spec().type_name.clone(),
        message: "what it gave got lost".into(),
        hint: None,
    }
}

/// The values do not suit what hangs on them.
fn failed(graph: &Graph, unsettled: &Unsettled) -> RunError {
    let Unsettled { node, id, port, message, hint, .. } = unsettled;
    RunError::NodeFailed {
        node: id.clone(),
        type_name: graph.nodes[*node].node.spec().type_name.clone(),
        message: format!("`{port}`{message}"),
        hint: hint.clone(),
    }
}
