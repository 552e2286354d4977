//! Commands that run no graph: what they print, where, and their exit codes.

use serde_json::json;

use crate::program::{Place, repository};

#[test]
fn exit_codes() {
    let place = Place::new();
    place.write("broken.json", "{");
    let check = |args: &[&str], code: i32, on_stdout: &str, on_stderr: &str| {
        let outcome = place.run(args).expect(code);
        for (stream, part) in [(&outcome.stdout, on_stdout), (&outcome.stderr, on_stderr)] {
            assert!(stream.contains(part), "{args:?}: {stream:?} should contain {part:?}");
            assert!(!part.is_empty() || stream.is_empty(), "{args:?}: {stream:?} should be empty");
        }
    };
    check(&["--version"], 0, concat!("dc-graph ", env!("CARGO_PKG_VERSION")), "");
    check(&["--help"], 0, "Exit codes:", "");
    check(&["run", "--help"], 0, "--set <NAME=VALUE>", "");
    check(&[], 2, "", "Usage: dc-graph");
    check(&["walk"], 2, "", "unrecognized subcommand 'walk'");
    check(&["run"], 2, "", "<GRAPH>");
    check(&["run", "missing.json"], 2, "", "cannot read the graph `missing.json`");
    check(&["run", "."], 2, "", "`.` is a folder, not a graph");
    check(&["run", "broken.json"], 2, "", "broken.json:1:2");
    check(&["run", "broken.json", "--set", "prompt"], 2, "", "expected `name=value`");
    check(&["run", "broken.json", "--progress", "loud"], 2, "", "invalid value 'loud'");
    check(&["run", "broken.json", "--device", "abacus"], 2, "", "there is no device `abacus`");
    check(&["run", "broken.json", "--dtype", "f8"], 2, "", "there is no number type `f8`");
    check(&["model", "inspect", "missing"], 1, "", "missing");
    check(&["model", "inspect", "random:huge"], 1, "", "no random model `huge`");
    check(&["model", "new-random", ".", "--kind", "sd9"], 2, "", "no random model `sd9`");
    check(&["model", "new-random", ".", "--dtype", "f8"], 2, "", "there is no number type `f8`");
    check(&["cache", "inspect", "broken.json"], 1, "", "broken.json");
    check(&["image", "inspect", "missing.png"], 1, "", "missing.png");
    check(&["validate", "missing.json"], 2, "", "cannot read the graph `missing.json`");
    check(&["validate", "broken.json"], 2, "broken.json:1:2", "");
    check(&["nodes", "Lod Image"], 2, "", "did you mean `Load Image`?");
    check(&["nodes", "load image"], 0, "Load Image (image", "");
    check(&["nodes", "--json", "--markdown"], 2, "", "cannot be used with");
}

#[test]
fn nodes_as_data() {
    let place = Place::new();
    let all = place.run(&["nodes", "--json"]).expect(0).json();
    let all = all.as_array().unwrap();
    let table = place.run(&["nodes"]).expect(0).stdout;
    for node in all {
        let name = node["type"].as_str().unwrap();
        assert!(table.lines().any(|l| l.trim_start().starts_with(&format!("{name}  "))), "`{name}` is not in\n{table}");
        assert_eq!(place.run(&["nodes", name, "--json"]).expect(0).json(), *node);
        let shown = place.run(&["nodes", name]).expect(0).stdout;
        for port in node["inputs"].as_array().unwrap().iter().chain(node["outputs"].as_array().unwrap()) {
            let row = format!("  {}", port["name"].as_str().unwrap());
            assert!(shown.lines().any(|l| l.starts_with(&row)), "{row} is not in\n{shown}");
        }
    }
    let load = all.iter().find(|n| n["type"] == "Load Image").unwrap();
    assert_eq!(load["inputs"][0]["name"], "path");
    assert_eq!(load["inputs"][0]["required"], true);
    assert_eq!(load["outputs"][0]["type"], "core:image");
}

#[test]
fn devices_and_models() {
    let place = Place::new();
    let devices = place.run(&["devices", "--json"]).expect(0).json();
    let cpu = devices.as_array().unwrap().iter().find(|d| d["name"] == "cpu").unwrap();
    assert_eq!(cpu["usable_by_auto"], true);
    let listed = place.run(&["devices"]).expect(0).stdout;
    assert_eq!(listed.lines().count(), devices.as_array().unwrap().len());
    let told = place.run(&["model", "inspect", "random:sd15-tiny"]).expect(0).stdout;
    for part in ["sd1\n", "epsilon\n", "128x128 pixels\n", "3,222,692 parameters"] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
}

#[test]
fn every_problem_of_a_graph_at_once() {
    let place = Place::new();
    let text = r#"{
  "version": 1,
  "name": "wrong",
  "inputs": { "size": { "type": "integer", "default": 8 } },
  "nodes": {
    "load": { "type": "Lode Image", "inputs": { "path": "a.png" } },
    "small": { "type": "Resize", "inputs": { "image": { "from": "nowhere.image" }, "width": { "input": "size" } } }
  },
  "outputs": { "picture": "small.picture" }
}"#;
    let graph = place.write("graphs/wrong.json", text);
    let graph = graph.to_str().unwrap();
    let json = place.run(&["validate", graph, "--format", "json", "--set", "size=many"]).expect(2).json();
    assert_eq!(json["status"], "invalid");
    let codes: Vec<_> = json["diagnostics"].as_array().unwrap().iter().map(|d| d["code"].clone()).collect();
    for code in ["unknown-type", "wrong-kind"] {
        assert!(codes.contains(&json!(code)), "{codes:?}");
    }
    assert!(codes.len() >= 4, "{codes:?}");
    // The same, told by `run`: data on standard output only when asked for.
    let run = place.run(&["run", graph, "--format", "json", "--set", "size=many"]).expect(2);
    assert_eq!(run.json(), json);
    assert!(run.stderr.contains("did you mean `Load Image`?"), "{}", run.stderr);
    let run = place.run(&["run", graph, "--set", "size=many"]).expect(2);
    assert_eq!(run.stdout, "");
    let plain = place.run(&["validate", graph, "--set", "size=many"]).expect(2);
    assert_eq!(run.stderr, plain.stdout);
    assert!(!run.stderr.contains('\x1b'), "colour where there is no terminal");
    assert!(place.files("output").is_empty());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Place::new().command(&["nodes", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn graphs_can_come_from_standard_input() {
    let place = Place::new();
    let text = std::fs::read_to_string(repository().join("tests/graphs/malformed/bad-ids.json")).unwrap();
    let outcome = place.run_with_input(&["validate", "-"], &text).expect(2);
    assert!(outcome.stdout.contains("--> <stdin>:5:5"), "{}", outcome.stdout);
}
