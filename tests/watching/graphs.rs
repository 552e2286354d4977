//! What an edit runs, what it stops, and what is wrong meanwhile.

use std::fs;

use serde_json::{Value, json};

use super::sitting::Sitting;
use crate::program::{Place, repository};

/// The negative of a picture, whose name comes through a link.
fn negative(picture: &str) -> String {
    json!({
        "version": 1,
        "name": "negative",
        "nodes": {
            "name": { "type": "Text", "inputs": { "value": picture } },
            "load": { "type": "Load Image", "inputs": { "path": { "from": "name.value" } } },
            "small": { "type": "Resize", "inputs": { "image": { "from": "load.image" }, "width": 24 } },
            "invert": { "type": "Invert", "inputs": { "image": { "from": "small.image" } } },
            "save": { "type": "Save Image", "inputs": { "images": { "from": "invert.image" }, "path": "negative.png" } },
        },
        "outputs": { "width": "load.width" },
    })
    .to_string()
}

fn duck() -> Vec<u8> {
    fs::read(repository().join("graphs/reference.png")).unwrap()
}

#[test]
fn only_what_follows_from_an_edit_runs() {
    let place = Place::new();
    place.write("a.png", duck());
    place.write("b.png", fs::read(repository().join("graphs/subject.png")).unwrap());
    let graph = place.write("graph.json", negative("a.png"));
    let mut sitting = Sitting::start(&place, &["graph.json"]);
    let all = ["name", "load", "small", "invert", "save"];
    assert_eq!(sitting.wait_for_end("done"), all);
    sitting.wait("waiting");
    let mut edit = |write: &dyn Fn(), expected: &[&str]| {
        write();
        sitting.wait("changed");
        assert_eq!(sitting.wait_for_end("done"), expected);
        sitting.wait("waiting");
    };
    // Laid out otherwise.
    let document: Value = serde_json::from_str(&negative("a.png")).unwrap();
    edit(&|| fs::write(&graph, format!("{document:#}")).unwrap(), &[]);
    edit(&|| fs::write(&graph, format!("{document:#}").replace("24", "25")).unwrap(), &["small", "invert", "save"]);
    edit(&|| fs::write(&graph, negative("b.png")).unwrap(), &all);
    // The picture is another one; what is made of it is known from the beginning of the sitting, the file is not.
    edit(&|| fs::write(place.path("b.png"), duck()).unwrap(), &["load", "save"]);
}

#[test]
fn graphs_that_a_graph_includes_are_watched() {
    let place = Place::new();
    let outer = json!({
        "version": 1,
        "name": "outer",
        "nodes": { "part": { "type": "Graph", "path": "./parts/part.json" } },
        "outputs": { "text": "part.text" },
    });
    let part = |value: &str| {
        let node = json!({ "type": "Text", "inputs": { "value": value } });
        json!({ "version": 1, "name": "part", "nodes": { "a": node }, "outputs": { "text": "a.value" } }).to_string()
    };
    place.write("outer.json", outer.to_string());
    let mut sitting = Sitting::start(&place, &["outer.json"]);
    sitting.wait_for_end("invalid");
    sitting.wait("waiting");
    place.write("parts/part.json", part("one"));
    sitting.wait_for_output("text", "one");
    place.write("parts/part.json", part("two"));
    assert_eq!(sitting.wait("changed")["files"], json!(["parts/part.json"]));
    sitting.wait_for_output("text", "two");
    place.write("parts/part.json", part("two").replace("Text", "Txet"));
    sitting.wait_for_end("invalid");
    place.write("parts/part.json", part("three"));
    sitting.wait_for_output("text", "three");
}

#[test]
fn problems_are_shown_and_gone_when_they_are() {
    let place = Place::new();
    let graph = place.path("graph.json");
    let mut sitting = Sitting::start(&place, &["graph.json"]);
    let told = sitting.wait("problems");
    assert!(told["message"].as_str().unwrap().contains("cannot read the graph `graph.json`"), "{told}");
    sitting.wait("waiting");
    let mut edit = |write: &dyn Fn(), status: &str| {
        write();
        sitting.wait_for_end(status);
        sitting.wait("waiting");
    };
    let load = |picture: &str| {
        let node = json!({ "type": "Load Image", "inputs": { "path": picture } });
        json!({ "version": 1, "name": "a", "nodes": { "load": node }, "outputs": { "width": "load.width" } })
            .to_string()
    };
    edit(&|| fs::write(&graph, "{").unwrap(), "invalid");
    edit(&|| fs::write(&graph, load("a.png")).unwrap(), "invalid");
    // The picture that it asks for comes.
    edit(&|| drop(place.write("a.png", duck())), "done");
    edit(&|| fs::remove_file(place.path("a.png")).unwrap(), "invalid");
    edit(&|| drop(place.write("a.png", &duck()[..1000])), "failed");
    edit(&|| drop(place.write("a.png", duck())), "done");
    // A name that is known only when a node has run.
    edit(&|| fs::write(&graph, negative("later/b.png")).unwrap(), "failed");
    edit(&|| drop(place.write("later/b.png", duck())), "done");
    edit(&|| fs::remove_dir_all(place.path("later")).unwrap(), "failed");
    edit(&|| drop(place.write("later/b.png", duck())), "done");
}

#[test]
fn an_edit_stops_the_run_that_it_makes_obsolete() {
    let place = Place::new();
    let source = fs::read_to_string(repository().join("graphs/text_to_image.json")).unwrap();
    let document: Value = serde_json::from_str(&source).unwrap();
    let with = |steps: u64| {
        let mut document = document.clone();
        document["inputs"]["num_inference_steps"]["default"] = json!(steps);
        document.to_string()
    };
    let graph = place.write("graph.json", with(900));
    let mut sitting = Sitting::start(&place, &["graph.json"]);
    let started = sitting.wait_for(|event| event["event"] == "progress" && event["node"] == "sampler");
    assert_eq!(started["total"], 900);
    fs::write(&graph, with(2)).unwrap();
    assert_eq!(sitting.wait("changed")["files"], json!(["graph.json"]));
    assert_eq!(sitting.wait("obsolete")["run"], 1);
    sitting.wait_for_end("obsolete");
    // Models and prompts are still there.
    let ran = sitting.wait_for_end("done");
    assert!(ran.contains(&"sampler".to_owned()), "{ran:?}");
    let types: Vec<&str> = ran.iter().map(|node| document["nodes"][node]["type"].as_str().unwrap()).collect();
    assert!(!types.contains(&"Load Model") && !types.contains(&"Encode Prompt"), "{types:?}");
    sitting.wait("waiting");
    // As before: nothing runs at all.
    fs::write(&graph, with(2) + "\n").unwrap();
    assert_eq!(sitting.wait_for_end("done"), [""; 0]);
}

#[test]
fn who_is_asked_decides() {
    let place = Place::new();
    let graph = |text: &str| {
        let node = json!({ "type": "Text", "inputs": { "value": text } });
        json!({ "version": 1, "name": "a", "nodes": { "a": node }, "outputs": { "text": "a.value" } }).to_string()
    };
    let path = place.write("graph.json", graph("one"));
    let mut sitting = Sitting::start(&place, &["graph.json", "--on-change", "ask"]);
    sitting.wait_for_output("text", "one");
    fs::write(&path, graph("two")).unwrap();
    sitting.wait("changed");
    fs::write(&path, graph("one")).unwrap();
    sitting.wait("unchanged");
    fs::write(&path, graph("three")).unwrap();
    sitting.wait("changed");
    assert_eq!(sitting.count("run"), 1);
    sitting.key("");
    sitting.wait_for_output("text", "three");
    assert_eq!(sitting.count("run"), 2);
    sitting.key("q");
    let (code, summaries) = sitting.end();
    assert_eq!(code, Some(0));
    let told =
        |summary: &Value| (summary["run"].clone(), summary["status"].clone(), summary["outputs"]["text"].clone());
    let expected = [(1, "done", "one"), (2, "done", "three")].map(|(n, s, t)| (json!(n), json!(s), json!(t)));
    assert_eq!(summaries.iter().map(told).collect::<Vec<_>>(), expected);
}

#[cfg(unix)]
#[test]
fn a_command_gets_the_files_of_each_good_run() {
    let place = Place::new();
    place.write("a.png", duck());
    let graph = place.write("graph.json", negative("a.png"));
    let command =
        "for file in \"$@\"; do echo \"$DC_GRAPH_RUN $(basename \"$file\")\"; done; test \"$DC_GRAPH_RUN\" != 3";
    let mut sitting = Sitting::start(&place, &["graph.json", "--exec", command]);
    let mut told = |run: u64, code: i32| {
        let line = sitting.wait("exec");
        assert_eq!(line["message"], format!("{run} negative.png"));
        assert_eq!(sitting.wait_for(|event| event["event"] == "exec" && event["run"] == run)["code"], code);
    };
    told(1, 0);
    fs::write(&graph, "{").unwrap();
    sitting.wait_for_end("invalid");
    fs::write(&graph, negative("a.png").replace("24", "25")).unwrap();
    let line = sitting.wait("exec");
    assert_eq!(line["message"], "3 negative.png");
    assert_eq!(sitting.wait("exec")["code"], 1);
}

#[cfg(unix)]
#[test]
fn interrupts_end_the_sitting() {
    let place = Place::new();
    let graph = repository().join("graphs/text_to_image.json");
    let graph = graph.to_str().unwrap();
    let mut busy = Sitting::start(&place, &[graph, "--set", "num_inference_steps=900"]);
    busy.wait_for(|event| event["event"] == "progress" && event["node"] == "sampler");
    busy.signal("INT");
    busy.wait("interrupted");
    busy.wait_for_end("interrupted");
    assert_eq!(busy.end().0, Some(130));
    let mut idle = Sitting::start(&place, &[graph, "--set", "num_inference_steps=1"]);
    idle.wait("waiting");
    idle.signal("TERM");
    assert_eq!(idle.end().0, Some(130));
    let refused = place.run(&["watch", "-"]).expect(1);
    assert!(refused.stderr.contains("standard input cannot be watched"), "{}", refused.stderr);
}
