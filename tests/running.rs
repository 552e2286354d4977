//! Running small graphs: summaries, events, files, failures.

use std::fs;

use serde_json::{Value, json};

use crate::program::{Place, repository};

/// Loads a picture, turns it into its negative and saves it.
const NEGATIVE: &str = r#"{
  "version": 1,
  "name": "negative",
  "inputs": {
    "picture": { "type": "path", "default": "reference.png" },
    "width": { "type": "integer", "default": 40, "minimum": 1, "maximum": 100 }
  },
  "nodes": {
    "load": { "type": "Load Image", "inputs": { "path": { "input": "picture" } } },
    "small": { "type": "Resize", "inputs": { "image": { "from": "load.image" }, "width": { "input": "width" } } },
    "invert": { "type": "Invert", "inputs": { "image": { "from": "small.image" } } },
    "info": { "type": "Image Info", "inputs": { "image": { "from": "invert.image" } } },
    "save": { "type": "Save Image", "inputs": { "images": { "from": "invert.image" }, "path": "negative.png" } }
  },
  "outputs": { "width": "info.width", "picture": "invert.image" }
}"#;

fn place() -> Place {
    let place = Place::new();
    place.write("graphs/negative.json", NEGATIVE);
    place.write("graphs/reference.png", fs::read(repository().join("graphs/reference.png")).unwrap());
    place
}

#[test]
fn summary_as_text() {
    let place = place();
    let outcome = place.run(&["run", "graphs/negative.json"]).expect(0);
    for part in [
        "outputs\n",
        "width    40\n",
        "picture  image 40x40 RGB\n",
        "files\n  output/negative.png\n",
        "seconds\n",
        "invert (Invert)",
    ] {
        assert!(outcome.stdout.contains(part), "{part:?} is not in\n{}", outcome.stdout);
    }
    assert!(outcome.stderr.contains("invert: done in"), "{}", outcome.stderr);
    assert_eq!(place.files("output"), ["negative.png"]);
    let quiet = place.run(&["run", "graphs/negative.json", "--progress", "none"]).expect(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn summary_and_events_as_json() {
    let place = place();
    let args = [
        "run",
        "graphs/negative.json",
        "--format",
        "json",
        "--progress",
        "json",
        "--set",
        "width=20",
        "--output",
        "out",
    ];
    let outcome = place.run(&args).expect(0);
    let summary = outcome.json();
    assert_eq!(summary["status"], "done");
    assert_eq!(summary["outputs"]["width"], 20);
    assert_eq!(
        summary["outputs"]["picture"],
        json!({ "type": "core:image", "width": 20, "height": 20, "channels": 3 })
    );
    assert_eq!(summary["files"], json!(["out/negative.png"]));
    assert_eq!(summary["nodes"].as_array().unwrap().len(), 5);
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
    let events = outcome.events();
    assert_eq!(events[0], json!({ "event": "run_started", "nodes": 5 }));
    let of = |node: &str| -> Vec<&Value> { events.iter().filter(|e| e["node"] == node).map(|e| &e["event"]).collect() };
    assert_eq!(of("invert"), ["started", "finished"]);
    assert_eq!(of("save"), ["started", "wrote", "progress", "finished"]);
}

#[test]
fn two_runs_write_the_same_bytes() {
    let place = place();
    let run = |output: &str| {
        place.run(&["run", "graphs/negative.json", "--output", output]).expect(0);
        fs::read(place.path(output).join("negative.png")).unwrap()
    };
    assert!(run("a") == run("b"));
}

/// A picture carries the graph that made it; running that again gives the same picture.
#[test]
fn a_picture_gives_its_graph_back() {
    let place = place();
    place.run(&["run", "graphs/negative.json", "--set", "width=24"]).expect(0);
    let inspected = place.run(&["image", "inspect", "output/negative.png"]).expect(0);
    assert!(inspected.stdout.contains("input    width = 24\n"), "{}", inspected.stdout);
    let graph = place.run(&["image", "inspect", "output/negative.png", "--graph"]).expect(0).stdout;
    let document: Value = serde_json::from_str(&graph).unwrap();
    assert_eq!(document["inputs"]["width"]["default"], 24);
    // Its paths count from the document's folder, as before.
    place.write("graphs/again.json", &graph);
    place.run(&["run", "graphs/again.json", "--output", "again"]).expect(0);
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("output/negative.png") == read("again/negative.png"));
    let plain = place.run(&["image", "inspect", "graphs/reference.png"]).expect(1);
    assert!(plain.stderr.contains("reference.png"), "{}", plain.stderr);
}

#[test]
fn a_failing_node_fails_the_run() {
    let place = place();
    // Only decoding shows that the end is missing.
    let duck = fs::read(place.path("graphs/reference.png")).unwrap();
    place.write("graphs/reference.png", &duck[..1000]);
    let outcome = place.run(&["run", "graphs/negative.json", "--format", "json", "--progress", "none"]).expect(1);
    assert!(outcome.stderr.starts_with("error: `load` (Load Image): "), "{}", outcome.stderr);
    let summary = outcome.json();
    assert_eq!(summary["status"], "failed");
    assert!(outcome.stderr.contains(summary["message"].as_str().unwrap()));
    assert!(place.files("output").is_empty());
    let events = place.run(&["run", "graphs/negative.json", "--progress", "json"]).expect(1).events();
    assert!(events.iter().any(|e| e["event"] == "failed" && e["node"] == "load"), "{events:?}");
    assert_eq!(events.last().unwrap()["event"], "error");
}

#[test]
fn wrong_inputs_are_told_before_anything_runs() {
    let place = place();
    let check = |set: &str, part: &str| {
        let outcome = place.run(&["run", "graphs/negative.json", "--set", set]).expect(2);
        assert!(outcome.stderr.contains(part), "{part:?} is not in\n{}", outcome.stderr);
        assert!(place.files("output").is_empty());
    };
    check("width=many", "`width`");
    check("width=16.9", "16.9");
    check("width=1000", "100");
    check("widht=10", "did you mean `width`?");
    check("picture=missing.png", "missing.png");
}

/// A path given on the command line counts from the current folder, one in a document from the document's.
#[test]
fn what_relative_paths_count_from() {
    let place = place();
    fs::rename(place.path("graphs/reference.png"), place.path("mallard.jpg")).unwrap();
    place.run(&["run", "graphs/negative.json"]).expect(2);
    place.run(&["run", "graphs/negative.json", "--set", "picture=mallard.jpg"]).expect(0);
    assert_eq!(place.files("output"), ["negative.png"]);
}
