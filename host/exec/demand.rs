//! What is to be run: nodes are looked up when their inputs are known by content, and run when they are not found or when
//! somebody needs a value of theirs that nothing holds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dc_graph_node_api::{Lane, Value};

use super::run::Run;
use super::wiring::{Slot, source};
use super::{Digest, NodeTiming, Observed, RunError};
use crate::store::KeptOutput;

/// What a thread can do for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// Look it up in the store.
    LookUp,
    /// Run it.
    Run,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Nobody needs it, or its values are at hand from the start.
    Apart,
    /// Its inputs, or its place in the store, are not known yet.
    Open,
    /// The store knows it.
    Known {
        /// Its inputs have been let go: the store holds everything that somebody may want of it.
        let_go: bool,
    },
    /// It is to be run, or runs.
    Wanted,
    /// It has run.
    Done,
}

/// What the threads of a run share.
pub(super) struct State {
    /// What can be done, by lane; the first node of the plan first.
    pub(super) ready: [BinaryHeap<Reverse<(usize, Job)>>; 2],
    pub(super) status: Vec<Status>,
    /// For each open node, the number of links whose contents are not known.
    pub(super) unknown: Vec<u32>,
    /// For each wanted node, the number of links whose values are not at hand.
    pub(super) missing: Vec<u32>,
    /// For each node, those that wait for its values, once per link.
    pub(super) awaited_by: Vec<Vec<usize>>,
    pub(super) slots: Vec<Slot>,
    /// Nodes that are open or wanted.
    pub(super) left: usize,
    pub(super) error: Option<RunError>,
    pub(super) timings: Vec<NodeTiming>,
    pub(super) observed: Vec<(usize, Observed)>,
    /// Nodes that are known, but run if somebody needs what they give: nobody has been told of them yet.
    pub(super) untold: Vec<usize>,
    /// Threads of each lane, and how many of them wait for work.
    pub(super) threads: [usize; 2],
    pub(super) idle: [usize; 2],
}

/// An output that has become known.
pub(super) struct Known {
    /// Nothing when this run does not ask for contents.
    pub(super) digest: Option<Digest>,
    pub(super) kept: Option<KeptOutput>,
    pub(super) value: Option<Value>,
}

pub(super) fn index(lane: Lane) -> usize {
    match lane {
        Lane::Host => 0,
        Lane::Device => 1,
    }
}

impl State {
    fn push(&mut self, lane: Lane, place: usize, job: Job) {
        self.ready[index(lane)].push(Reverse((place, job)));
    }
}

impl Run<'_> {
    /// Readies what can be done at the beginning.
    pub(super) fn begin(&self, state: &mut State) {
        for place in 0..self.open.len() {
            if !self.open[place] {
                continue;
            }
            if self.options.store.is_none() {
                self.want(state, place);
            } else if state.unknown[place] == 0 {
                state.push(Lane::Host, place, Job::LookUp);
            }
        }
    }

    /// A node was found: its outputs are known, and held as far as `outputs` says.
    pub(super) fn found(&self, state: &mut State, place: usize, outputs: Vec<Known>) {
        let held = self.fill(state, place, outputs);
        if state.status[place] == Status::Wanted {
            // Another process was faster.
            state.status[place] = Status::Known { let_go: true };
            state.left -= 1;
            self.values_are_there(state, place);
            self.contents_are_known(state, place);
            return;
        }
        state.left -= 1;
        state.status[place] = Status::Known { let_go: false };
        self.contents_are_known(state, place);
        let shown = self.slots.all(place).any(|slot| self.shown[slot] && !state.slots[slot].is_held());
        if shown {
            self.want(state, place);
        } else if held {
            self.let_go(state, place);
        }
    }

    /// A node has run.
    pub(super) fn ran(&self, state: &mut State, place: usize, outputs: Vec<Known>) {
        self.fill(state, place, outputs);
        state.status[place] = Status::Done;
        state.left -= 1;
        self.values_are_there(state, place);
        self.contents_are_known(state, place);
    }

    /// A node is to be run, and all that has to be run for it.
    pub(super) fn want(&self, state: &mut State, place: usize) {
        let mut stack = vec![place];
        while let Some(place) = stack.pop() {
            match state.status[place] {
                Status::Wanted => continue,
                Status::Open => {}
                // Nobody reads what a node apart gives unless its values were at hand; and then they are.
                Status::Apart => continue,
                before @ (Status::Known { .. } | Status::Done) => {
                    state.left += 1;
                    if before != (Status::Known { let_go: false }) {
                        self.node(place)
                            .links()
                            .for_each(|port| state.slots[self.slots.of(self.plan, port)].readers += 1);
                    }
                }
            }
            state.status[place] = Status::Wanted;
            self.gather(state, place, &mut stack);
        }
    }

    /// Finds out which values a wanted node misses; their nodes go onto the stack.
    fn gather(&self, state: &mut State, place: usize, stack: &mut Vec<usize>) {
        state.missing[place] = 0;
        for port in self.node(place).links() {
            if state.slots[self.slots.of(self.plan, port)].is_held() {
                continue;
            }
            let from = source(self.plan, port);
            state.missing[place] += 1;
            state.awaited_by[from].push(place);
            stack.push(from);
        }
        if state.missing[place] == 0 {
            state.push(self.node(place).node.spec().lane, place, Job::Run);
        }
    }

    /// Values that the store was to hold are not there: their nodes run again before this one does.
    pub(super) fn lost(&self, state: &mut State, place: usize, slots: &[usize]) {
        slots.iter().for_each(|slot| state.slots[*slot].kept = None);
        let mut stack = Vec::new();
        self.gather(state, place, &mut stack);
        stack.into_iter().for_each(|from| self.want(state, from));
    }

    /// Notes what is known of a node's outputs. Whether everything that somebody may read is held.
    fn fill(&self, state: &mut State, place: usize, outputs: Vec<Known>) -> bool {
        let mut held = true;
        for (slot, known) in self.slots.all(place).zip(outputs) {
            let there = &mut state.slots[slot];
            there.digest = known.digest;
            there.kept = known.kept;
            there.value = known.value.filter(|_| there.readers > 0);
            held &= there.readers == 0 || there.is_held();
        }
        held
    }

    /// Tells those that wait for the contents of a node's outputs; once.
    fn contents_are_known(&self, state: &mut State, place: usize) {
        if self.options.store.is_none() || std::mem::replace(&mut state.unknown[place], u32::MAX) == u32::MAX {
            return;
        }
        for reader in self.readers.of(place) {
            state.unknown[*reader] -= 1;
            if state.unknown[*reader] == 0 {
                state.push(Lane::Host, *reader, Job::LookUp);
            }
        }
    }

    /// Tells those that wait for a node's values.
    fn values_are_there(&self, state: &mut State, place: usize) {
        for reader in std::mem::take(&mut state.awaited_by[place]) {
            state.missing[reader] -= 1;
            if state.missing[reader] == 0 {
                state.push(self.node(reader).node.spec().lane, reader, Job::Run);
            }
        }
    }

    /// A known node will not run: what it would have read may go, and so on to nodes that were known only for it.
    fn let_go(&self, state: &mut State, place: usize) {
        let mut stack = vec![place];
        while let Some(place) = stack.pop() {
            if state.status[place] != (Status::Known { let_go: false }) {
                continue;
            }
            state.status[place] = Status::Known { let_go: true };
            for port in self.node(place).links() {
                state.slots[self.slots.of(self.plan, port)].release();
                let from = source(self.plan, port);
                if self.slots.all(from).all(|slot| state.slots[slot].readers == 0) {
                    stack.push(from);
                }
            }
        }
    }
}
