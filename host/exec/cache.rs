//! Outputs of earlier runs of this process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use dc_graph_node_api::Outputs;

use super::{Digest, Key};

/// What an entry costs beside its values: names, table slots. About.
const ENTRY_BYTES: usize = 256;

/// Outputs by content key, least recently used first to go. Used from any thread.
///
/// A value in several entries counts several times, so that the limit errs on the side of less memory.
#[derive(Debug)]
pub struct Cache {
    limit: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Key, Entry>,
    /// Keys by the time of their last use.
    by_use: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    outputs: Outputs,
    digests: Arc<[Digest]>,
    bytes: usize,
    used: u64,
}

impl Cache {
    /// An empty cache that holds values of up to this many bytes.
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit: limit_bytes, entries: Mutex::default() }
    }

    /// What a node with this key gave, and the digests of its outputs in the order of its spec.
    pub fn get(&self, key: &Key) -> Option<(Outputs, Arc<[Digest]>)> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Entries { by_key, by_use, clock, .. } = &mut *entries;
        let entry = by_key.get_mut(key)?;
        by_use.remove(&entry.used);
        *clock += 1;
        entry.used = *clock;
        by_use.insert(entry.used, *key);
        Some((entry.outputs.clone(), entry.digests.clone()))
    }

    /// Remembers what a node with this key gave. Outputs larger than the whole cache are not kept.
    pub fn put(&self, key: Key, outputs: Outputs, digests: impl Into<Arc<[Digest]>>) {
        let bytes = outputs.size_bytes().saturating_add(ENTRY_BYTES);
        if bytes > self.limit {
            return;
        }
        let mut evicted = Vec::new();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        evicted.extend(entries.remove(&key));
        while entries.bytes + bytes > self.limit {
            let Some((_, oldest)) = entries.by_use.first_key_value() else { break };
            let oldest = *oldest;
            evicted.extend(entries.remove(&oldest));
        }
        entries.clock += 1;
        let used = entries.clock;
        entries.bytes += bytes;
        entries.by_use.insert(used, key);
        entries.by_key.insert(key, Entry { outputs, digests: digests.into(), bytes, used });
        // Values may take their time to go: not while others wait.
        drop(entries);
        drop(evicted);
    }

    /// How many bytes the values take now, about.
    pub fn size_bytes(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

impl Entries {
    fn remove(&mut self, key: &Key) -> Option<Outputs> {
        let entry = self.by_key.remove(key)?;
        self.by_use.remove(&entry.used);
        self.bytes -= entry.bytes;
        Some(entry.outputs)
    }
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::Value;

    use super::*;

    fn key(n: u8) -> Key {
        Key::from_bytes([n; 32])
    }

    fn text(bytes: usize) -> Outputs {
        Outputs::one("text", Value::text("x".repeat(bytes)))
    }

    #[test]
    fn evicts_the_least_recently_used() {
        let cache = Cache::new(3 * (1000 + ENTRY_BYTES));
        for n in 1..=3 {
            cache.put(key(n), text(1000), []);
        }
        assert!(cache.get(&key(1)).is_some());
        cache.put(key(4), text(1000), []);
        let kept: Vec<_> = (1..=4).filter(|n| cache.get(&key(*n)).is_some()).collect();
        assert_eq!(kept, [1, 3, 4]);
        // Used in this order: 1, 3, 4. A large one takes the room of two.
        cache.put(key(5), text(2000), []);
        let kept: Vec<_> = (1..=5).filter(|n| cache.get(&key(*n)).is_some()).collect();
        assert_eq!(kept, [4, 5]);
    }

    #[test]
    fn the_limit_holds() {
        let cache = Cache::new(10_000);
        for n in 0..200 {
            cache.put(key(n % 50), text(usize::from(n) * 97 % 4000), []);
            assert!(cache.size_bytes() <= 10_000);
        }
        let before = cache.size_bytes();
        cache.put(key(1), text(20_000), []);
        assert_eq!(cache.size_bytes(), before, "too large to be kept");
    }

    #[test]
    fn putting_again_replaces() {
        let cache = Cache::new(10_000);
        cache.put(key(1), text(10), []);
        cache.put(key(1), text(20), []);
        assert_eq!(cache.size_bytes(), 20 + ENTRY_BYTES);
        assert_eq!(cache.get(&key(1)).unwrap().0.size_bytes(), 20);
    }
}
