//! The whole way, from a document to what comes out.

use std::path::Path;
use std::sync::Arc;

use dc_graph_node_api::Value;

use super::{graph, registry, registry_with};
use crate::exec::{CancelToken, Digests, RunError, RunOptions, execute, plan};
use crate::registry::Registry;

fn run(text: &str, registry: &Registry) -> Result<Vec<(String, String)>, RunError> {
    let graph = graph(text, registry);
    let digests = Digests::default();
    let plan = plan(&graph, &digests).unwrap();
    let options = RunOptions::new(Path::new("/"), Path::new("/"), &digests);
    let report = execute(&graph, &plan, &options, &CancelToken::default(), &|_| {})?;
    let shown = |value: &Value| match value {
        Value::Text(text) => text.to_string(),
        Value::Number(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    Ok(report.outputs.iter().map(|(name, value)| (name.clone(), shown(value))).collect())
}

fn document(nodes: &str, output: &str) -> String {
    format!(
        r#"{{ "version": 1, "name": "whole", "inputs": {{ "n": {{ "type": "integer", "default": 2 }} }},
            "nodes": {{ "n": {{ "type": "Number", "inputs": {{ "value": {{ "input": "n" }} }} }}, {nodes} }},
            "outputs": {{ "out": "{output}" }} }}"#
    )
}

#[test]
fn documents_give_values() {
    for (nodes, output, expected) in [
        (r#""a": { "type": "Add", "inputs": { "a": { "from": "n.number" }, "b": 0.5 } }"#, "a.sum", "2.5"),
        (
            r#""a": { "type": "Sum", "inputs": { "numbers": [1, { "input": "n" }, { "from": "n.number" }] } }"#,
            "a.sum",
            "5",
        ),
        (r#""a": { "type": "Sum", "inputs": { "numbers": { "from": "n.number" } } }"#, "a.sum", "2"),
        (
            r#""t": { "type": "Show Text", "inputs": { "number": { "from": "n.number" } } },
               "a": { "type": "Text Template", "inputs": { "value": { "from": "t.text" } } }"#,
            "a.text",
            "a photo of 2",
        ),
        (r#""a": { "type": "Text Template" }"#, "a.text", "a photo of "),
    ] {
        let found = run(&document(nodes, output), &registry()).unwrap();
        assert_eq!(found, [("out".to_owned(), expected.to_owned())], "{nodes}");
    }
}

#[test]
fn failures_name_the_node_of_the_document() {
    for (kind, expected) in [
        ("Fail", "`bad` (Fail): out of paint"),
        ("Panic", "`bad` (Panic) panicked: out of paint"),
        ("Lie", "`bad` (Lie)"),
        ("Forget", "`bad` (Forget)"),
    ] {
        let nodes = format!(r#""bad": {{ "type": "{kind}", "inputs": {{ "value": {{ "from": "n.number" }} }} }}"#);
        let error = run(&document(&nodes, "bad.value"), &registry()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn equal_nodes_run_once_and_the_device_does_one_thing_at_a_time() {
    for (kind, values, runs) in [("Count Runs", [1, 1, 1], 1), ("Count On Device", [1, 2, 3], 3)] {
        let probe = Arc::default();
        let node = |i: usize| {
            let value = values[i];
            format!(r#""c{i}": {{ "type": "{kind}", "inputs": {{ "value": {value}, "milliseconds": 5 }} }}"#)
        };
        let sum = r#""sum": { "type": "Sum", "inputs": { "numbers": [
            { "from": "c0.value" }, { "from": "c1.value" }, { "from": "c2.value" }] } }"#;
        let nodes = format!("{}, {}, {}, {sum}", node(0), node(1), node(2));
        let found = run(&document(&nodes, "sum.sum"), &registry_with(&probe)).unwrap();
        assert_eq!(found[0].1, values.iter().sum::<usize>().to_string());
        assert_eq!((probe.runs(), probe.peak()), (runs, 1), "{kind}");
    }
}

#[test]
fn names_labels_and_the_way_a_value_came_change_no_key() {
    let keys = |text: &str| {
        let plan = plan(&graph(text, &registry()), &Digests::default()).unwrap();
        plan.nodes.iter().map(|node| node.key).collect::<Vec<_>>()
    };
    let text = document(r#""a": { "type": "Add", "inputs": { "a": { "from": "n.number" }, "b": 1 } }"#, "a.sum");
    let renamed = text.replace("\"n\": {", "\"first\": {").replace("n.number", "first.number");
    let renamed = renamed.replace("\"input\": \"n\"", "\"input\": \"first\"").replace("\"whole\"", "\"other\"");
    let labelled = text.replace("\"type\": \"Add\"", "\"label\": \"sum\", \"type\": \"Add\"");
    let literal = text.replace("{ \"input\": \"n\" }", "2");
    for other in [renamed, labelled, literal] {
        assert_ne!(other, text);
        assert_eq!(keys(&other), keys(&text), "{other}");
    }
    assert_ne!(keys(&text.replace("\"b\": 1", "\"b\": 2")), keys(&text));
}
