//! From documents to results: what planning and execution do together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::testing::{Setup, number};
use super::{Cache, Digests, Key, plan};
use crate::graph::Graph;
use crate::testing::{Probe, graph, registry, registry_with};

const SUMS: &str = r#"{
    "version": 1,
    "name": "sums",
    "inputs": { "start": { "type": "number", "default": 1 } },
    "nodes": {
        "first": { "type": "Count Runs", "inputs": { "value": { "input": "start" } } },
        "second": { "type": "Count On Device", "inputs": { "value": { "from": "first.value" } } },
        "third": { "type": "Count On Device", "inputs": { "value": 3 } },
        "spare": { "type": "Count Runs", "inputs": { "value": 9 } },
        "both": { "type": "Add", "inputs": { "a": { "from": "second.value" }, "b": { "from": "third.value" } } },
        "all": { "type": "Sum", "inputs": { "numbers": [{ "from": "first.value" }, 10, { "from": "both.sum" }] } }
    },
    "outputs": { "all": { "from": "all.sum" }, "both": { "from": "both.sum" } }
}"#;

#[test]
fn documents_run() {
    let probe = Arc::new(Probe::default());
    let graph = graph(SUMS, &registry_with(&probe));
    let cache = Cache::new(1 << 20);
    let setup = Setup { cache: Some(&cache), ..Setup::default() };
    for _ in 0..2 {
        let report = setup.run(&graph).0.unwrap();
        assert_eq!((number(&report, "all"), number(&report, "both")), (15.0, 4.0));
        assert_eq!(probe.runs(), 3, "three nodes count, once; the spare one never runs");
    }
    assert!(probe.peak() <= 2);
}

/// Keys by the id of the node, for every node of a plan.
fn keys(graph: &Graph) -> BTreeMap<String, Key> {
    let plan = plan(graph, &Digests::default()).unwrap();
    plan.nodes.iter().map(|planned| (graph.nodes[planned.node].id.clone(), planned.key)).collect()
}

#[test]
fn renaming_nodes_changes_no_key() {
    let registry = registry();
    let ids = ["first", "second", "third", "spare", "both", "all"];
    let before = keys(&graph(SUMS, &registry));
    let mut renamed = SUMS.to_owned();
    for id in ids {
        renamed = renamed
            .replace(&format!("\"{id}\": {{ \"type\""), &format!("\"x-{id}\": {{ \"type\""))
            .replace(&format!("\"{id}."), &format!("\"x-{id}."));
    }
    assert_ne!(renamed, SUMS);
    let after = keys(&graph(&renamed, &registry));
    let expected: BTreeMap<_, _> = before.iter().map(|(id, key)| (format!("x-{id}"), *key)).collect();
    assert_eq!(after, expected);
}

#[test]
fn a_changed_input_changes_what_follows_and_nothing_else() {
    let registry = registry();
    let before = keys(&graph(SUMS, &registry));
    let changed = keys(&graph(&SUMS.replace("\"default\": 1", "\"default\": 2"), &registry));
    let differ: Vec<_> = before.iter().filter(|(id, key)| changed[*id] != **key).map(|(id, _)| id.as_str()).collect();
    assert_eq!(differ, ["all", "both", "first", "second"]);
}

#[test]
fn a_chain_of_100_000_is_read_checked_planned_and_run() {
    let mut nodes = vec![r#""n0": { "type": "Number", "inputs": { "value": 1 } }"#.to_owned()];
    let mut from = "n0.number".to_owned();
    for n in 1..100_000 {
        nodes.push(format!(r#""n{n}": {{ "type": "Add", "inputs": {{ "a": {{ "from": "{from}" }}, "b": 1 }} }}"#));
        from = format!("n{n}.sum");
    }
    let text = format!(
        r#"{{ "version": 1, "name": "chain", "nodes": {{ {} }}, "outputs": {{ "end": {{ "from": "{from}" }} }} }}"#,
        nodes.join(", ")
    );
    let report = Setup::default().run(&graph(&text, &registry())).0.unwrap();
    assert_eq!(number(&report, "end"), 100_000.0);
}
