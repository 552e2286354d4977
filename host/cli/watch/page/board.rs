//! What the page shows, kept up by the same events that everybody hears.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dc_graph::api::Image;
use dc_graph::exec::{Event, Plan};
use dc_graph::graph::{Binding, Graph};
use serde_json::{Value, json};

use super::history::{History, Picture};
use crate::cli::progress::json as event_json;
use crate::cli::values;

/// A listener that is so many events behind has to begin anew.
const MAX_BEHIND: usize = 4096;
/// The longest text of a value that is shown.
const MAX_TEXT: usize = 400;

/// What the page shows. Used from any thread.
#[derive(Default)]
pub(in crate::cli::watch) struct Board {
    state: Mutex<State>,
    listeners: Mutex<Vec<SyncSender<Arc<str>>>>,
}

#[derive(Default)]
struct State {
    name: String,
    file: String,
    asks: bool,
    run: u64,
    phase: &'static str,
    nodes: Vec<Node>,
    index: HashMap<Arc<str>, usize>,
    links: Vec<[usize; 2]>,
    inputs: Vec<(String, String)>,
    problems: Vec<Value>,
    changed: Vec<Value>,
    history: History,
}

struct Node {
    id: Arc<str>,
    type_name: String,
    inputs: Vec<(String, String)>,
    state: &'static str,
    step: u64,
    total: u64,
    seconds: f64,
    message: String,
    preview: Option<(u64, Arc<Image>)>,
}

impl Board {
    /// Of a graph's file, whose changes are asked about or not.
    pub(in crate::cli::watch) fn new(file: String, asks: bool) -> Self {
        let board = Self::default();
        {
            let mut state = board.lock();
            (state.file, state.asks, state.phase) = (file, asks, "loading");
        }
        board
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this graph is shown.
    pub(in crate::cli::watch) fn graph(&self, graph: &Graph, plan: &Plan) {
        // What stands for each element of a list is not shown beside the elements.
        let shows = |index| plan.position(index).is_some() || !graph.nodes[index].id.contains("[]");
        let indices: Vec<_> = graph.nodes.node_indices().filter(|index| shows(*index)).collect();
        let nodes: Vec<Node> = indices
            .iter()
            .map(|&index| {
                let node = &graph.nodes[index];
                let spec = node.node.spec();
                let given = spec.inputs.iter().zip(&node.bindings);
                let given = given.filter(|(_, binding)| !matches!(binding, Binding::Absent));
                Node {
                    id: node.id.as_str().into(),
                    type_name: spec.type_name.clone(),
                    inputs: given.map(|(input, binding)| (input.name.clone(), shown(graph, binding))).collect(),
                    state: if plan.position(index).is_some() { "pending" } else { "unused" },
                    step: 0,
                    total: 0,
                    seconds: 0.0,
                    message: String::new(),
                    preview: None,
                }
            })
            .collect();
        let place = |index| indices.binary_search(&index).ok();
        let edges = graph.nodes.raw_edges().iter();
        let mut links: Vec<_> = edges.filter_map(|edge| Some([place(edge.source())?, place(edge.target())?])).collect();
        links.sort_unstable();
        links.dedup();
        let mut state = self.lock();
        state.index = nodes.iter().enumerate().map(|(index, node)| (node.id.clone(), index)).collect();
        (state.nodes, state.links, state.name) = (nodes, links, graph.name.clone());
        state.inputs = graph.inputs.iter().map(|(name, value)| (name.clone(), short(values::to_text(value)))).collect();
        state.problems.clear();
        drop(state);
        self.tell(&json!({ "event": "graph" }));
    }

    /// An event of a run.
    pub(in crate::cli::watch) fn event(&self, event: &Event) {
        let mut state = self.lock();
        let told = event_json::event(event);
        match event {
            Event::Started { node, .. } => state.set(node, |node| node.state = "running"),
            Event::Progress { node, step, total } => {
                state.set(node, |node| (node.step, node.total) = (*step, *total));
            }
            Event::Preview { node, image } => state.set(node, |node| {
                let version = node.preview.as_ref().map_or(1, |(version, _)| version + 1);
                node.preview = Some((version, image.clone()));
            }),
            Event::Cached { node } => state.set(node, |node| node.state = "known"),
            Event::Finished { node, took } => {
                state.set(node, |node| (node.state, node.seconds) = ("done", took.as_secs_f64()));
            }
            Event::Failed { node, message, .. } => {
                state.set(node, |node| (node.state, node.message) = ("failed", message.clone()));
            }
            _ => {}
        }
        drop(state);
        self.tell(&told);
    }

    /// What the sitting says itself.
    pub(in crate::cli::watch) fn note(&self, kind: &str, text: &str, fields: &Value) {
        let mut state = self.lock();
        match kind {
            "run" => {
                state.run = fields["run"].as_u64().unwrap_or_default();
                state.phase = "running";
                state.problems.clear();
                state.changed.clear();
            }
            "problems" | "error" | "warning" => {
                let severity = if kind == "warning" { "warning" } else { "error" };
                match fields["diagnostics"].as_array().filter(|problems| !problems.is_empty()) {
                    Some(problems) => state.problems.extend(problems.iter().cloned()),
                    None => state.problems.push(json!({ "severity": severity, "message": text })),
                }
            }
            "changed" => state.changed = fields["files"].as_array().cloned().unwrap_or_default(),
            "unchanged" => state.changed.clear(),
            "obsolete" => state.phase = "stopping",
            "waiting" => state.phase = "waiting",
            "ended" => {
                state.phase = "ended";
                let left = if fields["status"] == "done" { "unused" } else { "stopped" };
                for node in state.nodes.iter_mut().filter(|node| matches!(node.state, "running" | "pending")) {
                    node.state = left;
                }
            }
            _ => {}
        }
        drop(state);
        let mut told = json!({ "event": kind, "message": text });
        if let (Some(told), Some(fields)) = (told.as_object_mut(), fields.as_object()) {
            told.extend(fields.clone());
        }
        self.tell(&told);
    }

    /// A run is over: what it was and gave, as an object, and its pictures.
    pub(in crate::cli::watch) fn remember(&self, run: Value, pictures: Vec<Picture>) {
        self.lock().history.add(run, pictures);
        self.tell(&json!({ "event": "history" }));
    }

    /// Everything, for who has just come.
    pub(super) fn as_json(&self) -> Value {
        let state = self.lock();
        let nodes: Vec<_> = state.nodes.iter().map(Node::as_json).collect();
        json!({
            "name": state.name,
            "file": state.file,
            "asks": state.asks,
            "run": state.run,
            "phase": state.phase,
            "nodes": nodes,
            "links": state.links,
            "inputs": state.inputs,
            "problems": state.problems,
            "changed": state.changed,
            "history": state.history.as_json(),
        })
    }

    /// The latest intermediate picture of a node.
    pub(super) fn preview(&self, node: &str) -> Option<Arc<Image>> {
        let state = self.lock();
        let index = *state.index.get(node)?;
        state.nodes[index].preview.as_ref().map(|(_, image)| image.clone())
    }

    /// A picture that a run gave.
    pub(super) fn picture(&self, id: u64) -> Option<Picture> {
        self.lock().history.picture(id)
    }

    /// Hears every event from now on, as JSON.
    pub(super) fn listen(&self) -> Receiver<Arc<str>> {
        let (send, events) = sync_channel(MAX_BEHIND);
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(send);
        events
    }

    fn tell(&self, event: &Value) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.is_empty() {
            return;
        }
        let text: Arc<str> = event.to_string().into();
        listeners.retain(|listener| match listener.try_send(text.clone()) {
            Ok(()) => true,
            // Its connection ends, and the browser comes back for everything.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        });
    }
}

impl State {
    fn set(&mut self, node: &str, change: impl FnOnce(&mut Node)) {
        if let Some(index) = self.index.get(node) {
            return change(&mut self.nodes[*index]);
        }
        // Of a list that only the run told: what stands for each element shows the latest.
        let each = for_each(node);
        let Some(index) = self.index.get(&*each) else { return };
        change(&mut self.nodes[*index]);
        for (end, _) in each.match_indices("[]") {
            if let Some(index) = self.index.get(&each[..end + 2]) {
                self.nodes[*index].state = "done";
            }
        }
    }
}

/// The name of a node of an element of a list without the element's number: `a[]/b` for `a[7]/b`.
fn for_each(node: &str) -> String {
    let mut parts = node.split('[');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        name.push('[');
        name += part.trim_start_matches(|character: char| character.is_ascii_digit());
    }
    name
}

impl Node {
    fn as_json(&self) -> Value {
        json!({
            "id": *self.id,
            "type": self.type_name,
            "inputs": self.inputs,
            "state": self.state,
            "step": self.step,
            "total": self.total,
            "seconds": self.seconds,
            "message": self.message,
            "preview": self.preview.as_ref().map_or(0, |(version, _)| *version),
        })
    }
}

/// What an input gets, for people.
fn shown(graph: &Graph, binding: &Binding) -> String {
    match binding {
        Binding::Absent => String::new(),
        Binding::Value(value) => short(values::to_text(value)),
        Binding::Link(port) => {
            let node = &graph.nodes[port.node];
            let output = node.node.spec().outputs.get(port.output).map_or("", |output| &output.name);
            format!("← {}.{output}", node.id)
        }
        Binding::List(elements) => {
            short(elements.iter().map(|element| shown(graph, element)).collect::<Vec<_>>().join(", "))
        }
    }
}

fn short(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_shown_by_what_stands_for_each() {
        for (node, each) in [("a", "a"), ("a[7]/b", "a[]/b"), ("a[12]/b[0]/c1", "a[]/b[]/c1")] {
            assert_eq!(for_each(node), each);
        }
    }

    #[test]
    fn who_does_not_listen_is_left_behind() {
        let board = Board::new("a.json".into(), false);
        let (slow, gone) = (board.listen(), board.listen());
        drop(gone);
        for n in 0..MAX_BEHIND + 5 {
            board.note("unchanged", "", &json!({ "n": n }));
        }
        assert!(board.listeners.lock().unwrap().is_empty());
        let heard: Vec<_> = slow.iter().collect();
        assert_eq!(heard.len(), MAX_BEHIND, "then the connection ends");
        assert_eq!(&*heard[1], r#"{"event":"unchanged","message":"","n":1}"#);
    }

    #[test]
    fn problems_are_those_of_the_latest_run() {
        let board = Board::new("a.json".into(), true);
        board.note("run", "", &json!({ "run": 1 }));
        board.note("problems", "two", &json!({ "diagnostics": [{ "message": "a" }, { "message": "b" }] }));
        board.note("error", "error: c", &json!({}));
        let messages = || -> Vec<String> {
            let problems = board.as_json()["problems"].clone();
            problems.as_array().unwrap().iter().map(|p| p["message"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(messages(), ["a", "b", "error: c"]);
        board.note("run", "", &json!({ "run": 2 }));
        assert_eq!(messages(), [""; 0]);
        assert_eq!(board.as_json()["phase"], "running");
    }
}
