//! What the host itself costs: graphs of nodes that do next to nothing.
//!
//! `cargo bench --bench host` prints the median of several runs in milliseconds. Planning and execution count, building
//! the graph does not, except where it is what is measured. The program itself is measured, too, where it is built.

#![allow(clippy::print_stdout)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use dc_graph::api::{Decoders, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};
use dc_graph::exec::{Cache, CancelToken, Digests, RunOptions, execute, plan};
use dc_graph::graph::{Binding, Document, Graph, GraphNode, Location, PortRef, Settings, validate};
use dc_graph::registry::Registry;
use dc_graph::store::Store;
use petgraph::graph::{DiGraph, NodeIndex};

/// Adds its inputs.
struct Add(NodeSpec);

impl Add {
    fn node() -> Arc<dyn Node> {
        let spec = NodeSpec::new("Add", "bench", "The sum of two numbers.")
            .input(InputSpec::with_default("a", 0.0, "A number."))
            .input(InputSpec::with_default("b", 0.0, "A number."))
            .output("sum", PortType::Number, "`a` plus `b`.");
        Arc::new(Self(spec))
    }
}

impl Node for Add {
    fn spec(&self) -> &NodeSpec {
        &self.0
    }

    fn run(&self, inputs: &Inputs, _: &dyn RunContext) -> Result<Outputs, NodeError> {
        Ok(Outputs::one("sum", inputs.number("a")? + inputs.number("b")?))
    }
}

/// Nodes whose first input is a link to the given earlier node, and whose second one tells them apart.
fn graph(links: impl Iterator<Item = Option<usize>>, outputs: impl Fn(usize) -> Vec<usize>) -> Graph {
    let add = Add::node();
    let mut nodes: DiGraph<GraphNode, ()> = DiGraph::new();
    for (n, from) in links.enumerate() {
        let from = from.map(NodeIndex::new);
        let a = match from {
            Some(node) => Binding::Link(PortRef { node, output: 0 }),
            None => Binding::Value(Value::Number(0.0)),
        };
        let bindings = vec![a, Binding::Value(Value::Number(n as f64))];
        let added =
            nodes.add_node(GraphNode::new(n.to_string(), add.clone(), bindings, Location { line: 1, column: 1 }));
        if let Some(from) = from {
            nodes.add_edge(from, added, ());
        }
    }
    let port = |n: usize| (n.to_string(), PortRef { node: NodeIndex::new(n), output: 0 });
    let outputs = outputs(nodes.node_count()).into_iter().map(port).collect();
    Graph::new("bench", nodes, outputs)
}

/// One node after the other.
fn chain(length: usize) -> Graph {
    graph((0..length).map(|n| n.checked_sub(1)), |count| vec![count - 1])
}

/// One node that all others read, each an output.
fn wide(width: usize) -> Graph {
    graph((0..=width).map(|n| (n > 0).then_some(0)), |count| (1..count).collect())
}

/// The document of a chain.
fn chain_document(length: usize) -> String {
    let link = |n: usize| n.checked_sub(1).map_or("0".into(), |from| format!(r#"{{ "from": "n{from}.sum" }}"#));
    let node = |n| format!(r#""n{n}": {{ "type": "Add", "inputs": {{ "a": {}, "b": {n} }} }}"#, link(n));
    let nodes: Vec<_> = (0..length).map(node).collect();
    let end = length - 1;
    format!(
        r#"{{ "version": 1, "name": "chain", "nodes": {{ {} }}, "outputs": {{ "end": {{ "from": "n{end}.sum" }} }} }}"#,
        nodes.join(",\n")
    )
}

/// The document of a sum for each number up to one.
fn over(length: usize) -> String {
    let numbers: Vec<_> = (0..length).map(|n| n.to_string()).collect();
    format!(
        r#"{{ "version": 1, "name": "over",
            "nodes": {{ "each": {{ "type": "For Each", "path": "add.json", "each": "a", "inputs": {{ "a": [{}] }} }} }},
            "outputs": {{ "sums": "each.sum" }},
            "graphs": {{ "add.json": {{ "version": 1, "name": "add", "inputs": {{ "a": {{ "type": "number" }} }},
                "nodes": {{ "add": {{ "type": "Add", "inputs": {{ "a": {{ "input": "a" }}, "b": 1 }} }} }},
                "outputs": {{ "sum": "add.sum" }} }} }} }}"#,
        numbers.join(", ")
    )
}

/// Plans and runs once. How many nodes ran.
fn run(graph: &Graph, cache: Option<&Cache>, store: Option<&Store>) -> usize {
    let digests = Digests::default();
    let plan = plan(graph, &digests).expect("the graph has no files");
    let mut options = RunOptions::new(Path::new("."), Path::new("."), &digests);
    (options.cache, options.store) = (cache, store);
    let report = execute(graph, &plan, &options, &CancelToken::default(), &|_| {}).expect("the nodes do not fail");
    assert_eq!(report.outputs.len(), graph.outputs.len());
    report.nodes.iter().filter(|node| !node.cached).count()
}

/// Prints the median time of a piece of work, after one run to warm up.
fn time(name: &str, repeats: usize, mut work: impl FnMut()) {
    work();
    let mut times: Vec<f64> = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let began = Instant::now();
        work();
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("{name:<28}{:>10.3} ms", times[times.len() / 2]);
}

/// The program in a folder of its own, on the CPU, telling events, with a store of its own.
struct Program {
    path: &'static str,
    folder: tempfile::TempDir,
}

impl Program {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        command.args(args).args(["--device", "cpu", "--progress", "json", "--format", "json"]);
        command.current_dir(self.folder.path()).env("XDG_CACHE_HOME", self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts and waits until it tells of an event of a kind.
    fn until(&self, args: &[&str], event: &str) -> Child {
        let mut child = self.command(args).stderr(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let told = format!(r#"{{"event":"{event}""#);
        assert!(lines.map_while(Result::ok).any(|line| line.starts_with(&told)), "it never told of `{event}`");
        child
    }
}

/// What the program costs that has nothing to compute: start-up, an unchanged graph, waiting for an edit.
fn program(path: &'static str) {
    let program = Program { path, folder: tempfile::tempdir().expect("a folder") };
    let text = r#"{ "version": 1, "name": "text", "nodes": { "text": { "type": "Text", "inputs": { "value": "" } } },
        "outputs": { "text": "text.value" } }"#;
    fs::write(program.folder.path().join("text.json"), text).expect("the folder can be written");
    time("program, version", 20, || {
        let mut version = Command::new(path);
        assert!(version.arg("--version").stdout(Stdio::null()).status().expect("the program starts").success());
    });
    time("program, first node", 20, || {
        let mut child = program.until(&["run", "text.json", "--no-store"], "started");
        child.wait().expect("it ends");
    });
    let graph = concat!(env!("CARGO_MANIFEST_DIR"), "/graphs/personalize.json");
    let args = ["run", graph, "--set", "num_inference_steps=2"];
    let run = || assert!(program.command(&args).status().expect("the program starts").success());
    // The first time is the one that computes.
    time("program, unchanged graph", 20, run);
    let mut watching = program.until(&["watch", "text.json"], "waiting");
    let status = fs::read_to_string(format!("/proc/{}/status", watching.id())).unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    watching.kill().and_then(|()| watching.wait()).expect("it can be stopped");
    if let Some(kilobytes) = resident {
        let kilobytes: f64 = kilobytes;
        println!("{:<28}{:>10.1} MB", "program, watching", kilobytes / 1e3);
    }
}

fn main() {
    if let Some(path) = option_env!("CARGO_BIN_EXE_dc-graph") {
        program(path);
    }
    let mut registry = Registry::default();
    registry.add(Add::node()).expect("the only node");
    for length in [1_000, 100_000] {
        let text = chain_document(length);
        time(&format!("parse and validate {length}"), 300_000 / length + 3, || {
            let document = Document::parse(&text).expect("the document is fine");
            assert!(validate(&document, &registry, &Settings::default()).is_ok());
        });
    }
    for length in [1_000, 10_000, 100_000] {
        let graph = chain(length);
        let repeats = 300_000 / length + 3;
        time(&format!("chain of {length}, cold"), repeats, || {
            run(&graph, None, None);
        });
        let cache = Cache::new(1 << 30);
        time(&format!("chain of {length}, cached"), repeats, || {
            run(&graph, Some(&cache), None);
        });
    }
    // As another process finds it: each node is a file of the store.
    for length in [1_000, 10_000] {
        let graph = chain(length);
        let folder = tempfile::tempdir().expect("a folder for the store");
        let store = Store::open(folder.path(), None, Decoders::default()).expect("a store");
        run(&graph, None, Some(&store));
        time(&format!("chain of {length}, stored"), 30_000 / length + 3, || {
            assert_eq!(run(&graph, None, Some(&store)), 0);
        });
    }
    for width in [100, 1_000, 10_000] {
        let graph = wide(width);
        let repeats = 100_000 / width + 3;
        time(&format!("{width} wide, cold"), repeats, || {
            run(&graph, None, None);
        });
        let cache = Cache::new(1 << 30);
        time(&format!("{width} wide, cached"), repeats, || {
            run(&graph, Some(&cache), None);
        });
    }
    for length in [1_000, 10_000] {
        let text = over(length);
        let document = Document::parse(&text).expect("the document is fine");
        time(&format!("for each of {length}, validated"), 30_000 / length + 3, || {
            assert!(validate(&document, &registry, &Settings::default()).is_ok());
        });
        let (graph, _) = validate(&document, &registry, &Settings::default()).expect("the document is fine");
        time(&format!("for each of {length}, cold"), 30_000 / length + 3, || {
            run(&graph, None, None);
        });
    }
}
