//! Lines for logs and for terminals that cannot draw.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use dc_graph::api::LogLevel;
use dc_graph::exec::Event;

use crate::cli::streams;

/// A node's progress is told this many times.
const PARTS: u64 = 10;

/// Shows a run as lines.
#[derive(Default)]
pub(crate) struct Plain(Mutex<State>);

#[derive(Default)]
struct State {
    nodes: usize,
    done: usize,
    running: HashMap<Arc<str>, Instant>,
}

impl Plain {
    /// Shows an event.
    pub(super) fn event(&self, event: &Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = state.line(event, Instant::now()) {
            streams::talk(&line);
        }
    }
}

impl State {
    fn line(&mut self, event: &Event, now: Instant) -> Option<String> {
        match event {
            Event::RunStarted { nodes } => {
                self.nodes = *nodes;
                self.done = 0;
                None
            }
            Event::RunGrew { nodes } => {
                self.nodes = *nodes;
                None
            }
            Event::Started { node, type_name } => {
                self.running.insert(node.clone(), now);
                Some(format!("{node} ({type_name})"))
            }
            Event::Progress { node, step, total } => {
                let part = |step: u64| step.saturating_mul(PARTS) / (*total).max(1);
                if *step == 0 || *total <= 1 || part(*step) == part(step - 1) {
                    return None;
                }
                let seconds = now.duration_since(*self.running.get(node)?).as_secs_f64();
                let per_second = *step as f64 / seconds.max(1e-9);
                let left = total.saturating_sub(*step) as f64 / per_second;
                Some(format!("{node}: {step}/{total}, {per_second:.2} steps/s, {left:.0} s left"))
            }
            Event::Preview { .. } | Event::Reads { .. } => None,
            Event::Log { node, level: LogLevel::Info, message } => Some(format!("{node}: {message}")),
            Event::Log { node, level: LogLevel::Warning, message } => Some(format!("warning: `{node}`: {message}")),
            Event::Wrote { node, path } => Some(format!("{node}: wrote {}", path.display())),
            Event::Kept { node, path } => Some(format!("{node}: {} is still there", path.display())),
            Event::Cached { node } => self.done(node, "known already"),
            Event::Finished { node, took } => self.done(node, &format!("done in {:.2} s", took.as_secs_f64())),
            Event::Failed { node, took, .. } => Some(format!("{node}: failed after {:.2} s", took.as_secs_f64())),
        }
    }

    fn done(&mut self, node: &str, how: &str) -> Option<String> {
        self.running.remove(node);
        self.done += 1;
        Some(format!("{node}: {how} [{}/{}]", self.done, self.nodes))
    }
}
