//! What files held at some time, and what is different now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::exec::{Digest, Digests};

/// Files and folders by what they held. A path with nothing was not there, or could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<PathBuf, Option<Digest>>);

/// A path that does not hold what it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub path: PathBuf,
    /// In which way.
    pub kind: ChangeKind,
}

/// How a path changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It holds something else, or was not there before.
    Other,
    /// It is not there any more, or cannot be read.
    Gone,
    /// It is a file with nothing in it.
    Emptied,
}

impl Contents {
    /// Notes a path with what it holds. What is noted first stays: it is what a run has seen.
    pub fn note(&mut self, path: PathBuf, digest: Option<Digest>) {
        self.0.entry(path).or_insert(digest);
    }

    /// Notes a path with what it holds now.
    pub fn note_now(&mut self, path: &Path, digests: &Digests) {
        if !self.0.contains_key(path) {
            self.0.insert(path.into(), digests.of(path).ok());
        }
    }

    /// Notes a path that is known already with what it holds now; others stay unknown.
    pub fn renew(&mut self, path: &Path, digests: &Digests) {
        if let Some(digest) = self.0.get_mut(path) {
            *digest = digests.of(path).ok();
        }
    }

    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// How many paths there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The paths that hold something else now.
    pub fn changes(&self, digests: &Digests) -> Vec<Change> {
        let change = |(path, before): (&PathBuf, &Option<Digest>)| {
            let now = digests.of(path).ok();
            if now == *before {
                return None;
            }
            let kind = match now {
                None => ChangeKind::Gone,
                Some(_) if is_empty_file(path) => ChangeKind::Emptied,
                Some(_) => ChangeKind::Other,
            };
            Some(Change { path: path.clone(), kind })
        };
        self.0.iter().filter_map(change).collect()
    }
}

fn is_empty_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_other_contents_are_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let [file, missing, tree] = ["file", "missing", "tree"].map(|name| folder.path().join(name));
        fs::write(&file, "one").unwrap();
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("a"), "1").unwrap();
        let digests = Digests::default();
        let mut contents = Contents::default();
        for path in [&file, &missing, &tree] {
            contents.note_now(path, &digests);
        }
        let found = || -> Vec<_> {
            let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
            contents.changes(&digests).iter().map(|change| (name(&change.path), change.kind)).collect()
        };
        assert_eq!(found(), []);
        fs::write(&file, "one").unwrap();
        assert_eq!(found(), [], "written anew with the same");
        fs::write(&file, "").unwrap();
        assert_eq!(found(), [("file".into(), ChangeKind::Emptied)]);
        fs::remove_file(&file).unwrap();
        assert_eq!(found(), [("file".into(), ChangeKind::Gone)]);
        fs::write(&file, "two").unwrap();
        fs::write(&missing, "").unwrap();
        fs::write(tree.join("b"), "2").unwrap();
        let kinds = [ChangeKind::Other, ChangeKind::Emptied, ChangeKind::Other];
        assert_eq!(found(), ["file", "missing", "tree"].map(String::from).into_iter().zip(kinds).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_seen_first_counts() {
        let mut contents = Contents::default();
        let [one, two] = ["one", "two"].map(|text| Some(blake3::hash(text.as_bytes())));
        contents.note("a".into(), one);
        contents.note("a".into(), two);
        let mut expected = Contents::default();
        expected.note("a".into(), one);
        assert_eq!((contents.len(), contents), (1, expected));
    }
}
