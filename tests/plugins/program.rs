//! Plugins as a user meets them: listed, validated, run and reported like any other node.

use std::fs;

use serde_json::{Value, json};

use super::guest::{Guest, UINT8, folder};
use crate::program::{Place, repository};

fn graph(type_name: &str) -> String {
    json!({
        "version": 1,
        "name": "inside-out",
        "nodes": {
            "in": { "type": "Load Image", "inputs": { "path": "./in.png" } },
            "invert": { "type": type_name, "inputs": { "image": { "from": "in.image" } } },
            "out": { "type": "Save Image", "inputs": { "images": { "from": "invert.image" }, "path": "out.png" } },
        },
        "outputs": { "image": "invert.image" },
    })
    .to_string()
}

#[test]
fn plugins_beside_the_graph_are_nodes_like_any_other() {
    let place = Place::new();
    place.write("graph.json", graph("Turn Inside Out"));
    place.write("native.json", graph("Invert"));
    place.write("in.png", fs::read(repository().join("graphs/reference.png")).unwrap());
    let invalid = place.run(&["validate", "graph.json"]).expect(2);
    assert!(invalid.stdout.contains("`Turn Inside Out`"), "{}", invalid.stdout);

    let plugin = Guest::invert("Turn Inside Out", UINT8).component();
    folder(&place.path("plugins"), "inside-out", "Turn Inside Out", &plugin, "");
    folder(&place.path("plugins"), "broken", "Other", b"broken", "");
    let valid = place.run(&["validate", "graph.json"]).expect(0);
    assert!(valid.stderr.contains("warning: plugin `broken` 1.2.3: its file is not WebAssembly"), "{}", valid.stderr);
    place.run(&["run", "graph.json", "--output", "pictures"]).expect(0);
    place.run(&["run", "native.json", "--output", "native"]).expect(0);
    let inspect = |file: &str| place.run(&["image", "inspect", file, "--json"]).expect(0).stdout;
    let (wasm, native) = (inspect("pictures/out.png"), inspect("native/out.png"));
    let digest = blake3::hash(&plugin).to_string();
    assert!(wasm.contains("inside-out") && wasm.contains(&digest), "{wasm}");
    assert!(!native.contains("plugins"), "{native}");

    let told = place.run(&["nodes", "Turn Inside Out", "--plugins", "plugins"]).expect(0);
    assert!(told.stdout.contains("core:image"), "{}", told.stdout);
    let schema = place.run(&["schema", "--plugins", "plugins/inside-out"]).expect(0);
    assert!(schema.stdout.contains("Turn Inside Out"));
    let missing = place.run(&["nodes", "--plugins", "nowhere"]).expect(1);
    assert!(missing.stderr.contains("there is no folder `nowhere`"), "{}", missing.stderr);
}

#[test]
fn a_plugin_that_traps_fails_its_run_alone() {
    let place = Place::new();
    let mut guest = Guest::new("Bomb").output("out", "core:integer").run("(call $fuse)");
    guest.items = "(func $fuse unreachable)".into();
    folder(&place.path("more"), "bomb", "Bomb", &guest.component(), "");
    let graph =
        json!({ "version": 1, "name": "bomb", "nodes": { "b": { "type": "Bomb" } }, "outputs": { "out": "b.out" } });
    place.write("graph.json", graph.to_string());
    let failed = place.run(&["run", "graph.json", "--plugins", "more", "--format", "json"]).expect(1);
    let message: Value = failed.json()["message"].clone();
    let message = message.as_str().unwrap();
    assert!(message.starts_with("`b` (Bomb): plugin `bomb` 1.2.3 trapped: "), "{message}");
    assert!(message.contains("\n  in fuse (0x"), "{message}");
}
