//! The threads of a run: who does what when.
//!
//! The thread that called begins. Others join when more nodes are ready than threads look for work: up to the given
//! number for the host's lane, and one for the device's, which stays the same thread for a whole run (a device's streams
//! belong to threads). Each takes the ready node that is first in the plan. So a chain runs on one thread without a hop, and
//! one thread alone runs exactly in the order of the plan.
//!
//! Plain threads and one lock, not tokio's: nodes compute for long and block, so that each would need a blocking thread
//! and two hops (about 10 µs), while here a trivial node costs about 1 µs. Whoever lives in an async world calls
//! [`execute`](super::execute) within `spawn_blocking`.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use dc_graph_node_api::{Lane, NodeError, Value};

use super::context::NodeContext;
use super::demand::{Job, Known, State, index};
use super::look_up::Input;
use super::plan::panic_message;
use super::report::message_with_sources;
use super::run::Run;
use super::step::{Prepared, prepare, step};
use super::{Event, NodeTiming, Observed, RunError};

/// Deep models recurse in their kernels' planners; 2 MiB, the default, has been too little for others.
const STACK_BYTES: usize = 16 << 20;

/// What became of a node.
enum Done {
    /// It ran. Timings are for itself and for its twins.
    Ran { outputs: Vec<Known>, timings: Vec<NodeTiming>, observed: Option<Observed> },
    /// Another process ran it meanwhile.
    Found { outputs: Vec<Known>, timings: Vec<NodeTiming>, observed: Observed },
    /// It failed, and the run with it.
    Failed(RunError),
}

impl Run<'_> {
    /// Computes everything that is to be computed, or stops at the first failure.
    pub(super) fn work_all(&self) {
        std::thread::scope(|scope| self.work(scope, Lane::Host));
    }

    /// Tells the listener something. A listener that panics loses the event, not the run.
    pub(super) fn tell(&self, event: Event) {
        let _ = catch_unwind(AssertUnwindSafe(|| (self.listener)(event)));
    }

    /// Whether nodes are to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.cancel.is_cancelled() || self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of one thread.
    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, lane: Lane) {
        let lane = index(lane);
        let mut state = self.lock();
        loop {
            if state.left > 0 && self.cancel.is_cancelled() {
                state.error.get_or_insert(RunError::Cancelled);
            }
            if state.left == 0 || state.error.is_some() {
                self.stop.store(true, Ordering::Relaxed);
                self.wake.iter().for_each(Condvar::notify_all);
                return;
            }
            let next = state.ready[lane].pop();
            self.hire(&mut state, scope);
            state = match next {
                Some(Reverse((place, Job::LookUp))) => self.look_up(state, place),
                Some(Reverse((place, Job::Run))) => self.run_one(state, place),
                None => {
                    state.idle[lane] += 1;
                    let mut state = self.wake[lane].wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle[lane] -= 1;
                    state
                }
            };
        }
    }

    /// Looks a node up in the store.
    fn look_up<'run>(&'run self, state: MutexGuard<'run, State>, place: usize) -> MutexGuard<'run, State> {
        let ports: Vec<_> = self.node(place).links().map(|port| self.slots.of(self.plan, port)).collect();
        let inputs: Vec<_> = ports.iter().map(|slot| state.slots[*slot].input()).collect();
        drop(state);
        // Nodes are asked which files they read, and nodes may panic; then the run tells.
        let found = catch_unwind(AssertUnwindSafe(|| self.find(place, &inputs))).ok().flatten();
        let Some(found) = found else {
            let mut state = self.lock();
            self.want(&mut state, place);
            return state;
        };
        let told = found.is_held.then(|| self.tell_found(place, &found.wrote));
        let mut state = self.lock();
        match told {
            Some(timings) => state.timings.extend(timings),
            None => state.untold.push(place),
        }
        state.observed.push((place, found.observed));
        self.found(&mut state, place, found.outputs);
        state
    }

    /// Runs a node whose values are at hand.
    fn run_one<'run>(&'run self, mut state: MutexGuard<'run, State>, place: usize) -> MutexGuard<'run, State> {
        let ports: Vec<_> = self.node(place).links().map(|port| self.slots.of(self.plan, port)).collect();
        let far: Vec<_> = ports.iter().copied().filter(|slot| state.slots[*slot].value.is_none()).collect();
        if !far.is_empty() {
            let kept: Vec<_> = far.iter().map(|slot| (*slot, state.slots[*slot].kept.clone())).collect();
            drop(state);
            let fetched: Vec<_> = kept.into_iter().map(|(slot, kept)| (slot, self.fetch(kept.as_ref()))).collect();
            state = self.lock();
            let mut lost = Vec::new();
            for (slot, value) in fetched {
                match value {
                    Some(value) => state.slots[slot].value = Some(value),
                    None => lost.push(slot),
                }
            }
            if !lost.is_empty() {
                self.lost(&mut state, place, &lost);
                return state;
            }
        }
        let inputs: Vec<_> = ports.iter().map(|slot| Input { value: None, ..state.slots[*slot].input() }).collect();
        let linked = ports.into_iter().filter_map(|slot| state.slots[slot].take()).collect();
        drop(state);
        let done = self.perform(place, linked, inputs);
        state = self.lock();
        match done {
            Done::Ran { outputs, timings, observed } => {
                state.timings.extend(timings);
                state.observed.extend(observed.map(|observed| (place, observed)));
                self.ran(&mut state, place, outputs);
            }
            Done::Found { outputs, timings, observed } => {
                state.timings.extend(timings);
                state.observed.push((place, observed));
                self.found(&mut state, place, outputs);
            }
            Done::Failed(error) => {
                self.stop.store(true, Ordering::Relaxed);
                state.error.get_or_insert(error);
            }
        }
        state
    }

    /// Finds one more thread for each lane that has nodes ready. That one does the same, and so on.
    fn hire<'scope>(&'scope self, state: &mut State, scope: &'scope Scope<'scope, '_>) {
        let most = [self.options.threads.max(1), 1];
        for lane in [Lane::Host, Lane::Device] {
            let i = index(lane);
            if state.ready[i].is_empty() {
                continue;
            }
            if state.idle[i] > 0 {
                self.wake[i].notify_one();
            } else if state.threads[i] < most[i] {
                let thread = Builder::new().name(format!("{lane:?} lane").to_lowercase()).stack_size(STACK_BYTES);
                match thread.spawn_scoped(scope, move || self.work(scope, lane)) {
                    Ok(_) => state.threads[i] += 1,
                    // Fewer threads do as well, unless there is none.
                    Err(error) if state.threads[i] == 0 => state.error = Some(RunError::Thread(error)),
                    Err(_) => {}
                }
            }
        }
    }

    /// Runs a node, keeps what it gave and tells everybody; whatever the node does, this returns.
    fn perform(&self, place: usize, linked: Vec<Value>, inputs: Vec<Input>) -> Done {
        let (node, type_name) = self.names(place);
        let started = || self.tell(Event::Started { node: node.clone(), type_name: type_name.clone() });
        let context = NodeContext::new(self, place, node.clone());
        let prepared = match catch_unwind(AssertUnwindSafe(|| prepare(self, place, linked, &inputs, &context))) {
            Ok(Ok(Prepared::Found(found))) => {
                let timings = self.tell_found(place, &found.wrote);
                return Done::Found { outputs: found.outputs, timings, observed: found.observed };
            }
            Ok(Ok(Prepared::ToRun(prepared))) => prepared,
            Ok(Err(error)) => {
                started();
                return self.failed(place, Ok(error), Duration::ZERO);
            }
            Err(panic) => {
                started();
                return self.failed(place, Err(panic_message(&*panic)), Duration::ZERO);
            }
        };
        started();
        let began = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| step(self, place, prepared, &context))) {
            Ok(Ok((outputs, mut observed))) => {
                let took = began.elapsed();
                self.tell(Event::Finished { node: node.clone(), took });
                let mut timings = vec![NodeTiming { node, type_name, seconds: took.as_secs_f64(), cached: false }];
                timings.extend(self.twins.get(&place).into_iter().flatten().filter_map(|twin| self.tell_cached(*twin)));
                if let Some(observed) = &mut observed {
                    observed.seconds = Some(took.as_secs_f64());
                }
                Done::Ran { outputs, timings, observed }
            }
            Ok(Err(error)) => self.failed(place, Ok(error), began.elapsed()),
            Err(panic) => self.failed(place, Err(panic_message(&*panic)), began.elapsed()),
        }
    }

    /// Tells why a node failed: with an error, or with what a panic said.
    fn failed(&self, place: usize, why: Result<NodeError, String>, took: Duration) -> Done {
        let (node, type_name) = self.names(place);
        let (id, type_name) = (node.to_string(), type_name.to_string());
        let error = match why {
            Ok(NodeError::Cancelled) if self.is_stopping() => return Done::Failed(RunError::Cancelled),
            Ok(error) => RunError::NodeFailed {
                node: id,
                type_name,
                message: message_with_sources(&error),
                hint: error.hint().map(Into::into),
            },
            Err(message) => RunError::NodePanicked { node: id, type_name, message },
        };
        let message = match &error {
            RunError::NodeFailed { message, .. } => message.clone(),
            other => other.to_string(),
        };
        self.tell(Event::Failed { node, took, message });
        Done::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Arc, Barrier};

    use dc_graph_node_api::Outputs;

    use super::super::testing::{Build, Setup, add, binary, binary_spec, link, literal, number};
    use super::*;
    use crate::graph::Binding;
    use crate::testing::TestNode;

    #[test]
    fn independent_branches_overlap() {
        // Neither node gets past the barrier before the other one is there.
        let barrier = Arc::new(Barrier::new(2));
        let meet = binary("Meet", move |a, _, _| {
            barrier.wait();
            Ok(a)
        });
        let mut build = Build::new();
        let a = build.node("a", meet.clone(), vec![literal(1.0), Binding::Absent]);
        let b = build.node("b", meet, vec![literal(2.0), Binding::Absent]);
        let sum = build.node("sum", add(), vec![link(a), link(b)]);
        build.output("sum", sum);
        let (result, _) = Setup { threads: 2, ..Setup::default() }.run(&build.0);
        assert_eq!(number(&result.unwrap(), "sum"), 3.0);
    }

    #[test]
    fn a_device_node_runs_beside_a_host_node_even_with_one_thread() {
        let barrier = Arc::new(Barrier::new(2));
        let meet = |spec| {
            let barrier = barrier.clone();
            let run = move |_: &dc_graph_node_api::Inputs, _: &dyn dc_graph_node_api::RunContext| {
                barrier.wait();
                Ok(Outputs::one("out", 1.0))
            };
            Arc::new(TestNode::new(spec, run))
        };
        let mut build = Build::new();
        let a = build.node("a", meet(binary_spec("Host")), vec![Binding::Absent, Binding::Absent]);
        let b = build.node("b", meet(binary_spec("Device").on_device()), vec![Binding::Absent, Binding::Absent]);
        let sum = build.node("sum", add(), vec![link(a), link(b)]);
        build.output("sum", sum);
        let (result, _) = Setup { threads: 1, ..Setup::default() }.run(&build.0);
        assert_eq!(number(&result.unwrap(), "sum"), 2.0);
    }

    #[test]
    fn one_device_node_at_a_time_on_one_thread() {
        let running = Arc::new(AtomicUsize::new(0));
        let threads = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (inside, seen) = (running.clone(), threads.clone());
        let device: Arc<dyn dc_graph_node_api::Node> =
            Arc::new(TestNode::new(binary_spec("Device").on_device(), move |i, _| {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "another device node runs");
                seen.lock().unwrap().push(std::thread::current().id());
                std::thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok(Outputs::one("out", i.number("a")?))
            }));
        let mut build = Build::new();
        let mut ends = Vec::new();
        for n in 0..50 {
            let a = build.node(&format!("a{n}"), device.clone(), vec![literal(f64::from(n)), Binding::Absent]);
            let b = build.node(&format!("b{n}"), add(), vec![link(a), literal(0.5)]);
            let c = build.node(&format!("c{n}"), device.clone(), vec![link(b), Binding::Absent]);
            build.output(&format!("c{n}"), c);
            ends.push(format!("c{n}"));
        }
        let (result, _) = Setup::default().run(&build.0);
        let report = result.unwrap();
        for (n, end) in ends.iter().enumerate() {
            assert_eq!(number(&report, end), n as f64 + 0.5);
        }
        let threads = threads.lock().unwrap();
        assert_eq!(threads.len(), 100);
        assert!(threads.iter().all(|id| *id == threads[0]), "the device's lane changed its thread");
    }

    #[test]
    fn one_thread_runs_in_plan_order() {
        let mut build = Build::new();
        let mut last = Vec::new();
        for chain in 0..3 {
            let mut node = build.node(&format!("{chain}-0"), add(), vec![literal(f64::from(chain)), Binding::Absent]);
            for i in 1..4 {
                node = build.node(&format!("{chain}-{i}"), add(), vec![link(node), literal(1.0)]);
            }
            last.push(node);
        }
        let both = build.node("both", add(), vec![link(last[2]), link(last[0])]);
        build.output("both", both);
        build.output("middle", last[1]);
        let (result, heard) = Setup { threads: 1, ..Setup::default() }.run(&build.0);
        let report = result.unwrap();
        let order: Vec<_> = report.nodes.iter().map(|timing| timing.node.to_string()).collect();
        let expected: Vec<_> = build.0.nodes.node_weights().map(|node| node.id.clone()).collect();
        assert_eq!(order, expected);
        let expected_events: Vec<_> = std::iter::once("run of 13".to_owned())
            .chain(expected.iter().flat_map(|id| [format!("started {id}"), format!("finished {id}")]))
            .collect();
        assert_eq!(heard, expected_events);
        assert_eq!((number(&report, "both"), number(&report, "middle")), (8.0, 4.0));
    }

    #[test]
    fn a_chain_of_100_000_runs() {
        let mut build = Build::new();
        let mut node = build.node("0", add(), vec![literal(0.0), Binding::Absent]);
        let (step, one) = (add(), literal(1.0));
        for i in 1..100_000 {
            node = build.node(&i.to_string(), step.clone(), vec![link(node), one.clone()]);
        }
        build.output("end", node);
        let (result, _) = Setup::default().run(&build.0);
        assert_eq!(number(&result.unwrap(), "end"), 99_999.0);
    }

    #[test]
    fn fans_out_to_10_000_and_back() {
        let sum = TestNode::new(
            dc_graph_node_api::NodeSpec::new("Sum", "test", "A sum.")
                .input(dc_graph_node_api::InputSpec::required(
                    "all",
                    dc_graph_node_api::PortType::Number.list(),
                    "Numbers.",
                ))
                .output("out", dc_graph_node_api::PortType::Number, "Their sum."),
            |i, _| {
                let number = |v: &Value| if let Value::Number(n) = v { *n } else { f64::NAN };
                Ok(Outputs::one("out", i.list("all")?.iter().map(number).sum::<f64>()))
            },
        );
        let mut build = Build::new();
        let root = build.node("root", add(), vec![literal(1.0), Binding::Absent]);
        let step = add();
        let branches: Vec<_> = (0..10_000)
            .map(|n| link(build.node(&format!("b{n}"), step.clone(), vec![link(root), literal(f64::from(n))])))
            .collect();
        let sum = build.node("sum", Arc::new(sum), vec![Binding::List(branches)]);
        build.output("sum", sum);
        for threads in [1, 4] {
            let (result, heard) = Setup { threads, ..Setup::default() }.run(&build.0);
            assert_eq!(number(&result.unwrap(), "sum"), 10_000.0 + 9_999.0 * 5_000.0);
            assert_eq!(heard.len(), 1 + 2 * 10_002);
        }
    }
}
