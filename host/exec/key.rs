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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

    use super::super::Digests;
    use super::super::plan::plan;
    use super::super::testing::{Build, add, literal};
    use super::*;

    /// A node that tells a salt.
    struct Told {
        spec: NodeSpec,
        salt: String,
    }

    impl Node for Told {
        fn spec(&self) -> &NodeSpec {
            &self.spec
        }
        fn key_salt(&self) -> String {
            self.salt.clone()
        }
        fn run(&self, _: &Inputs, _: &dyn RunContext) -> Result<Outputs, NodeError> {
            Ok(Outputs::one("out", 0.0).with("other", 0.0))
        }
    }

    fn spec(name: &str) -> NodeSpec {
        NodeSpec::new(name, "test", "A test node.")
            .input(InputSpec::optional("value", PortType::Number, "A value of any type, for tests."))
            .input(InputSpec::optional("path", PortType::Path, "A file."))
            .input(InputSpec::optional("more", PortType::Number.list(), "Numbers."))
            .output("out", PortType::Number, "A number.")
            .output("other", PortType::Number, "Another number.")
    }

    /// A graph of two nodes, `first` and the `second` that reads it; what its key may depend on.
    #[derive(Clone)]
    struct Variant {
        ids: [&'static str; 2],
        type_name: &'static str,
        version: u32,
        salt: &'static str,
        value: Binding,
        path: Option<String>,
        more: Binding,
        output: usize,
        deterministic: bool,
        reads_unknown: bool,
    }

    impl Variant {
        fn new() -> Self {
            Self {
                ids: ["first", "second"],
                type_name: "Told",
                version: 1,
                salt: "",
                value: literal(1.0),
                path: None,
                more: Binding::Absent,
                output: 0,
                deterministic: true,
                reads_unknown: false,
            }
        }

        /// The key of the second node and whether it is reusable; all variations are in the first.
        fn key(&self, digests: &Digests) -> (Key, bool) {
            let mut spec = spec(self.type_name);
            spec.version = self.version;
            spec.deterministic = self.deterministic;
            let path = self.path.as_deref().map_or(Binding::Absent, |path| literal(Value::Path(path.into())));
            let mut build = Build::new();
            let bindings = vec![self.value.clone(), path, self.more.clone()];
            let first = build.node(self.ids[0], Arc::new(Told { spec, salt: self.salt.into() }), bindings);
            build.0.nodes[first].reads_unknown = self.reads_unknown;
            let from_first = Binding::Link(PortRef { node: first, output: self.output });
            let second = build.node(self.ids[1], add(), vec![from_first, Binding::Absent]);
            build.output("end", second);
            let plan = plan(&build.0, digests).unwrap();
            (plan.nodes[1].key, plan.nodes[1].reusable)
        }
    }

    #[test]
    fn keys_tell_what_matters_from_what_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, contents: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, contents).unwrap();
            Some(path.display().to_string())
        };
        let image = |pixels| literal(Image::new(1, 1, 3, pixels).unwrap());
        let mask = |value| literal(Mask::new(1, 1, vec![value]).unwrap());
        let list = |elements: &[f64]| Binding::List(elements.iter().map(|n| literal(*n)).collect());
        let whole = |elements: &[f64]| {
            let elements: Vec<_> = elements.iter().map(|n| Value::Number(*n)).collect();
            literal(Value::list(PortType::Number, elements))
        };
        let base = Variant::new();
        // Classes of variants: equal inside, different from every other class.
        let classes: Vec<Vec<Variant>> = vec![
            vec![base.clone(), Variant { ids: ["other", "names"], ..base.clone() }],
            vec![Variant { type_name: "Other", ..base.clone() }],
            vec![Variant { version: 2, ..base.clone() }],
            vec![Variant { salt: "f16", ..base.clone() }],
            vec![Variant { output: 1, ..base.clone() }],
            vec![Variant { value: literal(2.0), ..base.clone() }],
            vec![Variant { value: literal(1), ..base.clone() }],
            vec![Variant { value: literal("1"), ..base.clone() }],
            vec![Variant { value: literal(true), ..base.clone() }],
            vec![Variant { value: Binding::Absent, ..base.clone() }],
            vec![
                Variant { value: image(Pixels::U8(vec![1, 2, 3])), ..base.clone() },
                Variant { value: image(Pixels::U8(vec![1, 2, 3])), ..base.clone() },
            ],
            vec![Variant { value: image(Pixels::U8(vec![1, 2, 4])), ..base.clone() }],
            vec![Variant { value: image(Pixels::F32(vec![1.0, 2.0, 3.0])), ..base.clone() }],
            vec![Variant { value: mask(0.5), ..base.clone() }],
            vec![Variant { value: mask(0.25), ..base.clone() }],
            vec![
                Variant { more: list(&[1.0, 2.0]), ..base.clone() },
                Variant { more: whole(&[1.0, 2.0]), ..base.clone() },
            ],
            vec![Variant { more: list(&[2.0, 1.0]), ..base.clone() }],
            vec![Variant { more: list(&[]), ..base.clone() }],
            vec![Variant { path: Some("random:tiny".into()), ..base.clone() }],
            vec![Variant { path: Some("random:small".into()), ..base.clone() }],
            vec![
                Variant { path: file("a.png", "cat"), ..base.clone() },
                Variant { path: file("moved/b.png", "cat"), ..base.clone() },
            ],
            vec![Variant { path: file("c.png", "dog"), ..base.clone() }],
        ];
        let digests = Digests::default();
        let mut seen: HashMap<Key, usize> = HashMap::new();
        for (class, variants) in classes.iter().enumerate() {
            let keys: Vec<_> = variants.iter().map(|variant| variant.key(&digests)).collect();
            assert!(keys.iter().all(|key| *key == keys[0] && key.1), "class {class}");
            assert_eq!(seen.insert(keys[0].0, class), None, "class {class} is taken for another one");
        }
    }

    #[test]
    fn keys_follow_the_contents_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let variant = Variant { path: Some(path.display().to_string()), ..Variant::new() };
        let digests = Digests::default();
        let write = |contents: &str, hours: u64| {
            std::fs::write(&path, contents).unwrap();
            let time = std::time::SystemTime::now() - std::time::Duration::from_secs(3600 * hours);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            variant.key(&digests)
        };
        let first = write("cat", 3);
        assert_eq!(write("cat", 1), first, "touched");
        assert_ne!(write("dog", 1), first, "same size and time, other contents");
    }

    /// Of the files in a folder, the names count as well: a model's folder tells its parts apart by them.
    #[test]
    fn names_inside_a_folder_matter() {
        let key = |folder: &Path, files: [&str; 2]| {
            std::fs::create_dir_all(folder).unwrap();
            let mut build = Build::new();
            let path = literal(Value::Path(folder.display().to_string().into()));
            let node = Arc::new(Told { spec: spec("Told"), salt: String::new() });
            let node = build.node("a", node, vec![Binding::Absent, path, Binding::Absent]);
            for (name, contents) in files.iter().zip(["1", "2"]) {
                std::fs::write(folder.join(name), contents).unwrap();
                build.0.nodes[node].reads.push(folder.join(name));
            }
            build.output("a", node);
            plan(&build.0, &Digests::default()).unwrap().nodes[0].key
        };
        let folder = tempfile::tempdir().unwrap();
        let first = key(&folder.path().join("a"), ["unet", "vae"]);
        assert_eq!(key(&folder.path().join("b"), ["unet", "vae"]), first);
        assert_ne!(key(&folder.path().join("c"), ["vae", "unet"]), first);
    }

    #[test]
    fn what_cannot_be_known_beforehand_is_not_reusable() {
        struct Opaque;
        impl dc_graph_node_api::NativeObject for Opaque {
            fn type_name(&self) -> &'static str {
                "test:opaque"
            }
            fn summary(&self) -> String {
                String::new()
            }
            fn size_bytes(&self) -> usize {
                0
            }
        }
        let digests = Digests::default();
        let base = Variant::new();
        for (variant, reusable) in [
            (base.clone(), true),
            (Variant { deterministic: false, ..base.clone() }, false),
            (Variant { reads_unknown: true, ..base.clone() }, false),
            (Variant { value: literal(Value::native(Opaque)), ..base.clone() }, false),
        ] {
            assert_eq!(variant.key(&digests).1, reusable);
        }
    }
}
