//! Where a store is, which format it has, whether it can be written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use dc_graph_node_api::Decoders;

use super::file;

/// Raised whenever programs of before would misread what is written now.
const FORMAT: u32 = 1;

/// How large a store may grow unless somebody says otherwise: 20 GB.
const DEFAULT_LIMIT: u64 = 20_000_000_000;

/// What nodes gave in earlier runs. Used from any thread, and beside other processes.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    pub(super) decoders: Decoders,
    pub(super) limit: u64,
    /// Bytes written by this process and not yet accounted for.
    pub(super) written: AtomicU64,
    writable: AtomicBool,
    warnings: Mutex<Vec<String>>,
}

/// A store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer program made it.
    #[error("the store {} has format {found}, this program knows {FORMAT}", path.display())]
    Newer {
        /// Where it is.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The folder holds something else.
    #[error("{} is no store: it has no `format` file and is not empty", path.display())]
    NoStore {
        /// Where it is.
        path: PathBuf,
    },
    /// It cannot be read or made.
    #[error("the store {}: {source}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Newer { .. } => {
                "nothing in it was changed; update this program, or choose another folder with `--store`"
            }
            Self::NoStore { .. } => "choose an empty or a new folder with `--store`",
            Self::File { .. } => "choose another folder with `--store`, or do without with `--no-store`",
        }
    }
}

/// Where the store is when nobody says otherwise: `dc-graph/store` in the user's folder of caches
/// (<https://specifications.freedesktop.org/basedir-spec/latest/>). Nothing when there is no such folder.
pub fn default_location() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME");
    let caches = caches.or_else(|| if cfg!(windows) { absolute("LOCALAPPDATA") } else { None });
    let caches = caches.or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Some(caches?.join("dc-graph").join("store"))
}

impl Store {
    /// Opens a store, and makes it where there is none. `limit` bounds its size in bytes, 20 GB if nothing is said.
    ///
    /// # Errors
    /// See [`StoreError`]. A store that can be read but not written is opened; a warning tells.
    pub fn open(root: &Path, limit: Option<u64>, decoders: Decoders) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
        let failed = |source| StoreError::File { path: root.clone(), source };
        let store = Self {
            root: root.clone(),
            decoders,
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            written: AtomicU64::new(0),
            writable: AtomicBool::new(true),
            warnings: Mutex::default(),
        };
        let format = || match std::fs::read_to_string(root.join("format")) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        };
        let mut text = format()?;
        if text.is_none() {
            std::fs::create_dir_all(&root).map_err(failed)?;
            let in_use = |entry: &io::Result<std::fs::DirEntry>| entry.as_ref().is_ok_and(|e| e.file_name() != "tmp");
            if std::fs::read_dir(&root).map_err(failed)?.any(|entry| in_use(&entry)) {
                // Another process may have made the store just now: its `format` is there before anything else is.
                text = format()?;
            } else {
                let ours = format!("dc-graph store {FORMAT}\n");
                file::put(&root, &root.join("format"), ours.as_bytes()).map_err(failed)?;
                text = Some(ours);
            }
        }
        let number = text.as_deref().and_then(|text| text.strip_prefix("dc-graph store ")?.trim().parse::<u32>().ok());
        match number {
            Some(FORMAT) => {}
            Some(found) => return Err(StoreError::Newer { path: root, found }),
            None => return Err(StoreError::NoStore { path: root }),
        }
        Ok(store)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What went wrong since this was asked last, for people.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn warn(&self, warning: String) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    /// The file of a digest or a key: two digits choose a folder, so that none grows too large.
    pub(super) fn file(&self, room: &str, hex: &str) -> PathBuf {
        let (folder, name) = hex.split_at_checked(2).unwrap_or(("", hex));
        self.root.join(room).join(folder).join(name)
    }

    /// Writes a file in one step. After the first failure nothing more is tried in this process.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) -> bool {
        if !self.writable.load(Ordering::Relaxed) {
            return false;
        }
        match file::put(&self.root, path, bytes) {
            Ok(()) => {
                self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                true
            }
            Err(error) => {
                if self.writable.swap(false, Ordering::Relaxed) {
                    let root = self.root.display();
                    self.warn(format!(
                        "the store {root} cannot be written, so what this run computes is not kept: {error}"
                    ));
                }
                false
            }
        }
    }

    /// Says that something was damaged and takes it away.
    pub(super) fn discard(&self, path: &Path) {
        let _ = std::fs::remove_file(path);
        let name = path.strip_prefix(&self.root).unwrap_or(path).display();
        self.warn(format!("`{name}` in the store is damaged; what it held is computed again"));
    }

    /// Whether a write has failed.
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A store in a folder that goes away with the test.
    pub(in crate::store) fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), None, Decoders::default()).unwrap();
        (folder, store)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::store;
    use super::*;

    #[test]
    fn opened_again_it_is_the_same() {
        let (_folder, first) = store();
        let text = std::fs::read_to_string(first.root().join("format")).unwrap();
        assert_eq!(text, "dc-graph store 1\n");
        assert!(Store::open(first.root(), None, Decoders::default()).is_ok());
    }

    #[test]
    fn what_is_no_store_of_this_format_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open(folder.path(), None, Decoders::default()).unwrap_err();
        std::fs::write(folder.path().join("diary.txt"), "today").unwrap();
        assert!(matches!(open(), StoreError::NoStore { .. }));
        std::fs::write(folder.path().join("format"), "dc-graph store 7\n").unwrap();
        let error = open();
        assert!(error.to_string().ends_with("has format 7, this program knows 1"), "{error}");
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["diary.txt", "format"]);
    }

    #[test]
    fn writing_fails_once_and_aloud() {
        let (_folder, store) = store();
        std::fs::remove_dir_all(store.root().join("tmp")).unwrap();
        std::fs::write(store.root().join("tmp"), "in the way").unwrap();
        let path = store.file("blobs", "0123");
        assert!(!store.put(&path, b"a") && !store.put(&path, b"b") && !store.is_writable());
        let warnings = store.take_warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("cannot be written") && store.take_warnings().is_empty());
        assert!(!path.exists());
    }
}
