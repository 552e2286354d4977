//! Digests of the files that nodes read, remembered while the files are unchanged.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A Blake3 digest; prints as hexadecimal digits.
pub use blake3::Hash as Digest;

/// A file written more recently than this is read again next time: within the grain of its file system's clock a second
/// write would leave no trace in the time of the last change. FAT has the coarsest clock, 2 s.
const SETTLED: Duration = Duration::from_secs(2);

/// Digests of files and folders. To be kept for as long as the process lives, and used from any thread.
#[derive(Debug, Default)]
pub struct Digests {
    known: Mutex<HashMap<PathBuf, (Stamp, Digest)>>,
    changed: AtomicBool,
}

/// What changes when a file does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    /// Device, inode and time of the last change of status, where there are such things: they tell of a file put in
    /// another's place and of a modification time set back.
    identity: [i64; 4],
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            [metadata.dev().cast_signed(), metadata.ino().cast_signed(), metadata.ctime(), metadata.ctime_nsec()]
        };
        #[cfg(not(unix))]
        let identity = [0; 4];
        Self { size: metadata.len(), modified: metadata.modified().ok(), identity }
    }

    fn is_settled(&self) -> bool {
        let age = self.modified.and_then(|time| time.elapsed().ok());
        age.is_some_and(|age| age > SETTLED)
    }
}

impl Digests {
    /// The digest of a file's contents, or of a folder's file names and contents.
    ///
    /// # Errors
    /// When it cannot be read, or is neither a file nor a folder.
    pub fn of(&self, path: &Path) -> io::Result<Digest> {
        let metadata = std::fs::metadata(path)?;
        if metadata.is_dir() {
            self.of_folder(path)
        } else if metadata.is_file() {
            self.of_file(path, &metadata)
        } else {
            // A pipe or a device may never end.
            Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder"))
        }
    }

    /// Whether something was learned since this was made or read.
    pub fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    /// Adds what another one knows of other files.
    pub fn learn(&self, other: &Self) {
        let other = std::mem::take(&mut *other.known.lock().unwrap_or_else(PoisonError::into_inner));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        other.into_iter().for_each(|(path, digest)| {
            known.entry(path).or_insert(digest);
        });
    }

    fn of_file(&self, path: &Path, metadata: &Metadata) -> io::Result<Digest> {
        // Taken before reading, so that a write in between does not go unnoticed.
        let stamp = Stamp::of(metadata);
        if let Some((known, digest)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path)
            && *known == stamp
        {
            return Ok(*digest);
        }
        let digest = digest_file(path)?;
        if stamp.is_settled() {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(path.to_path_buf(), (stamp, digest));
            self.changed.store(true, Ordering::Relaxed);
        }
        Ok(digest)
    }

    fn of_folder(&self, root: &Path) -> io::Result<Digest> {
        let mut files: Vec<(String, Option<Digest>)> = Vec::new();
        // A link may lead back to a folder above it: each folder is entered once.
        let mut entered = BTreeSet::new();
        let mut folders = vec![(root.to_path_buf(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            if !entered.insert(std::fs::canonicalize(&folder)?) {
                continue;
            }
            let mut entries = std::fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()?;
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
            for entry in entries {
                let path = entry.path();
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                match std::fs::metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => folders.push((path, format!("{name}/"))),
                    Ok(metadata) if metadata.is_file() => files.push((name, Some(self.of_file(&path, &metadata)?))),
                    // Something that nobody reads, such as a link to nowhere; that it is there still counts.
                    _ => files.push((name, None)),
                }
            }
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        let mut hasher = blake3::Hasher::new();
        for (name, digest) in files {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            hasher.update(&digest.map_or([0; 32], |digest| *digest.as_bytes()));
        }
        Ok(hasher.finalize())
    }
}

/// One file in the form that is kept: path, stamp, digest.
type Line = (PathBuf, Stamp, String);

/// More files than this are not kept unless they are still there.
const MANY: usize = 4096;

impl Serialize for Digests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = self.known.lock().map_err(|_| S::Error::custom("a thread panicked"))?;
        let many = known.len() > MANY;
        let lines = known.iter().filter(|(path, _)| path.to_str().is_some() && (!many || path.exists()));
        serializer.collect_seq(lines.map(|(path, (stamp, digest))| (path, stamp, digest.to_string())))
    }
}

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lines = Vec::<Line>::deserialize(deserializer)?;
        let line = |(path, stamp, digest): Line| Some((path, (stamp, Digest::from_hex(digest).ok()?)));
        Ok(Self { known: Mutex::new(lines.into_iter().filter_map(line).collect()), changed: AtomicBool::new(false) })
    }
}

/// Reads a file once, in pieces: checkpoints are larger than what should be held in memory.
fn digest_file(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(n) => {
                hasher.update(&piece[..n]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(path: &Path, seconds: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn file_digest_is_that_of_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for contents in [Vec::new(), b"abc".to_vec(), vec![7; (1 << 18) + 1]] {
            std::fs::write(&path, &contents).unwrap();
            assert_eq!(Digests::default().of(&path).unwrap(), blake3::hash(&contents));
        }
    }

    #[test]
    fn remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let digests = Digests::default();
        std::fs::write(&path, "one").unwrap();
        assert_eq!(digests.of(&path).unwrap(), blake3::hash(b"one"));
        assert!(digests.known.lock().unwrap().is_empty(), "too fresh to be remembered");
        age(&path, 100);
        digests.of(&path).unwrap();
        // Proof that the memory is used: a wrong digest under the right stamp comes back.
        let wrong = blake3::hash(b"wrong");
        digests.known.lock().unwrap().get_mut(&path).expect("remembered").1 = wrong;
        assert_eq!(digests.of(&path).unwrap(), wrong);
        age(&path, 50);
        assert_eq!(digests.of(&path).unwrap(), blake3::hash(b"one"), "touched");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(digests.of(&path).unwrap(), blake3::hash(b"two"), "same size, other contents");
    }

    #[test]
    fn kept_and_read_they_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "one").unwrap();
        age(&path, 100);
        let digests = Digests::default();
        digests.of(&path).unwrap();
        let wrong = blake3::hash(b"wrong");
        digests.known.lock().unwrap().get_mut(&path).unwrap().1 = wrong;
        let text = serde_json::to_string(&digests).unwrap();
        let read: Digests = serde_json::from_str(&text).unwrap();
        assert!(digests.is_changed() && !read.is_changed());
        assert_eq!(read.of(&path).unwrap(), wrong, "what was read is used");
        age(&path, 50);
        assert_eq!(read.of(&path).unwrap(), blake3::hash(b"one"));
        assert!(read.is_changed());
    }

    #[test]
    fn folder_digest_depends_on_names_and_contents_alone() {
        let make = |files: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            for (name, contents) in files {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, contents).unwrap();
            }
            Digests::default().of(folder.path()).unwrap()
        };
        let base = make(&[("a", "1"), ("b/c", "2"), ("b.d", "3")]);
        for (files, same) in [
            (&[("b.d", "3"), ("b/c", "2"), ("a", "1")], true),
            (&[("a", "1"), ("b/c", "2"), ("b.d", "4")], false),
            (&[("a", "1"), ("b/e", "2"), ("b.d", "3")], false),
            (&[("a", "2"), ("b/c", "1"), ("b.d", "3")], false),
        ] {
            assert_eq!(make(files) == base, same, "{files:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_loops_end() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(folder.path().join("real"), "1").unwrap();
        std::os::unix::fs::symlink("../real", inside.join("link")).unwrap();
        let digests = Digests::default();
        let before = digests.of(&inside).unwrap();
        std::os::unix::fs::symlink("..", inside.join("up")).unwrap();
        std::os::unix::fs::symlink("nowhere", inside.join("broken")).unwrap();
        assert_ne!(digests.of(&inside).unwrap(), before);
        std::fs::write(folder.path().join("real"), "2").unwrap();
        std::fs::remove_file(inside.join("up")).unwrap();
        std::fs::remove_file(inside.join("broken")).unwrap();
        assert_ne!(digests.of(&inside).unwrap(), before, "the file behind the link changed");
        assert_eq!(digests.of(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
