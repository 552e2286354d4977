//! The document: a graph as a person wrote it, which can be wrong.
//!
//! ```json
//! {
//!   "$schema": "graph.schema.json",
//!   "version": 1,
//!   "name": "small",
//!   "inputs": { "picture": { "type": "path", "default": "cat.png", "description": "what to shrink" } },
//!   "nodes": {
//!     "load": { "type": "Load Image", "inputs": { "path": { "input": "picture" } } },
//!     "small": { "type": "Resize", "label": "half", "inputs": { "image": { "from": "load.image" }, "width": 256 } }
//!   },
//!   "outputs": { "picture": "small.image" }
//! }
//! ```
//!
//! A node of type `Graph` or `For Each` includes another document, and takes `path` and `each` beside its type:
//!
//! ```json
//! "cut": { "type": "For Each", "path": "./cut_out.json", "each": "image", "inputs": { "image": { "from": "pictures.images" } } }
//! ```
//!
//! Reading goes on after every mistake that leaves sense in the rest; the problems stay in the document and
//! [`validate`](super::validate) reports them with its own. A link always names node and port, also where the node has
//! one output only: one spelling, and a second output can join later without breaking documents.

use dc_graph_node_api::PortType;
use serde_json::Value;

use super::composite::Composite;
use super::json::{self, Json, Kind, Member};
use super::names::{self, Suggestions};
use super::sweep::{self, SweepDeclaration};
use super::{Diagnostic, Location};

/// The version of the format that this program reads.
pub const VERSION: i64 = 1;

/// A graph as it was written.
pub struct Document {
    pub(super) name: String,
    pub(super) inputs: Vec<InputDeclaration>,
    pub(super) nodes: Vec<NodeDeclaration>,
    pub(super) outputs: Vec<OutputDeclaration>,
    pub(super) sweep: Option<SweepDeclaration>,
    /// The documents that it carries, by the path that they go by.
    pub(super) graphs: Vec<(String, Value)>,
    pub(super) problems: Vec<Diagnostic>,
    json: Value,
}

/// A named input of the graph.
pub(super) struct InputDeclaration {
    pub(super) name: String,
    pub(super) at: Location,
    /// Absent when what was written is no type.
    pub(super) ty: Option<PortType>,
    pub(super) default: Option<Json>,
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) choices: Vec<String>,
}

/// A node.
pub(super) struct NodeDeclaration {
    pub(super) id: String,
    pub(super) at: Location,
    /// Absent when none was written.
    pub(super) type_name: Option<(String, Location)>,
    /// The document that it includes.
    pub(super) path: Option<(String, Location)>,
    /// The inputs over whose elements it goes.
    pub(super) each: Vec<(String, Location)>,
    pub(super) inputs: Vec<GivenInput>,
}

/// What a document gives to an input port.
pub(super) struct GivenInput {
    pub(super) port: String,
    pub(super) at: Location,
    pub(super) given: Given,
}

/// A value, or where it comes from.
pub(super) struct Given {
    pub(super) at: Location,
    pub(super) kind: GivenKind,
}

/// See [`Given`].
pub(super) enum GivenKind {
    /// Neither an array nor an object.
    Literal(Json),
    /// `{"from": "node.port"}`
    Link(String),
    /// `{"input": "name"}`
    Input(String),
    /// `[..]`
    List(Vec<Given>),
    /// Something else, reported already.
    Broken,
}

/// A named output of the graph.
pub(super) struct OutputDeclaration {
    pub(super) name: String,
    /// The link, as written; absent when it was no link.
    pub(super) link: Option<(String, Location)>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// When nothing can be made of it: no JSON, no object, a version this program does not know. All other problems are
    /// kept for [`validate`](super::validate).
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let (root, repeated) = json::read(text).map_err(|mistake| vec![mistake.into()])?;
        let json = root.to_value();
        let mut reader = Reader { problems: repeated, suggestions: Suggestions::default() };
        let keys = ["$schema", "version", "name", "description", "inputs", "sweep", "nodes", "outputs", "graphs"];
        let at = root.at;
        if let Kind::Object(members) = &root.kind
            && let Some(version) = members.iter().find(|m| m.key == "version")
            && !matches!(&version.value.kind, Kind::Number(n) if n.parse() == Ok(VERSION))
        {
            let message = format!("unknown format version: {}", version.value.describe());
            let hint = format!("this program reads version {VERSION}: \"version\": {VERSION}");
            return Err(vec![Diagnostic::error("unknown-version", message).at(version.value.at).hint(hint)]);
        }
        let Some(mut fields) = reader.object(root, "the document", &keys) else { return Err(reader.problems) };
        if fields.take("version").is_none() {
            let hint = format!("add \"version\": {VERSION}");
            reader.report(Diagnostic::error("missing-key", "the document names no `version`").at(at).hint(hint));
        }
        let name = fields.take("name").map(|m| reader.text(m));
        if name.is_none() {
            let hint = "add \"name\": \"...\"".to_owned();
            reader.report(Diagnostic::error("missing-key", "the document has no `name`").at(at).hint(hint));
        }
        for key in ["$schema", "description"] {
            fields.take(key).map(|m| reader.text(m));
        }
        let inputs = fields.take("inputs").map(|m| reader.inputs(m.value)).unwrap_or_default();
        let nodes = fields.take("nodes").map(|m| reader.nodes(m.value));
        if nodes.is_none() {
            reader.report(Diagnostic::error("missing-key", "the document has no `nodes`").at(at));
        }
        let outputs = fields.take("outputs").map(|m| reader.outputs(m.value)).unwrap_or_default();
        let sweep = fields.take("sweep").and_then(|m| sweep::read(m, &mut reader.problems));
        let graphs = fields.take("graphs").and_then(|m| reader.map(m.value, "`graphs`")).unwrap_or_default();
        Ok(Self {
            name: name.flatten().unwrap_or_default(),
            inputs,
            nodes: nodes.unwrap_or_default(),
            outputs,
            sweep,
            graphs: graphs.into_iter().map(|m| (m.key, m.value.to_value())).collect(),
            problems: reader.problems,
            json,
        })
    }

    /// The name it goes by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the graph's inputs, in document order.
    pub fn input_names(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|input| input.name.as_str())
    }

    /// The document as data, its keys in the order in which they were written.
    pub fn to_json(&self) -> &Value {
        &self.json
    }

    /// The document as text. Reading it again gives an equal document.
    pub fn print(&self) -> String {
        format!("{:#}\n", self.json)
    }
}

/// The members of an object that have not been looked at.
struct Fields(Vec<Member>);

impl Fields {
    fn take(&mut self, key: &str) -> Option<Member> {
        let index = self.0.iter().position(|m| m.key == key)?;
        Some(self.0.remove(index))
    }
}

struct Reader {
    problems: Vec<Diagnostic>,
    suggestions: Suggestions,
}

impl Reader {
    fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    fn expected(&mut self, what: &str, expected: &str, found: &Json) -> Diagnostic {
        Diagnostic::error("wrong-kind", format!("{what} must be {expected}, found {}", found.describe())).at(found.at)
    }

    /// The members of an object that may have the keys `known`.
    fn object(&mut self, json: Json, what: &str, known: &[&str]) -> Option<Fields> {
        let mut fields = self.map(json, what)?;
        fields.retain(|member| {
            let fine = known.contains(&member.key.as_str());
            if !fine {
                let hint = self
                    .suggestions
                    .did_you_mean(&member.key, known.iter().copied())
                    .unwrap_or_else(|| format!("the keys are {}", names::list(known.iter().copied(), "and")));
                let message = format!("unknown key `{}` in {what}", json::shorten(&member.key));
                self.problems.push(Diagnostic::error("unknown-key", message).at(member.at).hint(hint));
            }
            fine
        });
        Some(Fields(fields))
    }

    /// The members of an object that may have any keys.
    fn map(&mut self, json: Json, what: &str) -> Option<Vec<Member>> {
        match json.kind {
            Kind::Object(members) => Some(members),
            _ => {
                let problem = self.expected(what, "an object `{ }`", &json);
                self.report(problem);
                None
            }
        }
    }

    fn text(&mut self, member: Member) -> Option<String> {
        match member.value.kind {
            Kind::Text(text) => Some(text),
            _ => {
                let problem = self.expected(&format!("`{}`", member.key), "a text", &member.value);
                self.report(problem);
                None
            }
        }
    }

    fn number(&mut self, member: &Member) -> Option<f64> {
        if let Kind::Number(text) = &member.value.kind {
            return text.parse().ok();
        }
        let problem = self.expected(&format!("`{}`", member.key), "a number", &member.value);
        self.report(problem);
        None
    }

    fn check_name(&mut self, what: &str, name: &str, at: Location) {
        if !names::is_name(name) {
            let message = format!("`{}` is not a valid {what}", json::shorten(name));
            let hint = "use letters, digits, `-` and `_`, and begin with a letter or a digit".to_owned();
            self.report(Diagnostic::error("bad-name", message).at(at).hint(hint));
        }
    }

    fn inputs(&mut self, json: Json) -> Vec<InputDeclaration> {
        let members = self.map(json, "`inputs`").unwrap_or_default();
        members.into_iter().filter_map(|m| self.input(m)).collect()
    }

    fn input(&mut self, Member { key: name, at, value }: Member) -> Option<InputDeclaration> {
        self.check_name("name of a graph input", &name, at);
        let what = format!("the graph input `{}`", json::shorten(&name));
        let keys = ["type", "default", "description", "minimum", "maximum", "choices"];
        let mut declared =
            InputDeclaration { name, at, ty: None, default: None, minimum: None, maximum: None, choices: Vec::new() };
        // A broken declaration still declares: links to it are no further mistakes.
        let Some(mut fields) = self.object(value, &what, &keys) else { return Some(declared) };
        match fields.take("type") {
            Some(member) => declared.ty = self.input_type(member),
            None => {
                let hint = "add \"type\": \"text\", or boolean, integer, number, path, image".to_owned();
                self.report(Diagnostic::error("missing-key", format!("{what} has no `type`")).at(at).hint(hint));
            }
        }
        fields.take("description").map(|m| self.text(m));
        declared.minimum = fields.take("minimum").and_then(|m| self.number(&m));
        declared.maximum = fields.take("maximum").and_then(|m| self.number(&m));
        declared.choices = fields.take("choices").map(|m| self.choices(m)).unwrap_or_default();
        declared.default = fields.take("default").map(|m| m.value);
        let limits =
            [("minimum", declared.minimum.is_some(), "number"), ("maximum", declared.maximum.is_some(), "number")];
        for (key, given, wanted) in limits.into_iter().chain([("choices", !declared.choices.is_empty(), "text")]) {
            let fits = match innermost(declared.ty.as_ref()) {
                Some(PortType::Integer | PortType::Number) => wanted == "number",
                Some(PortType::Text) => wanted == "text",
                Some(_) => false,
                None => true,
            };
            if given && !fits {
                let message = format!("{what} cannot have `{key}`: only a {wanted} can");
                self.report(Diagnostic::error("wrong-kind", message).at(at));
            }
        }
        if let (Some(least), Some(most)) = (declared.minimum, declared.maximum)
            && least > most
        {
            let message = format!("the minimum {least} of {what} is above its maximum {most}");
            self.report(Diagnostic::error("out-of-range", message).at(at));
        }
        Some(declared)
    }

    fn input_type(&mut self, member: Member) -> Option<PortType> {
        const TYPES: [&str; 7] = ["boolean", "integer", "number", "text", "path", "image", "mask"];
        let at = member.value.at;
        let text = self.text(member)?;
        let ty = names::port_type(&text);
        if ty.is_none() {
            let hint =
                format!("a graph input is {}, a `list<..>` of one, or such as `dc:model`", names::list(TYPES, "or"));
            let near = self.suggestions.did_you_mean(text.trim_start_matches("core:"), TYPES);
            let message = format!("`{}` is not a type of graph inputs", json::shorten(&text));
            self.report(Diagnostic::error("unknown-type", message).at(at).hint(near.or(Some(hint))));
        }
        ty
    }

    fn choices(&mut self, member: Member) -> Vec<String> {
        let Kind::Array(items) = member.value.kind else {
            let problem = self.expected("`choices`", "an array of texts", &member.value);
            self.report(problem);
            return Vec::new();
        };
        items.into_iter().filter_map(|value| self.text(Member { key: "choices".into(), at: value.at, value })).collect()
    }

    fn nodes(&mut self, json: Json) -> Vec<NodeDeclaration> {
        let members = self.map(json, "`nodes`").unwrap_or_default();
        members.into_iter().map(|m| self.node(m)).collect()
    }

    fn node(&mut self, Member { key: id, at, value }: Member) -> NodeDeclaration {
        let before = self.problems.len();
        self.check_name("node id", &id, at);
        let what = format!("the node `{}`", json::shorten(&id));
        let mut declared =
            NodeDeclaration { id, at, type_name: None, path: None, each: Vec::new(), inputs: Vec::new() };
        if let Some(mut fields) = self.object(value, &what, &["type", "label", "path", "each", "inputs"]) {
            match fields.take("type") {
                Some(member) => {
                    let at = member.value.at;
                    declared.type_name = self.text(member).map(|name| (name, at));
                }
                None => {
                    let hint = "add \"type\": \"...\"".to_owned();
                    self.report(Diagnostic::error("missing-key", format!("{what} has no `type`")).at(at).hint(hint));
                }
            }
            fields.take("label").map(|m| self.text(m));
            self.inclusion(&mut declared, &mut fields, &what);
            let before = self.problems.len();
            let inputs = fields.take("inputs").and_then(|m| self.map(m.value, &format!("`inputs` of {what}")));
            if self.problems.len() > before {
                // Without its type nothing more is said about the node: not every input that could not be read is missing.
                declared.type_name = None;
            }
            declared.inputs = inputs
                .unwrap_or_default()
                .into_iter()
                .map(|Member { key, at, value }| {
                    let before = self.problems.len();
                    let given = self.given(value);
                    self.problems[before..].iter_mut().for_each(|p| p.port = Some(key.clone()));
                    GivenInput { port: key, at, given }
                })
                .collect();
        }
        self.problems[before..].iter_mut().for_each(|p| p.node = Some(declared.id.clone()));
        declared
    }

    /// What a `Graph` or a `For Each` says besides its inputs.
    fn inclusion(&mut self, declared: &mut NodeDeclaration, fields: &mut Fields, what: &str) {
        let kind = declared.type_name.as_ref().and_then(|(name, _)| Composite::of(name));
        let (path, each) = (fields.take("path"), fields.take("each"));
        let is_each = kind == Some(Composite::ForEach);
        let includes = is_each || kind == Some(Composite::Graph);
        for (member, fits) in [(&path, includes), (&each, is_each)] {
            if let (Some(member), false, true) = (member, fits, declared.type_name.is_some()) {
                let of = if member.key == "path" { "a `Graph` or a `For Each`" } else { "a `For Each`" };
                let message = format!("{what} cannot have `{}`: only {of} can", member.key);
                let hint =
                    format!("an input of this name goes into `inputs`: \"inputs\": {{ \"{}\": ... }}", member.key);
                self.report(Diagnostic::error("unknown-key", message).at(member.at).hint(hint));
            }
        }
        if let Some(member) = path.filter(|_| includes) {
            let at = member.value.at;
            declared.path = self.text(member).map(|path| (path, at));
        } else if includes {
            let hint = "add \"path\": \"./other.json\", beside `type`".to_owned();
            let message = format!("{what} does not say which graph it includes");
            self.report(Diagnostic::error("missing-key", message).at(declared.at).hint(hint));
        }
        match each.filter(|_| is_each) {
            Some(Member { value: Json { kind: Kind::Array(names), .. }, key, .. }) => {
                let text = |value: Json| Some((value.at, self.text(Member { key: key.clone(), at: value.at, value })?));
                declared.each = names.into_iter().filter_map(text).map(|(at, name)| (name, at)).collect();
            }
            Some(member) => {
                let at = member.value.at;
                declared.each = self.text(member).map(|name| (name, at)).into_iter().collect();
            }
            None => {}
        }
        if is_each && declared.each.is_empty() {
            let hint =
                "add \"each\": \"NAME\", the input of the included graph that gets one element at a time".to_owned();
            let message = format!("{what} does not say over which inputs it goes");
            self.report(Diagnostic::error("missing-key", message).at(declared.at).hint(hint));
        }
    }

    fn given(&mut self, json: Json) -> Given {
        let at = json.at;
        let kind = match json.kind {
            Kind::Array(items) => GivenKind::List(items.into_iter().map(|item| self.given(item)).collect()),
            Kind::Object(members) => self.reference(members, at),
            Kind::Null => {
                let hint = "leave the input out to get its default".to_owned();
                self.report(
                    Diagnostic::error("wrong-kind", "expected a value or a link, found `null`").at(at).hint(hint),
                );
                GivenKind::Broken
            }
            kind => GivenKind::Literal(Json { at, kind }),
        };
        Given { at, kind }
    }

    fn reference(&mut self, members: Vec<Member>, at: Location) -> GivenKind {
        let json = Json { at, kind: Kind::Object(members) };
        let before = self.problems.len();
        let Some(mut fields) = self.object(json, "a link", &["from", "input"]) else { return GivenKind::Broken };
        match (fields.take("from"), fields.take("input")) {
            (Some(member), None) => self.text(member).map_or(GivenKind::Broken, GivenKind::Link),
            (None, Some(member)) => self.text(member).map_or(GivenKind::Broken, GivenKind::Input),
            (None, None) if self.problems.len() > before => GivenKind::Broken,
            (from, _) => {
                let found = if from.is_some() { "both `from` and `input`" } else { "an empty object" };
                let message = format!("expected a value or a link, found {found}");
                let hint = "write {\"from\": \"node.port\"} or {\"input\": \"name\"}".to_owned();
                self.report(Diagnostic::error("bad-link", message).at(at).hint(hint));
                GivenKind::Broken
            }
        }
    }

    fn outputs(&mut self, json: Json) -> Vec<OutputDeclaration> {
        let members = self.map(json, "`outputs`").unwrap_or_default();
        members.into_iter().map(|m| self.output(m)).collect()
    }

    fn output(&mut self, Member { key: name, at, value }: Member) -> OutputDeclaration {
        self.check_name("name of a graph output", &name, at);
        let what = format!("the graph output `{}`", json::shorten(&name));
        let place = value.at;
        let link = match value.kind {
            Kind::Text(link) => Some(link),
            Kind::Object(_) => {
                let before = self.problems.len();
                let mut fields = self.object(value, &what, &["from"]);
                let link = fields.as_mut().and_then(|f| f.take("from")).and_then(|m| self.text(m));
                if link.is_none() && self.problems.len() == before {
                    let hint = "write \"node.port\"".to_owned();
                    self.report(Diagnostic::error("bad-link", format!("{what} links nothing")).at(place).hint(hint));
                }
                link
            }
            _ => {
                let problem = self.expected(&what, "a link such as \"node.port\"", &value);
                self.report(problem);
                None
            }
        };
        OutputDeclaration { name, link: link.map(|link| (link, place)) }
    }
}

/// What a type is made of: the elements of lists.
fn innermost(mut ty: Option<&PortType>) -> Option<&PortType> {
    while let Some(PortType::List(of)) = ty {
        ty = Some(&**of);
    }
    ty
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{
        "outputs": { "picture": "small.image" }, "version": 1, "name": "small",
        "inputs": { "z": { "default": 16.0, "type": "number" }, "a": { "type": "path" } },
        "nodes": {
            "small": { "inputs": { "width": 256, "image": { "from": "load.image" } }, "type": "Resize" },
            "load": { "type": "Load Image", "inputs": { "path": { "input": "a" } } }
        }
    }"#;

    #[test]
    fn printing_keeps_meaning_and_order() {
        let document = Document::parse(SMALL).unwrap();
        let expected: Value = serde_json::from_str(SMALL).unwrap();
        // Equal as text, so equal in the order of keys and in `16.0` too.
        assert_eq!(document.to_json().to_string(), expected.to_string());
        let again = Document::parse(&document.print()).unwrap();
        assert_eq!(again.print(), document.print());
        assert!(document.problems.is_empty() && again.problems.is_empty());
        assert_eq!(document.input_names().collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(document.nodes.iter().map(|n| n.id.as_str()).collect::<Vec<_>>(), ["small", "load"]);
    }

    #[test]
    fn places_are_those_of_keys() {
        let document = Document::parse(SMALL).unwrap();
        let node = &document.nodes[0];
        assert_eq!((node.at.line, node.at.column), (5, 13));
        assert_eq!((node.inputs[1].at.column, node.inputs[1].given.at.column), (50, 59));
    }
}
