//! What runs gave, as long as there is room.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dc_graph::api::Value;
use serde_json::{Value as Json, json};

/// How much memory pictures of earlier runs may take.
const MAX_BYTES: usize = 128 << 20;
/// How many runs are remembered.
const MAX_RUNS: usize = 100;
/// How many pictures of a run are shown.
pub(in crate::cli::watch) const MAX_PICTURES: usize = 24;

/// A picture as a browser takes it.
#[derive(Clone)]
pub(in crate::cli::watch) struct Picture {
    /// The file's name, or that of the graph's output.
    pub(in crate::cli::watch) name: String,
    pub(in crate::cli::watch) content_type: &'static str,
    pub(in crate::cli::watch) bytes: Arc<[u8]>,
}

impl Picture {
    /// A file, if it is a picture.
    pub(in crate::cli::watch) fn read(path: &Path) -> Option<Self> {
        let content_type = content_type(path)?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some(Self { name, content_type, bytes: std::fs::read(path).ok()?.into() })
    }

    /// Whether a file is called like a picture.
    pub(in crate::cli::watch) fn is_picture(path: &Path) -> bool {
        content_type(path).is_some()
    }

    /// The pictures in a value.
    pub(in crate::cli::watch) fn of_value(name: &str, value: &Value) -> Vec<Self> {
        match value {
            Value::Image(image) => {
                let picture =
                    |bytes: Vec<u8>| Self { name: name.into(), content_type: "image/png", bytes: bytes.into() };
                dc_graph_nodes::png_bytes(image).ok().map(picture).into_iter().collect()
            }
            Value::List(_, elements) => elements.iter().flat_map(|element| Self::of_value(name, element)).collect(),
            _ => Vec::new(),
        }
    }
}

fn content_type(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "webp" => Some("image/webp"),
        _ => None,
    }
}

/// The runs of a sitting, the latest first.
#[derive(Default)]
pub(super) struct History {
    runs: Vec<Json>,
    pictures: BTreeMap<u64, Picture>,
    bytes: usize,
    next: u64,
}

impl History {
    /// Adds a run, as an object, and its pictures, which it gets as `pictures`.
    pub(super) fn add(&mut self, mut run: Json, pictures: Vec<Picture>) {
        let mut list = Vec::new();
        for picture in pictures {
            list.push(json!({ "id": self.next, "name": picture.name }));
            self.bytes += picture.bytes.len();
            self.pictures.insert(self.next, picture);
            self.next += 1;
        }
        run["pictures"] = list.into();
        self.runs.insert(0, run);
        self.runs.truncate(MAX_RUNS);
        while self.bytes > MAX_BYTES && self.pictures.len() > 1 {
            let Some((_, oldest)) = self.pictures.pop_first() else { break };
            self.bytes -= oldest.bytes.len();
        }
    }

    /// A picture, if it is still there.
    pub(super) fn picture(&self, id: u64) -> Option<Picture> {
        self.pictures.get(&id).cloned()
    }

    /// The runs, without pictures that are not there any more.
    pub(super) fn as_json(&self) -> Json {
        let mut runs = self.runs.clone();
        let there = |picture: &Json| picture["id"].as_u64().is_some_and(|id| self.pictures.contains_key(&id));
        for run in &mut runs {
            if let Some(pictures) = run["pictures"].as_array_mut() {
                pictures.retain(there);
            }
        }
        runs.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pictures_go_first() {
        let mut history = History::default();
        let picture =
            |bytes: usize| Picture { name: "a".into(), content_type: "image/png", bytes: vec![0; bytes].into() };
        history.add(json!({ "run": 1 }), vec![picture(MAX_BYTES / 2), picture(MAX_BYTES / 2)]);
        assert!(history.picture(0).is_some() && history.picture(1).is_some());
        history.add(json!({ "run": 2 }), vec![picture(1)]);
        assert!(history.picture(0).is_none() && history.picture(1).is_some() && history.picture(2).is_some());
        let expected = json!([
            { "run": 2, "pictures": [{ "id": 2, "name": "a" }] },
            { "run": 1, "pictures": [{ "id": 1, "name": "a" }] },
        ]);
        assert_eq!(history.as_json(), expected);
        // One that is too large alone is shown all the same.
        history.add(json!({ "run": 3 }), vec![picture(2 * MAX_BYTES)]);
        assert!(history.picture(3).is_some() && history.pictures.len() == 1);
        (0..2 * MAX_RUNS).for_each(|_| history.add(json!({}), vec![]));
        assert_eq!(history.runs.len(), MAX_RUNS);
    }
}
