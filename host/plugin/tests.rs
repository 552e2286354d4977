//! Plugins from their folder to their outputs. What hostile ones try is in the integration tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use dc_graph_node_api::{
    Decoders, ElementType, HookStep, Image, Inputs, LogLevel, Mask, NativeObject, NativeValue, Node, NodeError,
    Outputs, Pixels, PortType, Portable, RunContext, StepHookValue, Tensor, Value,
};

use self::guest::{FLOAT32, Guest, Out, UINT8, folder, port};
use super::{Grant, Grants, LoadedPlugin, PluginHost, PluginSettings, WIT, find};
use crate::registry::Registry;

#[allow(missing_docs)]
#[path = "../../tests/plugins/guest.rs"]
mod guest;

/// A run that writes down what it hears.
#[derive(Default)]
struct Run {
    cancelled: AtomicBool,
    heard: Mutex<Vec<String>>,
    /// Cancelled as soon as it hears something.
    impatient: bool,
}

impl Run {
    fn hear(&self, what: String) {
        self.heard.lock().unwrap().push(what);
        if self.impatient {
            self.cancelled.store(true, Ordering::SeqCst);
        }
    }
}

impl RunContext for Run {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
    fn progress(&self, step: u64, total: u64) {
        self.hear(format!("{step}/{total}"));
    }
    fn preview(&self, image: &Image) {
        self.hear(format!("{}x{}", image.width(), image.height()));
    }
    fn log(&self, level: LogLevel, message: &str) {
        self.hear(format!("{level:?} {message}"));
    }
    fn output_dir(&self) -> &Path {
        Path::new("")
    }
    fn digest(&self, _: &Path) -> Result<String, NodeError> {
        Ok(String::new())
    }
    fn provenance(&self) -> String {
        String::new()
    }
}

struct Loaded {
    _dir: tempfile::TempDir,
    plugin: LoadedPlugin,
}

impl Loaded {
    fn new(guest: &Guest, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path(), "test", &guest.node, &guest.component(), more);
        let plugin = host(PluginSettings::default()).load(&folder).unwrap();
        Self { _dir: dir, plugin }
    }

    fn node(&self) -> &Arc<dyn Node> {
        &self.plugin.nodes[0]
    }

    fn run(&self, inputs: &Inputs) -> Result<Outputs, NodeError> {
        self.node().run(inputs, &Run::default())
    }
}

fn host(settings: PluginSettings) -> PluginHost {
    PluginHost::new(settings).unwrap()
}

fn refusal(guest: &Guest) -> String {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path(), "test", &guest.node, &guest.component(), "");
    host(PluginSettings::default()).load(&folder).err().unwrap().to_string()
}

#[test]
fn the_contract_is_frozen() {
    // Graphs and pictures name it: a released contract is never edited. Additions are a new version in a new file.
    let found = blake3::hash(WIT.as_bytes()).to_string();
    assert_eq!(found, "f17fb514a1736c467dc72826f5bfe8e72e2c5d79c39dd84f2e4f3e5ecdf9651a");
}

#[test]
fn values_go_in_and_come_back() {
    struct Thing;
    impl NativeObject for Thing {
        fn type_name(&self) -> &'static str {
            "dc:thing"
        }
        fn summary(&self) -> String {
            "a thing".into()
        }
        fn size_bytes(&self) -> usize {
            0
        }
    }
    let image = Arc::new(Image::new(2, 1, 3, Pixels::F32(vec![0.0, 0.5, 1.0, -1.0, 2.0, 0.25])).unwrap());
    let mask = Arc::new(Mask::new(1, 2, vec![0.0, 1.0]).unwrap());
    let inputs = Inputs::default()
        .with("boolean", true)
        .with("integer", -7)
        .with("number", 0.5)
        .with("text", "grün")
        .with("path", Value::Path("/a".into()))
        .with("image", image.clone())
        .with("mask", mask.clone())
        .with("thing", Value::native(Thing))
        .with("numbers", Value::list(PortType::Number, vec![Value::Number(1.0), Value::Number(2.0)]))
        .with("images", Value::list(PortType::Image, vec![image.clone().into()]))
        .with("things", Value::list(PortType::native("dc:thing"), vec![Value::native(Thing)]));
    let ports: Vec<_> = inputs.iter().map(|(name, value)| (name.to_owned(), value.port_type().to_string())).collect();
    let ports: Vec<_> = ports.iter().map(|(name, ty)| (name.as_str(), ty.as_str())).collect();
    let loaded = Loaded::new(&Guest::echo("Echo", &ports), "");
    let outputs = loaded.run(&inputs).unwrap();
    for (name, value) in inputs.iter() {
        let found = outputs.get(name).unwrap();
        assert_eq!(found.port_type(), value.port_type(), "{name}");
        assert_eq!(format!("{found:?}"), format!("{value:?}"), "{name}");
    }
    let Some(Value::Image(same)) = outputs.get("image") else { panic!("an image") };
    assert!(Arc::ptr_eq(same, &image), "handed on without a copy");
    let Some(Value::Mask(same)) = outputs.get("mask") else { panic!("a mask") };
    assert!(Arc::ptr_eq(same, &mask));
}

#[test]
fn pixels_are_computed_by_the_plugin() {
    let samples: Vec<u8> = (0..=255).cycle().take(64 * 48 * 4).collect();
    let inverted: Vec<u8> = samples.iter().map(|s| 255 - s).collect();
    let bytes = Loaded::new(&Guest::invert("Invert", UINT8), "");
    let image = |samples| Image::new(64, 48, 4, Pixels::U8(samples)).unwrap();
    let outputs = bytes.run(&Inputs::default().with("image", image(samples.clone()))).unwrap();
    let Some(Value::Image(found)) = outputs.get("image") else { panic!("an image") };
    assert_eq!(**found, image(inverted));

    let floats = Loaded::new(&Guest::invert("Invert", FLOAT32), "");
    let image = |samples: Vec<f32>| Image::new(2, 2, 1, Pixels::F32(samples)).unwrap();
    let outputs = floats.run(&Inputs::default().with("image", image(vec![0.0, 0.25, 1.0, 3.0]))).unwrap();
    let Some(Value::Image(found)) = outputs.get("image") else { panic!("an image") };
    assert_eq!(**found, image(vec![1.0, 0.75, 0.0, -2.0]));
}

#[test]
fn bad_values_are_refused_with_the_plugins_name() {
    let check = |ty: &str, value: Out, expected: &str| {
        let loaded = Loaded::new(&Guest::new("Bad").gives("out", ty, value), "");
        let error = loaded.run(&Inputs::default()).unwrap_err().to_string();
        assert!(error.starts_with("plugin `test` 1.2.3 "), "{error}");
        assert!(error.contains(expected), "{error:?} should contain {expected:?}");
    };
    let image =
        |width, height, channels, elements, bytes: usize| Out::Image(width, height, channels, elements, vec![0; bytes]);
    check("core:image", image(2, 2, 3, UINT8, 11), "needs 12 samples, found 11");
    check("core:image", image(2, 2, 2, UINT8, 8), "channels 1, 3 or 4");
    check("core:image", image(0, 2, 3, UINT8, 0), "sides must be at least 1");
    check("core:image", image(65536, 65536, 4, UINT8, 0), "needs 17179869184 samples, found 0");
    check("core:image", image(1, 1, 1, FLOAT32, 3), "not a multiple of 4");
    check("core:image", image(1, 1, 1, 3, 1), "`uint8` or `float32`");
    check("core:image", image(1, 1, 1, 77, 1), "broke the contract");
    let nan = f32::NAN.to_le_bytes().to_vec();
    check("core:image", Out::Image(1, 1, 1, FLOAT32, nan.clone()), "NaN at element 0");
    check("core:mask", Out::Mask(1, 1, nan), "a mask is NaN");
    check("core:mask", Out::Mask(2, 1, vec![0; 4]), "a mask of 2x1 needs 2 values");
    check("core:number", Out::Number(f64::INFINITY), "expected a finite number, found inf");
    check("core:list<core:number>", Out::Numbers(vec![1.0, f64::NAN]), "expected a finite number");
    check("core:text", Out::Text(vec![0xff, 0xfe]), "invalid utf-8");
    check("core:text", Out::Raw(99, [0; 24]), "broke the contract");
    check("core:tensor", Out::Tensor(vec![3], FLOAT32, vec![0; 8]), "needs 12 bytes, found 8");
    check("core:tensor", Out::Tensor(vec![u32::MAX; 4], FLOAT32, vec![0; 8]), "more bytes than there can be");
    check("core:tensor", Out::Tensor(vec![1], 0, vec![2]), "other bytes than 0 and 1");
    check("core:text", Out::Raw(8, [200; 24]), "broke the contract");
}

#[test]
fn a_trap_tells_where_it_was() {
    let mut guest = Guest::new("Trap").run("(call $deep)");
    guest.items = "(func $deep (call $deeper)) (func $deeper unreachable)".into();
    let error = Loaded::new(&guest, "").run(&Inputs::default()).unwrap_err().to_string();
    assert!(error.starts_with("plugin `test` 1.2.3 trapped: wasm `unreachable` instruction executed\n"), "{error}");
    let places = ["in deeper (0x", "in deep (0x", "in run (0x"].map(|name| error.find(name).expect(name));
    assert!(places.is_sorted(), "{error}");
}

#[test]
fn failures_of_nodes_name_their_input() {
    let body = |input: &str| {
        format!(
            "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 900)) (i32.store (i32.const 24)
             (i32.const 8)) {input} (i32.store8 (i32.const 40) (i32.const 0)) (return (i32.const 16))"
        )
    };
    let blame = "(i32.store8 (i32.const 28) (i32.const 1)) (i32.store (i32.const 32) (i32.const 900))
                 (i32.store (i32.const 36) (i32.const 1))";
    for (input, expected) in [("", "plugin `test` 1.2.3: a is bad"), (blame, "`a`: a is bad (plugin `test` 1.2.3)")] {
        let mut guest = Guest::new("Fail").input(port("a", "core:integer")).run(&body(input));
        guest.items = "(data (i32.const 900) \"a is bad\")".into();
        let error = Loaded::new(&guest, "").run(&Inputs::default().with("a", 1)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn what_is_stuck_is_stopped() {
    let endless = Guest::new("Endless").run("(loop $for_ever (br $for_ever))");
    let loaded = Loaded::new(&endless, "---\n[limits]\nseconds = 1");
    let error = loaded.run(&Inputs::default()).unwrap_err();
    assert!(error.to_string().contains("took longer than 1 seconds and was stopped"), "{error}");
    assert!(error.hint().unwrap().contains("raise `seconds`"));

    // Cancelled from outside, at once: by what the guest itself tells, so that no clock is needed.
    let log = "(import \"dc-graph:node/host@0.1.0\" \"progress\" (func $progress (param i32 i32)))";
    let talk =
        endless.clone().import(log).run("(call $progress (i32.const 1) (i32.const 2)) (loop $for_ever (br $for_ever))");
    let run = Run { impatient: true, ..Run::default() };
    let error = Loaded::new(&talk, "").node().run(&Inputs::default(), &run).unwrap_err();
    assert!(matches!(error, NodeError::Cancelled), "{error}");
    assert_eq!(*run.heard.lock().unwrap(), ["1/2"]);
}

#[test]
fn logs_progress_and_previews_are_told() {
    let mut guest = Guest::new("Tell").import(guest::BUFFER_IMPORTS).import(
        "(import \"dc-graph:node/host@0.1.0\" \"log\" (func $log (param i32 i32 i32)))
         (import \"dc-graph:node/host@0.1.0\" \"progress\" (func $progress (param i32 i32)))
         (import \"dc-graph:node/host@0.1.0\" \"preview\" (func $preview (param i32 i32 i32 i32 i32)))",
    );
    guest.items = "(data (i32.const 900) \"hi\")".into();
    guest.before_run = format!(
        "(call $log (i32.const 1) (i32.const 900) (i32.const 2))
         (call $progress (i32.const 1) (i32.const 2))
         (call $preview (i32.const 2) (i32.const 1) (i32.const 1) (i32.const {UINT8})
           (call $from_bytes (i32.const 900) (i32.const 2)))"
    );
    let run = Run::default();
    Loaded::new(&guest, "").node().run(&Inputs::default(), &run).unwrap();
    assert_eq!(*run.heard.lock().unwrap(), ["Warning hi", "1/2", "2x1"]);
}

/// More stack than usual, for who asks for it.
#[test]
fn the_stack_is_as_deep_as_asked_for() {
    let mut guest = Guest::new("Deep").run("(drop (call $deep (i32.const 100000)))");
    guest.items = "(func $deep (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))"
        .into();
    let error = Loaded::new(&guest, "").run(&Inputs::default()).unwrap_err();
    assert!(error.to_string().contains("trapped: call stack exhausted"), "{error}");
    assert!(error.hint().unwrap().contains("raise `stack-kib`"));
    let deep = Loaded::new(&guest, "---\n[limits]\nstack-kib = 16000");
    deep.run(&Inputs::default()).unwrap();
    let deeper = guest.run("(drop (call $deep (i32.const 100000000)))");
    let error = Loaded::new(&deeper, "---\n[limits]\nstack-kib = 16000").run(&Inputs::default()).unwrap_err();
    assert!(error.to_string().contains("trapped: call stack exhausted"), "{error}");
}

/// Versions of one series differ in what was added: names are looked up by the series. What a manifest says to need is
/// believed, so that what is not there yet is told before anything is compiled.
#[test]
fn versions_of_a_series_fit() {
    let guest = Guest::echo("Echo", &[("image", "core:image")]).import(guest::BUFFER_IMPORTS);
    let later = |text: &str| text.replace("@0.1.0", "@0.1.7");
    let module = wat::parse_str(later(&guest.text())).unwrap();
    let component = guest::component_of(&guest::described(module, "plugin", &later(WIT)));
    let dir = tempfile::tempdir().unwrap();
    let plugin = folder(dir.path(), "test", "Echo", &component, "");
    let loaded = host(PluginSettings::default()).load(&plugin).unwrap();
    let image = Image::new(1, 1, 1, Pixels::U8(vec![7])).unwrap();
    let outputs = loaded.nodes[0].run(&Inputs::default().with("image", image), &Run::default()).unwrap();
    assert!(matches!(outputs.get("image"), Some(Value::Image(_))));
    let manifest = std::fs::read_to_string(plugin.join("plugin.toml")).unwrap();
    for (said, fits) in [("0.1.0", true), ("0.1.1", false), ("0.0.9", false), ("0.2.0", false), ("1.1.0", false)] {
        let text = manifest.replace("wit = \"0.1.0\"", &format!("wit = \"{said}\""));
        std::fs::write(plugin.join("plugin.toml"), text).unwrap();
        assert_eq!(host(PluginSettings::default()).load(&plugin).is_ok(), fits, "{said}");
    }
}

#[test]
fn random_numbers_follow_the_seed() {
    let import = "(import \"dc-graph:node/random@0.1.0\" \"next\" (func $next (result i64)))";
    let mut guest = Guest::new("Random").input(port("seed", "core:integer")).import(import);
    guest = guest.output("out", "core:integer");
    guest.items = "(global $drawn (mut i64) (i64.const 0))".into();
    guest.before_run = "(global.set $drawn (call $next))
        (i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 40)) (i32.store (i32.const 24) (i32.const 1))
        (i32.store (i32.const 40) (i32.const 900)) (i32.store (i32.const 44) (i32.const 3)) (i32.store8 (i32.const 48) (i32.const 1))
        (i64.store (i32.const 56) (global.get $drawn)) (return (i32.const 16))"
        .into();
    guest.items += "(data (i32.const 900) \"out\")";
    let loaded = Loaded::new(&guest, "");
    let draw = |seed: i64| format!("{:?}", loaded.run(&Inputs::default().with("seed", seed)).unwrap().get("out"));
    assert_eq!(draw(1), draw(1), "and nothing is left of the first call");
    assert_ne!(draw(1), draw(2));
    let expected = super::random::Random::new(1).next().cast_signed();
    assert_eq!(draw(1), format!("{:?}", Some(Value::Integer(expected))));
}

#[test]
fn lying_specs() {
    let check = |change: fn(&mut Guest), expected: &str| {
        let mut guest = Guest::echo("Lie", &[("a", "core:integer")]);
        change(&mut guest);
        let error = refusal(&guest);
        assert!(error.starts_with("plugin `test` 1.2.3: ") && error.contains(expected), "{error}");
    };
    check(|g| g.inputs[0].ty = "core:colour".into(), "there is no port type `core:colour`");
    check(|g| g.inputs[0].range = [Some(2.0), Some(1.0)], "its minimum 2 is above its maximum 1");
    check(|g| g.inputs[0].default = Some(Out::Integer(2)), "it is required and has a default");
    check(|g| g.description = "a\nb".into(), "control characters");
    check(|g| g.outputs[0].1 = "dc:step-hook".into(), "does not export `step-hooks`");
    check(|g| g.before_describe = "unreachable".into(), "it cannot describe its nodes: it trapped");
}

#[test]
fn plugins_join_the_registry_or_stay_out_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let component = Guest::new("Mine").component();
    folder(root, "a-good", "Mine", &component, "");
    folder(root, "b-same-node", "Mine", &component, "");
    folder(root, "c-other-node", "Yours", &component, "");
    folder(root, "d-tampered", "Mine", &component, "");
    std::fs::write(root.join("d-tampered/plugin.wasm"), Guest::new("Other").component()).unwrap();
    let manifest =
        std::fs::read_to_string(folder(root, "e-future", "Mine", &component, "").join("plugin.toml")).unwrap();
    std::fs::write(root.join("e-future/plugin.toml"), manifest.replace("wit = \"0.1.0\"", "wit = \"0.2.0\"")).unwrap();
    folder(root, "f-greedy", "Mine", &component, "---\n[limits]\nmemory-mib = 100000");
    folder(root, "g-module", "Mine", b"\0asm\x01\0\0\0", "");
    folder(root, "h-text", "Mine", b"(component)", "");
    folder(root, "i-empty", "Mine", b"", "");
    folder(root, "j-other", "Other", &Guest::new("Other").component(), "");
    std::fs::create_dir(root.join("no plugin")).unwrap();
    let folders = find(&[root.into(), root.join("a-good"), root.join("missing")]);
    assert_eq!(folders.len(), 10, "each once");
    let mut registry = Registry::default();
    let (plugins, problems) = host(PluginSettings::default()).add_all(&folders, &mut registry);
    let ids: Vec<_> = plugins.iter().map(|plugin| plugin.manifest.plugin.id.as_str()).collect();
    assert_eq!(ids, ["a-good", "j-other"]);
    let names: Vec<_> = registry.iter().map(|node| node.spec().type_name.clone()).collect();
    assert_eq!(names, ["Mine", "Other"]);
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    for (found, expected) in problems.iter().zip([
        "plugin `b-same-node` 1.2.3: its node `Mine` is there already: plugin `a-good` brings it",
        "plugin `c-other-node` 1.2.3: the manifest and the nodes disagree: node `Yours` is named but not there",
        "plugin `d-tampered` 1.2.3: ",
        "plugin `e-future` 1.2.3: it was made for version 0.2.0 of `dc-graph:node`, this program knows 0.1.0",
        "plugin `f-greedy` 1.2.3: it asks for `memory-mib` = 100000, at most 4096 is allowed",
        "plugin `g-module` 1.2.3: its file is a core module, not a component",
        "plugin `h-text` 1.2.3: its file is not WebAssembly",
        "plugin `i-empty` 1.2.3: its file is not WebAssembly",
    ]) {
        assert!(found.starts_with(expected), "{found:?} should begin with {expected:?}");
    }
    assert_eq!(problems.len(), 8);
    assert!(problems[2].contains("has the blake3 "), "{}", problems[2]);
}

#[test]
fn compiled_plugins_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = folder(dir.path(), "test", "Echo", &Guest::echo("Echo", &[("a", "core:text")]).component(), "");
    let cache = dir.path().join("compiled");
    let settings =
        PluginSettings { compiled: Some((cache.clone(), dir.path().join("secret"))), ..PluginSettings::default() };
    let files = || -> Vec<PathBuf> { std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let run = || {
        let plugin = host(settings.clone()).load(&plugin).unwrap();
        let outputs = plugin.nodes[0].run(&Inputs::default().with("a", "b"), &Run::default()).unwrap();
        assert_eq!(format!("{:?}", outputs.get("a")), "Some(Text(\"b\"))");
    };
    run();
    let first = files();
    assert_eq!(first.len(), 1);
    let written = std::fs::read(&first[0]).unwrap();
    run();
    let mut tampered = written.clone();
    let middle = tampered.len() / 2;
    tampered[middle] ^= 0xff;
    std::fs::write(&first[0], &tampered).unwrap();
    run();
    assert_ne!(std::fs::read(&first[0]).unwrap(), tampered, "compiled again");
    assert_eq!(files().len(), 1);
}

#[test]
fn grants_are_needed_and_change_keys() {
    let dir = tempfile::tempdir().unwrap();
    let component = Guest::clock("Clock").component();
    let digest = blake3::hash(&component).to_string();
    let asks = "capabilities = { clock = \"tells the time\" }";
    let plugin = folder(dir.path(), "test", "Clock", &component, asks);
    let load = |grants| host(PluginSettings { grants, ..PluginSettings::default() }).load(&plugin).unwrap();
    let failed = |plugin: &LoadedPlugin| {
        let outputs = plugin.nodes[0].run(&Inputs::default(), &Run::default()).unwrap();
        matches!(outputs.get("failed"), Some(Value::Boolean(true)))
    };
    let without = load(Grants::default());
    assert!(failed(&without));
    assert!(without.nodes[0].spec().deterministic);
    let mut grants = Grants::default();
    grants.set(&digest, Grant { plugin: "test".into(), clock: true, ..Grant::default() });
    let with = load(grants);
    assert!(!failed(&with));
    assert!(!with.nodes[0].spec().deterministic, "the clock tells another time each time");
    let salt = with.nodes[0].key_salt();
    assert!(salt.contains(&digest) && salt.contains(&blake3::hash(WIT.as_bytes()).to_string()), "{salt}");
    assert_eq!(with.nodes[0].origin().unwrap().blake3, digest);
}

#[test]
fn step_hooks() {
    let mut guest = Guest::new("Hook").input(port("amount", "core:number")).output("hook", "dc:step-hook");
    guest.imports = guest::BUFFER_IMPORTS.into();
    // Adds the step's number to every latent.
    guest.step = Some(
        "(call $read_all (local.get $data) (i32.const 32))
         (local.set $p (i32.load (i32.const 32))) (local.set $i (local.get $p))
         (local.set $n (i32.add (local.get $p) (i32.load (i32.const 36))))
         (block $done (loop $more (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
           (f32.store (local.get $i) (f32.add (f32.load (local.get $i)) (f32.convert_i32_u (local.get $step))))
           (local.set $i (i32.add (local.get $i) (i32.const 4))) (br $more)))
         (call $drop_buffer (local.get $data))
         (i32.store8 (i32.const 64) (i32.const 0)) (i32.store (i32.const 68) (local.get $shape))
         (i32.store (i32.const 72) (local.get $shape_len)) (i32.store8 (i32.const 76) (local.get $elements))
         (i32.store (i32.const 80) (call $from_bytes (local.get $p) (i32.load (i32.const 36))))
         (i32.const 64)"
            .into(),
    );
    let loaded = Loaded::new(&guest, "");
    let outputs = loaded.run(&Inputs::default().with("amount", 0.5)).unwrap();
    let Some(Value::Native(hook)) = outputs.get("hook") else { panic!("a hook") };
    let hook = hook.downcast::<StepHookValue>().unwrap();
    assert_eq!(hook.summary(), "Hook of plugin `test` 1.2.3");
    let step = HookStep { step: 2, total: 4, timestep: 500.0, sigma: 3.0, sigma_next: 1.0 };
    let latents = hook.hook().step(&step, [1, 1, 1, 3], vec![0.0, 1.0, -1.0], &Run::default()).unwrap();
    assert_eq!(latents, [2.0, 3.0, 1.0]);
}

/// Latents as a plugin sees them.
struct Numbers(Tensor);

impl NativeObject for Numbers {
    fn type_name(&self) -> &'static str {
        "dc:numbers"
    }
    fn summary(&self) -> String {
        "numbers".into()
    }
    fn size_bytes(&self) -> usize {
        0
    }
    fn portable(&self) -> Result<Option<Portable>, NodeError> {
        Ok(Some(Portable::new("dc:numbers").tensor("numbers", self.0.clone())))
    }
}

fn together(portable: &Portable) -> Result<NativeValue, NodeError> {
    Ok(NativeValue::new(Numbers(portable.get_tensor("numbers")?.clone())))
}

#[test]
fn opaque_values_are_changed_as_tensors() {
    let guest = Guest::change("Change", "dc:numbers");
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path(), "test", "Change", &guest.component(), "");
    let mut decoders = Decoders::default();
    decoders.add("dc:numbers", together);
    let plugin = host(PluginSettings { decoders, ..PluginSettings::default() }).load(&folder).unwrap();
    let numbers = |values: [f32; 2]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor::new(vec![2], ElementType::F32, bytes).unwrap()
    };
    let before = numbers([1.0, 2.0]);
    let inputs = Inputs::default().with("in", Value::native(Numbers(before.clone())));
    let outputs = plugin.nodes[0].run(&inputs, &Run::default()).unwrap();
    let Some(Value::Native(after)) = outputs.get("in") else { panic!("numbers") };
    assert_eq!(after.downcast::<Numbers>().unwrap().0, numbers([1.0, 5.0]));
    assert_eq!(before, numbers([1.0, 2.0]), "what other nodes see stays");
}
