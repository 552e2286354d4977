//! One plugin, one trick, one message: a table.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use dc_graph::exec::CancelToken;

use super::guest::{BUFFER_IMPORTS, FLOAT32, Guest, Out, UINT8, folder, port};
use super::{Fate, ID, LIMITS, fate, honest, sandbox, write};

/// A trick, and what must be told of it.
struct Case {
    name: &'static str,
    plugin: Plugin,
    /// Whether it is found when the plugin is loaded, before any graph runs.
    refused: bool,
    expected: &'static str,
}

/// How the plugin comes about.
enum Plugin {
    Guest(Box<Guest>),
    /// A component that keeps to no contract, as text.
    Text(&'static str),
    /// A file that is none.
    Bytes(&'static [u8]),
    /// An honest component, and what its manifest says beside or instead: a replacement.
    Manifest(&'static str, &'static str),
    /// Anything else.
    Folder(fn(&Path) -> PathBuf),
}

fn evil() -> Guest {
    Guest::new("Evil").gives("out", "core:number", Out::Number(1.0))
}

/// Told when it runs.
fn runs(name: &'static str, guest: Guest, expected: &'static str) -> Case {
    Case { name, plugin: Plugin::Guest(Box::new(guest)), refused: false, expected }
}

/// Told when it is loaded.
fn loads(name: &'static str, guest: Guest, expected: &'static str) -> Case {
    Case { name, plugin: Plugin::Guest(Box::new(guest)), refused: true, expected }
}

fn refused(name: &'static str, plugin: Plugin, expected: &'static str) -> Case {
    Case { name, plugin, refused: true, expected }
}

/// Does this in `run`.
fn doing(body: &str) -> Guest {
    evil().run(body)
}

/// The same with items of the module.
fn with(body: &str, items: &str) -> Guest {
    Guest { items: items.into(), ..doing(body) }
}

/// The same with buffers at hand.
fn buffers(body: &str) -> Guest {
    doing(body).import(BUFFER_IMPORTS).import(MORE_BUFFERS)
}

fn giving(ty: &str, value: Out) -> Guest {
    Guest::new("Evil").gives("out", ty, value)
}

/// Describes itself like this.
fn saying(change: impl FnOnce(&mut Guest)) -> Guest {
    let mut guest = evil().input(port("a", "core:integer"));
    change(&mut guest);
    guest
}

fn payload(words: [u32; 6]) -> [u8; 24] {
    let mut bytes = [0; 24];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

const FOR_EVER: &str = "(loop $for_ever (br $for_ever))";
/// What a guest may export to free what `run` gave.
const AFTER_RUN: &str = "cabi_post_dc-graph:node/nodes@0.1.0#run";
const MORE_BUFFERS: &str = r#"
    (import "dc-graph:node/types@0.1.0" "[constructor]buffer" (func $buffer (param i32) (result i32)))
    (import "dc-graph:node/types@0.1.0" "[method]buffer.read" (func $read (param i32 i32 i32 i32)))
    (import "dc-graph:node/types@0.1.0" "[method]buffer.write" (func $write (param i32 i32 i32 i32)))"#;
const LOG: &str = r#"(import "dc-graph:node/host@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
const NORMALS: &str = r#"(import "dc-graph:node/random@0.1.0" "normals" (func $normals (param i32) (result i32)))"#;
const TOO_LONG: &str = "took longer than 1 seconds and was stopped";

#[rustfmt::skip] // a table
fn cases() -> Vec<Case> {
    let nan = f32::NAN.to_le_bytes().to_vec();
    let image = |width, height, channels, elements, bytes: usize| giving("core:image", Out::Image(width, height, channels, elements, vec![0; bytes]));
    vec![
        // Time.
        runs("a loop in run", doing(FOR_EVER), TOO_LONG),
        loads("a loop in describe", saying(|g| g.before_describe = FOR_EVER.into()), TOO_LONG),
        loads("a loop in the start function", saying(|g| g.items = format!("(func $s {FOR_EVER}) (start $s)")), TOO_LONG),
        runs("a loop in realloc", Guest { realloc: Some(format!("{FOR_EVER} (i32.const 0)")), ..evil() }, TOO_LONG),
        loads("a loop in _initialize", saying(|g| g.items = format!("(func (export \"_initialize\") {FOR_EVER})")), TOO_LONG),
        runs("a loop after run", Guest { items: format!("(func (export \"{AFTER_RUN}\") (param i32) {FOR_EVER})"), ..evil() }, TOO_LONG),
        runs("a trap after run", Guest { items: format!("(func (export \"{AFTER_RUN}\") (param i32) unreachable)"), ..evil() }, "trapped: wasm `unreachable` instruction executed"),
        runs("a loop of calls to the host", doing("(loop $l (call $log (i32.const 0) (i32.const 1024) (i32.const 4)) (br $l))").import(LOG), TOO_LONG),
        runs("a loop of memory.fill", Guest { pages: 900, ..doing("(loop $l (memory.fill (i32.const 65536) (i32.const 1) (i32.const 50000000)) (br $l))") }, TOO_LONG),
        runs("calls in a ring", with("(call $ping)", "(func $ping (loop $l (call $pong) (br $l))) (func $pong)"), TOO_LONG),
        // Memory, stack, tables.
        runs("memory that grows", doing("(loop $l (drop (memory.grow (i32.const 16))) (br $l))"), "needs more than 64 MiB of memory"),
        runs("memory that grows at once", doing("(drop (memory.grow (i32.const 65000)))"), "needs more than 64 MiB of memory"),
        loads("memory that begins large", Guest { pages: 40_000, ..evil() }, "needs more than 64 MiB of memory"),
        runs("recursion", with("(call $deep)", "(func $deep (call $deep) (call $deep))"), "call stack exhausted"),
        runs("a tail of locals", with("(drop (call $deep (i64.const 1)))", "(func $deep (param i64) (result i64) (i64.add (local.get 0) (call $deep (i64.add (local.get 0) (i64.const 1)))))"), "call stack exhausted"),
        loads("a table without end", saying(|g| g.items = "(table 50000000 funcref)".into()), "needs more than any plugin may have: table index 0 has a minimum element size of 50000000"),
        loads("a table that begins large", saying(|g| g.items = "(table 500000 funcref)".into()), "needs a table of more than 20000 elements"),
        runs("a table that grows", with("(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l))", "(table $t 1 funcref)"), "needs a table of more than 20000 elements"),
        loads("many tables", saying(|g| g.items = "(table 1 funcref)".repeat(80)), "table count"),
        // Traps.
        runs("unreachable", doing("unreachable"), "trapped: wasm `unreachable` instruction executed"),
        runs("division by zero", doing("(drop (i32.div_u (i32.const 1) (i32.const 0)))"), "trapped: integer divide by zero"),
        runs("a load out of bounds", doing("(drop (i32.load (i32.const -4)))"), "trapped: out of bounds memory access"),
        runs("a call of nothing", with("(call_indirect (type $f) (i32.const 3))", "(type $f (func)) (table 1 funcref)"), "trapped: undefined element: out of bounds table access"),
        runs("a call of the wrong type", with("(call_indirect (type $f) (i32.const 0))", "(type $f (func (param i64))) (func $g) (table funcref (elem $g))").run("(call_indirect (type $f) (i64.const 1) (i32.const 0))"), "trapped: indirect call type mismatch"),
        loads("a trap in describe", saying(|g| g.before_describe = "unreachable".into()), "it cannot describe its nodes: it trapped"),
        loads("a trap in the start function", saying(|g| g.items = "(func $s unreachable) (start $s)".into()), "it cannot describe its nodes: it trapped"),
        // What the canonical ABI forbids.
        runs("a result out of bounds", doing("(return (i32.const -16))"), "broke the contract"),
        runs("a result that is not aligned", doing("(return (i32.const 17))"), "broke the contract"),
        runs("a result that is neither", doing("(i32.store8 (i32.const 16) (i32.const 7)) (return (i32.const 16))"), "broke the contract"),
        runs("a list out of bounds", doing("(i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 65536)) (i32.store (i32.const 24) (i32.const 9999999)) (return (i32.const 16))"), "broke the contract"),
        runs("a list longer than the world", doing("(i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 8)) (i32.store (i32.const 24) (i32.const -1)) (return (i32.const 16))"), "broke the contract"),
        loads("a description out of bounds", saying(|g| g.before_describe = "(return (i32.const -8))".into()), "it broke the contract"),
        loads("a description of a billion nodes", saying(|g| g.before_describe = "(i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 1000000000)) (return (i32.const 16))".into()), "it broke the contract"),
        runs("memory that realloc does not have", Guest { realloc: Some("(i32.const -1)".into()), ..evil() }, "broke the contract"),
        runs("memory that realloc does not align", Guest { realloc: Some("(i32.const 1025)".into()), ..evil() }, "broke the contract"),
        runs("text that is not UTF-8", giving("core:text", Out::Text(vec![0x66, 0xff, 0xfe])), "invalid utf-8"),
        loads("a description that is not UTF-8", saying(|g| g.inputs[0] = super::guest::Port { required: false, default: Some(Out::Text(vec![0xc0, 0x80])), ..port("a", "core:text") }), "invalid utf-8"),
        runs("a value of no kind", giving("core:text", Out::Raw(99, [0; 24])), "broke the contract"),
        runs("an element type of no kind", image(1, 1, 1, 200, 1), "broke the contract"),
        runs("a handle that is none", giving("core:image", Out::Raw(5, payload([1, 1, 1, UINT8, 4711, 0]))), "broke the contract"),
        runs("the handle of a value that is none", giving("dc:latents", Out::Raw(8, payload([4711, 0, 0, 0, 0, 0]))), "broke the contract"),
        runs("one handle in two places", buffers("(local.set $i (call $from_bytes (i32.const 1024) (i32.const 4))) (call $drop_buffer (local.get $i)) (call $drop_buffer (local.get $i))"), "broke the contract"),
        runs("text longer than memory to the host", doing("(call $log (i32.const 0) (i32.const 1024) (i32.const -1))").import(LOG), "broke the contract"),
        // What it gives.
        runs("an image of another size", image(2, 2, 3, UINT8, 11), "needs 12 samples, found 11"),
        runs("an image of no width", image(0, 2, 3, UINT8, 0), "sides must be at least 1"),
        runs("an image of seven channels", image(1, 1, 7, UINT8, 7), "channels 1, 3 or 4"),
        runs("an image of 16 exabytes", image(u32::MAX, u32::MAX, 4, UINT8, 4), "samples, found 4"),
        runs("an image of halves", image(1, 1, 1, 9, 2), "they are `uint8` or `float32`"),
        runs("a NaN in an image", giving("core:image", Out::Image(2, 1, 1, FLOAT32, [vec![0; 4], nan.clone()].concat())), "NaN at element 1"),
        runs("a flood of NaN", giving("core:mask", Out::Mask(500, 500, nan.repeat(250_000))), "a mask is NaN at element 0"),
        runs("a mask of another size", giving("core:mask", Out::Mask(2, 2, vec![0; 12])), "needs 4 values"),
        runs("no number", giving("core:number", Out::Number(f64::NAN)), "expected a finite number, found NaN"),
        runs("an endless number in a list", giving("core:list<core:number>", Out::Numbers(vec![0.0, f64::INFINITY])), "found inf"),
        runs("a tensor of another size", giving("core:tensor", Out::Tensor(vec![3, 5], FLOAT32, vec![0; 8])), "needs 60 bytes, found 8"),
        runs("a tensor beyond all bounds", giving("core:tensor", Out::Tensor(vec![u32::MAX; 16], FLOAT32, vec![])), "more bytes than there can be"),
        runs("a tensor of 17 dimensions", giving("core:tensor", Out::Tensor(vec![1; 17], UINT8, vec![0])), "at most 16 are allowed"),
        runs("a boolean that is 2", giving("core:tensor", Out::Tensor(vec![1], 0, vec![2])), "other bytes than 0 and 1"),
        runs("another type than it says", Guest::new("Evil").output("out", "core:text").also("out", Out::Integer(1)), "`out`"),
        runs("another port than it says", Guest::new("Evil").output("out", "core:number").also("other", Out::Number(1.0)), "`out`"),
        runs("a port more than it says", evil().also("more", Out::Number(1.0)), "`more`"),
        runs("orders to a terminal in the name of a port", evil().also("\u{1b}[2J", Out::Number(1.0)), "` [2J`"),
        runs("one port twice", evil().also("out", Out::Number(2.0)), "gave its output `out` twice"),
        // Floods.
        runs("a bomb of a buffer", buffers("(drop (call $buffer (i32.const -1)))"), "has the host hold more than 16 MiB for it"),
        runs("a bomb of buffers", buffers("(loop $l (drop (call $buffer (i32.const 1000000))) (br $l))"), "has the host hold more than 16 MiB for it"),
        runs("a flood of handles", buffers("(loop $l (drop (call $buffer (i32.const 0))) (br $l))"), "holds more than 100000 handles"),
        runs("a flood of random numbers", doing("(drop (call $normals (i32.const -1)))").import(NORMALS), "which no buffer can hold"),
        runs("random numbers beyond the limit", doing("(drop (call $normals (i32.const 100000000)))").import(NORMALS), "has the host hold more than 16 MiB for it"),
        runs("more at once than it may", Guest { pages: 300, ..buffers("(drop (call $from_bytes (i32.const 0) (i32.const 15000000)))") }, "hands over more at once than it may"),
        runs("a read beyond a buffer", buffers("(call $read (call $buffer (i32.const 8)) (i32.const 4) (i32.const 5) (i32.const 16))"), "reads 5 bytes at 4 of a buffer of 8"),
        runs("a read around a buffer", buffers("(call $read (call $buffer (i32.const 8)) (i32.const -1) (i32.const 8) (i32.const 16))"), "of a buffer of 8"),
        runs("a write beyond a buffer", buffers("(call $write (call $buffer (i32.const 8)) (i32.const 8) (i32.const 1024) (i32.const 1))"), "writes 1 bytes at 8 of a buffer of 8"),
        // Lies about itself.
        loads("a type that nobody knows", saying(|g| g.inputs[0].ty = "core:colour".into()), "there is no port type `core:colour`"),
        loads("a minimum above the maximum", saying(|g| g.inputs[0].range = [Some(2.0), Some(1.0)]), "its minimum 2 is above its maximum 1"),
        loads("a default of another type", saying(|g| g.inputs[0] = super::guest::Port { required: false, default: Some(Out::Boolean(true)), ..port("a", "core:integer") }), "its default is a `core:boolean`"),
        loads("a port twice", saying(|g| g.inputs.push(port("a", "core:text"))), "has two ports `a`"),
        loads("orders to a terminal", saying(|g| g.description = "a\u{1b}[2Jb".into()), "control characters"),
        loads("a novel", saying(|g| g.description = "x".repeat(5000)), "a description of more than 4000 characters"),
        loads("a thousand ports", saying(|g| g.inputs = (0..1000).map(|i| port(&format!("p{i}"), "core:text")).collect()), "more than 100 inputs"),
        loads("a hook without hooks", saying(|g| g.outputs[0].1 = "dc:step-hook".into()), "does not export `step-hooks`"),
        refused("a node that the manifest does not name", Plugin::Manifest("nodes = [\"Honest\"]", "nodes = []"), "node `Honest` is there but not named"),
        refused("a node that is not there", Plugin::Manifest("nodes = [\"Honest\"]", "nodes = [\"Honest\", \"Other\"]"), "node `Other` is named but not there"),
        refused("orders to a terminal in the manifest", Plugin::Manifest("name = \"Test\"", "name = \"\\u001b[2J\""), "control characters in `\\u{1b}[2J`"),
        refused("another digest", Plugin::Manifest("blake3 = \"", "blake3 = \"0"), "expected 64 hexadecimal digits"),
        refused("another contract", Plugin::Manifest("wit = \"0.1.0\"", "wit = \"0.2.0\""), "made for version 0.2.0 of `dc-graph:node`, this program knows 0.1.0"),
        refused("a file outside", Plugin::Manifest("file = \"plugin.wasm\"", "file = \"../plugin.wasm\""), "expected a file beside the manifest"),
        refused("more than the ceiling", Plugin::Manifest("memory-mib = 64", "memory-mib = 100000"), "asks for `memory-mib` = 100000, at most 4096 is allowed"),
        refused("the whole machine", Plugin::Manifest("[wasm]", "[plugin.capabilities]\nread-files = \"all\"\n[wasm]"), "is for built-in nodes"),
        refused("a host for everything", Plugin::Manifest("[wasm]", "[plugin.capabilities]\nhttp = { reason = \"all\", hosts = [\"*\"] }\n[wasm]"), "expected a host such as"),
        // Not a plugin at all.
        refused("nothing", Plugin::Bytes(b""), "not WebAssembly"),
        refused("text", Plugin::Bytes(b"(component)"), "not WebAssembly"),
        refused("a core module", Plugin::Bytes(b"\0asm\x01\0\0\0"), "a core module, not a component"),
        refused("a header alone", Plugin::Bytes(b"\0asm\x0d\0\x01\0\xff\xff\xff"), "it cannot be compiled"),
        refused("machine code in disguise", Plugin::Bytes(b"\x7fELF\x02\x01\x01\0 made elsewhere"), "not WebAssembly"),
        refused("an empty component", Plugin::Text("(component)"), "it does not export `dc-graph:node/nodes@0.1.0`"),
        refused("an import from elsewhere", Plugin::Text(r#"(component (import "evil:host/keys@1.0.0" (instance)))"#), "it imports `evil:host/keys@1.0.0`"),
        refused("an import of a later contract", Plugin::Text(r#"(component (import "dc-graph:node/types@0.2.0" (instance)))"#), "made for version 0.2.0"),
        refused("a function of another type", Plugin::Text(OTHER_TYPE), "expected `list` found `u32`"),
        refused("a file beyond all bounds", Plugin::Folder(huge), "at most 67108864 are allowed"),
    ]
}

const OTHER_TYPE: &str = r#"(component
  (core module $m (func (export "f") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func $f (result u32) (canon lift (core func $i "f")))
  (instance $n (export "describe" (func $f)) (export "run" (func $f)))
  (export "dc-graph:node/nodes@0.1.0" (instance $n)))"#;

/// A file with a hole.
fn huge(root: &Path) -> PathBuf {
    let plugin = folder(root, ID, "Honest", b"", LIMITS);
    fs::File::options().write(true).open(plugin.join("plugin.wasm")).unwrap().set_len(1 << 40).unwrap();
    plugin
}

impl Plugin {
    /// Its folder and the name of its node.
    fn write(&self, root: &Path) -> (PathBuf, String) {
        let plugin = match self {
            Self::Guest(guest) => return (write(root, guest), guest.node.clone()),
            Self::Text(text) => folder(root, ID, "Honest", &wat::parse_str(text).unwrap(), LIMITS),
            Self::Bytes(bytes) => folder(root, ID, "Honest", bytes, LIMITS),
            Self::Manifest(from, to) => {
                let plugin = write(root, &honest());
                let path = plugin.join("plugin.toml");
                let text = fs::read_to_string(&path).unwrap();
                assert!(text.contains(from), "{text}");
                fs::write(&path, text.replacen(from, to, 1)).unwrap();
                plugin
            }
            Self::Folder(make) => make(root),
        };
        (plugin, "Honest".into())
    }
}

/// Everything at once, as many at a time as there are threads: nobody is in nobody's way.
#[test]
fn each_is_contained_and_told() {
    let cases = cases();
    assert!(cases.len() >= 40, "{}", cases.len());
    let host = sandbox(None);
    let next = AtomicUsize::new(0);
    let check = |case: &Case| {
        let dir = tempfile::tempdir().unwrap();
        let (plugin, node) = case.plugin.write(dir.path());
        let (refused, told) = match fate(&host, &plugin, &node, &CancelToken::default()) {
            Fate::Refused(told) => (true, told),
            Fate::Failed(told) => (false, told),
            other => return Some(format!("{}: expected `{}`, found {other:?}", case.name, case.expected)),
        };
        let named = told.contains("`evil` 1.2.3")
            || told.contains(&format!("`{}`", plugin.display()))
            || told.contains("(Evil)");
        (refused != case.refused || !told.contains(case.expected) || !named)
            .then(|| format!("{}: expected `{}`, found `{told}`", case.name, case.expected))
    };
    let work = || {
        let mut wrong = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(check(case));
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));

    // And the sandbox that saw all this still does honest work.
    let dir = tempfile::tempdir().unwrap();
    let done = fate(&host, &write(dir.path(), &honest()), "Honest", &CancelToken::default());
    assert!(matches!(done, Fate::Done(dc_graph::api::Value::Integer(7), _)), "{done:?}");
}
