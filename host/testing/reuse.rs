//! Graphs in graphs, over lists and by choice: what comes out, what runs for it and what does not.

use std::path::Path;
use std::sync::Mutex;

use dc_graph_node_api::{Decoders, Value};

use super::registry;
use crate::exec::{CancelToken, Digests, Event, Outlook, RunError, RunOptions, RunReport, execute, forecast, plan};
use crate::graph::{Document, Graph, Settings, Source, render, validate};
use crate::proof::Lock;
use crate::store::Store;

/// The parts that the graphs of these tests include.
const PARTS: &str = r#"{
    "add.json": { "version": 1, "name": "add",
        "inputs": { "a": { "type": "number", "maximum": 100 }, "b": { "type": "number", "default": 1 } },
        "nodes": { "add": { "type": "Add", "inputs": { "a": { "input": "a" }, "b": { "input": "b" } } } },
        "outputs": { "sum": "add.sum" } },
    "twice.json": { "version": 1, "name": "twice",
        "inputs": { "x": { "type": "number" } },
        "nodes": {
            "one": { "type": "Graph", "path": "./add.json", "inputs": { "a": { "input": "x" } } },
            "two": { "type": "Graph", "path": "./add.json", "inputs": { "a": { "from": "one.sum" }, "b": { "input": "x" } } }
        },
        "outputs": { "sum": "two.sum" } },
    "shout.json": { "version": 1, "name": "shout",
        "inputs": { "word": { "type": "text" }, "with": { "type": "text", "default": "!" } },
        "nodes": {
            "say": { "type": "Text Template", "inputs": { "template": { "from": "end.text" }, "value": { "input": "word" } } },
            "end": { "type": "Text Template", "inputs": { "template": "<{}>", "value": { "input": "with" } } }
        },
        "outputs": { "text": "say.text" } },
    "letters.json": { "version": 1, "name": "letters",
        "inputs": { "line": { "type": "text" } },
        "nodes": {
            "words": { "type": "Words", "inputs": { "text": { "input": "line" } } },
            "each": { "type": "For Each", "path": "./shout.json", "each": "word", "inputs": { "word": { "from": "words.words" } } }
        },
        "outputs": { "texts": "each.text", "count": "words.count" } },
    "write.json": { "version": 1, "name": "write",
        "inputs": { "text": { "type": "text" } },
        "nodes": {
            "write": { "type": "Write Text", "inputs": { "text": { "input": "text" }, "name": { "input": "text" } } },
            "say": { "type": "Text", "inputs": { "text": { "input": "text" } } }
        },
        "outputs": { "text": "say.text" } },
    "read.json": { "version": 1, "name": "read",
        "inputs": { "file": { "type": "path" } },
        "nodes": { "read": { "type": "Read Text", "inputs": { "path": { "input": "file" } } } },
        "outputs": { "text": "read.text" } }
}"#;

fn document(nodes: &str, output: &str) -> String {
    format!(
        r#"{{ "version": 1, "name": "reuse", "nodes": {{ {nodes} }}, "outputs": {{ "out": "{output}" }}, "graphs": {PARTS} }}"#
    )
}

fn checked(text: &str, folder: &Path) -> Graph {
    let settings = Settings { folder: folder.into(), current: folder.into(), ..Settings::default() };
    let document = Document::parse(text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let checked = validate(&document, &registry(), &settings);
    checked.unwrap_or_else(|problems| panic!("{}", render(&problems, &Source::new("test", text), false))).0
}

/// What came of a run.
struct Ran {
    result: Result<RunReport, RunError>,
    /// The nodes that ran, in order.
    ran: Vec<String>,
    /// The nodes that did not need to.
    cached: Vec<String>,
    /// All events, for counting.
    heard: Vec<String>,
}

fn run_in(graph: &Graph, folder: &Path, store: Option<&Store>) -> Ran {
    let digests = Digests::default();
    let plan = plan(graph, &digests).unwrap();
    let mut options = RunOptions::new(folder, folder, &digests);
    options.store = store;
    options.document = Some(folder.join("graph.json"));
    let heard = Mutex::new(Vec::new());
    let listener = |event: Event| {
        heard.lock().unwrap().push(match event {
            Event::Started { node, .. } => format!("started {node}"),
            Event::Cached { node } => format!("cached {node}"),
            Event::Finished { node, .. } => format!("finished {node}"),
            Event::RunStarted { .. } => "run".into(),
            Event::RunGrew { .. } => "grew".into(),
            other => format!("{other:?}"),
        });
    };
    let result = execute(graph, &plan, &options, &CancelToken::default(), &listener);
    let heard = heard.into_inner().unwrap();
    let of = |word: &str| heard.iter().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect();
    Ran { result, ran: of("started "), cached: of("cached "), heard }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Path(text) => text.to_string(),
        Value::Number(number) => number.to_string(),
        Value::List(_, items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        other => format!("{other:?}"),
    }
}

fn output(ran: &Ran) -> String {
    shown(&ran.result.as_ref().unwrap_or_else(|error| panic!("{error}")).outputs[0].1)
}

#[test]
fn graphs_of_graphs_give_values() {
    let words = r#""w": { "type": "Words", "inputs": { "text": "a b c" } }"#;
    let cases = [
        (r#""g": { "type": "Graph", "path": "add.json", "inputs": { "a": 3 } }"#.to_owned(), "g.sum", "4"),
        (r#""g": { "type": "Graph", "path": "./twice.json", "inputs": { "x": 3 } }"#.into(), "g.sum", "7"),
        (
            r#""n": { "type": "Integer", "inputs": { "value": 5 } },
               "g": { "type": "Graph", "path": "twice.json", "inputs": { "x": { "from": "n.integer" } } }"#
                .into(),
            "g.sum",
            "11",
        ),
        (
            r#""e": { "type": "For Each", "path": "add.json", "each": "a", "inputs": { "a": [1, 2], "b": 10 } },
               "s": { "type": "Sum", "inputs": { "numbers": { "from": "e.sum" } } }"#
                .into(),
            "s.sum",
            "23",
        ),
        (
            r#""n": { "type": "Number", "inputs": { "value": 5 } },
               "e": { "type": "For Each", "path": "add.json", "each": ["a", "b"],
                      "inputs": { "a": [1, { "from": "n.number" }], "b": [10, 20] } }"#
                .into(),
            "e.sum",
            "[11 25]",
        ),
        (r#""e": { "type": "For Each", "path": "add.json", "each": "a", "inputs": { "a": [] } }"#.into(), "e.sum", "[]"),
        (
            format!(
                r#"{words}, "e": {{ "type": "For Each", "path": "shout.json", "each": "word", "inputs": {{ "word": {{ "from": "w.words" }} }} }}"#
            ),
            "e.text",
            "[<!> <!> <!>]",
        ),
        (
            format!(
                r#"{words}, "t": {{ "type": "Text", "inputs": {{ "text": "{{}}?" }} }},
                "e": {{ "type": "For Each", "path": "shout.json", "each": "word",
                        "inputs": {{ "word": {{ "from": "w.words" }}, "with": {{ "from": "t.text" }} }} }}"#
            ),
            "e.text",
            "[<a?> <b?> <c?>]",
        ),
        (
            r#""e": { "type": "For Each", "path": "letters.json", "each": "line", "inputs": { "line": ["a b", "", "c"] } }"#
                .into(),
            "e.texts",
            "[[<!> <!>] [] [<!>]]",
        ),
        (
            r#""t": { "type": "Text", "inputs": { "text": "" } },
               "w": { "type": "Words", "inputs": { "text": { "from": "t.text" } } },
               "e": { "type": "For Each", "path": "letters.json", "each": "line", "inputs": { "line": { "from": "w.words" } } }"#
                .into(),
            "e.texts",
            "[]",
        ),
        (
            r#""s": { "type": "Switch", "inputs": { "choice": "b", "a": 1, "b": { "from": "n.number" } } },
               "n": { "type": "Number", "inputs": { "value": 5.5 } }"#
                .into(),
            "s.value",
            "5.5",
        ),
        (
            format!(r#"{words}, "s": {{ "type": "Switch", "inputs": {{ "choice": {{ "from": "w.count" }}, "2": "two", "3": "three" }} }}"#),
            "s.value",
            "three",
        ),
        (
            format!(r#"{words}, "s": {{ "type": "Switch", "inputs": {{ "choice": {{ "from": "w.count" }}, "2": 2, "default": 7.5 }} }}"#),
            "s.value",
            "7.5",
        ),
        (r#""s": { "type": "Switch", "inputs": { "choice": true, "true": "yes", "false": "no" } }"#.into(), "s.value", "yes"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (nodes, port, expected) in cases {
        let graph = checked(&document(&nodes, port), folder.path());
        let ran = run_in(&graph, folder.path(), None);
        assert_eq!(output(&ran), expected, "{nodes}");
        // One run to whoever listens, in which each node ends once.
        assert_eq!(ran.heard.iter().filter(|line| *line == "run").count(), 1, "{nodes}");
        let mut ends: Vec<_> =
            ran.heard.iter().filter(|l| l.starts_with("finished") || l.starts_with("cached")).collect();
        let count = ends.len();
        ends.sort();
        ends.dedup();
        assert_eq!(ends.len(), count, "{:?}", ran.heard);
        // The document of the run says everything by itself.
        let again = checked(&graph.document.to_string(), folder.path());
        assert_eq!(output(&run_in(&again, folder.path(), None)), expected, "{nodes}");
        assert_eq!(again.document, graph.document);
    }
}

#[test]
fn inner_nodes_are_called_after_outer_ones() {
    let folder = tempfile::tempdir().unwrap();
    let text = document(
        r#""w": { "type": "Words", "inputs": { "text": "a b" } },
           "e": { "type": "For Each", "path": "letters.json", "each": "line", "inputs": { "line": { "from": "w.words" } } },
           "g": { "type": "Graph", "path": "twice.json", "inputs": { "x": 1 } },
           "s": { "type": "Show Text", "inputs": { "number": { "from": "g.sum" } } },
           "o": { "type": "Text Template", "inputs": { "value": { "from": "s.text" } } }"#,
        "e.texts",
    );
    let ran = run_in(&checked(&text, folder.path()), folder.path(), None);
    let mut ids = [ran.ran, ran.cached].concat();
    ids.sort();
    let expected = [
        "e",
        "e[0]/each",
        "e[0]/each[0]/end",
        "e[0]/each[0]/say",
        "e[0]/words",
        "e[1]/each",
        "e[1]/each[0]/end",
        "e[1]/each[0]/say",
        "e[1]/words",
        "w",
    ];
    assert_eq!(ids, expected);
}

/// What depends on one element is kept by itself: a longer list computes what is new in it.
#[test]
fn one_more_element_is_one_more_to_compute() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store"), None, Decoders::default()).unwrap();
    let run = |line: &str| {
        let text = document(
            &format!(
                r#""w": {{ "type": "Words", "inputs": {{ "text": "{line}" }} }},
                   "t": {{ "type": "Text", "inputs": {{ "text": "{{}}" }} }},
                   "e": {{ "type": "For Each", "path": "shout.json", "each": "word",
                           "inputs": {{ "word": {{ "from": "w.words" }}, "with": {{ "from": "t.text" }} }} }}"#
            ),
            "e.text",
        );
        let mut ran = run_in(&checked(&text, folder.path()), folder.path(), Some(&store));
        ran.ran.sort();
        (output(&ran), ran.ran)
    };
    let all = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let (text, ran) = run("a b");
    assert_eq!((text.as_str(), ran), ("[<a> <b>]", all(&["e", "e[0]/end", "e[0]/say", "e[1]/say", "t", "w"])));
    assert_eq!(run("a b").1, all(&[]), "nothing changed");
    assert_eq!(run("a b c"), ("[<a> <b> <c>]".into(), all(&["e", "e[2]/say", "w"])));
    assert_eq!(run("c a"), ("[<c> <a>]".into(), all(&["e", "w"])), "in another order");
    assert_eq!(run("  c   a"), ("[<c> <a>]".into(), all(&["w"])), "the same list from other words");
}

#[test]
fn a_switch_runs_what_it_chose() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = |choice: &str| {
        format!(
            r#""w": {{ "type": "Words", "inputs": {{ "text": "x" }} }},
               "x": {{ "type": "Text", "inputs": {{ "text": "a" }} }},
               "a": {{ "type": "Graph", "path": "write.json", "inputs": {{ "text": "aa" }} }},
               "b": {{ "type": "Read Text", "inputs": {{ "path": {{ "from": "b2.path" }} }} }},
               "b2": {{ "type": "Write Text", "inputs": {{ "text": "b", "name": "b" }} }},
               "c": {{ "type": "Fail" }},
               "d": {{ "type": "Show Text", "inputs": {{ "number": {{ "from": "c.value" }} }} }},
               "s": {{ "type": "Switch", "inputs": {{ "choice": {choice}, "a": {{ "from": "a.text" }}, "b": {{ "from": "b.text" }}, "c": {{ "from": "d.text" }} }} }}"#
        )
    };
    for (choice, mut expected) in [
        ("\"a\"", vec!["a/say", "a/write", "s"]),
        ("{ \"from\": \"x.text\" }", vec!["a/say", "a/write", "s", "x"]),
        ("\"b\"", vec!["b", "b2", "s"]),
    ] {
        let ran = run_in(&checked(&document(&nodes(choice), "s.value"), folder.path()), folder.path(), None);
        assert!(ran.result.is_ok(), "{choice}: {:?}", ran.result);
        let mut ids = ran.ran.clone();
        ids.sort();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{choice}");
    }
    // Whoever else reads a branch keeps it running.
    let both = document(
        &format!(
            r#"{}, "k": {{ "type": "Write Text", "inputs": {{ "text": {{ "from": "b.text" }} }} }}"#,
            nodes("\"a\"")
        ),
        "s.value",
    );
    let mut ran = run_in(&checked(&both, folder.path()), folder.path(), None).ran;
    ran.sort();
    assert_eq!(ran, ["a/say", "a/write", "b", "b2", "k", "s"]);
}

/// What says how long a list is may be dear, or give something else each time: it runs once, and only if it is needed.
#[test]
fn what_is_asked_first_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = document(
        r#""c": { "type": "Chance" }, "t": { "type": "Show Text", "inputs": { "number": { "from": "c.number" } } },
           "w": { "type": "Words", "inputs": { "text": { "from": "t.text" } } },
           "e": { "type": "For Each", "path": "shout.json", "each": "word",
                  "inputs": { "word": { "from": "w.words" }, "with": { "from": "t.text" } } },
           "r": { "type": "Write Text", "inputs": { "text": { "from": "t.text" } } }"#,
        "e.text",
    );
    let graph = checked(&text, folder.path());
    let ran = run_in(&graph, folder.path(), None);
    assert_eq!(output(&ran), "[<0>]");
    assert_eq!(ran.ran.iter().filter(|id| ["c", "t", "w", "r"].contains(&id.as_str())).count(), 4, "{:?}", ran.ran);
    assert_eq!(std::fs::read_to_string(folder.path().join("text.txt")).unwrap(), "0");
    let unchosen = document(
        r#""w": { "type": "Words", "inputs": { "text": { "from": "bad.value" } } },
           "n": { "type": "Fail" }, "bad": { "type": "Switch", "inputs": { "choice": { "from": "k.text" }, "x": { "from": "m.text" } } },
           "m": { "type": "Show Text", "inputs": { "number": { "from": "n.value" } } }, "k": { "type": "Text", "inputs": { "text": "x" } },
           "e": { "type": "For Each", "path": "shout.json", "each": "word", "inputs": { "word": { "from": "w.words" } } },
           "s": { "type": "Switch", "inputs": { "choice": { "from": "y.text" }, "list": { "from": "e.text" }, "none": [] } },
           "y": { "type": "Text", "inputs": { "text": "none" } }"#,
        "s.value",
    );
    let ran = run_in(&checked(&unchosen, folder.path()), folder.path(), None);
    assert_eq!((output(&ran).as_str(), ran.ran), ("[]", vec!["y".to_owned(), "s".into()]));
}

#[test]
fn what_values_do_not_suit_names_the_node() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("there"), "there").unwrap();
    let path = folder.path().display().to_string();
    let words = |line: &str| format!(r#""w": {{ "type": "Words", "inputs": {{ "text": "{line}" }} }}"#);
    for (nodes, port, expected) in [
        (
            format!(
                r#"{}, "e": {{ "type": "For Each", "path": "read.json", "each": "file", "inputs": {{ "file": {{ "from": "w.words" }} }} }}"#,
                words("./there ./gone")
            ),
            "e.text",
            format!("`e[1]/read` (Read Text): `path`: no such file: {path}/gone"),
        ),
        (
            format!(
                r#"{}, "e": {{ "type": "For Each", "path": "shout.json", "each": ["word", "with"],
                "inputs": {{ "word": {{ "from": "w.words" }}, "with": ["x"] }} }}"#,
                words("a b")
            ),
            "e.text",
            "`e` (For Each): `with` has 1 elements, but `word` has 2: they go side by side".into(),
        ),
        (
            format!(
                r#"{}, "s": {{ "type": "Switch", "inputs": {{ "choice": {{ "from": "w.count" }}, "0": 1, "1": 2 }} }}"#,
                words("a b")
            ),
            "s.value",
            "`s` (Switch): `choice` must be `0` or `1`, found `2`".into(),
        ),
        (
            r#""n": { "type": "Number", "inputs": { "value": 101 } },
               "g": { "type": "Graph", "path": "add.json", "inputs": { "a": { "from": "n.number" } } }"#
                .into(),
            "g.sum",
            "`g.a` (Graph): `value`: must be at most 100, found `101`".into(),
        ),
    ] {
        let ran = run_in(&checked(&document(&nodes, port), folder.path()), folder.path(), None);
        assert_eq!(ran.result.unwrap_err().to_string(), expected);
    }
}

/// Files of included graphs count from where these lie, and all that was read is told.
#[test]
fn included_files_are_read_where_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(inside("parts/deep")).unwrap();
    std::fs::write(inside("parts/note"), "inner").unwrap();
    std::fs::write(inside("note"), "outer").unwrap();
    let read = r#"{ "version": 1, "name": "read", "inputs": { "file": { "type": "path", "default": "./note" } },
        "nodes": { "read": { "type": "Read Text", "inputs": { "path": { "input": "file" } } } }, "outputs": { "text": "read.text" } }"#;
    std::fs::write(inside("parts/read.json"), read).unwrap();
    std::fs::write(
        inside("parts/deep/both.json"),
        r#"{ "version": 1, "name": "both", "nodes": { "in": { "type": "Graph", "path": "../read.json" } }, "outputs": { "text": "in.text" } }"#,
    )
    .unwrap();
    let text = r#"{ "version": 1, "name": "files", "nodes": {
        "inner": { "type": "Graph", "path": "./parts/deep/both.json" },
        "outer": { "type": "Graph", "path": "parts/read.json", "inputs": { "file": "./note" } },
        "join": { "type": "Text Template", "inputs": { "template": { "from": "t.text" }, "value": { "from": "outer.text" } } },
        "t": { "type": "Text Template", "inputs": { "template": "{}+", "value": { "from": "inner.text" } } }
    }, "outputs": { "inner": "inner.text", "outer": "outer.text" } }"#;
    let graph = checked(text, folder.path());
    let ran = run_in(&graph, folder.path(), None);
    let report = ran.result.unwrap();
    let texts: Vec<_> = report.outputs.iter().map(|(_, value)| shown(value)).collect();
    assert_eq!(texts, ["inner", "outer"]);
    let read = ["note", "parts/deep/both.json", "parts/note", "parts/read.json"].map(inside);
    assert_eq!(report.read, read);
    let document = Document::parse(text).unwrap();
    assert_eq!(document.included_files(folder.path()), [inside("parts/deep/both.json"), inside("parts/read.json")]);
    // The document of the run needs none of the graphs' files.
    std::fs::remove_file(inside("parts/deep/both.json")).unwrap();
    std::fs::remove_file(inside("parts/read.json")).unwrap();
    let again = checked(&graph.document.to_string(), folder.path());
    let report = run_in(&again, folder.path(), None).result.unwrap();
    let texts: Vec<_> = report.outputs.iter().map(|(_, value)| shown(value)).collect();
    assert_eq!(texts, ["inner", "outer"]);
    let keys: Vec<_> = again.document["graphs"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["parts/deep/both.json", "parts/read.json"]);
}

/// Looking ahead goes as far as the store knows what decides.
#[test]
fn forecasts_follow_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store"), None, Decoders::default()).unwrap();
    let graph = |line: &str| {
        let nodes = format!(
            r#""w": {{ "type": "Words", "inputs": {{ "text": "{line}" }} }},
               "e": {{ "type": "For Each", "path": "shout.json", "each": "with", "inputs": {{ "word": "x", "with": {{ "from": "w.words" }} }} }}"#
        );
        checked(&document(&nodes, "e.text"), folder.path())
    };
    let ahead = |graph: &Graph| {
        let digests = Digests::default();
        let file = folder.path().join("graph.json");
        let plan = plan(graph, &digests).unwrap();
        let forecast = forecast(graph, &plan, &digests, &store, (folder.path(), folder.path(), Some(&file)));
        let mut all: Vec<_> = forecast.nodes.into_iter().map(|node| (node.node, node.outlook)).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    use Outlook::{Known, MayRun, Runs};
    let named = |all: &[(&str, Outlook)]| all.iter().map(|(id, o)| ((*id).to_owned(), *o)).collect::<Vec<_>>();
    let first = graph("a b");
    assert_eq!(
        ahead(&first),
        named(&[("e", MayRun), ("e[]", MayRun), ("e[]/end", MayRun), ("e[]/say", MayRun), ("w", Runs)])
    );
    run_in(&first, folder.path(), Some(&store)).result.unwrap();
    let known = [("e", Known), ("e[0]/end", Known), ("e[0]/say", Known), ("e[1]/end", Known), ("e[1]/say", Known)];
    assert_eq!(ahead(&first), named(&[&known[..], &[("w", Known)]].concat()));
    let other = graph(" a b c");
    assert_eq!(ahead(&other).last(), Some(&("w".to_owned(), Runs)));
}

#[test]
fn locks_hold_what_is_inside() {
    let folder = tempfile::tempdir().unwrap();
    let lock = |parts: &str| {
        let nodes = r#""g": { "type": "Graph", "path": "add.json", "inputs": { "a": 3 } },
            "w": { "type": "Words", "inputs": { "text": "a b" } },
            "e": { "type": "For Each", "path": "shout.json", "each": "word", "inputs": { "word": { "from": "w.words" } } },
            "o": { "type": "Text Template" }"#;
        let text =
            document(nodes, "e.text").replace(PARTS, parts).replace("\"out\": ", "\"sum\": \"g.sum\", \"out\": ");
        let graph = checked(&text, folder.path());
        Lock::of(&graph, &plan(&graph, &Digests::default()).unwrap())
    };
    let before = lock(PARTS);
    assert_eq!(before.differences(&lock(&PARTS.replace("\"add\": {", "\"add\": { \"label\": \"sums\","))), [""; 0]);
    for (from, to, expected) in [
        ("\"default\": 1 }", "\"default\": 2 }", "node `g/add` (Add) is given something else"),
        ("<{}>", "({})", "node `e[]/end` (Text Template) is given something else"),
    ] {
        assert_eq!(before.differences(&lock(&PARTS.replace(from, to))), [expected]);
    }
}
