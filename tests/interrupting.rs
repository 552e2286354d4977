//! Stopping a run from outside.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;

use crate::plugins::guest::{Guest, folder};
use crate::program::{Place, repository};

/// A run that would take minutes.
fn start(place: &Place) -> (Child, BufReader<ChildStderr>) {
    let graph = repository().join("graphs/text_to_image.json");
    start_graph(place, &[graph.to_str().unwrap(), "--set", "num_inference_steps=900"])
}

fn start_graph(place: &Place, graph: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let args = [&["run"][..], graph, &["--device", "cpu", "--progress", "json", "--format", "json"]].concat();
    let mut child = place.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (child, stderr)
}

/// Reads events until one of this kind.
fn wait_for(stderr: &mut BufReader<ChildStderr>, event: &str) -> Value {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the program ended before `{event}`");
        let found: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        if found["event"] == event {
            return found;
        }
    }
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status().unwrap();
    assert!(sent.success());
}

fn check(signals: &[&str]) {
    let place = Place::new();
    place.write("output/picture-000.png", "an older picture");
    let (mut child, mut stderr) = start(&place);
    assert_eq!(wait_for(&mut stderr, "progress")["node"], "sampler");
    for signal in signals {
        send(signal, &child);
    }
    wait_for(&mut stderr, "interrupted");
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{stdout}");
    assert_eq!(place.files("output"), ["picture-000.png"]);
    assert_eq!(std::fs::read(place.path("output/picture-000.png")).unwrap(), b"an older picture");
    if signals.len() == 1 {
        let summary: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(summary["status"], "interrupted");
    }
}

#[test]
fn interrupts_and_requests_to_end_stop_the_run() {
    check(&["INT"]);
    check(&["TERM"]);
}

/// A plugin that never ends, and has an hour for it.
#[test]
fn a_stuck_plugin_is_interrupted() {
    let place = Place::new();
    let stuck = Guest::new("Stuck")
        .output("out", "core:number")
        .import("(import \"dc-graph:node/host@0.1.0\" \"progress\" (func $progress (param i32 i32)))")
        .run("(call $progress (i32.const 1) (i32.const 2)) (loop $for_ever (br $for_ever))");
    let limits = "---\n[limits]\nseconds = 3600";
    folder(&place.path("plugins"), "stuck", "Stuck", &stuck.component(), limits);
    let graph = r#"{"version": 1, "name": "stuck", "nodes": {"n": {"type": "Stuck"}}, "outputs": {"out": "n.out"}}"#;
    place.write("graph.json", graph);
    let (mut child, mut stderr) = start_graph(&place, &["graph.json"]);
    assert_eq!(wait_for(&mut stderr, "progress")["node"], "n");
    send("INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_second_interrupt_stops_at_once() {
    let place = Place::new();
    let (mut child, mut stderr) = start(&place);
    wait_for(&mut stderr, "progress");
    send("INT", &child);
    wait_for(&mut stderr, "interrupted");
    // Whether the run or the second signal ends the process, the code is the same; the process may be gone already.
    let _ = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).stderr(Stdio::null()).status();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
