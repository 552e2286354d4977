//! What made a value, as text that a picture carries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use dc_graph_node_api::PortType;
use petgraph::graph::NodeIndex;
use petgraph::visit::{Dfs, Reversed};
use serde_json::{Value as Json, json};

use super::{FileRead, Plan};
use crate::graph::{Graph, included_key};
use crate::proof::depends_on;

/// The graph with this run's inputs, the node that saves, and the digests of all files that its ancestors read and of the
/// plugins they come from, as JSON.
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
    let mut plugins = BTreeMap::new();
    let mut node_types = BTreeMap::new();
    for index in ancestors(graph, node) {
        if let Some(origin) = graph.nodes[index].node.origin() {
            let plugin = json!({ "version": origin.version, "blake3": origin.blake3, "contract": origin.contract });
            plugins.insert(origin.plugin.as_str(), plugin);
        }
        let known = plan.position(index).map_or(&[][..], |place| &plan.nodes[place].reads);
        let spec = graph.nodes[index].node.spec();
        node_types.entry(spec.type_name.as_str()).or_insert_with(|| {
            let mut told = json!({ "version": spec.version });
            let depends_on = depends_on(&*graph.nodes[index].node);
            if !depends_on.is_empty() {
                told["depends_on"] = depends_on.into();
            }
            told
        });
        for read in late.get(&index).map_or(known, Vec::as_slice) {
            let name = file_name(&read.path);
            files.push(json!({ "node": graph.nodes[index].id, "name": name, "blake3": read.digest.to_string() }));
        }
    }
    let mut text = json!({
        "program": "dc-graph",
        "version": env!("CARGO_PKG_VERSION"),
        "node": graph.nodes[node].id,
        "graph": portable(graph, document_dir),
        "files": files,
        "node_types": node_types,
    });
    if !plugins.is_empty() {
        text["plugins"] = json!(plugins);
    }
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
    let mut places: BTreeSet<(Option<&str>, &Path, String)> = BTreeSet::new();
    for node in graph.nodes.node_weights() {
        let (key, folder) = (node.home.key.as_deref(), node.home.folder.as_deref().unwrap_or(document_dir));
        let id = node.id.rsplit('/').next().unwrap_or_default();
        for input in node.node.spec().inputs.iter().filter(|input| is_path(&input.ty)) {
            places.insert((key, folder, format!("/nodes/{}/inputs/{}", escaped(id), escaped(&input.name))));
        }
    }
    let homes: BTreeSet<(Option<&str>, &Path)> = places.iter().map(|(key, folder, _)| (*key, *folder)).collect();
    for (key, folder) in homes {
        let Some(home) = one_of(&mut document, key).cloned() else { continue };
        if key.is_some() {
            places
                .extend(declared_paths(&home).map(|name| (key, folder, format!("/inputs/{}/default", escaped(name)))));
        }
        for (id, node) in home["nodes"].as_object().into_iter().flatten() {
            let Some(path) = node["path"].as_str() else { continue };
            let included = one_of(&mut document, Some(&included_key(key.unwrap_or_default(), path)));
            let names: Vec<String> = included.iter().flat_map(|i| declared_paths(i)).map(str::to_owned).collect();
            let given = |name| format!("/nodes/{}/inputs/{}", escaped(id), escaped(name));
            places.extend(names.iter().map(|name| (key, folder, given(name))));
        }
    }
    for (key, folder, pointer) in places {
        if let Some(literal) = one_of(&mut document, key).and_then(|home| home.pointer_mut(&pointer)) {
            make_portable(literal, folder);
        }
    }
    document
}

/// A document, or one that it carries.
fn one_of<'a>(document: &'a mut Json, key: Option<&str>) -> Option<&'a mut Json> {
    match key {
        None => Some(document),
        Some(key) => document.get_mut("graphs")?.get_mut(key),
    }
}

/// The inputs of a document that take paths.
fn declared_paths(document: &Json) -> impl Iterator<Item = &str> {
    let inputs = document["inputs"].as_object().into_iter().flatten();
    inputs
        .filter(|(_, input)| input["type"].as_str().is_some_and(|ty| ty.contains("path")))
        .map(|(name, _)| name.as_str())
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use dc_graph_node_api::{InputSpec, NodeSpec, Outputs, Value};

    use super::super::Digests;
    use super::super::plan::plan;
    use super::super::testing::{Build, Setup, link, literal};
    use super::*;
    use crate::testing::{TestNode, registry};

    /// Two files are read, one of them by the ancestor of the node that saves; a prompt looks like a path.
    fn graph(dir: &Path, elsewhere: &Path) -> (Build, NodeIndex, Arc<Mutex<String>>) {
        let registry = registry();
        let read = || registry.get("Read Text").unwrap().clone();
        let here = dir.join("here.txt").display().to_string();
        let there = elsewhere.join("there.txt").display().to_string();
        let told = Arc::new(Mutex::new(String::new()));
        let keep = told.clone();
        let save = NodeSpec::new("Save", "test", "Saves.").with_effect().input(InputSpec::required(
            "text",
            PortType::Text,
            "What to save.",
        ));
        let save = TestNode::new(save, move |_, context| {
            *keep.lock().unwrap() = context.provenance();
            Ok(Outputs::default())
        });
        let mut build = Build::new();
        let a = build.node("a", read(), vec![literal(Value::Path(here.as_str().into()))]);
        build.node("b", read(), vec![literal(Value::Path(there.as_str().into()))]);
        let template = registry.get("Text Template").unwrap().clone();
        let t = build.node("t", template, vec![literal("/imagine {}"), link(a)]);
        let save = build.node("save", Arc::new(save), vec![link(t)]);
        build.0.inputs =
            vec![("picture".into(), Value::Path(there.as_str().into())), ("prompt".into(), Value::text("/imagine"))];
        build.0.document = json!({
            "version": 1,
            "inputs": {
                "picture": { "type": "path", "default": there },
                "prompt": { "type": "text", "default": "/imagine" },
            },
            "nodes": {
                "a": { "type": "Read Text", "inputs": { "path": here } },
                "b": { "type": "Read Text", "inputs": { "path": there } },
                "t": { "type": "Text Template", "inputs": { "template": "/imagine {}", "value": { "from": "a.text" } } },
                "save": { "type": "Save", "inputs": { "text": { "from": "t.text" } } },
            },
        });
        (build, save, told)
    }

    #[test]
    fn tells_graph_and_files_wherever_they_are() {
        let mut texts = Vec::new();
        for _ in 0..2 {
            let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            std::fs::write(dir.path().join("here.txt"), "one").unwrap();
            std::fs::write(elsewhere.path().join("there.txt"), "two").unwrap();
            let (build, save, told) = graph(dir.path(), elsewhere.path());
            let setup = Setup { dir: dir.path().into(), ..Setup::default() };
            setup.run(&build.0).0.unwrap();
            let text = told.lock().unwrap().clone();
            let plan = plan(&build.0, &Digests::default()).unwrap();
            assert_eq!(text, provenance(&build.0, &plan, &HashMap::new(), dir.path(), save));
            texts.push(text);
        }
        assert_eq!(texts[0], texts[1], "the same in any folder");
        let expected = json!({
            "program": "dc-graph",
            "version": env!("CARGO_PKG_VERSION"),
            "node": "save",
            "graph": {
                "version": 1,
                "inputs": {
                    "picture": { "type": "path", "default": "there.txt" },
                    "prompt": { "type": "text", "default": "/imagine" },
                },
                "nodes": {
                    "a": { "type": "Read Text", "inputs": { "path": "./here.txt" } },
                    "b": { "type": "Read Text", "inputs": { "path": "there.txt" } },
                    "t": { "type": "Text Template", "inputs": { "template": "/imagine {}", "value": { "from": "a.text" } } },
                    "save": { "type": "Save", "inputs": { "text": { "from": "t.text" } } },
                },
            },
            "files": [{ "node": "a", "name": "here.txt", "blake3": blake3::hash(b"one").to_string() }],
            "node_types": { "Read Text": { "version": 1 }, "Save": { "version": 1 }, "Text Template": { "version": 1 } },
        });
        assert_eq!(serde_json::from_str::<Json>(&texts[0]).unwrap(), expected);
    }

    #[test]
    fn files_named_by_a_link_are_told_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("here.txt"), "one").unwrap();
        let (mut build, _, told) = graph(dir.path(), dir.path());
        let text = build.node("text", registry().get("Text").unwrap().clone(), vec![literal("./here.txt")]);
        let a = build.0.nodes.node_indices().find(|i| build.0.nodes[*i].id == "a").unwrap();
        build.0.nodes[a].bindings = vec![link(text)];
        build.0.nodes[a].reads.clear();
        build.0.nodes[a].reads_unknown = true;
        build.0.nodes.add_edge(text, a, ());
        let setup = Setup { dir: dir.path().into(), ..Setup::default() };
        setup.run(&build.0).0.unwrap();
        let text: Json = serde_json::from_str(&told.lock().unwrap()).unwrap();
        let expected = json!([{ "node": "a", "name": "here.txt", "blake3": blake3::hash(b"one").to_string() }]);
        assert_eq!(text["files"], expected);
    }

    #[test]
    fn names_may_hold_anything() {
        let mut build = Build::new();
        build.0.inputs = vec![("a/b~c".into(), Value::Path("/x/y.png".into()))];
        build.0.document = json!({ "inputs": { "a/b~c": { "default": "/x/y.png" } } });
        let found = portable(&build.0, Path::new("/x"));
        assert_eq!(found, json!({ "inputs": { "a/b~c": { "default": "./y.png" } } }));
    }
}
