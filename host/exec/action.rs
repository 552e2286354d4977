//! Action keys: what one node's outputs depend on, its inputs by content.
//!
//! A [`Key`](super::Key) of a plan covers all ancestors by what *they* depend on, so it is known before anything runs. An
//! action key covers the contents of the inputs instead: it is known once these are, and it stays the same when an ancestor
//! changes but gives the same bytes. The store is addressed by action keys.

use std::path::Path;

use blake3::Hasher;
use dc_graph_node_api::{PortType, Value};

use super::{Digest, FileRead, Key};
use crate::graph::{Binding, GraphNode, PortRef};
use crate::store::{Ingredient, Origin, encode};

/// What a person sees of a value is at most so long.
const SHOWN: usize = 120;

/// A node's action key and what it was made of.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) key: Key,
    pub(super) ingredients: Vec<Ingredient>,
}

/// What the outputs of a node depend on, besides its inputs.
pub(super) struct Circumstances<'a> {
    /// See [`Node::key_salt`](dc_graph_node_api::Node::key_salt).
    pub(super) salt: &'a str,
    /// The files it reads.
    pub(super) reads: &'a [FileRead],
    /// The folder that it writes to, if it does.
    pub(super) output_dir: &'a Path,
}

impl Action {
    /// The action of a node; nothing when its outputs do not follow from what goes in, or something that goes in cannot
    /// be looked into. `link` tells the digest and the name of what a link leads to.
    pub(super) fn of(
        node: &GraphNode,
        circumstances: &Circumstances<'_>,
        mut link: impl FnMut(PortRef) -> Option<(Digest, String)>,
    ) -> Option<Self> {
        let spec = node.node.spec();
        if !spec.deterministic {
            return None;
        }
        let mut ingredients = Vec::with_capacity(node.bindings.len() + 2);
        let mut add = |origin, name: &str, digest, shown: String| {
            ingredients.push(Ingredient { origin, name: name.into(), digest, shown });
        };
        let of_text = |text: &str| blake3::hash(text.as_bytes());
        let type_name = format!("{} {}", spec.type_name, spec.version);
        add(Origin::Type, "", of_text(&type_name), type_name.clone());
        let program = match node.node.origin() {
            Some(plugin) => {
                let shown = format!("{} {}", plugin.plugin, plugin.version);
                (of_text(&format!("{} {}", plugin.blake3, plugin.contract)), shown)
            }
            None => (of_text(env!("CARGO_PKG_VERSION")), format!("dc-graph {}", env!("CARGO_PKG_VERSION"))),
        };
        add(Origin::Program, "", program.0, program.1);
        if !circumstances.salt.is_empty() {
            add(Origin::Device, "", of_text(circumstances.salt), circumstances.salt.into());
        }
        if spec.effect {
            let folder = circumstances.output_dir;
            add(Origin::Output, "", blake3::hash(folder.as_os_str().as_encoded_bytes()), folder.display().to_string());
        }
        let mut read = vec![false; circumstances.reads.len()];
        for (input, binding) in spec.inputs.iter().zip(&node.bindings) {
            let mut one = |name: &str, binding: &Binding| -> Option<()> {
                match binding {
                    Binding::Absent | Binding::List(_) => {}
                    Binding::Link(port) => {
                        let (digest, shown) = link(*port)?;
                        add(Origin::Link, name, digest, shown);
                    }
                    Binding::Value(value) => literal(name, value, circumstances.reads, &mut read, &mut add)?,
                }
                Some(())
            };
            match binding {
                Binding::List(elements) => {
                    one(&input.name, &Binding::Value(Value::list(PortType::Text, vec![])))?;
                    for (index, element) in elements.iter().enumerate() {
                        one(&format!("{}[{index}]", input.name), element)?;
                    }
                }
                binding => one(&input.name, binding)?,
            }
        }
        // Files whose names came through a link.
        for (index, file) in circumstances.reads.iter().enumerate().filter(|(index, _)| !read[*index]) {
            add(Origin::File, &format!("#{index}"), file.digest, file.path.display().to_string());
        }
        let mut hasher = Hasher::new();
        hasher.update(b"dc-graph action 1");
        for ingredient in &ingredients {
            // It makes no difference whether the document or another node gives a value.
            let origin = if ingredient.origin == Origin::Link { Origin::Parameter } else { ingredient.origin };
            hasher.update(&[origin as u8]);
            hasher.update(&(ingredient.name.len() as u64).to_le_bytes()).update(ingredient.name.as_bytes());
            hasher.update(ingredient.digest.as_bytes());
        }
        Some(Self { key: Key::from_bytes(*hasher.finalize().as_bytes()), ingredients })
    }

    /// The digest of an output that is not kept: it stands for whatever the node gives.
    pub(super) fn derived(&self, output: &str) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(b"dc-graph derived 1").update(self.key.as_bytes()).update(output.as_bytes());
        hasher.finalize()
    }
}

/// A path that is read counts as the contents of the file, or of the files in the folder; any other value as itself.
fn literal(
    name: &str,
    value: &Value,
    reads: &[FileRead],
    read: &mut [bool],
    add: &mut impl FnMut(Origin, &str, Digest, String),
) -> Option<()> {
    if let Value::List(_, elements) = value
        && elements.iter().any(|element| matches!(element, Value::Path(_)))
    {
        for (index, element) in elements.iter().enumerate() {
            literal(&format!("{name}[{index}]"), element, reads, read, add)?;
        }
        return Some(());
    }
    if let Value::Path(path) = value {
        let mut any = false;
        for (index, file) in reads.iter().enumerate() {
            let Ok(inside) = file.path.strip_prefix(Path::new(&**path)) else { continue };
            let inside = inside.to_string_lossy();
            let name = if inside.is_empty() { name.to_owned() } else { format!("{name}/{inside}") };
            add(Origin::File, &name, file.digest, file.path.display().to_string());
            (any, read[index]) = (true, true);
        }
        if any {
            return Some(());
        }
    }
    let bytes = encode(value).ok().flatten()?;
    add(Origin::Parameter, name, blake3::hash(&bytes), shown(value));
    Some(())
}

/// A value as a person sees it.
fn shown(value: &Value) -> String {
    let text = super::value_as_json(value).to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::testing::{Build, add, binary_spec, link, literal};
    use super::*;
    use crate::testing::TestNode;

    fn key(build: &Build, node: petgraph::graph::NodeIndex, digests: &HashMap<usize, &str>) -> Option<Key> {
        let circumstances = Circumstances { salt: "", reads: &[], output_dir: Path::new("/out") };
        let link = |port: PortRef| Some((blake3::hash(digests.get(&port.node.index())?.as_bytes()), String::new()));
        Some(Action::of(&build.0.nodes[node], &circumstances, link)?.key)
    }

    #[test]
    fn inputs_count_by_content_and_by_port() {
        let mut build = Build::new();
        let one = build.node("one", add(), vec![literal(1.0), Binding::Absent]);
        let two = build.node("two", add(), vec![literal(2.0), Binding::Absent]);
        let a = build.node("a", add(), vec![link(one), literal(3.0)]);
        let b = build.node("b", add(), vec![link(two), literal(3.0)]);
        let swapped = build.node("swapped", add(), vec![literal(3.0), link(one)]);
        let known = |one, two| HashMap::from([(0, one), (1, two)]);
        let base = key(&build, a, &known("x", "y")).unwrap();
        assert_eq!(key(&build, b, &known("y", "x")), Some(base), "another ancestor, the same contents");
        assert_ne!(key(&build, a, &known("z", "y")), Some(base));
        assert_ne!(key(&build, swapped, &known("x", "y")), Some(base));
        assert_eq!(key(&build, a, &HashMap::new()), None, "contents are not known yet");
    }

    #[test]
    fn chance_has_no_key_and_the_folder_counts_for_effects_only() {
        let node = |change: fn(&mut dc_graph_node_api::NodeSpec)| {
            let mut spec = binary_spec("Odd");
            change(&mut spec);
            let mut build = Build::new();
            let node = std::sync::Arc::new(TestNode::new(spec, |_, _| Ok(Default::default())));
            let index = build.node("odd", node, vec![literal(1.0), Binding::Absent]);
            (build, index)
        };
        let key = |(build, index): &(Build, _), folder: &str| {
            let circumstances = Circumstances { salt: "", reads: &[], output_dir: Path::new(folder) };
            Action::of(&build.0.nodes[*index], &circumstances, |_| None).map(|action| action.key)
        };
        assert_eq!(key(&node(|spec| spec.deterministic = false), "/a"), None);
        let plain = node(|_| {});
        assert!(key(&plain, "/a").is_some() && key(&plain, "/a") == key(&plain, "/b"));
        let effect = node(|spec| spec.effect = true);
        assert_ne!(key(&effect, "/a"), key(&effect, "/b"));
    }
}
