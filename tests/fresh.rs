//! Files that follow from the registry: the README's table, the graphs' schema, the built-in pack's manifest.
//!
//! `DC_GRAPH_BLESS=1 cargo test --release` writes the first two anew.

use std::fs;

use dc_graph::plugin::Manifest;

use crate::program::{Place, repository};

/// Compares a file of the repository with what it should hold, or writes it.
#[track_caller]
fn check(name: &str, expected: &str) {
    let path = repository().join(name);
    if std::env::var_os("DC_GRAPH_BLESS").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "`{name}` is not up to date: run `DC_GRAPH_BLESS=1 cargo test --release`");
}

#[test]
fn table_of_nodes_in_the_readme() {
    let (begin, end) = ("<!-- nodes:begin -->\n", "<!-- nodes:end -->");
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (before, rest) = readme.split_once(begin).expect("the README has no place for the table");
    let (_, after) = rest.split_once(end).expect("the README's table has no end");
    let table = Place::new().run(&["nodes", "--markdown"]).expect(0).stdout;
    check("README.md", &format!("{before}{begin}{table}{end}{after}"));
}

#[test]
fn schema_of_graphs() {
    check("graphs/graph.schema.json", &Place::new().run(&["schema"]).expect(0).stdout);
}

#[test]
fn manifest_of_the_built_in_pack() {
    let manifest = Manifest::parse(dc_graph_nodes::MANIFEST).unwrap();
    let nodes = dc_graph_nodes::nodes(&dc_graph_nodes::Settings::default());
    manifest.check(nodes.iter().map(|n| n.spec())).unwrap();
    assert_eq!(manifest.plugin.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest.plugin.license, env!("CARGO_PKG_LICENSE"));
}

/// Every graph that a user starts from is valid as it is and names the schema.
#[test]
fn graphs_are_valid() {
    let place = Place::new();
    let mut graphs = 0;
    for entry in fs::read_dir(repository().join("graphs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".json") || name == "graph.schema.json" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["$schema"], "./graph.schema.json", "{name}");
        let outcome = place.run(&["validate", path.to_str().unwrap(), "--format", "json"]).expect(0);
        assert_eq!(outcome.json()["diagnostics"], serde_json::json!([]), "{name}");
        graphs += 1;
    }
    assert!(graphs >= 5, "only {graphs} graphs");
}
