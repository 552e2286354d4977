//! Digests of files, remembered from run to run: checkpoints are hashed once.

use super::{Store, file};
use crate::exec::Digests;

impl Store {
    /// What is remembered. It is used for a file only while its size, times and inode are the same.
    pub fn digests(&self) -> Digests {
        let bytes = std::fs::read(self.root().join("paths")).unwrap_or_default();
        file::unseal(&bytes).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Remembers what has been hashed since.
    pub fn put_digests(&self, digests: &Digests) {
        if !digests.is_changed() {
            return;
        }
        // Another process may have learned something meanwhile.
        digests.learn(&self.digests());
        if let Ok(text) = serde_json::to_string(digests) {
            self.put(&self.root().join("paths"), file::seal(&text).as_bytes());
        }
    }
}
