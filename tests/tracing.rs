//! `run --trace` and `--timings`.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::program::{Place, repository};

/// Runs `text_to_image.json` with few steps.
fn run(place: &Place, extra: &[&str]) -> crate::program::Outcome {
    let graph = repository().join("graphs/text_to_image.json");
    let mut args = vec!["run", graph.to_str().unwrap(), "--device", "cpu", "--set", "num_inference_steps=3"];
    args.extend(["--set", "num_images=1", "--progress", "none"]);
    args.extend(extra);
    place.run(&args).expect(0)
}

#[test]
fn a_trace_tells_nodes_steps_and_memory() {
    let place = Place::new();
    let outcome = run(&place, &["--trace", "traces/run.json", "--timings", "--format", "json"]);
    let trace: Value = serde_json::from_str(&fs::read_to_string(place.path("traces/run.json")).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |category: &str| -> Vec<&Value> { events.iter().filter(|event| event["cat"] == category).collect() };
    let summary = outcome.json();
    let ran: Vec<&Value> = summary["nodes"].as_array().unwrap().iter().filter(|n| n["cached"] == false).collect();
    let nodes: BTreeMap<&str, &Value> = of("node").into_iter().map(|e| (e["name"].as_str().unwrap(), e)).collect();
    assert_eq!(nodes.len(), ran.len(), "one span for each node that ran");
    for node in ran {
        let span = nodes[node["node"].as_str().unwrap()];
        assert_eq!(span["args"]["type"], node["type"]);
        // A span lasts from `started` to `finished`, which holds the node's own time.
        let (span, own) = (span["dur"].as_f64().unwrap() / 1e6, node["seconds"].as_f64().unwrap());
        assert!(span >= own * 0.999, "{span} s for a node of {own} s");
    }
    // Steps lie inside the span of their node, one after the other.
    let sampler = nodes.values().find(|span| span["args"]["type"] == "Sample").unwrap();
    let end = |e: &Value| e["ts"].as_f64().unwrap() + e["dur"].as_f64().unwrap();
    let inside = |e: &&&Value| {
        e["tid"] == sampler["tid"] && e["ts"].as_f64() >= sampler["ts"].as_f64() && end(e) <= end(sampler)
    };
    let steps = of("step");
    let steps: Vec<_> = steps.iter().filter(inside).collect();
    assert_eq!(steps.len(), 3);
    assert!(steps.windows(2).all(|pair| (end(pair[0]) - pair[1]["ts"].as_f64().unwrap()).abs() < 1e-3));
    // Spans of one row do not overlap.
    for one in nodes.values() {
        for other in nodes.values().filter(|other| other["tid"] == one["tid"] && other["name"] != one["name"]) {
            assert!(end(one) <= other["ts"].as_f64().unwrap() || end(other) <= one["ts"].as_f64().unwrap());
        }
    }
    if cfg!(target_os = "linux") {
        assert!(events.iter().any(|e| e["name"] == "memory" && e["args"]["resident bytes"].as_u64() > Some(1 << 20)));
    }
    let timings = summary["timings"].as_array().unwrap();
    let seconds: Vec<f64> = timings.iter().map(|timing| timing["seconds"].as_f64().unwrap()).collect();
    assert!(seconds.is_sorted_by(|a, b| a >= b), "{seconds:?}");
    assert_eq!(timings.iter().find(|timing| timing["type"] == "Sample").unwrap()["steps"], 3);
}

#[test]
fn timings_are_a_table() {
    let told = run(&Place::new(), &["--timings"]).stdout;
    let table = told.split_once("timings\n").unwrap().1;
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["node", "type", "seconds", "share", "steps", "s/step", "memory"]);
    assert!(table.lines().any(|line| line.contains(" Sample ") && line.contains(" % ")), "{table}");
    assert!(!told.contains("\nseconds\n"), "{told}");
}
