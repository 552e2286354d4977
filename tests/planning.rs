//! `dc-graph plan`: what it says is what a run then does.

use std::fs;

use serde_json::{Value, json};

use crate::program::{Place, repository};

const SETS: [&str; 6] = ["--set", "num_inference_steps=2", "--set", "num_images=1", "--device", "cpu"];

fn place() -> Place {
    let place = Place::new();
    for file in ["personalize.json", "subject.png"] {
        place.write(file, fs::read(repository().join("graphs").join(file)).unwrap());
    }
    place
}

fn plan(place: &Place, more: &[&str]) -> Value {
    place.run(&[&["plan", "personalize.json", "--format", "json"], &SETS[..], more].concat()).expect(0).json()
}

fn node<'a>(plan: &'a Value, id: &str) -> &'a Value {
    plan["nodes"].as_array().unwrap().iter().find(|node| node["node"] == id).unwrap()
}

/// The nodes with these outlooks.
fn with(plan: &Value, outlooks: &[&str]) -> Vec<String> {
    let nodes = plan["nodes"].as_array().unwrap().iter();
    let chosen = nodes.filter(|node| outlooks.contains(&node["outlook"].as_str().unwrap()));
    let mut ids: Vec<_> = chosen.map(|node| node["node"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// Runs; the nodes that did.
fn run(place: &Place, more: &[&str]) -> Vec<String> {
    let args = [&["run", "personalize.json", "--progress", "json"], &SETS[..], more].concat();
    let events = place.run(&args).expect(0).events();
    let started = events.iter().filter(|event| event["event"] == "started");
    let mut ids: Vec<_> = started.map(|event| event["node"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn what_is_foretold_happens() {
    let place = place();
    let first = plan(&place, &[]);
    assert_eq!(node(&first, "photo")["reasons"], json!([{ "reason": "new" }]));
    assert_eq!(node(&first, "subject")["reasons"], json!([{ "reason": "after", "nodes": ["photo", "model"] }]));
    assert_eq!(first["seconds"]["unknown_nodes"], 11);
    assert_eq!(run(&place, &[]).len(), 11);

    let nothing = plan(&place, &[]);
    assert_eq!(with(&nothing, &["known"]).len(), 11);
    assert_eq!(nothing["seconds"].to_string(), r#"{"at_least":0.0,"at_most":0.0,"unknown_nodes":0}"#);

    let more = ["--set", "prompt=a mug on the moon"];
    let prompt = plan(&place, &more);
    let before = "\"a bird on the beach\"";
    let changed = |name: &str| json!([{ "reason": "changed", "what": "parameter", "name": name, "before": before, "now": "\"a mug on the moon\"" }]);
    assert_eq!(node(&prompt, "prompt")["reasons"], changed("prompt"));
    assert_eq!(node(&prompt, "sheet")["reasons"][0], changed("title")[0]);
    assert_eq!(with(&prompt, &["runs"]), ["prompt"]);
    assert_eq!(with(&prompt, &["loads", "may_load"]), ["adapters", "model"]);
    assert_eq!(with(&prompt, &["known"]), ["cache", "photo", "subject"]);
    let seconds = &prompt["seconds"];
    assert!(seconds["at_most"].as_f64() > seconds["at_least"].as_f64() && seconds["unknown_nodes"] == 0, "{seconds}");
    assert!(prompt["memory"]["values_bytes"].as_u64().unwrap() > 100_000, "{}", prompt["memory"]);
    assert_eq!(run(&place, &more), with(&prompt, &["runs", "may_run", "loads", "may_load"]));

    place.write("subject.png", fs::read(repository().join("graphs/reference.png")).unwrap());
    let reference = plan(&place, &more);
    let why = &node(&reference, "photo")["reasons"][0];
    assert_eq!((&why["what"], &why["name"], why["before"] == why["now"]), (&json!("file"), &json!("path"), true));

    fs::remove_file(place.path("output/personalize-00.png")).unwrap();
    place.write("subject.png", fs::read(repository().join("graphs/subject.png")).unwrap());
    let deleted = plan(&place, &more);
    assert_eq!(with(&deleted, &["runs", "may_run", "loads", "may_load"]), ["save"]);
    assert_eq!(node(&deleted, "save")["reasons"][0]["reason"], "file_changed");
    assert_eq!(run(&place, &more), ["save"]);
}

#[test]
fn people_read_it_too() {
    let place = place();
    run(&place, &[]);
    let args = [&["plan", "personalize.json", "--set", "seed=7"], &SETS[..]].concat();
    let text = place.run(&args).expect(0).stdout;
    for part in [
        "sampler (Sample With Cache)",
        "runs",
        "`seed`: 0 → 7",
        "loads",
        "for `sampler`",
        "after `sampler`",
        "11 nodes: ",
        "time: ",
        "memory: ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let missing =
        place.run(&["plan", "personalize.json", "--set", "reference=nowhere.png", "--set", "model=no-model"]).expect(2);
    assert!(missing.stdout.contains("nowhere.png") && missing.stdout.contains("no-model"), "{}", missing.stdout);
}
