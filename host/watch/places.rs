//! The names on the way to a path.
//!
//! A path means another file when the file is replaced, but also when a folder above it is renamed, when it is a link that
//! is turned elsewhere, or when what the link leads to is replaced. So each name that the system reads while it follows the
//! path counts, and the folder that holds it is to be watched.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// More links than this on one way are a loop, as Linux has it.
const MAX_LINKS: usize = 40;

/// The names that matter.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Names on the way to the paths; no link in the folder part of any.
    entries: BTreeSet<PathBuf>,
    /// Folders of which each name matters.
    open: BTreeSet<PathBuf>,
}

impl Places {
    /// Adds a file, or a folder with everything in it. It need not be there.
    pub(super) fn add(&mut self, path: &Path) {
        let mut paths = vec![path.to_path_buf()];
        while let Some(path) = paths.pop() {
            let end = self.follow(&path);
            if !end.is_dir() || !self.open.insert(end.clone()) {
                continue;
            }
            for entry in std::fs::read_dir(&end).into_iter().flatten().flatten() {
                // A link in a folder leads out of it.
                if entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink()) {
                    paths.push(entry.path());
                }
            }
        }
    }

    /// Adds a folder with the names in it, but not with what they hold.
    pub(super) fn add_listing(&mut self, folder: &Path) {
        let end = self.follow(folder);
        if end.is_dir() {
            self.open.insert(end);
        }
    }

    /// Notes each name that is read on the way, and gives the path without links.
    fn follow(&mut self, path: &Path) -> PathBuf {
        let mut current = PathBuf::new();
        let mut ahead = names(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            match Path::new(&name).components().next() {
                Some(Component::Normal(_)) => {}
                Some(Component::ParentDir) => {
                    current.pop();
                    continue;
                }
                // Begins anew, also in the middle: a link may be absolute.
                Some(Component::RootDir | Component::Prefix(_)) => {
                    current.push(&name);
                    continue;
                }
                Some(Component::CurDir) | None => continue,
            }
            let entry = current.join(&name);
            self.entries.insert(entry.clone());
            match std::fs::read_link(&entry).ok().filter(|_| links < MAX_LINKS) {
                Some(target) => {
                    links += 1;
                    ahead.extend(names(&target));
                }
                None => current = entry,
            }
        }
        current
    }

    /// The folders to watch: those that are there and hold a name that matters.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let parents = self.entries.iter().filter_map(|entry| entry.parent());
        parents.chain(self.open.iter().map(PathBuf::as_path)).filter(|p| p.is_dir()).map(Path::to_path_buf).collect()
    }

    /// Whether something that happened to this name matters.
    pub(super) fn concerns(&self, name: &Path) -> bool {
        self.entries.contains(name)
            || self.open.contains(name)
            || name.parent().is_some_and(|parent| self.open.contains(parent))
    }
}

/// The names in a path, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|component| component.as_os_str().to_owned()).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder of which no name is a link.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(folder.path()).unwrap();
        (folder, path)
    }

    #[test]
    fn each_name_on_the_way_counts() {
        let (_keep, root) = folder();
        fs::create_dir_all(root.join("real/deep")).unwrap();
        fs::write(root.join("real/deep/file"), "").unwrap();
        symlink("real", root.join("folder")).unwrap();
        symlink("../folder/deep/file", root.join("real/link")).unwrap();
        let mut places = Places::default();
        places.add(&root.join("./folder/deep/../link"));
        for name in ["folder", "real", "real/deep", "real/link", "real/deep/file"] {
            assert!(places.concerns(&root.join(name)), "{name}");
        }
        assert!(places.concerns(&root), "the folder itself can be renamed");
        for name in ["other", "real/other", "real/deep/other", "folder/deep"] {
            assert!(!places.concerns(&root.join(name)), "{name}");
        }
        let folders = places.folders();
        for folder in [Path::new("/"), &root, &root.join("real"), &root.join("real/deep")] {
            assert!(folders.contains(folder), "{}", folder.display());
        }
    }

    #[test]
    fn what_is_not_there_yet_counts_too() {
        let (_keep, root) = folder();
        let mut places = Places::default();
        places.add(&root.join("later/file"));
        assert!(places.concerns(&root.join("later")) && places.concerns(&root.join("later/file")));
        assert!(places.folders().contains(&root) && !places.folders().contains(&root.join("later")));
    }

    #[test]
    fn folders_count_with_everything_in_them() {
        let (_keep, root) = folder();
        fs::create_dir_all(root.join("model/unet")).unwrap();
        fs::create_dir_all(root.join("blobs")).unwrap();
        fs::write(root.join("blobs/1"), "").unwrap();
        symlink("../../blobs/1", root.join("model/unet/weights")).unwrap();
        symlink("..", root.join("model/up")).unwrap();
        let mut places = Places::default();
        places.add(&root.join("model"));
        for name in ["model/new", "model/unet/new", "blobs/1", "model/unet/weights"] {
            assert!(places.concerns(&root.join(name)), "{name}");
        }
        let mut places = Places::default();
        places.add_listing(&root.join("model"));
        assert!(places.concerns(&root.join("model/new")) && !places.concerns(&root.join("model/unet/new")));
    }

    #[test]
    fn loops_end() {
        let (_keep, root) = folder();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        let mut places = Places::default();
        places.add(&root.join("a/file"));
        assert!(places.concerns(&root.join("a")) && places.concerns(&root.join("b")));
    }
}
