//! A document as text that is only read, not judged: what comparing, merging and formatting work on.
//!
//! All that they know of documents is in this file: which objects are the format's own and are looked into member by
//! member, in which order the format's own keys stand, and where the ids of nodes are written.

use std::collections::HashMap;

use serde_json::Value;

use super::Diagnostic;
use super::json::{self, Json, Kind, Member};

/// A document as it was written. Its JSON is well-formed; what it says may be wrong.
#[derive(Clone, Debug)]
pub struct Tree(pub(super) Json);

impl Tree {
    /// Reads a text.
    ///
    /// # Errors
    /// When it is no JSON object, or a key stands in an object twice.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let (root, repeated) = json::read(text).map_err(|mistake| vec![mistake.into()])?;
        if !repeated.is_empty() {
            return Err(repeated);
        }
        if !matches!(root.kind, Kind::Object(_)) {
            let message = format!("the document must be an object `{{ }}`, found {}", root.describe());
            return Err(vec![Diagnostic::error("wrong-kind", message).at(root.at)]);
        }
        let mut tree = Self(root);
        tree.shorten_outputs();
        Ok(tree)
    }

    /// `{ "from": "node.port" }` and `"node.port"` are two spellings of an output; the short one is kept.
    fn shorten_outputs(&mut self) {
        let Kind::Object(parts) = &mut self.0.kind else { return };
        let Some(outputs) = parts.iter_mut().find(|part| part.key == "outputs") else { return };
        let Kind::Object(outputs) = &mut outputs.value.kind else { return };
        for output in outputs {
            if let Kind::Object(link) = &output.value.kind
                && let [Member { key, value: short, .. }] = link.as_slice()
                && key == "from"
            {
                output.value = short.clone();
            }
        }
    }

    /// A document without anything in it: what both sides of a merge begin with that have no common ancestor.
    pub fn empty() -> Self {
        Self(Json { at: super::Location { line: 1, column: 1 }, kind: Kind::Object(Vec::new()) })
    }

    /// Whether it has nodes: other JSON has not.
    pub fn is_graph(&self) -> bool {
        member(&self.0, "nodes").is_some()
    }

    /// The document as data.
    pub fn to_value(&self) -> Value {
        self.0.to_value()
    }

    /// The nodes, by id.
    pub(super) fn nodes(&self) -> &[Member] {
        member(&self.0, "nodes").map_or(&[], members)
    }

    /// The same document with other ids for some nodes, also where links name them.
    pub(super) fn renamed(&self, ids: &HashMap<String, String>) -> Self {
        let mut tree = self.clone();
        let Kind::Object(all) = &mut tree.0.kind else { return tree };
        for part in all {
            let Kind::Object(entries) = &mut part.value.kind else { continue };
            for entry in entries {
                match part.key.as_str() {
                    "nodes" => {
                        if let Some(new) = ids.get(&entry.key) {
                            entry.key.clone_from(new);
                        }
                        rename_links(&mut entry.value, ids);
                    }
                    "outputs" => match &mut entry.value.kind {
                        Kind::Text(link) => rename_link(link, ids),
                        _ => rename_links(&mut entry.value, ids),
                    },
                    _ => {}
                }
            }
        }
        tree
    }
}

/// The members of an object; none of anything else.
pub(super) fn members(json: &Json) -> &[Member] {
    if let Kind::Object(members) = &json.kind { members } else { &[] }
}

/// A member of an object.
pub(super) fn member<'a>(json: &'a Json, key: &str) -> Option<&'a Json> {
    members(json).iter().find(|m| m.key == key).map(|m| &m.value)
}

/// Whether two values mean the same. The order of keys and the spelling of numbers make no difference, but `16` and
/// `16.0` do: an integer port takes only one of them.
pub(super) fn same(a: Option<&Json>, b: Option<&Json>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || a.to_value() == b.to_value(),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Whether the object at a place has members with a meaning of their own. Anything else (a literal, a link, a list) is
/// one value.
pub(super) fn is_structure(place: &[String]) -> bool {
    match place {
        [] => true,
        [first] => matches!(first.as_str(), "inputs" | "nodes" | "outputs" | "sweep" | "graphs"),
        // A document that the document carries.
        [first, _, rest @ ..] if first == "graphs" => is_structure(rest),
        [first, second] => matches!(first.as_str(), "inputs" | "nodes") || (first == "sweep" && second == "axes"),
        [first, _, third] => first == "nodes" && third == "inputs",
        _ => false,
    }
}

/// The keys of the format at a place, in the order in which they are written.
pub(super) fn known_keys(place: &[String]) -> &'static [&'static str] {
    match place {
        [] => &["$schema", "version", "name", "description", "inputs", "sweep", "nodes", "outputs", "graphs"],
        [first, _, rest @ ..] if first == "graphs" => known_keys(rest),
        [first, _] if first == "inputs" => &["type", "default", "minimum", "maximum", "choices", "description"],
        [first, _] if first == "nodes" => &["type", "label", "path", "each", "inputs"],
        [first] if first == "sweep" => &["axes", "zip"],
        _ => &[],
    }
}

/// Calls for every link below a value.
pub(super) fn each_link<'a>(json: &'a Json, tell: &mut impl FnMut(&'a str)) {
    match &json.kind {
        Kind::Array(items) => items.iter().for_each(|item| each_link(item, tell)),
        Kind::Object(members) => {
            for member in members {
                match &member.value.kind {
                    Kind::Text(link) if member.key == "from" => tell(link),
                    _ => each_link(&member.value, tell),
                }
            }
        }
        _ => {}
    }
}

fn rename_links(json: &mut Json, ids: &HashMap<String, String>) {
    match &mut json.kind {
        Kind::Array(items) => items.iter_mut().for_each(|item| rename_links(item, ids)),
        Kind::Object(members) => {
            for member in members {
                match &mut member.value.kind {
                    Kind::Text(link) if member.key == "from" => rename_link(link, ids),
                    _ => rename_links(&mut member.value, ids),
                }
            }
        }
        _ => {}
    }
}

fn rename_link(link: &mut String, ids: &HashMap<String, String>) {
    if let Some((id, port)) = link.split_once('.')
        && let Some(new) = ids.get(id)
    {
        *link = format!("{new}.{port}");
    }
}
