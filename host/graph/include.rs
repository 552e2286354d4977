//! The documents that a document includes by `Graph` and `For Each` nodes, each found and read once.
//!
//! A `path` counts from the folder of the document that says it. Documents that a document carries in `graphs` go before
//! files: so a picture can carry all that made it.

use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::document::Document;
use super::names::Suggestions;
use super::render::Source;
use super::validated::Home;
use super::{Diagnostic, Location};

/// Most documents that one can include, directly or not.
const MOST_DOCUMENTS: usize = 1000;

/// A document and all that it includes. The document itself is the first part.
pub(super) struct Library<'a> {
    pub(super) parts: Vec<Part<'a>>,
    pub(super) problems: Vec<Diagnostic>,
    /// The part that a node includes, by part and node; nothing when it cannot be read.
    included: HashMap<(usize, usize), usize>,
    /// Every file that was looked for.
    files: Vec<PathBuf>,
}

/// One document.
pub(super) struct Part<'a> {
    pub(super) document: Held<'a>,
    pub(super) folder: PathBuf,
    pub(super) home: Arc<Home>,
}

/// A document of the caller's, or one that was read.
pub(super) enum Held<'a> {
    Theirs(&'a Document),
    Ours(Box<Document>),
}

impl Deref for Held<'_> {
    type Target = Document;

    fn deref(&self) -> &Document {
        match self {
            Self::Theirs(document) => document,
            Self::Ours(document) => document,
        }
    }
}

impl Document {
    /// The files of all documents that this one in `folder` includes, directly or not; also those that are not there.
    pub fn included_files(&self, folder: &Path) -> Vec<PathBuf> {
        Library::of(self, folder, folder).files
    }

    /// The node types that this document in `folder` and all that it includes name, known or not.
    pub fn node_types(&self, folder: &Path) -> BTreeSet<String> {
        let library = Library::of(self, folder, folder);
        let nodes = library.parts.iter().flat_map(|part| &part.document.nodes);
        nodes.filter_map(|node| Some(node.type_name.as_ref()?.0.clone())).collect()
    }

    /// The document with all that it includes in it, as pictures carry it. Paths count from `folder`.
    pub fn carrying(&self, folder: &Path) -> Value {
        let mut json = self.to_json().clone();
        Library::of(self, folder, folder).carry(&mut json);
        json
    }
}

/// What is being included.
struct Inclusion {
    node: usize,
    id: String,
    path: String,
    at: Location,
}

impl<'a> Library<'a> {
    /// Reads everything that a document in `folder` includes. Files are called by their way from `current`.
    pub(super) fn of(document: &'a Document, folder: &Path, current: &Path) -> Self {
        let root = Part { document: Held::Theirs(document), folder: folder.into(), home: Arc::default() };
        let mut library = Self { parts: vec![root], problems: Vec::new(), included: HashMap::new(), files: Vec::new() };
        let mut carried = HashMap::new();
        let mut known = HashMap::new();
        let mut next = 0;
        while next < library.parts.len() {
            library.read_all(next, current, &mut carried, &mut known);
            next += 1;
        }
        library
    }

    /// The part that a node of a part includes.
    pub(super) fn included(&self, part: usize, node: usize) -> Option<usize> {
        self.included.get(&(part, node)).copied()
    }

    /// The files that were looked for.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Reads what one part includes.
    fn read_all(
        &mut self,
        part: usize,
        current: &Path,
        carried: &mut HashMap<PathBuf, Value>,
        known: &mut HashMap<PathBuf, Option<usize>>,
    ) {
        let Part { document, folder, home } = &self.parts[part];
        let (folder, key, source) = (folder.clone(), home.key.clone().unwrap_or_default(), home.source.clone());
        for (path, graph) in &document.graphs {
            carried.entry(plain(&folder.join(path))).or_insert_with(|| graph.clone());
        }
        let nodes = document.nodes.iter().enumerate();
        let inclusions = nodes.filter_map(|(node, declared)| {
            let (path, at) = declared.path.clone()?;
            Some(Inclusion { node, id: declared.id.clone(), path, at })
        });
        let inclusions: Vec<Inclusion> = inclusions.collect();
        for inclusion in inclusions {
            let file = plain(&folder.join(&inclusion.path));
            let found = match known.get(&file) {
                Some(found) => *found,
                None => {
                    let read = self.read(&inclusion, &file, current, carried.get(&file));
                    let found = match read {
                        Ok((document, text)) => {
                            Some(self.add(document, text, &file, included_key(&key, &inclusion.path)))
                        }
                        Err(mut problems) => {
                            // What is wrong with the inclusion is told where it is said, the rest where it is.
                            for problem in problems.iter_mut().filter(|problem| problem.source.is_none()) {
                                problem.source.clone_from(&source);
                            }
                            self.problems.extend(problems);
                            None
                        }
                    };
                    known.insert(file, found);
                    found
                }
            };
            if let Some(found) = found {
                self.included.insert((part, inclusion.node), found);
            }
        }
    }

    fn read(
        &mut self,
        inclusion: &Inclusion,
        file: &Path,
        current: &Path,
        carried: Option<&Value>,
    ) -> Result<(Document, Arc<Source>), Vec<Diagnostic>> {
        let Inclusion { id, path, at, .. } = inclusion;
        let wrong = |message: String| vec![Diagnostic::error("bad-graph", message).at(*at).node(id)];
        if self.parts.len() > MOST_DOCUMENTS {
            return Err(wrong(format!("`{id}` includes one document too many: {MOST_DOCUMENTS} are the most")));
        }
        let source = match carried {
            Some(graph) => Source::new(format!("{path} (carried)"), format!("{graph:#}\n")),
            None => {
                self.files.push(file.into());
                if file.is_dir() {
                    return Err(wrong(format!("`{id}` includes `{path}`, which is a folder")));
                }
                let name = file.strip_prefix(current).unwrap_or(file).display().to_string();
                Source::read(file).map(|source| source.named(name)).map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        let message = format!("`{id}` includes `{path}`, but there is no such file");
                        vec![Diagnostic::error("missing-graph", message).at(*at).node(id).hint(like(file))]
                    }
                    _ => wrong(format!("`{id}` includes `{path}`, which cannot be read: {error}")),
                })?
            }
        };
        let source = Arc::new(source);
        match Document::parse(source.text()) {
            Ok(document) => Ok((document, source)),
            Err(mut problems) => {
                problems.iter_mut().for_each(|problem| problem.source = Some(source.clone()));
                Err(problems)
            }
        }
    }

    fn add(&mut self, document: Document, source: Arc<Source>, file: &Path, key: String) -> usize {
        let tagged = document.problems.iter().cloned();
        self.problems.extend(tagged.map(|problem| Diagnostic { source: Some(source.clone()), ..problem }));
        let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
        let home = Home { folder: Some(folder.clone()), source: Some(source), key: Some(key) };
        self.parts.push(Part { document: Held::Ours(Box::new(document)), folder, home: Arc::new(home) });
        self.parts.len() - 1
    }

    /// Puts the included documents into the one that includes them all, so that it says everything by itself.
    pub(super) fn carry(&self, json: &mut Value) {
        let Some(root) = json.as_object_mut() else { return };
        root.shift_remove("graphs");
        if self.parts.len() == 1 {
            return;
        }
        let mut graphs = serde_json::Map::new();
        for part in &self.parts[1..] {
            let mut graph = part.document.to_json().clone();
            if let Some(graph) = graph.as_object_mut() {
                for unused in ["$schema", "graphs", "sweep"] {
                    graph.shift_remove(unused);
                }
            }
            without_absolute_paths(&mut graph);
            graphs.insert(part.home.key.clone().unwrap_or_default(), graph);
        }
        root.insert("graphs".into(), graphs.into());
        without_absolute_paths(json);
    }
}

/// Documents that were named by absolute paths go by their file's name.
fn without_absolute_paths(graph: &mut Value) {
    let Some(nodes) = graph.get_mut("nodes").and_then(Value::as_object_mut) else { return };
    for node in nodes.values_mut() {
        if super::composite::Composite::of(node["type"].as_str().unwrap_or_default()).is_some()
            && let Some(Value::String(path)) = node.get_mut("path")
            && Path::new(path.as_str()).is_absolute()
        {
            *path = format!("./{}", name_of(path));
        }
    }
}

/// What a file of an absolute path goes by: its name, and enough of the path's digest to tell it from others of that name.
fn name_of(path: &str) -> String {
    let path = Path::new(path);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("")).as_os_str().as_encoded_bytes();
    format!("{stem}-{}.json", &blake3::hash(folder).to_hex()[..8])
}

/// What the root document calls a document that one called `includer` names `path`.
pub(crate) fn included_key(includer: &str, path: &str) -> String {
    let path = if Path::new(path).is_absolute() { name_of(path) } else { path.replace('\\', "/") };
    let folder = includer.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A path without `.` and, as far as names go, without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// `did you mean ..`, when a file beside has a similar name.
fn like(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_string_lossy().into_owned();
    let beside =
        std::fs::read_dir(file.parent()?).ok()?.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let mut beside: Vec<String> = beside.filter(|name| name.ends_with(".json")).collect();
    beside.sort();
    Suggestions::default().did_you_mean(&name, beside.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_go_by_their_way_from_the_root() {
        for (includer, path, expected) in [
            ("", "./cut.json", "cut.json"),
            ("", "parts/cut.json", "parts/cut.json"),
            ("parts/cut.json", "./edge.json", "parts/edge.json"),
            ("parts/cut.json", "../edge.json", "edge.json"),
            ("", "../shared/edge.json", "../shared/edge.json"),
            ("../shared/edge.json", "../../x.json", "../../x.json"),
        ] {
            assert_eq!(included_key(includer, path), expected, "{path} in {includer}");
        }
        let (a, b) = (included_key("parts/cut.json", "/a/x.json"), included_key("parts/cut.json", "/b/x.json"));
        assert!(a.starts_with("parts/x-") && a != b, "{a} {b}");
    }
}
