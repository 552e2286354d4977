//! Three versions of a document made one, by node, port and value: what only one side changed is taken from there. Two
//! people may edit different ports of a node, one may rename a node while the other links it anew, and both may add nodes
//! at the same line; only what both changed, each in another way, is a conflict.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;

use super::Tree;
use super::diff::{renamed, subject};
use super::json::{Json, Kind, Member};
use super::tree::{each_link, is_structure, member, members, same};

/// What came of a merge.
#[derive(Debug)]
pub struct Merged {
    /// The document in canonical form. With conflicts it holds both sides of each between markers, and so is no JSON.
    pub text: String,
    /// What a person has to decide.
    pub conflicts: Vec<Conflict>,
}

/// A place that both sides changed, each in another way.
#[derive(Clone, Debug, Serialize)]
pub struct Conflict {
    /// Where: the keys from the document down.
    pub place: Vec<String>,
    /// What is the matter.
    pub message: String,
    /// What our side has there; nothing when it was removed.
    #[serde(serialize_with = "as_value", skip_serializing_if = "Option::is_none")]
    pub(super) ours: Option<Json>,
    /// What their side has there.
    #[serde(serialize_with = "as_value", skip_serializing_if = "Option::is_none")]
    pub(super) theirs: Option<Json>,
}

fn as_value<S: serde::Serializer>(json: &Option<Json>, serializer: S) -> Result<S::Ok, S::Error> {
    json.as_ref().map_or(Value::Null, Json::to_value).serialize(serializer)
}

/// Brings the changes from `base` to `ours` and those from `base` to `theirs` together.
pub fn merge(base: &Tree, ours: &Tree, theirs: &Tree) -> Merged {
    let mut merge = Merge { place: Vec::new(), conflicts: Vec::new() };
    let (base, ours, theirs) = merge.with_the_same_ids(base, ours, theirs);
    let root = merge.value(Some(&base.0), Some(&ours.0), Some(&theirs.0));
    let mut tree = root.map_or_else(Tree::empty, Tree);
    merge.keep_what_is_linked(&mut tree, &ours, &theirs);
    Merged { text: tree.format_with(&merge.conflicts), conflicts: merge.conflicts }
}

struct Merge {
    place: Vec<String>,
    conflicts: Vec<Conflict>,
}

impl Merge {
    /// The three documents with every node called as the side that renamed it calls it.
    fn with_the_same_ids(&mut self, base: &Tree, ours: &Tree, theirs: &Tree) -> (Tree, Tree, Tree) {
        // A new name that the other side uses for something else is no rename: it is a node gone and another one added.
        let free =
            |by: Vec<(String, String)>, other: &Tree, by_other: &[(String, String)]| -> HashMap<String, String> {
                let used: HashSet<&str> = other.nodes().iter().map(|node| node.key.as_str()).collect();
                by.into_iter().filter(|pair| !used.contains(pair.1.as_str()) || by_other.contains(pair)).collect()
            };
        let (us, them) = (renamed(base, ours), renamed(base, theirs));
        let by_us = free(us.clone(), theirs, &them);
        let mut by_them = free(them, ours, &us);
        let mut their_names = HashMap::new();
        for (old, new) in &by_us {
            if let Some(other) = by_them.remove(old).filter(|other| other != new) {
                self.conflicts.push(Conflict {
                    place: vec!["nodes".into(), new.clone()],
                    message: format!("node `{old}` is called `{new}` by us, but `{other}` by them"),
                    ours: None,
                    theirs: None,
                });
                // The rest is merged under our name.
                their_names.insert(other, new.clone());
            }
        }
        let theirs = theirs.renamed(&their_names);
        let both: HashMap<_, _> = by_us.iter().chain(&by_them).map(|(old, new)| (old.clone(), new.clone())).collect();
        (base.renamed(&both), ours.renamed(&by_them), theirs.renamed(&by_us))
    }

    fn value(&mut self, base: Option<&Json>, ours: Option<&Json>, theirs: Option<&Json>) -> Option<Json> {
        let is_object = |json: Option<&Json>| json.is_some_and(|json| matches!(json.kind, Kind::Object(_)));
        let apart = is_structure(&self.place) && !self.of_another_type(base, ours, theirs);
        // Also where they mean the same: the order may differ.
        if apart && is_object(ours) && is_object(theirs) {
            return Some(self.members(base, ours, theirs));
        }
        if same(ours, theirs) || same(base, theirs) {
            return ours.cloned();
        }
        if same(base, ours) {
            return theirs.cloned();
        }
        let subject = subject(&self.place);
        let message = match (base, ours, theirs) {
            (_, None, _) => format!("{subject} was removed by us, and changed by them"),
            (_, _, None) => format!("{subject} was removed by them, and changed by us"),
            (None, ..) => format!("{subject} was added by both, each in another way"),
            _ => format!("{subject} was changed by both, each in another way"),
        };
        let (ours, theirs) = (ours.cloned(), theirs.cloned());
        let at = ours.as_ref().or(theirs.as_ref())?.at;
        self.conflicts.push(Conflict { place: self.place.clone(), message, ours, theirs });
        // Keeps the place; the two sides are printed there.
        Some(Json { at, kind: Kind::Null })
    }

    /// Ports mean something else in a node of another type: such a node is one value.
    fn of_another_type(&self, base: Option<&Json>, ours: Option<&Json>, theirs: Option<&Json>) -> bool {
        let type_of = |node: Option<&Json>| node.and_then(|node| member(node, "type")).map(Json::to_value);
        let is_node = self.place.len() == 2 && self.place[0] == "nodes";
        is_node && (type_of(ours) != type_of(theirs) || (base.is_some() && type_of(base) != type_of(ours)))
    }

    /// The members in our order, unless only they changed it; what the other side alone has, behind the one that it
    /// follows there.
    fn members(&mut self, base: Option<&Json>, ours: Option<&Json>, theirs: Option<&Json>) -> Json {
        let list = |json: Option<&Json>| -> Vec<Member> { json.map_or(Vec::new(), |json| members(json).to_vec()) };
        let index = |all: &[Member]| -> HashMap<String, Json> {
            all.iter().map(|member| (member.key.clone(), member.value.clone())).collect()
        };
        let (base_list, our_list, their_list) = (list(base), list(ours), list(theirs));
        let (in_base, in_ours, in_theirs) = (index(&base_list), index(&our_list), index(&their_list));
        let moved = |list: &[Member], there: &HashMap<String, Json>| {
            let old = base_list.iter().filter(|m| there.contains_key(&m.key)).map(|m| &m.key);
            !old.eq(list.iter().filter(|m| in_base.contains_key(&m.key)).map(|m| &m.key))
        };
        let theirs_leads = moved(&their_list, &in_theirs) && !moved(&our_list, &in_ours);
        let (first, second, in_first) = match theirs_leads {
            true => (&their_list, &our_list, &in_theirs),
            false => (&our_list, &their_list, &in_ours),
        };
        let mut behind: HashMap<Option<&str>, Vec<&Member>> = HashMap::new();
        let mut last_shared = None;
        for member in second {
            if in_first.contains_key(&member.key) {
                last_shared = Some(member.key.as_str());
            } else {
                behind.entry(last_shared).or_default().push(member);
            }
        }
        let mut order: Vec<&Member> = behind.remove(&None).unwrap_or_default();
        for member in first {
            order.push(member);
            order.extend(behind.remove(&Some(member.key.as_str())).unwrap_or_default());
        }
        let mut merged = Vec::new();
        for Member { key, at, .. } in order {
            self.place.push(key.clone());
            let value = self.value(in_base.get(key), in_ours.get(key), in_theirs.get(key));
            self.place.pop();
            merged.extend(value.map(|value| Member { key: key.clone(), at: *at, value }));
        }
        let at = ours.or(theirs).map_or(super::Location { line: 1, column: 1 }, |json| json.at);
        Json { at, kind: Kind::Object(merged) }
    }

    /// A node that one side removed while the other linked it anew comes back, as a conflict.
    fn keep_what_is_linked(&mut self, tree: &mut Tree, ours: &Tree, theirs: &Tree) {
        let there: HashSet<&str> = tree.nodes().iter().map(|node| node.key.as_str()).collect();
        let mut missing: Vec<String> = Vec::new();
        let mut look = |link: &str| {
            let id = link.split('.').next().unwrap_or(link);
            if !there.contains(id) && !missing.iter().any(|m| m == id) {
                missing.push(id.to_owned());
            }
        };
        tree.nodes().iter().for_each(|node| each_link(&node.value, &mut look));
        for output in member(&tree.0, "outputs").map_or(&[][..], members) {
            match &output.value.kind {
                Kind::Text(link) => look(link),
                _ => each_link(&output.value, &mut look),
            }
        }
        let node_of = |tree: &Tree, id: &str| tree.nodes().iter().find(|node| node.key == id).cloned();
        for id in missing {
            let (us, them) = (node_of(ours, &id), node_of(theirs, &id));
            // Linked, but never there: what both sides wrote is their business.
            let Some(Member { at, .. }) = us.as_ref().or(them.as_ref()) else { continue };
            let placeholder = Member { key: id.clone(), at: *at, value: Json { at: *at, kind: Kind::Null } };
            let (by, other) = if us.is_none() { ("us", "them") } else { ("them", "us") };
            self.conflicts.push(Conflict {
                place: vec!["nodes".into(), id.clone()],
                message: format!("node `{id}` was removed by {by}, and linked by {other}"),
                ours: us.map(|node| node.value),
                theirs: them.map(|node| node.value),
            });
            if let Kind::Object(parts) = &mut tree.0.kind
                && let Some(Kind::Object(nodes)) =
                    parts.iter_mut().find(|p| p.key == "nodes").map(|p| &mut p.value.kind)
            {
                nodes.push(placeholder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::diff;

    fn tree(text: &str) -> Tree {
        Tree::parse(text).unwrap()
    }

    #[test]
    fn a_side_that_changed_nothing_gives_way() {
        let base = tree(r#"{"nodes": {"a": {"type": "T", "inputs": {"x": 1}}}}"#);
        for other in [
            r#"{"nodes": {"b": {"type": "T", "inputs": {"x": 1}}}}"#,
            r#"{"nodes": {}}"#,
            r#"{"nodes": {"a": {"type": "S", "inputs": {"x": 1}}}, "outputs": {"o": "a.x"}}"#,
            "{}",
        ] {
            let other = tree(other);
            for (ours, theirs) in [(&base, &other), (&other, &base), (&other, &other)] {
                let merged = merge(&base, ours, theirs);
                assert!(merged.conflicts.is_empty(), "{:?}", merged.conflicts);
                assert_eq!(diff(&tree(&merged.text), &other), [], "{}", merged.text);
            }
        }
    }

    #[test]
    fn what_both_changed_apart_is_all_there_whoever_merges() {
        let base = tree(r#"{"nodes": {"a": {"type": "T", "inputs": {"x": 1, "y": 1}}, "b": {"type": "S"}}}"#);
        let ours = tree(
            r#"{"nodes": {"a": {"type": "T", "inputs": {"x": 2, "y": 1}}, "b": {"type": "S"}, "c": {"type": "U"}}}"#,
        );
        let theirs = tree(r#"{"nodes": {"a": {"type": "T", "inputs": {"x": 1}}, "d": {"type": "V"}}, "name": "n"}"#);
        let all = tree(
            r#"{"nodes": {"a": {"type": "T", "inputs": {"x": 2}}, "c": {"type": "U"}, "d": {"type": "V"}}, "name": "n"}"#,
        );
        for (one, other) in [(&ours, &theirs), (&theirs, &ours)] {
            let merged = merge(&base, one, other);
            assert!(merged.conflicts.is_empty(), "{:?}", merged.conflicts);
            assert_eq!(diff(&tree(&merged.text), &all), []);
        }
    }
}
