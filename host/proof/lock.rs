//! All that a run depends on, as digests: what `GRAPH.lock` holds.
//!
//! Labels, the order of nodes and the places of files are no part of it: such edits change no result.

use std::collections::BTreeMap;
use std::path::Path;

use dc_graph_node_api::{Node, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exec::{FileRead, Plan};
use crate::graph::{Binding, Graph, GraphNode, value_to_json};

/// The version of the form of locks.
const VERSION: u32 = 1;

/// What a run depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The version of this form.
    pub version: u32,
    /// The program and its version.
    pub program: String,
    /// The graph's inputs and their values.
    pub inputs: BTreeMap<String, serde_json::Value>,
    /// The nodes that run, by id.
    pub nodes: BTreeMap<String, LockedNode>,
    /// The graph's outputs: `node.port` by name.
    pub outputs: BTreeMap<String, String>,
}

/// What a node's results depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedNode {
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The version of the type.
    pub version: u32,
    /// What the type says that its results depend on beside its inputs: device class and number type, or the plugin.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub depends_on: String,
    /// Blake3 of what the document gives it: values and links by port.
    pub inputs: String,
    /// The files it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<LockedFile>,
    /// Whether it reads files whose names are known only while it runs, so that they are not locked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_more: bool,
}

/// A file and what is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Its name, for people.
    pub name: String,
    /// Blake3 of its contents.
    pub blake3: String,
}

impl Lock {
    /// What a planned run depends on.
    pub fn of(graph: &Graph, plan: &Plan) -> Self {
        let nodes = plan.nodes.iter().map(|planned| {
            let node = &graph.nodes[planned.node];
            (node.id.clone(), LockedNode::of(graph, node, &planned.reads))
        });
        let inputs = graph.inputs.iter().map(|(name, value)| (name.clone(), written(value)));
        let outputs = graph.outputs.iter().map(|(name, port)| (name.clone(), port_name(graph, *port)));
        Self {
            version: VERSION,
            program: program(),
            inputs: inputs.collect(),
            nodes: nodes.collect(),
            outputs: outputs.collect(),
        }
    }

    /// Blake3 of the whole lock: equal for runs that give equal results.
    pub fn digest(&self) -> String {
        blake3::hash(json!(self).to_string().as_bytes()).to_hex().to_string()
    }

    /// What is different in `now`, one sentence each; nothing when a run then gives what it gave when this was locked.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut all = Vec::new();
        if self.version != now.version {
            all.push(format!("the lock has version {}, this program writes {}", self.version, now.version));
        }
        if self.program != now.program {
            all.push(format!("program: locked `{}`, found `{}`", self.program, now.program));
        }
        compare(&self.inputs, &now.inputs, |name, was, is| match (was, is) {
            (Some(was), Some(is)) => all.push(format!("input `{name}`: locked {was}, found {is}")),
            (Some(_), None) => all.push(format!("input `{name}` is gone")),
            _ => all.push(format!("input `{name}` is new")),
        });
        // Each type once, not each of its nodes.
        let mut told = Vec::new();
        compare(&self.nodes, &now.nodes, |id, was, is| match (was, is) {
            (Some(was), Some(is)) => was.differences(id, is, &mut told, &mut all),
            (Some(was), None) => all.push(format!("node `{id}` ({}) is gone", was.type_name)),
            (_, Some(is)) => all.push(format!("node `{id}` ({}) is new", is.type_name)),
            (None, None) => {}
        });
        compare(&self.outputs, &now.outputs, |name, was, is| {
            let shown = |port: Option<&String>| port.map_or("nothing".to_owned(), |port| format!("`{port}`"));
            all.push(format!("output `{name}`: locked {}, found {}", shown(was), shown(is)));
        });
        all
    }
}

impl LockedNode {
    /// What a node depends on.
    fn of(graph: &Graph, node: &GraphNode, reads: &[FileRead]) -> Self {
        let spec = node.node.spec();
        let inputs: BTreeMap<&str, serde_json::Value> =
            spec.inputs.iter().zip(&node.bindings).map(|(input, b)| (&*input.name, bound(graph, b))).collect();
        Self {
            type_name: spec.type_name.clone(),
            version: spec.version,
            depends_on: depends_on(&*node.node),
            inputs: blake3::hash(json!(inputs).to_string().as_bytes()).to_hex().to_string(),
            files: reads.iter().map(LockedFile::of).collect(),
            reads_more: node.reads_unknown,
        }
    }

    fn differences(&self, id: &str, now: &Self, told: &mut Vec<String>, all: &mut Vec<String>) {
        let mut once = |text: String| {
            if !told.contains(&text) {
                told.push(text.clone());
                all.push(text);
            }
        };
        let kind = &now.type_name;
        if self.type_name != now.type_name {
            once(format!("node `{id}`: locked type `{}`, found `{kind}`", self.type_name));
            return;
        }
        if self.version != now.version {
            once(format!("node type `{kind}`: locked version {}, found {}", self.version, now.version));
        }
        if self.depends_on != now.depends_on {
            once(format!("node type `{kind}`: locked on `{}`, found `{}`", self.depends_on, now.depends_on));
        }
        if self.inputs != now.inputs {
            all.push(format!("node `{id}` ({kind}) is given something else"));
        }
        file_differences(id, &self.files, &now.files, all);
    }
}

/// What differs between the files that a node read and those that it would read now.
pub(super) fn file_differences(id: &str, was: &[LockedFile], is: &[LockedFile], all: &mut Vec<String>) {
    let by_name = |files: &[LockedFile]| -> BTreeMap<String, String> {
        files.iter().map(|file| (file.name.clone(), file.blake3.clone())).collect()
    };
    // Where the names alone differ the contents are the same.
    let contents = |files: &[LockedFile]| -> Vec<String> { files.iter().map(|file| file.blake3.clone()).collect() };
    if contents(was) == contents(is) {
        return;
    }
    compare(&by_name(was), &by_name(is), |name, was, is| match (was, is) {
        (Some(_), Some(_)) => all.push(format!("file `{name}`, read by `{id}`, has other contents")),
        (Some(_), None) => all.push(format!("file `{name}` is not read by `{id}` any more")),
        _ => all.push(format!("file `{name}` is read by `{id}` now")),
    });
}

impl LockedFile {
    fn of(read: &FileRead) -> Self {
        let name = read.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self { name, blake3: read.digest.to_string() }
    }
}

/// Calls for every key whose values differ.
fn compare<V: PartialEq>(
    was: &BTreeMap<String, V>,
    is: &BTreeMap<String, V>,
    mut tell: impl FnMut(&str, Option<&V>, Option<&V>),
) {
    let gone = was.keys().filter(|key| !is.contains_key(*key));
    for key in gone.chain(is.keys()) {
        let (was, is) = (was.get(key), is.get(key));
        if was != is {
            tell(key, was, is);
        }
    }
}

/// The program, as locks and pictures name it.
pub(crate) fn program() -> String {
    concat!("dc-graph ", env!("CARGO_PKG_VERSION")).into()
}

/// What a node type's results depend on beside the inputs, for people too: the device's class, the plugin.
pub(crate) fn depends_on(node: &dyn Node) -> String {
    // One that panics says nothing, and planning has told so.
    let salt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| node.key_salt())).unwrap_or_default();
    match node.origin() {
        Some(origin) => format!("plugin {} {} (blake3 {})", origin.plugin, origin.version, origin.blake3),
        None => salt,
    }
}

/// A value as JSON, a path by its last part: where a file lies is no matter, what it holds is in `files`.
fn written(value: &Value) -> serde_json::Value {
    value_to_json(value, &|path| {
        let name = Path::new(path).file_name().filter(|_| Path::new(path).is_absolute());
        name.map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
    })
}

fn bound(graph: &Graph, binding: &Binding) -> serde_json::Value {
    match binding {
        Binding::Absent => serde_json::Value::Null,
        Binding::Value(value) => written(value),
        Binding::Link(port) => json!({ "from": port_name(graph, *port) }),
        Binding::List(items) => items.iter().map(|item| bound(graph, item)).collect(),
    }
}

fn port_name(graph: &Graph, port: crate::graph::PortRef) -> String {
    let node = &graph.nodes[port.node];
    let output = node.node.spec().outputs.get(port.output).map_or("", |output| &output.name);
    format!("{}.{output}", node.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Digests, plan};
    use crate::graph::{Document, Settings, validate};
    use crate::testing::registry;

    const TEXT: &str = r#"{ "version": 1, "name": "lock", "inputs": { "n": { "type": "number", "default": 2 } },
        "nodes": {
            "read": { "type": "Read Text", "inputs": { "path": "a.txt" } },
            "add": { "type": "Add", "inputs": { "a": { "input": "n" }, "b": 1 } }
        }, "outputs": { "text": "read.text", "sum": "add.sum" } }"#;

    fn lock(text: &str, folder: &Path, set: Option<&str>) -> Lock {
        let mut settings = Settings { folder: folder.into(), current: folder.into(), ..Settings::default() };
        if let Some(value) = set {
            settings.overrides.set("n", value);
        }
        let (graph, _) = validate(&Document::parse(text).unwrap(), &registry(), &settings).unwrap();
        Lock::of(&graph, &plan(&graph, &Digests::default()).unwrap())
    }

    #[test]
    fn names_what_differs_and_only_that() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "one").unwrap();
        let locked = lock(TEXT, folder.path(), None);
        let check = |text: &str, set: Option<&str>, expected: &[&str]| {
            let found = locked.differences(&lock(text, folder.path(), set));
            assert_eq!(found, expected, "{text}");
        };
        check(TEXT, None, &[]);
        check(TEXT, Some("2.0"), &[]);
        let labelled =
            TEXT.replace("\"type\": \"Add\"", "\"label\": \"sum\", \"type\": \"Add\"").replace("\"lock\"", "\"x\"");
        check(&labelled, None, &[]);
        check(TEXT, Some("3"), &["input `n`: locked 2.0, found 3.0", "node `add` (Add) is given something else"]);
        check(&TEXT.replace("\"b\": 1", "\"b\": 5"), None, &["node `add` (Add) is given something else"]);
        check(
            &TEXT.replace("\"add\"", "\"plus\"").replace("add.sum", "plus.sum"),
            None,
            &[
                "node `add` (Add) is gone",
                "node `plus` (Add) is new",
                "output `sum`: locked `add.sum`, found `plus.sum`",
            ],
        );
        check(
            &TEXT.replace(", \"sum\": \"add.sum\"", ""),
            None,
            &["node `add` (Add) is gone", "output `sum`: locked `add.sum`, found nothing"],
        );
        std::fs::write(folder.path().join("a.txt"), "two").unwrap();
        check(TEXT, None, &["file `a.txt`, read by `read`, has other contents"]);
    }

    #[test]
    fn holds_anywhere_and_survives_being_written() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&here, &there] {
            std::fs::write(folder.path().join("a.txt"), "one").unwrap();
        }
        let (one, other) = (lock(TEXT, here.path(), None), lock(TEXT, there.path(), None));
        assert_eq!((one.differences(&other), one.digest()), (vec![], other.digest()));
        let again: Lock = serde_json::from_str(&json!(one).to_string()).unwrap();
        assert_eq!(again, one);
        let mut elsewhere = one.clone();
        elsewhere.program = "dc-graph 0.0.9".into();
        for node in elsewhere.nodes.values_mut() {
            node.version = 7;
            node.depends_on = "a gpu".into();
        }
        let found = one.differences(&elsewhere);
        assert_eq!(
            found,
            [
                concat!("program: locked `dc-graph ", env!("CARGO_PKG_VERSION"), "`, found `dc-graph 0.0.9`"),
                "node type `Add`: locked version 1, found 7",
                "node type `Add`: locked on ``, found `a gpu`",
                "node type `Read Text`: locked version 1, found 7",
                "node type `Read Text`: locked on ``, found `a gpu`",
            ]
        );
    }
}
