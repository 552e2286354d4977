//! What made a value, as text that a picture carries.

use std::collections::HashMap;
use std::path::Path;

use dc_graph_node_api::PortType;
use petgraph::graph::NodeIndex;
use petgraph::visit::{Dfs, Reversed};
use serde_json::{Value as Json, json};

use super::{FileRead, Plan};
use crate::graph::Graph;

/// The graph with this run's inputs, the node that saves, and the digests of all files that its ancestors read, as JSON.
/// The same run anywhere and at any time gives the same bytes: no time, no absolute path.
///
/// `late` holds the files that a plan cannot know.
pub(super) fn provenance(
    graph: &Graph,
    plan: &Plan,
    late: &HashMap<NodeIndex, Vec<FileRead>>,
    document_dir: &Path,
    node: NodeIndex,
) -> String {
    let mut files = Vec::new();
    for index in ancestors(graph, node) {
        let known = plan.position(index).map_or(&[][..], |place| &plan.nodes[place].reads);
        for read in late.get(&index).map_or(known, Vec::as_slice) {
            let name = file_name(&read.path);
            files.push(json!({ "node": graph.nodes[index].id, "name": name, "blake3": read.digest.to_string() }));
        }
    }
    let text = json!({
        "program": "dc-graph",
        "version": env!("CARGO_PKG_VERSION"),
        "node": graph.nodes[node].id,
        "graph": portable(graph, document_dir),
        "files": files,
    });
    text.to_string()
}

/// A node and all it depends on, in document order.
fn ancestors(graph: &Graph, node: NodeIndex) -> Vec<NodeIndex> {
    let backwards = Reversed(&graph.nodes);
    let mut walk = Dfs::new(backwards, node);
    let mut found = Vec::new();
    while let Some(index) = walk.next(backwards) {
        found.push(index);
    }
    found.sort();
    found
}

/// The document without absolute paths. Only what a path input gets is touched: a prompt may well begin with a slash.
fn portable(graph: &Graph, document_dir: &Path) -> Json {
    let mut document = graph.document.clone();
    for (name, value) in &graph.inputs {
        if is_path(&value.port_type())
            && let Some(default) = document.pointer_mut(&format!("/inputs/{}/default", escaped(name)))
        {
            make_portable(default, document_dir);
        }
    }
    let Some(nodes) = document.get_mut("nodes").and_then(Json::as_object_mut) else { return document };
    for node in graph.nodes.node_weights() {
        let Some(inputs) = nodes.get_mut(&node.id).and_then(|node| node.get_mut("inputs")) else { continue };
        for input in node.node.spec().inputs.iter().filter(|input| is_path(&input.ty)) {
            if let Some(literal) = inputs.get_mut(&input.name) {
                make_portable(literal, document_dir);
            }
        }
    }
    document
}

fn is_path(ty: &PortType) -> bool {
    match ty {
        PortType::List(of) => is_path(of),
        other => *other == PortType::Path,
    }
}

/// An absolute path becomes relative to the document's folder, or the file's name alone when it lies elsewhere.
fn make_portable(value: &mut Json, document_dir: &Path) {
    match value {
        Json::String(text) if Path::new(text).is_absolute() => {
            let path = Path::new(text.as_str());
            *text = match path.strip_prefix(document_dir) {
                Ok(inside) => format!("./{}", inside.display()),
                Err(_) => file_name(path),
            };
        }
        Json::Array(elements) => elements.iter_mut().for_each(|element| make_portable(element, document_dir)),
        _ => {}
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A name as a part of a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
