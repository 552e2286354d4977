//! Files that appear whole or not at all, and tell when they are damaged.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use blake3::Hash;

/// A file used more recently than this need not be marked again as used.
const RECENT: Duration = Duration::from_secs(60);

/// Writes a file beside, in `root/tmp`, and puts it into its place. Not synchronised to disk: readers check digests.
pub(super) fn put(root: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let beside = root.join("tmp").join(name);
    let written = create(&beside).and_then(|mut file| file.write_all(bytes)).and_then(|()| rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn create(path: &Path) -> io::Result<File> {
    match File::create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            File::create(path)
        }
        result => result,
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(to.parent().unwrap_or(to))?;
            fs::rename(from, to)
        }
        result => result,
    }
}

/// Text after its own digest.
pub(super) fn seal(text: &str) -> String {
    format!("{}\n{text}", blake3::hash(text.as_bytes()))
}

/// What [`seal`] was given; nothing when it is damaged.
pub(super) fn unseal(sealed: &[u8]) -> Option<&str> {
    let (digest, text) = std::str::from_utf8(sealed).ok()?.split_once('\n')?;
    (Hash::from_hex(digest).ok()? == blake3::hash(text.as_bytes())).then_some(text)
}

/// Marks a file as used, for eviction.
pub(super) fn touch(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    let now = SystemTime::now();
    let age = file.metadata().and_then(|m| m.modified()).map(|time| now.duration_since(time).unwrap_or_default());
    if age.is_ok_and(|age| age > RECENT) {
        let _ = file.set_modified(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_seen() {
        let sealed = seal("größer\n{}");
        assert_eq!(unseal(sealed.as_bytes()), Some("größer\n{}"));
        for at in 0..sealed.len() {
            let mut broken = sealed.clone().into_bytes();
            broken[at] ^= 4;
            assert_eq!(unseal(&broken), None, "{at}");
            assert_eq!(unseal(&sealed.as_bytes()[..at]), None, "{at}");
        }
    }

    #[test]
    fn replaces_in_one_step_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        for text in ["one", "another"] {
            put(folder.path(), &path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::create_dir(folder.path().join("folder")).unwrap();
        fs::write(folder.path().join("folder/x"), "").unwrap();
        assert!(put(folder.path(), &folder.path().join("folder"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }
}
