//! Runs with a store: what they take from it, what they leave there, and what they do when it lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dc_graph_node_api::{Decoders, InputSpec, NativeObject, Node, NodeError, NodeSpec, Outputs, PortType, Value};

use super::testing::{Build, Setup, add, binary, binary_spec, link, literal, number};
use super::{CancelToken, RunError};
use crate::graph::Binding;
use crate::store::Store;
use crate::testing::TestNode;

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("store"), None, Decoders::default()).unwrap()
}

/// Which nodes ran, in order.
fn ran(heard: &[String]) -> Vec<&str> {
    heard.iter().filter_map(|line| line.strip_prefix("started ")).collect()
}

fn setup<'a>(store: &'a Store, dir: &Path) -> Setup<'a> {
    Setup { store: Some(store), threads: 1, dir: dir.into(), ..Setup::default() }
}

struct Heavy(f64);

impl NativeObject for Heavy {
    fn type_name(&self) -> &'static str {
        "test:heavy"
    }
    fn summary(&self) -> String {
        "heavy".into()
    }
    fn size_bytes(&self) -> usize {
        8
    }
}

const HEAVY: PortType = PortType::native("test:heavy");

/// Gives something that is not kept, such as a model; reads another such thing if there is one.
fn loader() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Load", "test", "Loads.")
        .input(InputSpec::required("value", PortType::Number, "A number."))
        .input(InputSpec::optional("base", HEAVY, "What it stands on."))
        .output("heavy", HEAVY, "Not kept.");
    Arc::new(TestNode::new(spec, |i, _| Ok(Outputs::one("heavy", Value::native(Heavy(i.number("value")?))))))
}

/// Works with what is not kept.
fn worker() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Work", "test", "Works.")
        .input(InputSpec::required("heavy", HEAVY, "What to work with."))
        .input(InputSpec::required("value", PortType::Number, "A number."))
        .output("out", PortType::Number, "A number.");
    Arc::new(TestNode::new(spec, |i, _| Ok(Outputs::one("out", i.native::<Heavy>("heavy")?.0 + i.number("value")?))))
}

#[test]
fn an_ancestor_that_gives_the_same_again_stops_the_wave() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let round = binary("Round", |a, _, _| Ok(a.round()));
    let graph = |start: f64| {
        let mut build = Build::new();
        let a = build.node("a", add(), vec![literal(start), Binding::Absent]);
        let b = build.node("b", round.clone(), vec![link(a), Binding::Absent]);
        let c = build.node("c", add(), vec![link(b), literal(1.0)]);
        let d = build.node("d", add(), vec![link(c), link(a)]);
        build.output("d", d);
        build.0
    };
    for (start, expected, runs) in [
        (1.0, 3.0, vec!["a", "b", "c", "d"]),
        (1.0, 3.0, vec![]),
        (1.25, 3.25, vec!["a", "b", "d"]),
        (1.0, 3.0, vec![]),
        (1.25, 3.25, vec![]),
    ] {
        let (result, heard) = setup(&open(folder.path()), folder.path()).run(&graph(start));
        assert_eq!(number(&result.unwrap(), "d"), expected);
        assert_eq!(ran(&heard), runs, "{start}");
        assert_eq!(heard.len(), 1 + 2 * runs.len() + (4 - runs.len()), "one event a change of state");
    }
    assert!(store.take_warnings().is_empty());
}

#[test]
fn what_is_not_kept_is_made_only_for_a_node_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let graph = |base: f64, value: f64, more: Option<f64>| {
        let mut build = Build::new();
        let base = build.node("base", loader(), vec![literal(base), Binding::Absent]);
        let top = build.node("top", loader(), vec![literal(1.0), link(base)]);
        let work = build.node("work", worker(), vec![link(top), literal(value)]);
        build.output("work", work);
        if let Some(more) = more {
            let other = build.node("other", worker(), vec![link(base), literal(more)]);
            build.output("other", other);
        }
        build.0
    };
    for ((base, value, more), runs) in [
        ((1.0, 1.0, None), vec!["base", "top", "work"]),
        ((1.0, 1.0, None), vec![]),
        // A chain of things that are not kept is made again for the node that needs its end.
        ((1.0, 2.0, None), vec!["base", "top", "work"]),
        ((1.0, 2.0, Some(1.0)), vec!["base", "other"]),
        ((2.0, 2.0, Some(1.0)), vec!["base", "top", "work", "other"]),
        ((1.0, 1.0, Some(1.0)), vec![]),
    ] {
        for threads in [1, 4] {
            let store = open(folder.path());
            let (result, heard) = Setup { threads, ..setup(&store, folder.path()) }.run(&graph(base, value, more));
            let report = result.unwrap();
            assert_eq!(number(&report, "work"), 1.0 + value);
            assert_eq!(report.nodes.len(), if more.is_some() { 4 } else { 3 });
            if threads == 1 {
                assert_eq!(ran(&heard), runs, "{base} {value} {more:?}");
            } else {
                assert_eq!(ran(&heard), [""; 0], "the second time");
            }
        }
    }
}

#[test]
fn chance_is_never_reused_but_what_follows_is_known_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let draws = Arc::new(AtomicUsize::new(0));
    let (count, mut spec) = (draws.clone(), binary_spec("Chance"));
    spec.deterministic = false;
    let chance: Arc<dyn Node> = Arc::new(TestNode::new(spec, move |_, _| {
        Ok(Outputs::one("out", (count.fetch_add(1, Ordering::SeqCst) / 2) as f64))
    }));
    let mut build = Build::new();
    let drawn = build.node("drawn", chance, vec![Binding::Absent, Binding::Absent]);
    let next = build.node("next", add(), vec![link(drawn), literal(1.0)]);
    build.output("next", next);
    for (expected, runs) in [(1.0, vec!["drawn", "next"]), (1.0, vec!["drawn"]), (2.0, vec!["drawn", "next"])] {
        let (result, heard) = setup(&open(folder.path()), folder.path()).run(&build.0);
        assert_eq!((number(&result.unwrap(), "next"), ran(&heard)), (expected, runs));
    }
}

/// Writes its number to a file.
fn writer(says: bool) -> Arc<dyn Node> {
    let spec = binary_spec(if says { "Write" } else { "Write Silently" }).with_effect();
    Arc::new(TestNode::new(spec, move |i, context| {
        let path = context.output_dir().join("number.txt");
        std::fs::create_dir_all(context.output_dir()).unwrap();
        std::fs::write(&path, i.number("a")?.to_string())
            .map_err(|source| NodeError::File { path: path.clone(), source })?;
        if says {
            context.wrote(&path);
        }
        Ok(Outputs::one("out", i.number("a")?))
    }))
}

#[test]
fn files_are_written_unless_they_are_there_and_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let file = output.join("number.txt");
    let graph = |value: f64, says: bool| {
        let mut build = Build::new();
        let a = build.node("a", add(), vec![literal(value), Binding::Absent]);
        build.node("write", writer(says), vec![link(a), Binding::Absent]);
        build.0
    };
    let check = |value: f64, runs: &[&str], dir: &Path| {
        let (result, heard) = setup(&open(folder.path()), dir).run(&graph(value, true));
        result.unwrap();
        assert_eq!(ran(&heard), runs, "{heard:?}");
        assert_eq!(std::fs::read_to_string(dir.join("number.txt")).unwrap(), value.to_string());
        let kept = heard.iter().any(|line| *line == format!("kept write {}", dir.join("number.txt").display()));
        assert_eq!(kept, !runs.contains(&"write"));
    };
    check(1.0, &["a", "write"], &output);
    check(1.0, &[], &output);
    std::fs::write(&file, "something else").unwrap();
    check(1.0, &["write"], &output);
    std::fs::remove_file(&file).unwrap();
    check(1.0, &["write"], &output);
    check(2.0, &["a", "write"], &output);
    check(1.0, &["write"], &output);
    check(1.0, &["write"], &folder.path().join("elsewhere"));
    check(1.0, &[], &output);
    for _ in 0..2 {
        let (result, heard) = setup(&open(folder.path()), &output).run(&graph(1.0, false));
        assert!(result.is_ok() && ran(&heard).contains(&"write"), "what it did cannot be checked: {heard:?}");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Texts of 1000 letters, so that they stand in blobs.
fn blobs(middle: &str) -> Build {
    let text = |type_name: &str| {
        let spec = NodeSpec::new(type_name, "test", "Makes text.")
            .input(InputSpec::required("text", PortType::Text, "A text."))
            .output("out", PortType::Text, "1000 letters.");
        Arc::new(TestNode::new(spec, |i, _| Ok(Outputs::one("out", i.text("text")?.repeat(1000)[..1000].to_owned()))))
    };
    let spec = NodeSpec::new("Join", "test", "Joins.")
        .input(InputSpec::required("a", PortType::Text, "A text."))
        .input(InputSpec::required("b", PortType::Text, "A text."))
        .output("out", PortType::Text, "Both.");
    let join =
        Arc::new(TestNode::new(spec, |i, _| Ok(Outputs::one("out", format!("{}{}", i.text("a")?, i.text("b")?)))));
    let mut build = Build::new();
    let a = build.node("a", text("A"), vec![literal("ab")]);
    let b = build.node("b", text("B"), vec![link(a)]);
    let c = build.node("c", join, vec![link(b), literal(middle)]);
    build.output("c", c);
    build
}

#[test]
fn what_is_damaged_or_gone_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = || open(folder.path());
    setup(&store(), folder.path()).run(&blobs("x").0).0.unwrap();
    type Harm = fn(&Path);
    let flip: Harm = |path| {
        let mut bytes = std::fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let remove: Harm = |path| std::fs::remove_file(path).unwrap();
    for (room, harm, warns) in [("blobs", flip, true), ("blobs", remove, false), ("entries", flip, true)] {
        files(&store().root().join(room)).iter().for_each(|path| harm(path));
        let store = store();
        let (result, heard) = setup(&store, folder.path()).run(&blobs("y").0);
        let outputs = result.unwrap().outputs;
        let Value::Text(found) = &outputs[0].1 else { panic!("expected a text") };
        assert_eq!(**found, format!("{}y", "ab".repeat(500)));
        let warnings = store.take_warnings();
        assert_eq!(!warnings.is_empty(), warns, "{room}: {warnings:?} {heard:?}");
        let (result, heard) = setup(&store, folder.path()).run(&blobs("y").0);
        assert!(result.is_ok() && ran(&heard).is_empty(), "{room}: {heard:?}");
    }
}

#[test]
fn a_store_that_cannot_be_written_costs_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    std::fs::remove_dir_all(store.root().join("tmp")).unwrap();
    std::fs::write(store.root().join("tmp"), "in the way").unwrap();
    for _ in 0..2 {
        let (result, heard) = setup(&open(folder.path()), folder.path()).run(&blobs("x").0);
        assert!(result.is_ok() && ran(&heard) == ["a", "b", "c"], "{heard:?}");
    }
    let store = open(folder.path());
    setup(&store, folder.path()).run(&blobs("x").0).0.unwrap();
    assert_eq!(store.take_warnings().len(), 1);
}

#[test]
fn two_runs_at_once_compute_each_node_once() {
    let folder = tempfile::tempdir().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let slow = binary("Slow", move |a, b, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        for _ in 0..100 {
            std::thread::yield_now();
        }
        Ok(a + b)
    });
    let mut build = Build::new();
    let mut last = build.node("0", slow.clone(), vec![literal(1.0), Binding::Absent]);
    for n in 1..20 {
        last = build.node(&n.to_string(), slow.clone(), vec![link(last), literal(1.0)]);
    }
    build.output("end", last);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = open(folder.path());
                assert_eq!(number(&setup(&store, folder.path()).run(&build.0).0.unwrap(), "end"), 20.0);
                assert_eq!(store.take_warnings(), [""; 0]);
            });
        }
    });
    assert_eq!(count.load(Ordering::SeqCst), 20);
}

#[test]
fn a_node_that_was_stopped_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancelToken::default();
    let (token, taken) = (cancel.clone(), Arc::new(AtomicUsize::new(0)));
    let steps = taken.clone();
    let walk = binary("Walk", move |a, _, context| {
        let from = context.restore().map_or(0, |bytes| usize::from(bytes[0]));
        for step in from..10 {
            context.checkpoint(&[step as u8]);
            if step == 7 && steps.load(Ordering::SeqCst) < 8 {
                token.cancel();
            }
            context.check_cancelled()?;
            steps.fetch_add(1, Ordering::SeqCst);
        }
        Ok(a)
    });
    let mut build = Build::new();
    let walked = build.node("walk", walk, vec![literal(4.0), Binding::Absent]);
    build.output("walk", walked);
    let store = open(folder.path());
    let first = Setup { cancel, ..setup(&store, folder.path()) };
    assert!(matches!(first.run(&build.0).0, Err(RunError::Cancelled)));
    assert_eq!((taken.load(Ordering::SeqCst), store.stats().checkpoints), (7, 1));
    taken.store(100, Ordering::SeqCst);
    assert_eq!(number(&setup(&store, folder.path()).run(&build.0).0.unwrap(), "walk"), 4.0);
    assert_eq!((taken.load(Ordering::SeqCst), store.stats().checkpoints), (103, 0));
}

#[test]
fn files_named_by_a_link_count_by_their_contents() {
    let folder = tempfile::tempdir().unwrap();
    let registry = crate::testing::registry();
    let mut build = Build::new();
    let name = build.node("name", registry.get("Text").unwrap().clone(), vec![literal("./a.txt")]);
    let read = build.node("read", registry.get("Read Text").unwrap().clone(), vec![link(name)]);
    build.0.nodes[read].reads_unknown = true;
    build.output("read", read);
    for (contents, runs) in
        [("one", vec!["name", "read"]), ("one", vec![]), ("two", vec!["read"]), ("one", vec![]), ("two", vec![])]
    {
        std::fs::write(folder.path().join("a.txt"), contents).unwrap();
        let (result, heard) = setup(&open(folder.path()), folder.path()).run(&build.0);
        let report = result.unwrap();
        let Value::Text(found) = &report.outputs[0].1 else { panic!("expected a text") };
        assert_eq!((&**found, ran(&heard)), (contents, runs));
        assert!(report.read == [folder.path().join("a.txt")] || ran(&heard).is_empty(), "{:?}", report.read);
    }
}
