//! Plugins that mean no good, in one process with honest work: each is contained and told about, and nothing else suffers.

mod cases;
mod fuzz;
mod hooks;
mod reach;
mod together;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use dc_graph::api::Value;
use dc_graph::exec::{CancelToken, Digests, Event, RunOptions, execute, plan};
use dc_graph::graph::{Document, Settings, validate};
use dc_graph::plugin::{Grant, Grants, PluginHost, PluginSettings};
use dc_graph::registry::Registry;

use crate::plugins::guest::{self, Guest, folder};

/// What hostile plugins get: little, so that the tests are quick.
const LIMITS: &str = "---\n[limits]\nseconds = 1\nmemory-mib = 64\nbuffers-mib = 16\ntransfer-mib = 8\nlog-kib = 4";
const ID: &str = "evil";

/// What came of a plugin.
#[derive(Debug)]
enum Fate {
    /// It was not loaded.
    Refused(String),
    /// Its node failed.
    Failed(String),
    /// It was cancelled.
    Cancelled,
    /// Its node gave this on `out`; and what it said.
    Done(Value, Vec<String>),
}

/// A sandbox in which `digest` was granted something.
fn sandbox(granted: Option<(&[u8], Grant)>) -> PluginHost {
    let mut grants = Grants::default();
    if let Some((component, grant)) = granted {
        grants.set(&blake3::hash(component).to_hex(), grant);
    }
    PluginHost::new(PluginSettings { grants, ..PluginSettings::default() }).unwrap()
}

/// Loads the plugin in a folder and runs its node in a graph of its own.
fn fate(host: &PluginHost, plugin: &Path, node: &str, cancel: &CancelToken) -> Fate {
    let mut registry = Registry::default();
    let (_, problems) = host.add_all(&[plugin.to_owned()], &mut registry);
    if let Some(problem) = problems.first() {
        return Fate::Refused(problem.to_string());
    }
    run(&registry, node, cancel)
}

/// Runs a graph of one node.
fn run(registry: &Registry, node: &str, cancel: &CancelToken) -> Fate {
    let text = format!(
        r#"{{"version": 1, "name": "test", "nodes": {{"n": {{"type": "{node}"}}}}, "outputs": {{"out": "n.out"}}}}"#
    );
    let here = PathBuf::from("/");
    let settings = Settings { folder: here.clone(), current: here.clone(), ..Settings::default() };
    let document = Document::parse(&text).unwrap();
    let (graph, _) = match validate(&document, registry, &settings) {
        Ok(graph) => graph,
        Err(problems) => return Fate::Refused(format!("{problems:?}")),
    };
    let digests = Digests::default();
    let plan = plan(&graph, &digests).unwrap();
    let said = Mutex::new(Vec::new());
    let listen = |event: Event| {
        if let Event::Log { message, .. } = event {
            said.lock().unwrap().push(message);
        }
    };
    match execute(&graph, &plan, &RunOptions::new(&here, &here, &digests), cancel, &listen) {
        Ok(report) => Fate::Done(report.outputs[0].1.clone(), said.into_inner().unwrap()),
        Err(dc_graph::exec::RunError::Cancelled) => Fate::Cancelled,
        Err(error) => Fate::Failed(error.to_string()),
    }
}

/// An honest plugin: what still works beside the others.
fn honest() -> Guest {
    Guest::new("Honest").gives("out", "core:integer", guest::Out::Integer(7))
}

/// Writes a guest as a plugin and gives its folder.
fn write(root: &Path, guest: &Guest) -> PathBuf {
    folder(root, ID, &guest.node, &guest.component(), LIMITS)
}
