//! Content keys: a Blake3 hash over all that a node's outputs depend on.
//!
//! A key covers the node's type and version, its salt, every input by content and every file it reads by contents. A
//! linked input enters as the key of the node it comes from and the name of the output: so a key covers all ancestors, yet
//! costs no more than the node itself. Ids, labels and places of files never enter.

use std::fmt;
use std::path::Path;

use blake3::Hasher;
use dc_graph_node_api::{Image, Mask, Pixels, Value};

use super::plan::FileRead;
use crate::graph::{Binding, GraphNode, PortRef};

/// The content key of a node. Prints as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// A key that was stored somewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For storing.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A link leads to a node without a key: the graph's edges and links do not agree.
#[derive(Debug)]
pub(super) struct Dangling;

/// Hashes nodes one after another. The buffer is kept: hashing most nodes takes less time than an allocation.
#[derive(Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    /// The node at hand has an input that cannot be looked into.
    opaque: bool,
}

impl Keys {
    /// The key of a node; none when it has an input that cannot be looked into.
    ///
    /// `ancestor` gives the key and the output name behind a link.
    pub(super) fn key<'g>(
        &mut self,
        node: &GraphNode,
        salt: &str,
        reads: &[FileRead],
        ancestor: impl Fn(PortRef) -> Option<(Key, &'g str)>,
    ) -> Result<Option<Key>, Dangling> {
        let spec = node.node.spec();
        self.opaque = false;
        self.bytes.clear();
        self.text("dc-graph node 1");
        self.text(&spec.type_name);
        self.bytes.extend(spec.version.to_le_bytes());
        self.text(salt);
        for (input, binding) in spec.inputs.iter().zip(&node.bindings) {
            self.text(&input.name);
            self.binding(binding, reads, &ancestor)?;
        }
        self.count(reads.len());
        for read in reads {
            self.bytes.extend(read.digest.as_bytes());
        }
        Ok((!self.opaque).then(|| Key(*blake3::hash(&self.bytes).as_bytes())))
    }

    /// A key that no other node of the plan has, for a node whose outputs cannot be told from what goes in.
    pub(super) fn unique(index: usize) -> Key {
        let mut hasher = Hasher::new();
        hasher.update(b"dc-graph unique node 1").update(&(index as u64).to_le_bytes());
        Key(*hasher.finalize().as_bytes())
    }

    /// Recursion ends with the depth of the port's type.
    fn binding<'g>(
        &mut self,
        binding: &Binding,
        reads: &[FileRead],
        ancestor: &impl Fn(PortRef) -> Option<(Key, &'g str)>,
    ) -> Result<(), Dangling> {
        match binding {
            Binding::Absent => self.bytes.push(b'-'),
            Binding::Value(value) => self.value(value, reads),
            Binding::Link(port) => {
                let (key, output) = ancestor(*port).ok_or(Dangling)?;
                self.bytes.push(b'k');
                self.bytes.extend(key.0);
                self.text(output);
            }
            Binding::List(elements) => {
                self.bytes.push(b'l');
                self.count(elements.len());
                for element in elements {
                    self.binding(element, reads, ancestor)?;
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, reads: &[FileRead]) {
        match value {
            Value::Boolean(v) => self.bytes.extend([b'b', u8::from(*v)]),
            Value::Integer(v) => self.fixed(b'i', &v.to_le_bytes()),
            Value::Number(v) => self.fixed(b'n', &v.to_bits().to_le_bytes()),
            Value::Text(v) => {
                self.bytes.push(b't');
                self.text(v);
            }
            Value::Path(v) => self.path(v, reads),
            Value::Image(v) => self.fixed(b'p', image_digest(v).as_bytes()),
            Value::Mask(v) => self.fixed(b'm', mask_digest(v).as_bytes()),
            // As a list of bindings, so that it makes no difference how a document writes it.
            Value::List(_, elements) => {
                self.bytes.push(b'l');
                self.count(elements.len());
                for element in &**elements {
                    self.value(element, reads);
                }
            }
            Value::Native(_) => self.opaque = true,
        }
    }

    /// A path that is read enters as the contents of the file, or of the files in the folder; any other as text.
    fn path(&mut self, path: &str, reads: &[FileRead]) {
        let mut read = false;
        for file in reads {
            let Ok(name) = file.path.strip_prefix(Path::new(path)) else { continue };
            read = true;
            self.bytes.push(b'f');
            self.blob(name.as_os_str().as_encoded_bytes());
            self.bytes.extend(file.digest.as_bytes());
        }
        if !read {
            self.bytes.push(b'a');
            self.text(path);
        }
    }

    fn fixed(&mut self, tag: u8, bytes: &[u8]) {
        self.bytes.push(tag);
        self.bytes.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    fn blob(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend(bytes);
    }

    fn count(&mut self, count: usize) {
        self.bytes.extend((count as u64).to_le_bytes());
    }
}

fn image_digest(image: &Image) -> blake3::Hash {
    let mut hasher = Hasher::new();
    hasher.update(&image.width().to_le_bytes()).update(&image.height().to_le_bytes()).update(&[image.channels()]);
    match image.pixels() {
        Pixels::U8(samples) => {
            hasher.update(b"u8").update(samples);
        }
        Pixels::F32(samples) => {
            hasher.update(b"f32");
            update_f32(&mut hasher, samples);
        }
    }
    hasher.finalize()
}

fn mask_digest(mask: &Mask) -> blake3::Hash {
    let mut hasher = Hasher::new();
    hasher.update(&mask.width().to_le_bytes()).update(&mask.height().to_le_bytes());
    update_f32(&mut hasher, mask.values());
    hasher.finalize()
}

fn update_f32(hasher: &mut Hasher, samples: &[f32]) {
    let mut bytes = Vec::with_capacity(1 << 16);
    for piece in samples.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|x| x.to_le_bytes()));
        hasher.update(&bytes);
    }
}
