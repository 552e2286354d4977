//! What the nodes of a graph depended on when they ran last: kept to say what has changed, not to decide what runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::entry::hex;
use super::{Store, file};
use crate::exec::Digest;

/// One thing that a node's outputs depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredient {
    /// What kind of thing.
    pub origin: Origin,
    /// Its name: that of an input, or empty where there is only one such thing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The digest of its contents.
    #[serde(with = "hex")]
    pub digest: Digest,
    /// What a person calls it: the value, shortened; the file's name; the version.
    pub shown: String,
}

/// Where an [`Ingredient`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The node's type and version.
    Type,
    /// The plugin that the type comes from, or this program.
    Program,
    /// What the node adds itself: the device's class and number type.
    Device,
    /// An input that the document gives.
    Parameter,
    /// A file that an input names.
    File,
    /// An input that another node gives.
    Link,
    /// The folder that files are written to.
    Output,
}

/// The last run of a graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastRun {
    /// The graph's file.
    pub graph: PathBuf,
    /// The largest memory of the process in that run, in bytes; 0 where the system does not tell.
    #[serde(default)]
    pub peak_bytes: u64,
    /// Its nodes by id.
    pub nodes: BTreeMap<String, LastNode>,
}

/// A node in the last run of its graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastNode {
    /// Its action key, in hexadecimal digits.
    pub key: String,
    /// What the key was made of.
    pub ingredients: Vec<Ingredient>,
}

impl Store {
    /// The last run of the graph in this file.
    pub fn last_run(&self, graph: &Path) -> Option<LastRun> {
        let bytes = std::fs::read(self.history_file(graph)).ok()?;
        serde_json::from_str(file::unseal(&bytes)?).ok()
    }

    /// Remembers a run. Nodes that it did not come to keep what was known of them.
    pub fn put_last_run(&self, mut run: LastRun) {
        let before = self.last_run(&run.graph);
        if let Some(before) = before.clone() {
            run.peak_bytes = run.peak_bytes.max(if run.nodes == before.nodes { before.peak_bytes } else { 0 });
        }
        if before.as_ref() != Some(&run)
            && let Ok(text) = serde_json::to_string(&run)
        {
            self.put(&self.history_file(&run.graph), file::seal(&text).as_bytes());
        }
    }

    fn history_file(&self, graph: &Path) -> PathBuf {
        let name = blake3::hash(graph.as_os_str().as_encoded_bytes()).to_hex();
        self.file("graphs", &name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::open::testing::store;
    use super::*;

    #[test]
    fn the_last_run_comes_back() {
        let (_folder, store) = store();
        let ingredient = Ingredient {
            origin: Origin::Parameter,
            name: "prompt".into(),
            digest: blake3::hash(b"a"),
            shown: "a".into(),
        };
        let node = LastNode { key: "00".into(), ingredients: vec![ingredient] };
        let run = LastRun { graph: "/g.json".into(), peak_bytes: 7, nodes: [("a".to_owned(), node)].into() };
        assert_eq!(store.last_run(&run.graph), None);
        store.put_last_run(run.clone());
        assert_eq!(store.last_run(&run.graph), Some(run));
        assert_eq!(store.last_run(Path::new("/other.json")), None);
    }
}
