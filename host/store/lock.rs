//! Two processes that need the same node compute it once.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Store;
use crate::exec::Key;

/// How often a lock that another process holds is tried: the system tells no waiter that it was cancelled.
const AGAIN: Duration = Duration::from_millis(10);

/// The right to compute a node, until it is dropped. The system takes it back from a process that was killed.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    /// The file goes while the lock is held; who waited for it sees that it is gone.
    fn drop(&mut self) {
        #[cfg(unix)]
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Store {
    /// Waits for the right to compute the node with this action key. `wait` is called whenever somebody else has it, and
    /// ends the waiting by giving false. Nothing when it did, or when there are no locks here: then the node may be
    /// computed twice, to the same end.
    pub fn lock(&self, key: &Key, mut wait: impl FnMut() -> bool) -> Option<Lock> {
        let path = self.root().join("locks").join(key.to_string());
        loop {
            let open = || File::options().create(true).truncate(false).write(true).open(&path);
            let file = open().or_else(|_| {
                std::fs::create_dir_all(self.root().join("locks"))?;
                open()
            });
            let file = file.ok()?;
            match file.try_lock() {
                // Its last holder took the file away: whoever comes next would lock another one.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => return Some(Lock { path, _file: file }),
                Err(TryLockError::WouldBlock) if wait() => std::thread::sleep(AGAIN),
                Err(_) => return None,
            }
        }
    }
}

/// Whether an open file is the one that has this name now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: std::io::Result<std::fs::Metadata>| metadata.map(|m| (m.dev(), m.ino())).ok();
    identity(file.metadata()).is_some_and(|this| Some(this) == identity(path.metadata()))
}

/// Open files keep their names elsewhere: they are taken away only by `gc`.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::open::testing::store;
    use super::*;

    #[test]
    fn one_at_a_time() {
        let (_folder, store) = store();
        let key = Key::from_bytes([1; 32]);
        let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lock = store.lock(&key, || true).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 160);
        let _other = store.lock(&Key::from_bytes([2; 32]), || true).unwrap();
        let held = store.lock(&key, || true).unwrap();
        assert!(store.lock(&key, || false).is_none(), "who does not wait goes without");
        drop(held);
        assert!(store.lock(&key, || false).is_some());
    }
}
