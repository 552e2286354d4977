//! Contents by digest, and checkpoints by action key.

use super::{Store, file};
use crate::exec::{Digest, Key};

impl Store {
    /// Writes contents under their digest, unless they are there.
    pub(super) fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> bool {
        let path = self.file("blobs", &digest.to_string());
        if path.metadata().is_ok_and(|m| m.len() == bytes.len() as u64) {
            file::touch(&path);
            return true;
        }
        self.put(&path, bytes)
    }

    /// The contents with this digest; nothing when they are not there or damaged.
    pub(super) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.file("blobs", &digest.to_string());
        let bytes = std::fs::read(&path).ok()?;
        if blake3::hash(&bytes) != *digest {
            self.discard(&path);
            return None;
        }
        file::touch(&path);
        Some(bytes)
    }

    /// Keeps the state of a node that is not done, in the place of an earlier one.
    pub fn put_checkpoint(&self, key: &Key, state: &[u8]) {
        let sealed = [blake3::hash(state).as_bytes(), state].concat();
        self.put(&self.file("checkpoints", &key.to_string()), &sealed);
    }

    /// The state of a node that an earlier run did not finish; nothing when there is none or it is damaged.
    pub fn checkpoint(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.file("checkpoints", &key.to_string());
        let mut bytes = std::fs::read(&path).ok()?;
        let whole = bytes.split_first_chunk::<32>().is_some_and(|(digest, state)| blake3::hash(state) == *digest);
        if !whole {
            self.discard(&path);
            return None;
        }
        bytes.drain(..32);
        Some(bytes)
    }

    /// Forgets the state of a node that is done.
    pub fn forget_checkpoint(&self, key: &Key) {
        let _ = std::fs::remove_file(self.file("checkpoints", &key.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::open::testing::store;
    use super::*;

    #[test]
    fn checkpoints_are_the_last_ones_or_none() {
        let (_folder, store) = store();
        let key = Key::from_bytes([3; 32]);
        assert_eq!(store.checkpoint(&key), None);
        for state in [&b""[..], b"one", b"another"] {
            store.put_checkpoint(&key, state);
            assert_eq!(store.checkpoint(&key).as_deref(), Some(state));
        }
        let path = store.file("checkpoints", &key.to_string());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(store.checkpoint(&key), None);
        assert_eq!(store.take_warnings().len(), 1);
        store.put_checkpoint(&key, b"x");
        store.forget_checkpoint(&key);
        assert_eq!((store.checkpoint(&key), store.take_warnings().len()), (None, 0));
    }
}
