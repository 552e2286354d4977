//! Whole documents against the test registry: malformed ones as files beside what is expected of them, well-formed ones
//! here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dc_graph_node_api::{NodeSpec, Outputs, PortType, Value};
use serde_json::json;

use super::*;
use crate::testing;

const FOLDER: &str = "/nowhere/graphs";

fn settings() -> Settings {
    Settings { folder: FOLDER.into(), current: "/elsewhere".into(), ..Settings::default() }
}

fn check(text: &str, settings: &Settings) -> Result<(Graph, Vec<Diagnostic>), Vec<Diagnostic>> {
    Document::parse(text).and_then(|document| validate(&document, &testing::registry(), settings))
}

fn good(text: &str, settings: &Settings) -> (Graph, Vec<Diagnostic>) {
    check(text, settings).unwrap_or_else(|d| panic!("{}", render(&d, &Source::new("good", text), false)))
}

fn codes(text: &str, settings: &Settings) -> Vec<&'static str> {
    match check(text, settings) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    }
    .iter()
    .map(|d| d.code)
    .collect()
}

#[test]
fn malformed_documents_are_explained() {
    explained("malformed", 30, &settings());
}

/// Documents that include others, which lie beside them.
#[test]
fn mistakes_of_reuse_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs/reuse");
    explained("reuse", 15, &Settings { folder: folder.clone(), current: folder, ..Settings::default() });
}

/// Every `NAME.json` of the folder has a `NAME.expected.txt`: what a person sees. `DC_GRAPH_BLESS=1` writes them anew;
/// the first line of a document's description may set inputs: `set steps=5, size=huge`.
fn explained(folder: &str, least: usize, settings: &Settings) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs").join(folder);
    let bless = std::env::var_os("DC_GRAPH_BLESS").is_some();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    cases.sort();
    assert!(cases.len() >= least, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for path in cases {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = Source::read(&path).unwrap();
        let source = Source::new(name.clone(), text.text());
        let mut settings = settings.clone();
        if let Some((_, sets)) = source.text().split_once("\"description\": \"set ") {
            for set in sets.split('"').next().unwrap().split(", ") {
                let (input, value) = set.split_once('=').unwrap();
                settings.overrides.set(input, value);
            }
        }
        let problems = check(source.text(), &settings).err();
        let found = problems.map_or("no errors".into(), |problems| render(&problems, &source, false));
        let found = found.replace(&format!("{}/", folder.display()), "");
        let beside = path.with_extension("expected.txt");
        if bless {
            std::fs::write(&beside, &found).unwrap();
        }
        if std::fs::read_to_string(&beside).unwrap_or_default() != found || found == "no errors" {
            wrong.push(format!("{name}:\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "not as expected (DC_GRAPH_BLESS=1 to accept):\n{}", wrong.join("\n"));
}

/// A whole graph of the usual kind.
const PORTRAIT: &str = r#"{
    "$schema": "graph.schema.json", "version": 1, "name": "portrait", "description": "draws a portrait",
    "inputs": {
        "prompt": { "type": "text", "default": "a cat", "description": "what to draw" },
        "steps": { "type": "integer", "default": 20, "minimum": 1, "maximum": 50 },
        "sampler": { "type": "core:text", "default": "euler", "choices": ["ddim", "euler"] },
        "model": { "type": "path", "default": "random:tiny" }
    },
    "nodes": {
        "out": { "type": "Save Image", "inputs": { "image": { "from": "decode.image" } } },
        "decode": { "type": "Decode VAE", "inputs": { "model": { "from": "m.model" }, "latents": { "from": "s.latents" } } },
        "s": { "type": "Sample", "label": "the long part", "inputs": {
            "model": { "from": "m.model" }, "latents": { "from": "encode.latents" },
            "conditioning": { "from": "p.conditioning" }, "num_inference_steps": { "input": "steps" },
            "sampler": { "input": "sampler" }, "guidance_scale": 5
        } },
        "encode": { "type": "Encode VAE", "inputs": { "model": { "from": "m.model" }, "image": { "from": "blank.image" } } },
        "blank": { "type": "Image Source" },
        "p": { "type": "Encode Prompt", "inputs": { "model": { "from": "m.model" }, "prompt": { "input": "prompt" } } },
        "m": { "type": "Load Model", "inputs": { "model": { "input": "model" } } }
    },
    "outputs": { "picture": "decode.image", "start": { "from": "encode.latents" } }
}"#;

/// A graph with all that makes graphs from graphs.
const REUSE: &str = r#"{
    "version": 1, "name": "reuse",
    "inputs": { "line": { "type": "text", "default": "a b" }, "how": { "type": "text", "default": "loud" } },
    "nodes": {
        "words": { "type": "Words", "inputs": { "text": { "input": "line" } } },
        "each": { "type": "For Each", "path": "say.json", "each": ["word", "n"], "inputs": {
            "word": { "from": "words.words" }, "n": [1, { "from": "one.number" }], "how": { "from": "how.value" } } },
        "one": { "type": "Graph", "path": "parts/one.json", "inputs": { "n": 5 } },
        "how": { "type": "Switch", "inputs": { "choice": { "input": "how" }, "loud": "{}!", "soft": { "from": "soft.text" } } },
        "soft": { "type": "Text", "inputs": { "text": "({})" } },
        "late": { "type": "Switch", "inputs": { "choice": { "from": "words.count" }, "2": { "from": "each.said" }, "default": [] } }
    },
    "outputs": { "said": "late.value" },
    "graphs": {
        "say.json": { "version": 1, "name": "say",
            "inputs": { "word": { "type": "text" }, "n": { "type": "number", "maximum": 9 }, "how": { "type": "text" } },
            "nodes": {
                "say": { "type": "Text Template", "inputs": { "template": { "input": "how" }, "value": { "input": "word" } } },
                "one": { "type": "Graph", "path": "./parts/one.json", "inputs": { "n": { "input": "n" } } } },
            "outputs": { "said": "say.text", "n": "one.number" } },
        "parts/one.json": { "version": 1, "name": "one", "inputs": { "n": { "type": "number", "default": 1 } },
            "nodes": { "n": { "type": "Number", "inputs": { "value": { "input": "n" } } } },
            "outputs": { "number": "n.number" } }
    }
}"#;

fn value_of(graph: &Graph, id: &str, port: &str) -> Option<Value> {
    let node = graph.nodes.node_weights().find(|node| node.id == id).unwrap();
    let index = node.node.spec().inputs.iter().position(|input| input.name == port).unwrap();
    match &node.bindings[index] {
        Binding::Value(value) => Some(value.clone()),
        _ => None,
    }
}

#[test]
fn a_good_document_becomes_its_graph() {
    let (graph, warnings) = good(PORTRAIT, &settings());
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((graph.name.as_str(), graph.nodes.node_count(), graph.nodes.edge_count()), ("portrait", 7, 9));
    for node in graph.nodes.node_weights() {
        assert_eq!(node.bindings.len(), node.node.spec().inputs.len(), "{}", node.id);
    }
    for (id, port, expected) in [
        ("s", "num_inference_steps", Value::Integer(20)),
        ("s", "guidance_scale", Value::Number(5.0)),
        ("s", "sampler", Value::text("euler")),
        ("s", "seed", Value::Integer(0)),
        ("m", "model", Value::Path("random:tiny".into())),
    ] {
        assert_eq!(format!("{:?}", value_of(&graph, id, port).unwrap()), format!("{expected:?}"), "{id}.{port}");
    }
    let picture = &graph.outputs[0];
    assert_eq!(
        (picture.0.as_str(), graph.nodes[picture.1.node].id.as_str(), picture.1.output),
        ("picture", "decode", 0)
    );
    let values: Vec<_> = graph.inputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(values, ["prompt", "steps", "sampler", "model"]);
    assert_eq!(graph.document.to_string(), serde_json::from_str::<serde_json::Value>(PORTRAIT).unwrap().to_string());
}

#[test]
fn overrides_become_defaults_of_the_run() {
    let mut settings = settings();
    settings.overrides.set("steps", "30");
    settings.overrides.set_json("prompt", json!("a dog"));
    settings.overrides.set("model", "random:other");
    settings.overrides.set("steps", "40");
    let (graph, _) = good(PORTRAIT, &settings);
    assert_eq!(graph.document["inputs"]["steps"]["default"], json!(40));
    assert_eq!(graph.document["inputs"]["prompt"]["default"], json!("a dog"));
    assert_eq!(graph.document["inputs"]["sampler"]["default"], json!("euler"));
    // The document of the run, run without overrides, is the same graph.
    let (again, _) = good(&graph.document.to_string(), &self::settings());
    assert_eq!(again.document, graph.document);
    assert_eq!(format!("{:?}", again.inputs), format!("{:?}", graph.inputs));
}

#[test]
fn overrides_are_judged() {
    for (name, text, code) in [
        ("steps", "16.9", "wrong-kind"),
        ("steps", "many", "wrong-kind"),
        ("steps", "51", "out-of-range"),
        ("sampler", "eular", "not-a-choice"),
        ("sampler", "dpmpp_2m", "not-a-choice"),
        ("stpes", "5", "unknown-graph-input"),
        ("model", "nothing/here", "bad-input"),
    ] {
        let mut settings = settings();
        settings.overrides.set(name, text);
        assert_eq!(codes(PORTRAIT, &settings), [code], "{name}={text}");
    }
}

#[test]
fn paths_count_from_document_or_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("graphs");
    let there = folder.path().join("elsewhere");
    for dir in [&here, &there] {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("a.txt"), "a").unwrap();
    }
    let text = r#"{ "version": 1, "name": "paths", "inputs": { "file": { "type": "text", "default": "a.txt" } }, "nodes": {
        "literal": { "type": "Read Text", "inputs": { "path": "./a.txt" } },
        "input": { "type": "Read Text", "inputs": { "path": { "input": "file" } } },
        "linked": { "type": "Read Text", "inputs": { "path": { "from": "literal.text" } } }
    }, "outputs": { "a": "input.text", "b": "linked.text" } }"#;
    let mut settings = Settings { folder: here.clone(), current: there.clone(), ..Settings::default() };
    for expected in [&here, &there] {
        let (graph, _) = good(text, &settings);
        let reads: Vec<_> = graph.nodes.node_weights().map(|n| (n.reads.clone(), n.reads_unknown)).collect();
        let (literal, input) = (here.join("a.txt"), expected.join("a.txt"));
        assert_eq!(reads, [(vec![literal], false), (vec![input], false), (vec![], true)]);
        settings.overrides.set("file", "a.txt");
    }
    // A path from the command line is kept as it is found from the document.
    let path = text.replace(r#""type": "text""#, r#""type": "path""#);
    let (graph, _) = good(&path, &settings);
    assert_eq!(graph.document["inputs"]["file"]["default"], json!("../elsewhere/a.txt"));
}

#[test]
fn lists_take_values_links_and_both() {
    let text = r#"{ "version": 1, "name": "lists", "inputs": { "n": { "type": "integer", "default": 2 }, "all": { "type": "list<integer>", "default": [1, 2] } },
        "nodes": {
        "a": { "type": "Number", "inputs": { "value": 1 } },
        "values": { "type": "Sum", "inputs": { "numbers": [1, 2.5, { "input": "n" }] } },
        "one": { "type": "Sum", "inputs": { "numbers": 7 } },
        "none": { "type": "Sum", "inputs": { "numbers": [] } },
        "link": { "type": "Sum", "inputs": { "numbers": { "from": "a.number" } } },
        "all": { "type": "Sum", "inputs": { "numbers": { "input": "all" } } },
        "both": { "type": "Sum", "inputs": { "numbers": [1, { "from": "a.number" }, { "from": "values.sum" }] } }
    }, "outputs": { "1": "values.sum", "2": "one.sum", "3": "link.sum", "4": "both.sum", "5": "none.sum", "6": "all.sum" } }"#;
    let (graph, warnings) = good(text, &settings());
    assert!(warnings.is_empty());
    for (id, expected) in [
        ("values", "[Number(1.0), Number(2.5), Number(2.0)]"),
        ("one", "[Number(7.0)]"),
        ("none", "[]"),
        ("all", "[Number(1.0), Number(2.0)]"),
    ] {
        let Some(Value::List(of, items)) = value_of(&graph, id, "numbers") else { panic!("{id}: a list") };
        assert_eq!((&*of, format!("{items:?}").as_str()), (&PortType::Number, expected), "{id}");
    }
    let both = &graph.nodes[petgraph::graph::NodeIndex::new(6)].bindings[0];
    let Binding::List(items) = both else { panic!("{both:?}") };
    assert!(matches!(items[..], [Binding::Value(Value::Number(1.0)), Binding::Link(_), Binding::Link(_)]), "{items:?}");
}

#[test]
fn what_serves_nothing_is_a_warning() {
    let text = r#"{ "version": 1, "name": "unused", "inputs": { "x": { "type": "number", "default": 1 } }, "nodes": {
        "a": { "type": "Number" }, "b": { "type": "Add", "inputs": { "a": { "from": "a.number" }, "b": 2 } },
        "c": { "type": "Number" } }, "outputs": { "c": "c.number" } }"#;
    let (_, warnings) = good(text, &settings());
    let found: Vec<_> = warnings.iter().map(|w| (w.severity, w.code, w.node.as_deref())).collect();
    let warning = Severity::Warning;
    assert_eq!(
        found,
        [
            (warning, "unused-graph-input", None),
            (warning, "unused-node", Some("a")),
            (warning, "unused-node", Some("b"))
        ]
    );
}

#[test]
fn renaming_nodes_changes_nothing_else() {
    let shape = |text: &str| {
        let (graph, _) = good(text, &settings());
        let nodes: Vec<_> = graph
            .nodes
            .node_weights()
            .map(|n| format!("{} {:?} {:?}", n.node.spec().type_name, n.bindings, n.reads))
            .collect();
        (nodes, format!("{:?} {:?}", graph.outputs, graph.inputs))
    };
    let mut renamed = PORTRAIT.to_owned();
    for (id, new) in [("decode", "zz"), ("encode", "a-1"), ("blank", "äöü"), ("out", "0")] {
        renamed = renamed
            .replace(&format!("\"{id}\""), &format!("\"{new}\""))
            .replace(&format!("\"{id}."), &format!("\"{new}."));
    }
    assert_ne!(renamed, PORTRAIT);
    assert_eq!(shape(&renamed), shape(PORTRAIT));
}

#[test]
fn a_document_survives_every_loss() {
    // Whatever piece is cut out: diagnostics or a graph, never a panic.
    let pieces = |text: &'static str| text.char_indices().step_by(3).map(move |(start, _)| (text, start));
    for (whole, start) in pieces(PORTRAIT).chain(pieces(REUSE)) {
        for length in [1, 7, 40] {
            let end = (start + length).min(whole.len());
            let text = format!("{}{}", &whole[..start], &whole[end..]);
            match check(&text, &settings()) {
                Ok((graph, _)) => assert!(graph.nodes.node_count() > 0),
                Err(problems) => assert!(problems.iter().any(|p| p.severity == Severity::Error)),
            }
        }
    }
}

/// Each graph includes the next one twice: a short text that would be a graph without end.
#[test]
fn graphs_that_double_at_each_level_are_refused() {
    within_reason(|| {
        let level = |inside: &str| {
            let twice = ["a", "b"].map(|id| format!(r#""{id}": {{ "type": "Graph", "path": "{inside}" }}"#)).join(", ");
            format!(
                r#"{{ "version": 1, "name": "level", "nodes": {{ {twice} }}, "outputs": {{ "number": "a.number" }} }}"#
            )
        };
        let mut carried: Vec<String> = (1..30).map(|n| format!(r#""{n}": {}"#, level(&(n + 1).to_string()))).collect();
        let last = r#"{ "version": 1, "name": "last", "nodes": { "n": { "type": "Number" } }, "outputs": { "number": "n.number" } }"#;
        carried.push(format!(r#""30": {last}"#));
        let text = level("1").replacen('{', &format!(r#"{{ "graphs": {{ {} }}, "#, carried.join(", ")), 1);
        assert!(codes(&text, &settings()).contains(&"too-large"));
        let few = level("20").replacen('{', &format!(r#"{{ "graphs": {{ {} }}, "#, carried.join(", ")), 1);
        let (graph, _) = good(&few, &settings());
        assert_eq!(graph.size(), 2048);
    });
}

fn chain(count: usize, last: &str) -> String {
    let mut nodes = vec![format!(r#""n0": {{ "type": "Number", "inputs": {{ "value": 1 }} }}"#)];
    nodes.extend((1..count).map(|i| {
        let before = i - 1;
        format!(r#""n{i}": {{ "type": "Add", "inputs": {{ "a": {{ "from": "n{before}.number" }}, "b": 1 }} }}"#)
    }));
    let nodes = nodes.join(",\n").replace(".number\" }, \"b\"", ".sum\" }, \"b\"").replacen("n0.sum", "n0.number", 1);
    format!(r#"{{ "version": 1, "name": "chain", "nodes": {{ {nodes} }}, "outputs": {{ "end": "{last}" }} }}"#)
}

/// Runs on a small stack, and ends.
fn within_reason(work: impl FnOnce() + Send + 'static) {
    let (done, wait) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(move || {
        work();
        let _ = done.send(());
    });
    // A quadratic algorithm would take hours, so that this limit says nothing about the machine.
    assert!(wait.recv_timeout(Duration::from_secs(120)).is_ok(), "failed, or still at work after two minutes");
    thread.unwrap().join().unwrap();
}

#[test]
fn a_hundred_thousand_nodes_are_no_trouble() {
    within_reason(|| {
        let (graph, warnings) = good(&chain(100_000, "n99999.sum"), &settings());
        assert_eq!((graph.nodes.node_count(), graph.nodes.edge_count()), (100_000, 99_999));
        assert!(warnings.is_empty());
        // On one line too.
        let (graph, _) = good(&chain(100_000, "n99999.sum").replace('\n', " "), &settings());
        assert_eq!(graph.nodes.node_count(), 100_000);
    });
}

#[test]
fn a_hundred_thousand_mistakes_are_no_trouble() {
    within_reason(|| {
        let dangling = chain(100_000, "n99999.sum").replace(".sum\" }, \"b\"", "x.sum\" }, \"b\"");
        let problems = check(&dangling, &settings()).err().unwrap();
        assert_eq!(problems.iter().filter(|p| p.code == "dangling-link").count(), 99_998);
        assert!(render(&problems, &Source::new("chain", dangling), false).contains("and 99948 more"));
        let circle = chain(100_000, "n99999.sum").replace("\"value\": 1", "\"value\": { \"from\": \"n99999.sum\" }");
        let problems = check(&circle, &settings()).err().unwrap();
        assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["cycle"]);
        assert!(problems[0].message.contains("(99988 more)"), "{}", problems[0].message);
    });
}

#[test]
fn a_node_that_panics_while_it_is_checked_is_one_problem_of_many() {
    let spec = NodeSpec::new("Panic Early", "trouble", "Goes wrong.").output("value", PortType::Number, "Never given.");
    let node = testing::TestNode::new(spec, |_, _| Ok(Outputs::default())).reading(|_| panic!("out of paint"));
    let mut registry = testing::registry();
    registry.add(Arc::new(node)).unwrap();
    let text = r#"{ "version": 1, "name": "panics", "nodes": {
        "a": { "type": "Panic Early" }, "b": { "type": "Number", "inputs": { "value": "x" } }
    }, "outputs": { "a": "a.value", "b": "b.number" } }"#;
    let problems = Document::parse(text).and_then(|d| validate(&d, &registry, &settings())).err().unwrap();
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["node-panicked", "wrong-kind"]);
}
