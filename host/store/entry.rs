//! What a node gave, by action key.

use std::path::PathBuf;

use dc_graph_node_api::Value;
use serde::{Deserialize, Serialize};

use super::{Store, file};
use crate::exec::{Digest, Key};

/// Values of up to this many bytes stand in the entry itself.
const SMALL: usize = 512;

/// What a node gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// In the order of the node's spec.
    pub outputs: Vec<KeptOutput>,
    /// The files that a node with an effect wrote, and what they held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrote: Vec<Written>,
    /// How long the node ran.
    pub seconds: f64,
}

/// A file that a node wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Where; absolute.
    pub path: PathBuf,
    /// What it held then.
    #[serde(with = "hex")]
    pub digest: Digest,
}

/// One output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptOutput {
    /// The port.
    pub name: String,
    /// The digest of the value's bytes; of a value that is not kept, derived from the key of the node that made it.
    #[serde(with = "hex")]
    pub digest: Digest,
    /// Where the value is.
    pub kept: Kept,
    /// Memory that the value takes, about.
    pub size_bytes: u64,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Nowhere: it is made again by running the node.
    No,
    /// Here, as hexadecimal digits.
    Here(String),
    /// In a blob under its digest.
    Blob,
}

impl KeptOutput {
    /// An output whose value's bytes are known, and the blob to write if it is not small.
    pub fn of_bytes(name: &str, value: &Value, bytes: Vec<u8>) -> (Self, Option<Vec<u8>>) {
        let digest = blake3::hash(&bytes);
        let (kept, blob) =
            if bytes.len() <= SMALL { (Kept::Here(to_hex(&bytes)), None) } else { (Kept::Blob, Some(bytes)) };
        (Self { name: name.into(), digest, kept, size_bytes: value.size_bytes() as u64 }, blob)
    }

    /// An output that is not kept.
    pub fn unkept(name: &str, value: &Value, digest: Digest) -> Self {
        Self { name: name.into(), digest, kept: Kept::No, size_bytes: value.size_bytes() as u64 }
    }
}

impl Store {
    /// What a node with this action key gave.
    pub fn entry(&self, key: &Key) -> Option<Entry> {
        let path = self.file("entries", &key.to_string());
        let bytes = std::fs::read(&path).ok()?;
        let entry = file::unseal(&bytes).and_then(|text| serde_json::from_str(text).ok());
        match &entry {
            Some(_) => file::touch(&path),
            None => self.discard(&path),
        }
        entry
    }

    /// Remembers what a node with this action key gave. `blobs` are the values that do not stand in the entry: they come
    /// first, so that an entry never names a blob that was not there.
    pub fn put_entry(&self, key: &Key, entry: &Entry, blobs: &[(Digest, Vec<u8>)]) -> bool {
        let written = blobs.iter().all(|(digest, bytes)| self.put_blob(digest, bytes));
        let Ok(text) = serde_json::to_string(entry) else { return false };
        written && self.put(&self.file("entries", &key.to_string()), file::seal(&text).as_bytes())
    }

    /// Whether the value of an output can be had without running its node.
    pub fn holds(&self, output: &KeptOutput) -> bool {
        match &output.kept {
            Kept::No => false,
            Kept::Here(_) => true,
            Kept::Blob => self.file("blobs", &output.digest.to_string()).exists(),
        }
    }

    /// The value of an output; nothing when it is not there or damaged.
    pub fn value(&self, output: &KeptOutput) -> Option<Value> {
        let bytes = match &output.kept {
            Kept::No => return None,
            Kept::Here(hex) => from_hex(hex)?,
            Kept::Blob => self.blob(&output.digest)?,
        };
        super::decode(&bytes, &self.decoders)
    }
}

/// Digests as text in files.
pub(super) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::exec::Digest;

    pub(in crate::store) fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&digest.to_hex())
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::from_hex(text).map_err(D::Error::custom)
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<Vec<_>>>()?;
    digits.chunks(2).map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::open::testing::store;
    use super::*;

    fn key(n: u8) -> Key {
        Key::from_bytes([n; 32])
    }

    fn keep(store: &Store, key: &Key, value: &Value) -> KeptOutput {
        let (output, blob) = KeptOutput::of_bytes("out", value, super::super::encode(value).unwrap().unwrap());
        let entry = Entry {
            outputs: vec![output.clone()],
            wrote: vec![Written { path: "/a".into(), digest: output.digest }],
            seconds: 0.1,
        };
        assert!(store.put_entry(key, &entry, &blob.map(|b| (output.digest, b)).into_iter().collect::<Vec<_>>()));
        assert_eq!(store.entry(key).unwrap(), entry);
        output
    }

    #[test]
    fn entries_and_values_come_back() {
        let (_folder, store) = store();
        for text in ["", "small", &"large ".repeat(200)] {
            let output = keep(&store, &key(1), &Value::text(text));
            assert_eq!(output.kept == Kept::Blob, text.len() > SMALL);
            assert!(store.holds(&output));
            let Some(Value::Text(found)) = store.value(&output) else { panic!("expected a text") };
            assert_eq!(&*found, text);
        }
        assert_eq!(store.entry(&key(2)), None);
        assert!(store.take_warnings().is_empty());
    }

    #[test]
    fn a_flipped_bit_is_found_and_taken_away() {
        let (_folder, store) = store();
        for room in ["entries", "blobs"] {
            let output = keep(&store, &key(1), &Value::text("large ".repeat(200)));
            let hex = if room == "entries" { key(1).to_string() } else { output.digest.to_string() };
            let path = store.file(room, &hex);
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            match room {
                "entries" => assert_eq!(store.entry(&key(1)), None),
                _ => assert!(store.value(&output).is_none() && !store.holds(&output)),
            }
            assert!(!path.exists());
            let warnings = store.take_warnings();
            assert!(warnings.len() == 1 && warnings[0].contains("damaged"), "{warnings:?}");
        }
    }
}
