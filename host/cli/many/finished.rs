//! Which rows of a batch are done: a file of one JSON object a line, so that a batch that ended early goes on.
//!
//! A line is written when its row is done, in one piece; half a line that a crash left counts for nothing.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The rows that are done, by what they depend on.
pub(super) struct Finished {
    file: Mutex<File>,
    path: PathBuf,
    rows: HashMap<String, Row>,
}

/// A row that is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    /// The digest of all that the row depends on: graph, inputs, files, versions, device.
    digest: String,
    /// What it took.
    pub(super) seconds: f64,
    /// What came out.
    pub(super) outputs: Vec<(String, serde_json::Value)>,
    /// What it wrote.
    pub(super) files: Vec<PathBuf>,
}

impl Finished {
    /// Opens the file, or begins one.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let open = || -> std::io::Result<(File, Vec<u8>)> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            if text.last().is_some_and(|byte| *byte != b'\n') {
                file.write_all(b"\n")?;
            }
            Ok((file, text))
        };
        let (file, text) = open().with_context(|| format!("cannot keep what is done in `{}`", path.display()))?;
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Row>(line).ok());
        let rows = lines.map(|row| (row.digest.clone(), row)).collect();
        Ok(Self { file: Mutex::new(file), path: path.into(), rows })
    }

    /// What a row gave, if it is done and its files are still there.
    pub(super) fn get(&self, digest: &str) -> Option<&Row> {
        self.rows.get(digest).filter(|row| row.files.iter().all(|file| file.exists()))
    }

    /// Notes that a row is done.
    pub(super) fn add(
        &self,
        digest: String,
        seconds: f64,
        outputs: &[(String, serde_json::Value)],
        files: &[PathBuf],
    ) -> anyhow::Result<()> {
        let row = Row { digest, seconds, outputs: outputs.to_vec(), files: files.to_vec() };
        let line = format!("{}\n", serde_json::to_string(&row)?);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
        written.with_context(|| format!("cannot keep what is done in `{}`", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_and_lost_files_count_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, picture) = (folder.path().join("out/done.jsonl"), folder.path().join("a.png"));
        std::fs::write(&picture, "a").unwrap();
        Finished::open(&path).unwrap().add("one".into(), 1.5, &[], std::slice::from_ref(&picture)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // Whatever a crash leaves of the second line, the first and the next one are there.
        Finished::open(&path).unwrap().add("two".into(), 1.0, &[], &[]).unwrap();
        let both = std::fs::read(&path).unwrap();
        for end in whole.len()..both.len() {
            std::fs::write(&path, &both[..end]).unwrap();
            let found = Finished::open(&path).unwrap();
            assert!(found.get("one").is_some_and(|row| row.seconds == 1.5));
            // Without its last byte, the end of the line, it is whole.
            assert_eq!(found.get("two").is_some(), end + 1 == both.len(), "{end}");
            found.add("three".into(), 1.0, &[], &[]).unwrap();
            assert!(Finished::open(&path).unwrap().get("three").is_some(), "{end}");
        }
        std::fs::remove_file(&picture).unwrap();
        assert!(Finished::open(&path).unwrap().get("one").is_none());
    }
}
