//! What a picture tells about the run that made it, and how a run of today differs from that.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::lock::{LockedFile, file_differences, program};
use crate::exec::{FileRead, Plan};
use crate::graph::Graph;

/// What made a picture: the text that `Save Image` writes into it.
#[derive(Clone, Debug, Deserialize)]
pub struct Maker {
    /// The program.
    pub program: String,
    /// Its version.
    pub version: String,
    /// The node that wrote the picture.
    pub node: String,
    /// The document, with the values of that run as the defaults of its inputs.
    pub graph: Value,
    /// The files that were read.
    #[serde(default)]
    files: Vec<MakerFile>,
    /// The node types that had a part in it. Pictures of early programs do not say.
    node_types: Option<BTreeMap<String, MakerType>>,
}

#[derive(Clone, Debug, Deserialize)]
struct MakerFile {
    node: String,
    name: String,
    blake3: String,
}

#[derive(Clone, Debug, Deserialize)]
struct MakerType {
    version: u32,
    #[serde(default)]
    depends_on: String,
}

impl Maker {
    /// The files that were read, by node.
    fn files_by_node(&self) -> BTreeMap<&str, Vec<LockedFile>> {
        let mut by_node: BTreeMap<&str, Vec<LockedFile>> = BTreeMap::new();
        for file in &self.files {
            let locked = LockedFile { name: file.name.clone(), blake3: file.blake3.clone() };
            by_node.entry(&file.node).or_default().push(locked);
        }
        by_node
    }

    /// What is different in a run as it is planned now, one sentence each: version, device, node types, files.
    pub fn differences(&self, graph: &Graph, plan: &Plan) -> Vec<String> {
        let mut all = Vec::new();
        let then = format!("{} {}", self.program, self.version);
        if then != program() {
            all.push(format!("program: made by `{then}`, this is `{}`", program()));
        }
        let mut seen = HashSet::new();
        for planned in &plan.nodes {
            let spec = graph.nodes[planned.node].node.spec();
            if !seen.insert(&spec.type_name) {
                continue;
            }
            let Some(then) = self.node_types.as_ref().and_then(|types| types.get(&spec.type_name)) else { continue };
            let now = super::lock::depends_on(&*graph.nodes[planned.node].node);
            let kind = &spec.type_name;
            if then.version != spec.version {
                all.push(format!("node type `{kind}`: made by version {}, this is {}", then.version, spec.version));
            }
            if then.depends_on != now {
                all.push(format!("node type `{kind}`: made on `{}`, this is `{now}`", then.depends_on));
            }
        }
        let then = self.files_by_node();
        for planned in &plan.nodes {
            let node = &graph.nodes[planned.node];
            // What such a node read is compared by nobody: it is known only when the run is over.
            if !node.reads_unknown {
                let was = files_of(&then, &node.id);
                file_differences(&node.id, was, &planned.reads.iter().map(locked).collect::<Vec<_>>(), &mut all);
            }
        }
        if self.node_types.is_none() {
            all.push("the picture does not say on which device it was made".into());
        }
        all
    }

    /// Whether the node that wrote the picture is one of a graph's, or one that comes to be when a list is known.
    pub fn is_made_by(&self, graph: &Graph) -> bool {
        let unknown = without_numbers(&self.node);
        graph.nodes.node_weights().any(|node| node.id == self.node || node.id == unknown)
    }

    /// Whether the files that a planned run reads hold what the files held that were read.
    pub fn reads_the_same(&self, graph: &Graph, plan: &Plan) -> bool {
        let then = self.files_by_node();
        plan.nodes.iter().filter(|planned| !graph.nodes[planned.node].reads_unknown).all(|planned| {
            let was = files_of(&then, &graph.nodes[planned.node].id);
            was.iter().map(|file| file.blake3.clone()).eq(planned.reads.iter().map(|read| read.digest.to_string()))
        })
    }
}

/// What a node read. One that stands for every element of a list not yet known reads what the first one did.
fn files_of<'a>(then: &'a BTreeMap<&str, Vec<LockedFile>>, id: &str) -> &'a [LockedFile] {
    let of_an_element = || then.iter().find(|(then, _)| id.contains("[]") && without_numbers(then) == id);
    let found = then.get(id).or_else(|| of_an_element().map(|(_, files)| files));
    found.map_or(&[][..], Vec::as_slice)
}

/// `cut[2]/small` as `cut[]/small`.
fn without_numbers(id: &str) -> String {
    let mut parts = id.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |id, part| id + "[" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn locked(read: &FileRead) -> LockedFile {
    let name = read.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    LockedFile { name, blake3: read.digest.to_string() }
}

/// A document with only the nodes that one of them needs, and without outputs: other nodes with effects do not run.
pub fn without_the_rest(document: &Value, node: &str) -> Value {
    let mut document = document.clone();
    let Some(nodes) = document.get_mut("nodes").and_then(Value::as_object_mut) else { return document };
    // The nodes of an included document are called after the node that includes it.
    let outer = |id: &str| id.split(['/', '[', '.']).next().unwrap_or(id).to_owned();
    let mut needed = HashSet::new();
    let mut open = vec![outer(node)];
    while let Some(id) = open.pop() {
        if let Some(inputs) = nodes.get(&id).and_then(|node| node.get("inputs")).filter(|_| needed.insert(id.clone())) {
            links(inputs, &mut |link| open.push(outer(link.split('.').next().unwrap_or(link))));
        } else {
            needed.insert(id);
        }
    }
    nodes.retain(|id, _| needed.contains(id));
    if let Some(document) = document.as_object_mut() {
        document.shift_remove("outputs");
        document.shift_remove("sweep");
    }
    document
}

fn links(value: &Value, tell: &mut impl FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| links(item, tell)),
        Value::Object(members) => {
            if let Some(Value::String(link)) = members.get("from") {
                tell(link);
            }
            members.values().for_each(|value| links(value, tell));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_a_node_and_what_it_needs() {
        let link = |from: &str| json!({ "type": "T", "inputs": { "a": { "from": from } } });
        let document = json!({
            "version": 1, "sweep": { "axes": {} }, "outputs": { "o": "b.x" },
            "nodes": { "a": { "type": "S" }, "b": link("a.x"), "c": { "type": "T", "inputs": { "l": [1, { "from": "b.x" }] } }, "d": link("b.x") },
        });
        for (node, expected) in [("a", "a"), ("b", "ab"), ("c", "abc"), ("d", "abd"), ("d/inner", "abd"), ("e", "")] {
            let found = without_the_rest(&document, node);
            let nodes: String = found["nodes"].as_object().unwrap().keys().cloned().collect();
            assert_eq!(nodes, expected, "{node}");
            assert!(found.get("outputs").is_none() && found.get("sweep").is_none());
        }
    }
}
