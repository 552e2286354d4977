//! Makes small plugins from WebAssembly text, for tests that need no other compiler: honest ones, and ones that lie.
//!
//! A guest has one node, whose spec and outputs are laid out in its memory beforehand (in the canonical ABI of the component
//! model), so that `describe` and `run` are a few instructions, and any of it can be replaced by something hostile.

#![allow(dead_code, unreachable_pub)] // each test takes what it needs

use std::fmt::Write;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract.
pub const WIT: &str = include_str!("../../nodes/api/wit/v0.1/node.wit");
/// Where the data begins: address 0 stays empty.
const BASE: u32 = 1024;

/// Numbers of the cases of `element-type` that tests use.
pub const UINT8: u32 = 1;
/// See [`UINT8`].
pub const FLOAT32: u32 = 11;

/// A value as the guest gives it back, or as a default.
#[derive(Clone, Debug)]
pub enum Out {
    /// `core:boolean`
    Boolean(bool),
    /// `core:integer`
    Integer(i64),
    /// `core:number`
    Number(f64),
    /// `core:text`, which need not be UTF-8.
    Text(Vec<u8>),
    /// `core:image`: width, height, channels, element type, bytes.
    Image(u32, u32, u32, u32, Vec<u8>),
    /// `core:mask`: width, height, bytes.
    Mask(u32, u32, Vec<u8>),
    /// `core:tensor`: shape, element type, bytes.
    Tensor(Vec<u32>, u32, Vec<u8>),
    /// `core:list<core:number>`
    Numbers(Vec<f64>),
    /// A case that the variant does not have, or has with other contents: number, and 24 bytes of payload.
    Raw(u8, [u8; 24]),
}

/// An input port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// Whether it must be given.
    pub required: bool,
    /// What it is otherwise.
    pub default: Option<Out>,
    /// Smallest and largest value.
    pub range: [Option<f64>; 2],
    /// The words allowed.
    pub choices: Vec<String>,
}

/// A plugin to be.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The name of its node.
    pub node: String,
    /// What it says of it.
    pub description: String,
    /// Whether it says that its node is deterministic.
    pub deterministic: bool,
    /// Its inputs.
    pub inputs: Vec<Port>,
    /// Its outputs: name and type.
    pub outputs: Vec<(String, String)>,
    /// What it gives back.
    pub gives: Vec<(String, Out)>,
    /// Further imports, as text: `(import "dc-graph:node/clock@0.1.0" "now" (func $now (param i32)))`.
    pub imports: String,
    /// Further functions, globals, tables and so on, as text.
    pub items: String,
    /// What happens first in `describe`, as text.
    pub before_describe: String,
    /// What happens first in `run`, as text. Parameters: `$node`, `$node_len`, `$inputs`, `$inputs_len`; there are locals
    /// `$i`, `$j`, `$n`, `$p` of type i32. It may `return` the address of a result of its own.
    pub before_run: String,
    /// The body of `cabi_realloc` (parameters `$old`, `$old_size`, `$align`, `$new_size`), if it is to be another one.
    pub realloc: Option<String>,
    /// The body of `step` of the step hooks, if it exports them: 2 x 2 x i32 as in `run`, then `$step`, `$total` (i32),
    /// `$timestep`, `$sigma`, `$sigma_next` (f64), `$shape`, `$shape_len`, `$elements`, `$data` (i32).
    pub step: Option<String>,
    /// Pages of 64 KiB that its memory begins with, beside its data.
    pub pages: u32,
}

/// An input port that a graph must give.
pub fn port(name: &str, ty: &str) -> Port {
    Port { name: name.into(), ty: ty.into(), required: true, default: None, range: [None; 2], choices: Vec::new() }
}

impl Guest {
    /// A plugin with one node that has no ports.
    pub fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            description: "Made by a test.".into(),
            deterministic: true,
            inputs: Vec::new(),
            outputs: Vec::new(),
            gives: Vec::new(),
            imports: String::new(),
            items: String::new(),
            before_describe: String::new(),
            before_run: String::new(),
            realloc: None,
            step: None,
            pages: 1,
        }
    }

    /// Adds an input port.
    pub fn input(mut self, port: Port) -> Self {
        self.inputs.push(port);
        self
    }

    /// Adds an output port and what it gives.
    pub fn gives(mut self, name: &str, ty: &str, value: Out) -> Self {
        self.outputs.push((name.into(), ty.into()));
        self.gives.push((name.into(), value));
        self
    }

    /// Adds an output port alone: for `run` bodies that return a result of their own.
    pub fn output(mut self, name: &str, ty: &str) -> Self {
        self.outputs.push((name.into(), ty.into()));
        self
    }

    /// Gives a value that it does not speak of.
    pub fn also(mut self, name: &str, value: Out) -> Self {
        self.gives.push((name.into(), value));
        self
    }

    /// Sets what happens first in `run`.
    pub fn run(mut self, text: &str) -> Self {
        self.before_run = text.into();
        self
    }

    /// Adds imports.
    pub fn import(mut self, text: &str) -> Self {
        self.imports += text;
        self
    }

    /// A node that gives its inputs back, so its outputs have the inputs' names and types.
    pub fn echo(node: &str, ports: &[(&str, &str)]) -> Self {
        let mut guest = Self::new(node).run(
            "(i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (local.get $inputs))
             (i32.store (i32.const 24) (local.get $inputs_len)) (return (i32.const 16))",
        );
        for (name, ty) in ports {
            guest = guest.input(port(name, ty)).output(name, ty);
        }
        guest
    }

    /// Gives its input `in` back, a value that can be taken apart, with 5 in the place of the second number of its first
    /// tensor.
    pub fn change(node: &str, ty: &str) -> Self {
        let mut guest = Self::echo(node, &[("in", ty)]);
        guest.imports = "
            (import \"dc-graph:node/types@0.1.0\" \"[method]opaque.tensors\" (func $tensors (param i32 i32)))
            (import \"dc-graph:node/types@0.1.0\" \"[method]opaque.with-tensors\" (func $with (param i32 i32 i32 i32)))
            (import \"dc-graph:node/types@0.1.0\" \"[resource-drop]opaque\" (func $drop_opaque (param i32)))
            (import \"dc-graph:node/types@0.1.0\" \"[method]buffer.write\" (func $write (param i32 i32 i32 i32)))"
            .into();
        guest.items = "(data (i32.const 900) \"\\00\\00\\a0\\40\")".into();
        guest.before_run = format!(
            "(call $tensors (i32.load offset=16 (local.get $inputs)) (i32.const 32))
             (if (i32.load8_u (i32.const 32)) (then unreachable))
             (local.set $p (i32.load (i32.const 36)))
             (call $write (i32.load offset=20 (local.get $p)) (i32.const 4) (i32.const 900) (i32.const 4))
             (call $with (i32.load offset=16 (local.get $inputs)) (local.get $p) (i32.load (i32.const 40)) (i32.const 48))
             (if (i32.load8_u (i32.const 48)) (then unreachable))
             (call $drop_opaque (i32.load offset=16 (local.get $inputs)))
             (i32.store offset=16 (local.get $inputs) (i32.load (i32.const 52)))
             {}",
            guest.before_run
        );
        guest
    }

    /// A node that looks at the clock; its output `failed` tells whether it may not.
    pub fn clock(node: &str) -> Self {
        // result<u64, string>: the first byte tells whether it is an error.
        let mut guest = Self::new(node).import(NOW).output("failed", "core:boolean").run(
            "(call $now (i32.const 64))
             (i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 128))
             (i32.store (i32.const 24) (i32.const 1))
             (i32.store (i32.const 128) (i32.const 900)) (i32.store (i32.const 132) (i32.const 6))
             (i32.store8 (i32.const 136) (i32.const 0)) (i32.store8 (i32.const 144) (i32.load8_u (i32.const 64)))
             (return (i32.const 16))",
        );
        guest.items = "(data (i32.const 900) \"failed\")".into();
        guest
    }

    /// Inverts the samples of its input `image`, which are `elements`, over and over `repeat` times.
    pub fn invert(node: &str, elements: u32) -> Self {
        let (lane, one, load_store) = match elements {
            UINT8 => ("i8x16", "(v128.const i8x16 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1)", "i8x16.sub"),
            _ => ("f32x4", "(v128.const f32x4 1 1 1 1)", "f32x4.sub"),
        };
        let _ = lane;
        let mut guest = Self::echo(node, &[("image", "core:image")]);
        guest.imports += BUFFER_IMPORTS;
        guest.before_run = format!(
            "(call $read_all (i32.load offset=32 (local.get $inputs)) (i32.const 32))
             (local.set $p (i32.load (i32.const 32)))
             (local.set $n (i32.add (local.get $p) (i32.load (i32.const 36))))
             (local.set $i (local.get $p))
             (block $done (loop $more
               (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
               (v128.store (local.get $i) ({load_store} {one} (v128.load (local.get $i))))
               (local.set $i (i32.add (local.get $i) (i32.const 16)))
               (br $more)))
             (call $drop_buffer (i32.load offset=32 (local.get $inputs)))
             (i32.store offset=32 (local.get $inputs) (call $from_bytes (local.get $p) (i32.load (i32.const 36))))
             {}",
            guest.before_run
        );
        guest
    }

    /// The component.
    ///
    /// # Panics
    /// When the text is wrong: that is the test's fault.
    pub fn component(&self) -> Vec<u8> {
        let world = if self.step.is_some() { "sampler-plugin" } else { "plugin" };
        encode(&self.text(), world)
    }

    /// Where in the memory a text of the spec lies, for guests that change it.
    ///
    /// # Panics
    /// When there is no such text.
    pub fn address_of(&self, text: &[u8]) -> u32 {
        let mut data = Data { bytes: Vec::new(), prelude: String::new() };
        self.spec(&mut data);
        let at = data.bytes.windows(text.len()).position(|window| window == text).expect("a text of the spec");
        BASE + at as u32
    }

    /// The core module as text.
    pub fn text(&self) -> String {
        let mut data = Data { bytes: Vec::new(), prelude: String::new() };
        let specs = self.spec(&mut data);
        let describe = data.put(&words(&[specs, 1]), 4);
        let mut outputs = Vec::new();
        let mut places = Vec::new();
        for (name, value) in &self.gives {
            let name = data.string(name.as_bytes());
            outputs.extend(words(&name));
            let offset = outputs.len();
            outputs.extend(data.value(value, &mut places, offset));
        }
        let list = data.put(&outputs, 8);
        for (offset, source) in places {
            let handle = list + offset as u32;
            let _ = writeln!(data.prelude, "(i32.store (i32.const {handle}) {source})");
        }
        let mut result = vec![0, 0, 0, 0];
        result.extend(words(&[list, self.gives.len() as u32]));
        let result = data.put(&result, 4);
        let end = (BASE + data.bytes.len() as u32).next_multiple_of(65536);
        let buffers = if data.prelude.is_empty() || self.imports.contains("$from_bytes") { "" } else { BUFFER_IMPORTS };
        let bytes: String = data.bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\{byte:02x}");
            text
        });
        let realloc = self.realloc.as_deref().unwrap_or(
            "(local $at i32)
             (local.set $at (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                                     (i32.sub (i32.const 0) (local.get $align))))
             (global.set $heap (i32.add (local.get $at) (local.get $new_size)))
             (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
               (then (if (i32.eq (i32.const -1) (memory.grow
                       (i32.add (i32.const 1) (i32.div_u (i32.sub (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
                                                         (i32.const 65536)))))
                 (then unreachable))))
             (local.get $at)",
        );
        let step = self.step.as_ref().map_or(String::new(), |step| {
            format!(
                "(func $step (export \"dc-graph:node/step-hooks@0.1.0#step\") (param $node i32) (param $node_len i32)
                   (param $inputs i32) (param $inputs_len i32) (param $step i32) (param $total i32)
                   (param $timestep f64) (param $sigma f64) (param $sigma_next f64)
                   (param $shape i32) (param $shape_len i32) (param $elements i32) (param $data i32) (result i32)
                   (local $i i32) (local $n i32) (local $p i32) {step})"
            )
        });
        let Self { imports, items, before_describe, before_run, .. } = self;
        let prelude = &data.prelude;
        let pages = end / 65536 + self.pages;
        format!(
            "(module $guest {imports} {buffers}
               (memory (export \"memory\") {pages})
               (global $heap (mut i32) (i32.const {end}))
               (data (i32.const {BASE}) \"{bytes}\")
               (func $realloc (export \"cabi_realloc\") (param $old i32) (param $old_size i32) (param $align i32)
                 (param $new_size i32) (result i32) {realloc})
               (func $describe (export \"dc-graph:node/nodes@0.1.0#describe\") (result i32)
                 (local $i i32) {before_describe} (i32.const {describe}))
               (func $run (export \"dc-graph:node/nodes@0.1.0#run\") (param $node i32) (param $node_len i32)
                 (param $inputs i32) (param $inputs_len i32) (result i32)
                 (local $i i32) (local $j i32) (local $n i32) (local $p i32) {before_run} {prelude} (i32.const {result}))
               {step} {items})"
        )
    }

    fn spec(&self, data: &mut Data) -> u32 {
        let inputs: Vec<u8> = self.inputs.iter().flat_map(|port| data.port(port)).collect();
        let inputs = data.put(&inputs, 8);
        let mut outputs = Vec::new();
        for (name, ty) in &self.outputs {
            for text in [name.as_str(), ty, "An output."] {
                outputs.extend(words(&data.string(text.as_bytes())));
            }
        }
        let outputs = data.put(&outputs, 4);
        let mut spec = Vec::new();
        for text in [self.node.as_str(), "test", &self.description] {
            spec.extend(words(&data.string(text.as_bytes())));
        }
        spec.extend(words(&[1]));
        spec.extend([u8::from(self.deterministic), 0, 0, 0]);
        spec.extend(words(&[inputs, self.inputs.len() as u32, outputs, self.outputs.len() as u32]));
        data.put(&spec, 4)
    }
}

/// What bodies that deal with buffers call.
pub const BUFFER_IMPORTS: &str = "
    (import \"dc-graph:node/types@0.1.0\" \"[static]buffer.from-bytes\" (func $from_bytes (param i32 i32) (result i32)))
    (import \"dc-graph:node/types@0.1.0\" \"[method]buffer.read-all\" (func $read_all (param i32 i32)))
    (import \"dc-graph:node/types@0.1.0\" \"[resource-drop]buffer\" (func $drop_buffer (param i32)))";

/// What bodies that look at the clock call: the result is written to an address.
pub const NOW: &str = "(import \"dc-graph:node/clock@0.1.0\" \"now\" (func $now (param i32)))";

/// A component from a core module in text form that exports a world of the contract.
///
/// # Panics
/// When the text is wrong.
pub fn encode(module: &str, world: &str) -> Vec<u8> {
    let bytes = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    component_of(&described(bytes, world, WIT))
}

/// A component from a core module that holds a description of its interface.
///
/// # Panics
/// When it holds none.
pub fn component_of(module: &[u8]) -> Vec<u8> {
    let encoder = ComponentEncoder::default().validate(true).module(module);
    encoder.and_then(|mut encoder| encoder.encode()).unwrap_or_else(|error| panic!("{error:?}"))
}

/// A core module with a description of its interface, a world of a contract, as bindings generators put it there.
///
/// # Panics
/// When the contract has no such world.
pub fn described(mut module: Vec<u8>, world: &str, wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("node.wit", wit).expect("the contract is WIT");
    let world = resolve.select_world(&[package], Some(world)).expect("the contract has this world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    module
}

/// A folder with a plugin: its manifest and its component. `more` is added to the manifest's `[plugin]` table; what comes
/// after a line `---` goes to the end of the file.
pub fn folder(root: &std::path::Path, id: &str, node: &str, component: &[u8], more: &str) -> std::path::PathBuf {
    let folder = root.join(id);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("plugin.wasm"), component).expect("a file");
    let (table, end) = more.split_once("---").unwrap_or((more, ""));
    let text = format!(
        "schema = 1\n[plugin]\nid = \"{id}\"\nname = \"Test\"\nversion = \"1.2.3\"\nlicense = \"MIT\"\n\
         description = \"Made by a test.\"\nnodes = [\"{node}\"]\n{table}\n[wasm]\nfile = \"plugin.wasm\"\n\
         blake3 = \"{}\"\nwit = \"0.1.0\"\n{end}\n",
        blake3::hash(component)
    );
    std::fs::write(folder.join("plugin.toml"), text).expect("a file");
    folder
}

/// The guest's memory.
struct Data {
    bytes: Vec<u8>,
    /// What has to happen before the outputs can be given back.
    prelude: String,
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

impl Data {
    fn put(&mut self, bytes: &[u8], align: usize) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
        let at = BASE + self.bytes.len() as u32;
        self.bytes.extend(bytes);
        at
    }

    fn string(&mut self, text: &[u8]) -> [u32; 2] {
        [self.put(text, 1), text.len() as u32]
    }

    fn port(&mut self, port: &Port) -> Vec<u8> {
        let mut bytes = Vec::new();
        for text in [port.name.as_str(), &port.ty, "An input."] {
            bytes.extend(words(&self.string(text.as_bytes())));
        }
        bytes.extend([u8::from(port.required), 0, 0, 0, 0, 0, 0, 0]);
        match &port.default {
            None => bytes.extend([0; 40]),
            Some(value) => {
                bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
                bytes.extend(self.value(value, &mut Vec::new(), 0));
            }
        }
        for end in port.range {
            bytes.extend([u8::from(end.is_some()), 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend(end.unwrap_or(0.0).to_le_bytes());
        }
        let choices: Vec<u8> = port.choices.iter().flat_map(|choice| words(&self.string(choice.as_bytes()))).collect();
        let choices = self.put(&choices, 4);
        bytes.extend(words(&[choices, port.choices.len() as u32]));
        bytes
    }

    /// 32 bytes. `places` gets the offsets where handles have to be put, and how they are made.
    fn value(&mut self, value: &Out, places: &mut Vec<(usize, String)>, offset: usize) -> Vec<u8> {
        let buffer = |data: &mut Self, bytes: &[u8]| {
            let [at, length] = [data.put(bytes, 4), bytes.len() as u32];
            format!("(call $from_bytes (i32.const {at}) (i32.const {length}))")
        };
        let (case, mut payload) = match value {
            Out::Boolean(v) => (0, vec![u8::from(*v)]),
            Out::Integer(v) => (1, v.to_le_bytes().to_vec()),
            Out::Number(v) => (2, v.to_le_bytes().to_vec()),
            Out::Text(v) => (3, words(&self.string(v))),
            Out::Image(width, height, channels, elements, bytes) => {
                places.push((offset + 8 + 16, buffer(self, bytes)));
                (5, words(&[*width, *height, *channels, *elements]))
            }
            Out::Mask(width, height, bytes) => {
                places.push((offset + 8 + 8, buffer(self, bytes)));
                (6, words(&[*width, *height]))
            }
            Out::Tensor(shape, elements, bytes) => {
                places.push((offset + 8 + 12, buffer(self, bytes)));
                let at = self.put(&words(shape), 4);
                (7, words(&[at, shape.len() as u32, *elements]))
            }
            Out::Numbers(numbers) => {
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                (11, words(&[self.put(&bytes, 8), numbers.len() as u32]))
            }
            Out::Raw(case, payload) => (*case, payload.to_vec()),
        };
        payload.resize(24, 0);
        let mut bytes = vec![case, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(payload);
        bytes
    }
}
