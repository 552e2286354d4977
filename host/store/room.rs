//! The bound on the size of a store: what was not used for longest goes first.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::{Store, file};
use crate::exec::Digest;

/// What is kept: everything else in a store's folder is little, or goes away by itself.
const ROOMS: [&str; 4] = ["blobs", "entries", "checkpoints", "graphs"];

/// Files that a killed process left beside are taken away after this time: no write takes so long.
const ABANDONED: Duration = Duration::from_secs(3600);

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Nodes whose outputs are known.
    pub entries: u64,
    /// Values too large to stand in an entry.
    pub blobs: u64,
    /// Nodes that were not finished and can go on.
    pub checkpoints: u64,
    /// Bytes of all.
    pub bytes: u64,
}

/// What was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// How many files.
    pub files: u64,
    /// Bytes of all.
    pub bytes: u64,
}

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// How many files were read.
    pub checked: u64,
    /// Those that were damaged. They are gone now: what they held is computed again.
    pub damaged: Vec<PathBuf>,
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Store {
    /// The bound on size, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How much it holds.
    pub fn stats(&self) -> Stats {
        let count = |room: &str| (self.files(room).len() as u64, self.files(room).iter().map(|k| k.bytes).sum::<u64>());
        let [blobs, entries, checkpoints, graphs] = ROOMS.map(count);
        Stats {
            entries: entries.0,
            blobs: blobs.0,
            checkpoints: checkpoints.0,
            bytes: blobs.1 + entries.1 + checkpoints.1 + graphs.1,
        }
    }

    /// Makes room: what was not used for longest goes, until all takes at most `limit` bytes.
    pub fn shrink(&self, limit: u64) -> Freed {
        let mut all: Vec<_> = ROOMS.iter().flat_map(|room| self.files(room)).collect();
        let mut bytes: u64 = all.iter().map(|kept| kept.bytes).sum();
        all.sort_by_key(|kept| kept.used);
        let mut freed = Freed::default();
        for kept in all {
            if bytes <= limit {
                break;
            }
            if fs::remove_file(&kept.path).is_ok() {
                bytes -= kept.bytes;
                freed = Freed { files: freed.files + 1, bytes: freed.bytes + kept.bytes };
            }
        }
        self.sweep();
        self.put(&self.root().join("size"), file::seal(&bytes.to_string()).as_bytes());
        self.written.store(0, Ordering::Relaxed);
        freed
    }

    /// Keeps the bound, after a run. Looks at the files only when what was written since the last look may exceed it.
    pub fn keep_bound(&self) {
        let written = self.written.swap(0, Ordering::Relaxed);
        if written == 0 || !self.is_writable() {
            return;
        }
        let path = self.root().join("size");
        let known = fs::read(&path).ok().and_then(|bytes| file::unseal(&bytes)?.parse::<u64>().ok());
        match known.map(|known| known.saturating_add(written)) {
            Some(bytes) if bytes <= self.limit => {
                self.put(&path, file::seal(&bytes.to_string()).as_bytes());
                self.written.store(0, Ordering::Relaxed);
            }
            // A tenth more than needed, so that not every run has to look.
            Some(_) => drop(self.shrink(self.limit / 10 * 9)),
            None => drop(self.shrink(self.limit)),
        }
    }

    /// Reads everything and takes away what is damaged.
    pub fn verify(&self) -> Damage {
        let mut damage = Damage::default();
        for room in ROOMS {
            for Kept { path, .. } in self.files(room) {
                let Ok(bytes) = fs::read(&path) else { continue };
                damage.checked += 1;
                let whole = match room {
                    "blobs" => named(&path).is_some_and(|digest| digest == blake3::hash(&bytes)),
                    "checkpoints" => {
                        bytes.split_first_chunk::<32>().is_some_and(|(digest, state)| blake3::hash(state) == *digest)
                    }
                    _ => file::unseal(&bytes).is_some(),
                };
                if !whole {
                    let _ = fs::remove_file(&path);
                    damage.damaged.push(path);
                }
            }
        }
        damage
    }

    /// Takes everything away that was kept.
    pub fn clear(&self) -> Freed {
        let freed = self.shrink(0);
        for name in ["paths", "timings", "size"] {
            let _ = fs::remove_file(self.root().join(name));
        }
        freed
    }

    fn files(&self, room: &str) -> Vec<Kept> {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let folders = entries(&self.root().join(room)).map(|entry| entry.path());
        let files = folders.flat_map(|folder| entries(&folder).collect::<Vec<_>>());
        let kept = |metadata: Metadata, path| Kept {
            path,
            bytes: metadata.len(),
            used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        };
        files.filter_map(|entry| Some(kept(entry.metadata().ok()?, entry.path()))).collect()
    }

    /// Takes away what killed processes left.
    fn sweep(&self) {
        let old = |path: &Path| {
            let time = path.metadata().and_then(|m| m.modified());
            time.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED))
        };
        for folder in ["tmp", "locks"] {
            for entry in fs::read_dir(self.root().join(folder)).into_iter().flatten().flatten() {
                let path = entry.path();
                let free = folder == "tmp" || fs::File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
                if old(&path) && free {
                    let _ = fs::remove_file(path);
                }
            }
        }
    }
}

/// The digest that a file is named after.
fn named(path: &Path) -> Option<Digest> {
    let part = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
    Digest::from_hex(part(path.parent()?)? + &part(path)?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::open::testing::store;
    use super::*;

    fn put(store: &Store, text: &str, age: u64) -> Digest {
        let digest = blake3::hash(text.as_bytes());
        assert!(store.put_blob(&digest, text.as_bytes()));
        let file = fs::File::open(store.file("blobs", &digest.to_string())).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        digest
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let (_folder, store) = store();
        let texts = ["a", "b", "c", "d"].map(|c| c.repeat(1000));
        let digests: Vec<_> = texts.iter().zip([400, 300, 200, 100]).map(|(t, age)| put(&store, t, age)).collect();
        assert_eq!(store.stats(), Stats { blobs: 4, bytes: 4000, ..Stats::default() });
        // Reading the oldest makes it the youngest.
        assert!(store.blob(&digests[0]).is_some());
        assert_eq!(store.shrink(2500), Freed { files: 2, bytes: 2000 });
        let kept: Vec<_> = digests.iter().map(|digest| store.blob(digest).is_some()).collect();
        assert_eq!(kept, [true, false, false, true]);
        assert_eq!(store.clear(), Freed { files: 2, bytes: 2000 });
        assert_eq!(store.stats(), Stats::default());
    }

    #[test]
    fn the_bound_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open(folder.path(), Some(10_000), dc_graph_node_api::Decoders::default()).unwrap();
        for n in 0..40_u64 {
            let store = open();
            put(&store, &n.to_string().repeat(1000)[..1000], 10_000 - n * 100);
            store.keep_bound();
            assert!(store.stats().bytes <= 10_000, "{n}: {:?}", store.stats());
        }
        assert!(open().stats().blobs >= 9);
    }

    #[test]
    fn verification_finds_every_flipped_bit() {
        let (_folder, store) = store();
        put(&store, "one", 0);
        put(&store, "two", 0);
        store.put_checkpoint(&crate::exec::Key::from_bytes([1; 32]), b"half way");
        assert_eq!(store.verify(), Damage { checked: 3, damaged: vec![] });
        for room in ["blobs", "checkpoints"] {
            let path = store.files(room).swap_remove(0).path;
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
            assert_eq!(store.verify().damaged, [path]);
        }
        assert_eq!(store.verify(), Damage { checked: 1, damaged: vec![] });
    }
}
