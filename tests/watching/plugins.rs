//! Plugins that change while a graph that needs them is watched.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::sitting::Sitting;
use crate::plugins::guest::{Guest, Out, folder};
use crate::program::{Place, repository};

/// A plugin whose only node gives a number.
fn answer(root: &Path, number: i64) {
    let guest = Guest::new("Answer").gives("out", "core:integer", Out::Integer(number));
    folder(root, "answer", "Answer", &guest.component(), "");
}

#[test]
fn a_changed_plugin_is_swapped_in() {
    let place = Place::new();
    let graph = json!({
        "version": 1,
        "name": "answer",
        "nodes": { "a": { "type": "Answer" } },
        "outputs": { "out": "a.out" },
    });
    place.write("graph.json", graph.to_string());
    let mut sitting = Sitting::start(&place, &["graph.json"]);
    sitting.wait_for_end("invalid");
    sitting.wait("waiting");
    let plugins = place.path("plugins");
    // Installed while one waits, replaced, broken, mended, gone.
    answer(&plugins, 1);
    sitting.wait_for_output("out", 1);
    answer(&plugins, 2);
    sitting.wait_for_output("out", 2);
    fs::write(plugins.join("answer/plugin.wasm"), "not WebAssembly").unwrap();
    let told = sitting.wait("warning");
    assert!(told["message"].as_str().unwrap().contains("plugin `answer`"), "{told}");
    sitting.wait_for_end("invalid");
    answer(&plugins, 3);
    sitting.wait_for_output("out", 3);
    fs::remove_dir_all(&plugins).unwrap();
    // A busy machine may have seen the last plugin come in two parts, and run once more.
    while sitting.wait("ended")["status"] != "invalid" {}
}

/// Nobody is asked while one watches; how to allow it is told, and once it is allowed, the next run may.
#[test]
fn what_is_granted_meanwhile_holds() {
    let place = Place::new();
    let graph = json!({ "version": 1, "name": "look", "nodes": { "n": { "type": "Look" } }, "outputs": { "failed": "n.failed" } });
    place.write("graph.json", graph.to_string());
    let asks = "[plugin.capabilities]\nclock = \"tells the time\"";
    folder(&place.path("plugins"), "curious", "Look", &Guest::clock("Look").component(), asks);
    let mut sitting = Sitting::start(&place, &["graph.json"]);
    let told = sitting.wait("warning");
    assert!(told["message"].as_str().unwrap().contains("dc-graph plugin grant curious --clock"), "{told}");
    sitting.wait_for_output("failed", true);
    place.run(&["plugin", "grant", "curious", "--clock"]).expect(0);
    sitting.wait_for_output("failed", false);
}

#[test]
fn a_run_ends_with_the_plugins_that_it_began_with() {
    let place = Place::new();
    let source = fs::read_to_string(repository().join("graphs/text_to_image.json")).unwrap();
    let mut graph: serde_json::Value = serde_json::from_str(&source).unwrap();
    graph["nodes"]["answer"] = json!({ "type": "Answer" });
    graph["outputs"]["answer"] = json!("answer.out");
    graph["inputs"]["num_inference_steps"]["default"] = json!(200);
    place.write("graph.json", graph.to_string());
    let plugins = place.path("plugins");
    answer(&plugins, 1);
    let mut sitting = Sitting::start(&place, &["graph.json"]);
    sitting.wait_for(|event| event["event"] == "progress" && event["node"] == "sampler");
    answer(&plugins, 2);
    let loaded =
        sitting.wait_for(|event| event["event"] == "ended" || event["event"] == "plugins" && event["nodes"] == 1);
    assert_eq!(loaded["event"], "plugins", "the new one is there before the run with the old one ends");
    let first = sitting.wait("ended");
    assert_eq!((&first["status"], &first["outputs"]["answer"]), (&json!("done"), &json!(1)));
    let second = sitting.wait("ended");
    assert_eq!((&second["outputs"]["answer"], &second["ran"]), (&json!(2), &json!(["answer"])));
    assert_eq!(sitting.count("obsolete"), 0);
}
