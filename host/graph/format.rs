//! The canonical form of a document: one layout for everybody, so that lines differ only where graphs do.
//!
//! The order of inputs, nodes, ports and outputs is a person's and stays, and so do names, labels, descriptions and the
//! spelling of numbers. The order of the format's own keys and all white space are the form's. An object or array stands
//! on one line where it fits into [`WIDTH`] columns; the document and its four parts never do.

use super::Tree;
use super::json::{Json, Kind, Member};
use super::merge::Conflict;
use super::tree::{is_structure, known_keys};

/// Longest line that holds more than one value, in characters.
const WIDTH: usize = 120;

impl Tree {
    /// The document in canonical form. What is in this form already stays as it is, byte by byte.
    pub fn format(&self) -> String {
        self.format_with(&[])
    }

    /// The canonical form with both sides of each conflict, between the markers that git uses.
    pub(super) fn format_with(&self, conflicts: &[Conflict]) -> String {
        // Where the sides differ in a name only there is nothing to print twice.
        let conflicts: Vec<&Conflict> = conflicts.iter().filter(|c| c.ours.is_some() || c.theirs.is_some()).collect();
        let mut printer = Printer { text: String::new(), place: Vec::new(), conflicts: &conflicts };
        printer.value(&ordered(&self.0, &mut Vec::new()), 0);
        printer.text.push('\n');
        printer.text
    }
}

/// A value on one line, in canonical spelling.
pub(super) fn on_one_line(json: &Json) -> String {
    let mut text = String::new();
    inline(json, usize::MAX, &mut text);
    text
}

/// The same value with the format's own keys in their order.
fn ordered(json: &Json, place: &mut Vec<String>) -> Json {
    let Kind::Object(members) = &json.kind else { return json.clone() };
    if !is_structure(place) {
        return json.clone();
    }
    let mut members: Vec<Member> = members
        .iter()
        .map(|member| {
            place.push(member.key.clone());
            let value = ordered(&member.value, place);
            place.pop();
            Member { key: member.key.clone(), at: member.at, value }
        })
        .collect();
    let known = known_keys(place);
    // A stable sort: what the format does not know comes last, in the order in which it was written.
    members.sort_by_key(|member| known.iter().position(|key| *key == member.key).unwrap_or(known.len()));
    Json { at: json.at, kind: Kind::Object(members) }
}

struct Printer<'a> {
    text: String,
    place: Vec<String>,
    conflicts: &'a [&'a Conflict],
}

impl Printer<'_> {
    /// Prints at the end of a line that is indented by `indent` columns.
    fn value(&mut self, json: &Json, indent: usize) {
        let line = self.text.rfind('\n').map_or(0, |end| end + 1);
        let used = self.text[line..].chars().count();
        let tall = self.place.is_empty() || (self.place.len() == 1 && is_structure(&self.place));
        let inside = |conflict: &&Conflict| conflict.place.starts_with(&self.place);
        let empty = matches!(&json.kind, Kind::Object(all) if all.is_empty());
        // The comma that may follow belongs to the line.
        if empty || (!tall && !self.conflicts.iter().any(inside)) {
            let mut one = String::new();
            if inline(json, WIDTH.saturating_sub(used + 1), &mut one) {
                self.text.push_str(&one);
                return;
            }
        }
        match &json.kind {
            Kind::Object(members) => self.object(members, indent),
            Kind::Array(items) => self.array(items, indent),
            _ => {
                inline(json, usize::MAX, &mut self.text);
            }
        }
    }

    fn array(&mut self, items: &[Json], indent: usize) {
        self.text.push('[');
        for (index, item) in items.iter().enumerate() {
            self.line(indent + 2);
            // Elements have no place of their own: lists are values.
            self.value(item, indent + 2);
            self.comma(index + 1 < items.len());
        }
        self.line(indent);
        self.text.push(']');
    }

    fn object(&mut self, members: &[Member], indent: usize) {
        self.text.push('{');
        for (index, member) in members.iter().enumerate() {
            let more = index + 1 < members.len();
            self.place.push(member.key.clone());
            match self.conflicts.iter().find(|conflict| conflict.place == self.place) {
                None => self.member(&member.key, &member.value, indent + 2, more),
                Some(conflict) => {
                    let conflicts = std::mem::take(&mut self.conflicts);
                    for (marker, side) in [("<<<<<<< ours", &conflict.ours), ("=======", &conflict.theirs)] {
                        self.text.push('\n');
                        self.text.push_str(marker);
                        if let Some(side) = side {
                            let side = ordered(side, &mut self.place.clone());
                            self.member(&member.key, &side, indent + 2, more);
                        }
                    }
                    self.text.push_str("\n>>>>>>> theirs");
                    self.conflicts = conflicts;
                }
            }
            self.place.pop();
        }
        self.line(indent);
        self.text.push('}');
    }

    fn member(&mut self, key: &str, value: &Json, indent: usize, more: bool) {
        self.line(indent);
        quoted(key, &mut self.text);
        self.text.push_str(": ");
        self.value(value, indent);
        self.comma(more);
    }

    fn line(&mut self, indent: usize) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', indent));
    }

    fn comma(&mut self, more: bool) {
        if more {
            self.text.push(',');
        }
    }
}

/// Prints a value on one line; `false`, with half of it printed, when it has more than `most` characters.
fn inline(json: &Json, most: usize, text: &mut String) -> bool {
    // Bytes are at least as many as characters: the exact count is taken only where it matters.
    let fits = |text: &str| text.len() <= most || text.chars().count() <= most;
    match &json.kind {
        Kind::Null => text.push_str("null"),
        Kind::Boolean(b) => text.push_str(if *b { "true" } else { "false" }),
        Kind::Number(n) => text.push_str(n),
        Kind::Text(t) => quoted(t, text),
        Kind::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                if !inline(item, most, text) {
                    return false;
                }
            }
            text.push(']');
        }
        Kind::Object(members) if members.is_empty() => text.push_str("{}"),
        Kind::Object(members) => {
            text.push_str("{ ");
            for (index, member) in members.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                quoted(&member.key, text);
                text.push_str(": ");
                if !inline(&member.value, most, text) {
                    return false;
                }
            }
            text.push_str(" }");
        }
    }
    fits(text)
}

fn quoted(text: &str, to: &mut String) {
    to.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::diff;

    fn formatted(text: &str) -> String {
        Tree::parse(text).unwrap().format()
    }

    #[test]
    fn keeps_a_persons_order_and_words() {
        let text = r#"{"nodes":{"b":{"inputs":{"z":1.50,"a":{"from":"a.x"}},"label":"why \"so\"","type":"T"},"a":{"type":"S"}},
            "outputs":{"o":{"from":"b.y"}},"name":"n","version":1,"odd":[],"inputs":{}}"#;
        let expected = r#"{
  "version": 1,
  "name": "n",
  "inputs": {},
  "nodes": {
    "b": { "type": "T", "label": "why \"so\"", "inputs": { "z": 1.50, "a": { "from": "a.x" } } },
    "a": { "type": "S" }
  },
  "outputs": {
    "o": "b.y"
  },
  "odd": []
}
"#;
        assert_eq!(formatted(text), expected);
        assert_eq!(formatted(expected), expected);
    }

    #[test]
    fn lines_break_where_they_must() {
        // The widest line that holds a node, and one character more.
        let line = |id: &str| format!(r#"{{"nodes": {{"{id}": {{"type": "T"}}, "b": {{"type": "T"}}}}}}"#);
        let room = 120 - r#"    "": { "type": "T" },"#.len();
        for (letters, lines) in [(room, 6), (room + 1, 8)] {
            let found = formatted(&line(&"ä".repeat(letters)));
            assert_eq!(found.lines().count(), lines, "{found}");
            assert!(found.lines().all(|line| line.chars().count() <= 121));
        }
        let list = format!(r#"{{"nodes": {{"a": {{"inputs": {{"l": [{}1]}}}}}}}}"#, "12345, ".repeat(30));
        assert_eq!(formatted(&list).lines().filter(|line| line.trim() == "12345,").count(), 30);
    }

    /// Every document of the repository that is JSON: formatting changes no meaning, and twice is as good as once.
    #[test]
    fn formatting_is_idempotent_and_keeps_the_meaning() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for folder in ["graphs", "tests/graphs/malformed"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let (true, Ok(tree)) = (path.extension().is_some_and(|e| e == "json"), Tree::parse(&text)) else {
                    continue;
                };
                let formatted = tree.format();
                let again = Tree::parse(&formatted).unwrap();
                assert_eq!(again.format(), formatted, "{}", path.display());
                assert_eq!(diff(&tree, &again), [], "{}", path.display());
                count += 1;
            }
        }
        assert!(count > 20, "only {count} documents");
    }

    #[test]
    fn large_documents_are_no_trouble() {
        let nodes: Vec<_> =
            (0..100_000).map(|i| format!(r#""n{i}": {{"type": "T", "inputs": {{"a": {i}}}}}"#)).collect();
        let text = format!(r#"{{"nodes": {{{}}}}}"#, nodes.join(","));
        let formatted = formatted(&text);
        assert_eq!(formatted.lines().count(), 100_004);
    }
}
