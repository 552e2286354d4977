//! What an edit of the main job's graph runs again: the table `edits.json`, asserted on events.
//!
//! Each edit is made to the same base, beside a store that knows the base alone. `runs` are the nodes whose outputs the
//! edit may change; `loads` those that only load models for them, which no store keeps.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use dc_graph::exec::{Cache, CancelToken, Event, RunOptions, execute, plan};
use dc_graph::graph::{Document, Overrides, Settings, validate};
use dc_graph::registry::Registry;
use dc_graph::store::Store;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::program::{Place, repository};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    edit: String,
    /// Values of the graph's inputs.
    #[serde(default)]
    set: Map<String, Value>,
    /// What stands at a pointer into the document from now on; `null` takes it away.
    #[serde(default)]
    put: Map<String, Value>,
    #[serde(default)]
    rename: Option<[String; 2]>,
    /// A node that moves to the end of the document.
    #[serde(default)]
    r#move: Option<String>,
    /// Something that changes outside of the graph.
    #[serde(default)]
    world: Option<String>,
    runs: BTreeSet<String>,
    #[serde(default)]
    loads: BTreeSet<String>,
}

/// A folder with the graph, its reference, a store and an output folder.
struct Bench {
    place: Place,
    registry: Registry,
    base: Value,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new();
        let text = fs::read_to_string(repository().join("graphs/personalize.json")).unwrap();
        place.write("reference.png", fs::read(repository().join("graphs/reference.png")).unwrap());
        let mut base: Value = serde_json::from_str(&text).unwrap();
        let numbers = [("num_inference_steps", json!(2)), ("num_images", json!(1)), ("guidance_scale", json!(7.5))];
        let tiny = ["model", "adapters"].map(|input| (input, json!("random:sd15-tiny")));
        let texts = [("reference", json!("reference.png")), ("prompt", json!("a duck on the beach"))];
        for (input, value) in numbers.into_iter().chain(tiny).chain(texts) {
            base["inputs"][input]["default"] = value;
        }
        let settings = dc_graph_nodes::Settings { device: "cpu".into(), dtype: "f32".into() };
        let mut registry = Registry::default();
        dc_graph_nodes::nodes(&settings).into_iter().for_each(|node| registry.add(node).unwrap());
        dc_graph_nodes::decoders().into_iter().for_each(|(name, decode)| registry.add_decoder(name, decode));
        Self { place, registry, base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Runs a document; the nodes that ran.
    fn run(&self, document: &Value, set: &Map<String, Value>, output: &str, cache: Option<&Cache>) -> BTreeSet<String> {
        let store = Store::open(&self.path("store"), None, self.registry.decoders().clone()).unwrap();
        let mut overrides = Overrides::default();
        set.iter().for_each(|(name, value)| overrides.set_json(name, value.clone()));
        let settings = Settings { overrides, folder: self.path(""), current: self.path("") };
        let document = Document::parse(&document.to_string()).unwrap();
        let (graph, _) = validate(&document, &self.registry, &settings).unwrap_or_else(|e| panic!("{e:?}"));
        let digests = store.digests();
        let plan = plan(&graph, &digests).unwrap();
        let mut options = RunOptions::new(&self.path(output), &self.path(""), &digests);
        (options.store, options.cache) = (Some(&store), cache);
        let ran = Mutex::new(BTreeSet::new());
        let listener = |event: Event| {
            if let Event::Started { node, .. } = event {
                ran.lock().unwrap().insert(node.to_string());
            }
        };
        execute(&graph, &plan, &options, &CancelToken::default(), &listener).unwrap();
        assert_eq!(store.take_warnings(), [""; 0]);
        ran.into_inner().unwrap()
    }

    /// Changes something outside of the graph; the output folder from now on.
    fn change(&self, world: &str, set: &mut Map<String, Value>) -> &'static str {
        let reference = self.path("reference.png");
        let picture = self.path("output/personalize-00.png");
        match world {
            "another output folder" => return "elsewhere",
            "a picture deleted" => fs::remove_file(picture).unwrap(),
            "a picture painted over" => fs::write(picture, "paint").unwrap(),
            "the reference touched" => {
                let file = fs::File::options().write(true).open(reference).unwrap();
                file.set_modified(std::time::SystemTime::now()).unwrap();
            }
            "the reference renamed" => {
                fs::rename(reference, self.path("duck.png")).unwrap();
                set.insert("reference".into(), "duck.png".into());
            }
            "the reference recompressed" => repaint(&reference, |_| {}),
            "the reference repainted" => {
                repaint(&reference, |samples| samples.iter_mut().for_each(|s| *s = s.saturating_add(20)))
            }
            other => panic!("`{other}` is no change of the world"),
        }
        "output"
    }
}

/// Writes a PNG file anew, without compression.
fn repaint(path: &Path, paint: impl Fn(&mut [u8])) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(fs::read(path).unwrap())).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut samples).unwrap();
    paint(&mut samples);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, info.width, info.height);
    encoder.set_color(info.color_type);
    encoder.set_depth(info.bit_depth);
    encoder.set_compression(png::Compression::NoCompression);
    encoder.write_header().unwrap().write_image_data(&samples).unwrap();
    assert_ne!(bytes, fs::read(path).unwrap());
    fs::write(path, bytes).unwrap();
}

fn put(document: &mut Value, pointer: &str, value: &Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value {
        Value::Null => drop(parent.shift_remove(name)),
        value => drop(parent.insert(name.into(), value.clone())),
    }
}

fn edited(base: &Value, edit: &Edit) -> Value {
    let mut document = base.clone();
    edit.put.iter().for_each(|(pointer, value)| put(&mut document, pointer, value));
    if let Some(node) = &edit.r#move {
        let nodes = document["nodes"].as_object_mut().unwrap();
        let moved = nodes.shift_remove(node).unwrap();
        nodes.insert(node.clone(), moved);
    }
    if let Some([from, to]) = &edit.rename {
        let text = document.to_string();
        let renamed = text.replace(&format!("\"{from}\":{{\"type\""), &format!("\"{to}\":{{\"type\""));
        document = serde_json::from_str(&renamed.replace(&format!("\"{from}."), &format!("\"{to}."))).unwrap();
        assert_ne!(document, *base);
    }
    document
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(|_| ()).unwrap() }
    }
}

#[test]
fn each_edit_runs_what_it_must_and_nothing_else() {
    let edits: Vec<Edit> = serde_json::from_str(include_str!("edits.json")).unwrap();
    assert!(edits.len() >= 25);
    let bench = Bench::new();
    let (work, kept) = (["store", "output"], "kept");
    bench.run(&bench.base, &Map::new(), "output", None);
    for folder in work {
        copy(&bench.path(folder), &bench.path(&format!("{kept}/{folder}")));
    }
    let reference = fs::read(bench.path("reference.png")).unwrap();
    let mut wrong = Vec::new();
    for edit in &edits {
        for folder in work {
            fs::remove_dir_all(bench.path(folder)).unwrap();
            copy(&bench.path(&format!("{kept}/{folder}")), &bench.path(folder));
        }
        bench.place.write("reference.png", &reference);
        let mut set = edit.set.clone();
        let output = edit.world.as_ref().map_or("output", |world| bench.change(world, &mut set));
        let document = edited(&bench.base, edit);
        let ran = bench.run(&document, &set, output, None);
        let expected: BTreeSet<_> = edit.runs.union(&edit.loads).cloned().collect();
        if ran != expected {
            wrong.push(format!("{}: expected {expected:?}, ran {ran:?}", edit.edit));
        }
        let again = bench.run(&document, &set, output, None);
        if !again.is_empty() {
            wrong.push(format!("{}: the second time ran {again:?}", edit.edit));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Within one process models stay where they are: an edit of the prompt encodes, samples, decodes and saves.
#[test]
fn a_sitting_loads_nothing_twice() {
    let bench = Bench::new();
    let cache = Cache::new(1 << 30);
    bench.run(&bench.base, &Map::new(), "output", Some(&cache));
    for prompt in ["a mug on the moon", "a mug under water"] {
        let set = Map::from_iter([("prompt".to_owned(), Value::from(prompt))]);
        let ran = bench.run(&bench.base, &set, "output", Some(&cache));
        let expected = ["prompt", "sampler", "pictures", "save", "sheet", "save_sheet"];
        assert_eq!(ran, expected.map(str::to_owned).into());
    }
}
