//! What happened when in a run: as a trace for `chrome://tracing` and Perfetto, and as a table of the nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dc_graph::exec::Event;
use serde_json::{Value, json};

/// Listens to runs and keeps what a trace needs.
pub(crate) struct Recorder {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: HashMap<Name, Running>,
    rows: BTreeSet<usize>,
    spans: Vec<Span>,
    moments: Vec<(Duration, Name, String)>,
    memory: Vec<(Duration, u64)>,
}

/// Which run of several, and which node.
type Name = (Arc<str>, Arc<str>);

struct Running {
    type_name: Arc<str>,
    row: usize,
    began: Duration,
    /// When each step ended.
    steps: Vec<Duration>,
    most_memory: u64,
}

struct Span {
    name: Name,
    running: Running,
    ended: Duration,
    failed: Option<String>,
}

impl Recorder {
    /// Time counts from here.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), state: Mutex::default() }
    }

    /// Takes an event down. `run` tells several runs apart; empty when there is one.
    pub(crate) fn record(&self, run: &Arc<str>, event: &Event) {
        let memory = resident_bytes();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken under the lock, so that times only grow.
        let now = self.began.elapsed();
        if let Some(memory) = memory {
            state.memory.push((now, memory));
            state.running.values_mut().for_each(|node| node.most_memory = node.most_memory.max(memory));
        }
        let name = |node: &Arc<str>| (run.clone(), node.clone());
        match event {
            Event::Started { node, type_name } => {
                let row = (0..).find(|row| !state.rows.contains(row)).unwrap_or_default();
                state.rows.insert(row);
                let most_memory = memory.unwrap_or(0);
                let running = Running { type_name: type_name.clone(), row, began: now, steps: Vec::new(), most_memory };
                state.running.insert(name(node), running);
            }
            Event::Progress { node, step, .. } if *step > 0 => {
                if let Some(running) = state.running.get_mut(&name(node)) {
                    running.steps.push(now);
                }
            }
            Event::Finished { node, .. } => state.end(name(node), now, None),
            Event::Failed { node, message, .. } => state.end(name(node), now, Some(message.clone())),
            Event::Cached { node } => state.moments.push((now, name(node), "known already".into())),
            Event::Wrote { node, path } => state.moments.push((now, name(node), format!("wrote {}", path.display()))),
            _ => {}
        }
    }

    /// The trace in Chrome's format (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>):
    /// a row for each node that runs beside others, its steps below it, and the memory of the process.
    pub(crate) fn chrome(&self) -> Value {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let mut events = vec![json!({ "ph": "M", "name": "process_name", "pid": 1, "args": { "name": "dc-graph" } })];
        for row in state.spans.iter().map(|span| span.running.row).collect::<BTreeSet<_>>() {
            let name = format!("lane {}", row + 1);
            events.push(json!({ "ph": "M", "name": "thread_name", "pid": 1, "tid": row, "args": { "name": name } }));
        }
        for span in &state.spans {
            let Running { type_name, row, began, steps, most_memory } = &span.running;
            let mut args = json!({ "type": **type_name, "steps": steps.len(), "most_memory_bytes": most_memory });
            if let Some(message) = &span.failed {
                args["error"] = json!(message);
            }
            let took = micros(span.ended) - micros(*began);
            events.push(json!({
                "ph": "X", "name": shown(&span.name), "cat": "node", "pid": 1, "tid": row, "ts": micros(*began), "dur": took, "args": args,
            }));
            let mut before = *began;
            for (index, step) in steps.iter().enumerate() {
                let took = micros(*step) - micros(before);
                let name = format!("step {}", index + 1);
                events.push(json!({
                    "ph": "X", "name": name, "cat": "step", "pid": 1, "tid": row, "ts": micros(before), "dur": took,
                }));
                before = *step;
            }
        }
        for (at, name, what) in &state.moments {
            let name = format!("{}: {what}", shown(name));
            events.push(
                json!({ "ph": "i", "s": "p", "name": name, "cat": "moment", "pid": 1, "tid": 0, "ts": micros(*at) }),
            );
        }
        for (at, bytes) in &state.memory {
            let args = json!({ "resident bytes": bytes });
            events.push(json!({ "ph": "C", "name": "memory", "pid": 1, "ts": micros(*at), "args": args }));
        }
        json!({ "displayTimeUnit": "ms", "traceEvents": events })
    }

    /// The nodes that ran, those first that took longest, as data.
    pub(crate) fn timings(&self) -> Vec<Timing> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_name: BTreeMap<&Name, Timing> = BTreeMap::new();
        for span in &state.spans {
            let seconds = (span.ended - span.running.began).as_secs_f64();
            let timing = by_name.entry(&span.name).or_insert_with(|| Timing {
                node: shown(&span.name),
                type_name: span.running.type_name.to_string(),
                seconds: 0.0,
                steps: 0,
                most_memory_bytes: 0,
            });
            timing.seconds += seconds;
            timing.steps += span.running.steps.len();
            timing.most_memory_bytes = timing.most_memory_bytes.max(span.running.most_memory);
        }
        let mut all: Vec<_> = by_name.into_values().collect();
        all.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        all
    }
}

impl State {
    fn end(&mut self, name: Name, ended: Duration, failed: Option<String>) {
        if let Some(running) = self.running.remove(&name) {
            self.rows.remove(&running.row);
            self.spans.push(Span { name, running, ended, failed });
        }
    }
}

/// What a node cost.
#[derive(serde::Serialize)]
pub(crate) struct Timing {
    node: String,
    #[serde(rename = "type")]
    type_name: String,
    seconds: f64,
    steps: usize,
    /// The most memory the whole process was seen to hold while the node ran; 0 where the system does not tell.
    most_memory_bytes: u64,
}

/// The timings as a table.
pub(crate) fn table(timings: &[Timing]) -> String {
    let sum: f64 = timings.iter().map(|timing| timing.seconds).sum();
    let header = ["node", "type", "seconds", "share", "steps", "s/step", "memory"].map(str::to_owned);
    let rows = timings.iter().map(|timing| {
        let steps = timing.steps;
        [
            timing.node.clone(),
            timing.type_name.clone(),
            format!("{:.3}", timing.seconds),
            format!("{:.1} %", 100.0 * timing.seconds / sum.max(f64::MIN_POSITIVE)),
            if steps > 0 { steps.to_string() } else { String::new() },
            if steps > 0 { format!("{:.3}", timing.seconds / steps as f64) } else { String::new() },
            if timing.most_memory_bytes > 0 {
                format!("{:.0} MiB", timing.most_memory_bytes as f64 / f64::from(1 << 20))
            } else {
                String::new()
            },
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(header).chain(rows).collect();
    let widths: Vec<usize> =
        (0..7).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if column < 2 { write!(line, "{cell:width$}  ") } else { write!(line, "{cell:>width$}  ") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn shown((run, node): &Name) -> String {
    if run.is_empty() { node.to_string() } else { format!("{run}: {node}") }
}

/// The memory that the process holds, where the system tells.
fn resident_bytes() -> Option<u64> {
    const PAGE: u64 = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * PAGE)
}
