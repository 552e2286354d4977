//! What differs between two documents, by node, port and value. Layout and order are no difference, and a node that only
//! has another name is told as renamed.

use std::collections::HashMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::Tree;
use super::format::on_one_line;
use super::json::{Json, Kind, Member};
use super::tree::{is_structure, member, members, same};

/// Most characters of a value in a line for people.
const SHOWN: usize = 100;
/// Renamed nodes are looked for again, given those found already, this many times: the depth of a chain of renamed nodes.
const ROUNDS: usize = 1000;

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Where: the keys from the document down, such as `["nodes", "sampler", "inputs", "seed"]`.
    pub place: Vec<String>,
    /// What was there before; the old id of a renamed node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// What is there now; the new id of a renamed node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// See [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It is gone.
    Removed,
    /// It has another value.
    Changed,
    /// A node has another id, and is the same otherwise.
    Renamed,
}

/// The differences from `old` to `new`: renamed nodes, then the rest in the order of the new document, then what is gone.
pub fn diff(old: &Tree, new: &Tree) -> Vec<Change> {
    let renamed = renamed(old, new);
    let mut changes = Vec::new();
    for (from, to) in &renamed {
        let place = vec!["nodes".to_owned(), to.clone()];
        let (old, new) = (Some(from.as_str().into()), Some(to.as_str().into()));
        changes.push(Change { kind: ChangeKind::Renamed, place, old, new });
    }
    let old = old.renamed(&renamed.into_iter().collect());
    walk(&mut Vec::new(), Some(&old.0), Some(&new.0), &mut changes);
    changes
}

fn walk(place: &mut Vec<String>, old: Option<&Json>, new: Option<&Json>, changes: &mut Vec<Change>) {
    if same(old, new) {
        return;
    }
    let is_object = |json: Option<&Json>| json.is_none_or(|json| matches!(json.kind, Kind::Object(_)));
    // A node or an input that is there on one side only is one change; a missing part is as good as an empty one.
    let whole = place.len() == 2 && place[0] != "sweep" && (old.is_none() || new.is_none());
    if is_structure(place) && is_object(old) && is_object(new) && !whole {
        let (before, after) = (old.map_or(&[][..], members), new.map_or(&[][..], members));
        // Large objects are looked up, not searched.
        let index = |all: &[Member]| -> HashMap<String, usize> {
            all.iter().enumerate().map(|(index, member)| (member.key.clone(), index)).collect()
        };
        let (in_before, in_after) = (index(before), index(after));
        let mut each = |key: &str, old: Option<&Json>, new: Option<&Json>| {
            place.push(key.to_owned());
            walk(place, old, new, changes);
            place.pop();
        };
        for member in after {
            each(&member.key, in_before.get(&member.key).map(|i| &before[*i].value), Some(&member.value));
        }
        for member in before.iter().filter(|member| !in_after.contains_key(&member.key)) {
            each(&member.key, Some(&member.value), None);
        }
        return;
    }
    let kind = match (old, new) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        _ => ChangeKind::Changed,
    };
    changes.push(Change { kind, place: place.clone(), old: old.map(Json::to_value), new: new.map(Json::to_value) });
}

/// The nodes of `old` that are in `new` under another id: of the same type, with the same label and, where they are linked
/// to renamed nodes, links to these. Where several would do, none is taken.
pub(super) fn renamed(old: &Tree, new: &Tree) -> Vec<(String, String)> {
    let gone = |here: &Tree, there: &Tree| -> Vec<Member> {
        let there: HashMap<&str, ()> = there.nodes().iter().map(|node| (node.key.as_str(), ())).collect();
        here.nodes().iter().filter(|node| !there.contains_key(node.key.as_str())).cloned().collect()
    };
    let (mut lost, found) = (gone(old, new), gone(new, old));
    let mut unclaimed: HashMap<String, Vec<String>> = HashMap::new();
    for node in &found {
        unclaimed.entry(form(&node.value)).or_default().push(node.key.clone());
    }
    let mut all: Vec<(String, String)> = Vec::new();
    for _ in 0..ROUNDS {
        if lost.is_empty() || unclaimed.is_empty() {
            break;
        }
        let ids: HashMap<String, String> = all.iter().cloned().collect();
        let rest = Json { at: old.0.at, kind: Kind::Object(lost.clone()) };
        let rest =
            Json { at: old.0.at, kind: Kind::Object(vec![Member { key: "nodes".into(), at: old.0.at, value: rest }]) };
        let rest = Tree(rest).renamed(&ids);
        let forms: Vec<String> = rest.nodes().iter().map(|node| form(&node.value)).collect();
        let mut count: HashMap<&str, usize> = HashMap::new();
        forms.iter().for_each(|form| *count.entry(form).or_default() += 1);
        let mut kept = Vec::new();
        let before = all.len();
        for (node, form) in lost.iter().zip(&forms) {
            match unclaimed.get(form).map(Vec::as_slice) {
                Some([only]) if count[form.as_str()] == 1 => {
                    all.push((node.key.clone(), only.clone()));
                    unclaimed.remove(form);
                }
                _ => kept.push(node.clone()),
            }
        }
        lost = kept;
        if all.len() == before {
            break;
        }
    }
    all
}

/// A node as text, such that equal nodes have equal texts.
fn form(node: &Json) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(all) => {
                let mut all: Vec<_> = all.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
                all.sort_by(|a, b| a.0.cmp(&b.0));
                Value::Object(all.into_iter().collect())
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(&node.to_value()).to_string()
}

/// Changes for people, one a line.
pub fn render_changes(changes: &[Change], colour: bool) -> String {
    let mut text = String::new();
    for change in changes {
        let (sign, hue) = match change.kind {
            ChangeKind::Added => ('+', "\x1b[32m"),
            ChangeKind::Removed => ('-', "\x1b[31m"),
            ChangeKind::Changed => ('~', "\x1b[33m"),
            ChangeKind::Renamed => ('>', "\x1b[36m"),
        };
        let (hue, reset) = if colour { (hue, "\x1b[0m") } else { ("", "") };
        let _ = writeln!(text, "{hue}{sign} {}{reset}", told(change));
    }
    text
}

fn told(change: &Change) -> String {
    let subject = subject(&change.place);
    match (change.kind, &change.old, &change.new) {
        (ChangeKind::Renamed, Some(old), Some(new)) => format!("node {} is called {} now", quote(old), quote(new)),
        (_, Some(old), Some(new)) => {
            let (old, new) = shortened(&spelt(old), &spelt(new));
            format!("{subject}: {old} -> {new}")
        }
        (_, old, new) => {
            let value = old.as_ref().or(new.as_ref()).map(spelt).unwrap_or_default();
            format!("{subject}: {}", shortened(&value, "").0)
        }
    }
}

fn quote(id: &Value) -> String {
    format!("`{}`", id.as_str().unwrap_or_default())
}

/// A place as people call it: a port is `node.port`.
pub(super) fn subject(place: &[String]) -> String {
    let words: Vec<&str> = place.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["nodes", id] => format!("node `{id}`"),
        ["nodes", id, "inputs", port] => format!("`{id}.{port}`"),
        ["nodes", id, key] => format!("{key} of node `{id}`"),
        ["inputs", name] => format!("graph input `{name}`"),
        ["inputs", name, key] => format!("{key} of graph input `{name}`"),
        ["outputs", name] => format!("graph output `{name}`"),
        ["sweep", "axes", name] => format!("sweep over `{name}`"),
        other => other.join("."),
    }
}

/// A value as it is written; a link as the port it names.
fn spelt(value: &Value) -> String {
    let json = Json::from_value(value, super::Location { line: 1, column: 1 });
    match (members(&json), member(&json, "from")) {
        ([_], Some(Json { kind: Kind::Text(link), .. })) => format!("`{link}`"),
        _ => on_one_line(&json),
    }
}

/// Two values, short enough for a line: of long ones the part where they begin to differ.
fn shortened(a: &str, b: &str) -> (String, String) {
    let equal = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let skip = if a.chars().count().max(b.chars().count()) > SHOWN { equal.saturating_sub(20) } else { 0 };
    let cut = |text: &str| {
        let mut rest = text.chars().skip(skip);
        let shown: String = rest.by_ref().take(SHOWN).collect();
        format!("{}{shown}{}", if skip > 0 { "…" } else { "" }, if rest.next().is_some() { "…" } else { "" })
    };
    (cut(a), cut(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_told_by_where_they_differ() {
        let long = |end: &str| format!("{}{end}", "x".repeat(200));
        let (a, b) = shortened(&long("one"), &long("two"));
        assert_eq!((a, b), (format!("…{}one", "x".repeat(20)), format!("…{}two", "x".repeat(20))));
        assert_eq!(shortened(&"y".repeat(300), "").0, format!("{}…", "y".repeat(SHOWN)));
        assert_eq!(shortened("1", "2"), ("1".into(), "2".into()));
    }

    #[test]
    fn a_document_does_not_differ_from_itself_whatever_its_layout() {
        let a =
            Tree::parse(r#"{"nodes": {"a": {"type": "T"}, "b": {"type": "S", "inputs": {}}}, "name": "n"}"#).unwrap();
        let b =
            Tree::parse(r#"{"name": "n", "outputs": {}, "nodes": {"b": {"type": "S"}, "a": {"type": "T"}}}"#).unwrap();
        assert_eq!(diff(&a, &b), []);
        assert_eq!(diff(&a, &a), []);
    }

    #[test]
    fn a_renamed_chain_of_many_nodes_is_found() {
        let chain = |letter: &str| {
            let nodes: Vec<_> = (0..300)
                .map(|i| match i {
                    0 => format!(r#""{letter}0": {{"type": "T"}}"#),
                    i => format!(
                        r#""{letter}{i}": {{"type": "T", "inputs": {{"a": {{"from": "{letter}{}.x"}}}}}}"#,
                        i - 1
                    ),
                })
                .collect();
            Tree::parse(&format!(r#"{{"nodes": {{{}}}, "outputs": {{"o": "{letter}299.x"}}}}"#, nodes.join(",")))
                .unwrap()
        };
        let changes = diff(&chain("a"), &chain("b"));
        assert_eq!(changes.len(), 300);
        assert!(changes.iter().all(|change| change.kind == ChangeKind::Renamed));
    }
}
