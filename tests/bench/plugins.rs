//! What the sandbox costs: `cargo bench --bench plugins`. `results/plugins.md` holds what came of it.
//!
//! Each line holds the medians of several ways to do one thing, measured by turns in one run, and how they compare. The node
//! turns a picture into its negative: once natively, once as a component with SIMD; the floor is copying the same bytes in
//! and out.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dc_graph::api::{Image, Inputs, LogLevel, Node, NodeError, NodeSpec, Outputs, Pixels, PortType, RunContext, Value};
use dc_graph::exec::{CancelToken, Digests, RunOptions, execute, plan};
use dc_graph::graph::{Document, Settings, validate};
use dc_graph::plugin::{PluginHost, PluginSettings};
use dc_graph::registry::Registry;

use guest::{FLOAT32, Guest, Out, UINT8};

#[path = "../plugins/guest.rs"]
mod guest;

/// That of the program.
#[cfg(feature = "cli")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A run that nobody listens to.
struct Quiet;

impl RunContext for Quiet {
    fn is_cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: u64, _: u64) {}
    fn preview(&self, _: &Image) {}
    fn log(&self, _: LogLevel, _: &str) {}
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

/// The same node without a sandbox.
struct Invert(NodeSpec);

impl Node for Invert {
    fn spec(&self) -> &NodeSpec {
        &self.0
    }
    fn run(&self, inputs: &Inputs, _: &dyn RunContext) -> Result<Outputs, NodeError> {
        let image = inputs.image("image")?;
        let pixels = match image.pixels() {
            Pixels::U8(samples) => Pixels::U8(samples.iter().map(|s| 255 - s).collect()),
            Pixels::F32(samples) => Pixels::F32(samples.iter().map(|s| 1.0 - s).collect()),
        };
        Ok(Outputs::one("image", Image::new(image.width(), image.height(), image.channels(), pixels)?))
    }
}

/// A piece of work and its name.
type Way<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Prints the median of each way in microseconds, and its ratio to the first.
fn compare(title: &str, repeats: usize, mut ways: Vec<Way<'_>>) {
    let mut times = vec![Vec::with_capacity(repeats); ways.len()];
    for turn in 0..=repeats {
        for ((_, work), times) in ways.iter_mut().zip(&mut times) {
            let began = Instant::now();
            work();
            // The first turn warms up.
            if turn > 0 {
                times.push(began.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
    let medians: Vec<f64> = times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect();
    println!("{title}");
    for ((name, _), median) in ways.iter().zip(&medians) {
        println!("  {name:<36}{median:>12.1} µs{:>10.2} x", median / medians[0]);
    }
}

fn load(host: &PluginHost, root: &Path, guest: &Guest) -> Arc<dyn Node> {
    let folder = guest::folder(root, "bench", &guest.node, &guest.component(), "");
    host.load(&folder).expect("an honest plugin").nodes[0].clone()
}

fn run(node: &Arc<dyn Node>, inputs: &Inputs) {
    black_box(node.run(inputs, &Quiet).expect("an honest node"));
}

fn images(host: &PluginHost, unstoppable: &PluginHost, root: &Path) {
    let invert: Arc<dyn Node> =
        Arc::new(Invert(NodeSpec::new("Invert", "bench", "Inverts.").output("image", PortType::Image, "It.")));
    for (title, elements, image) in [
        ("512x512x3 f32 (3 MiB)", FLOAT32, Image::new(512, 512, 3, Pixels::F32(vec![0.25; 512 * 512 * 3]))),
        ("1024x1024x4 u8 (4 MiB)", UINT8, Image::new(1024, 1024, 4, Pixels::U8(vec![7; 1024 * 1024 * 4]))),
        ("2048x2048x4 f32 (64 MiB)", FLOAT32, Image::new(2048, 2048, 4, Pixels::F32(vec![0.25; 2048 * 2048 * 4]))),
    ] {
        let image = Arc::new(image.expect("an image"));
        let bytes = vec![1_u8; image.size_bytes()];
        let inputs = Inputs::default().with("image", image);
        let sandboxed = load(host, root, &Guest::invert("Invert", elements));
        let unchecked = load(unstoppable, root, &Guest::invert("Invert", elements));
        let handed_on = load(host, root, &Guest::echo("Echo", &[("image", "core:image")]));
        compare(
            title,
            if bytes.len() > 16 << 20 { 11 } else { 101 },
            vec![
                (
                    "copied in and out (memcpy twice)",
                    Box::new(|| {
                        black_box(black_box(black_box(&bytes).clone()).clone());
                    }),
                ),
                ("native", Box::new(|| run(&invert, &inputs))),
                ("component", Box::new(|| run(&sandboxed, &inputs))),
                ("component, never interrupted", Box::new(|| run(&unchecked, &inputs))),
                ("component that hands it on", Box::new(|| run(&handed_on, &inputs))),
            ],
        );
    }
}

/// A graph of five nodes in a row, run as the program runs it.
fn graph(host: &PluginHost, root: &Path) -> impl FnMut() {
    let inverts = Guest::invert("Invert", FLOAT32);
    // A picture to begin with, made by the plugin itself.
    let size = [512_u32, 512, 3];
    let pixels = 0.25_f32.to_le_bytes().repeat(size.iter().product::<u32>() as usize);
    let start =
        Guest::new("Start").gives("image", "core:image", Out::Image(size[0], size[1], size[2], FLOAT32, pixels));
    let folders = [("start", &start), ("bench", &inverts)]
        .map(|(id, guest)| guest::folder(root, id, &guest.node, &guest.component(), ""));
    let mut registry = Registry::default();
    let (_, problems) = host.add_all(&folders, &mut registry);
    assert!(problems.is_empty(), "{problems:?}");
    let node = |n: usize| {
        let from = if n == 1 { "start".into() } else { format!("n{}", n - 1) };
        format!(r#""n{n}": {{"type": "Invert", "inputs": {{"image": {{"from": "{from}.image"}}}}}}"#)
    };
    let nodes = (1..=4).map(node).collect::<Vec<_>>().join(", ");
    let text = format!(
        r#"{{"version": 1, "name": "row", "nodes": {{"start": {{"type": "Start"}}, {nodes}}}, "outputs": {{"out": "n4.image"}}}}"#
    );
    let here = std::path::PathBuf::from("/");
    let settings = Settings { folder: here.clone(), current: here.clone(), ..Settings::default() };
    let document = Document::parse(&text).expect("a document");
    let (graph, _) = validate(&document, &registry, &settings).expect("a graph");
    move || {
        let digests = Digests::default();
        let plan = plan(&graph, &digests).expect("a plan");
        let options = RunOptions::new(&here, &here, &digests);
        black_box(execute(&graph, &plan, &options, &CancelToken::default(), &|_| {}).expect("a run"));
    }
}

/// An example plugin as it lies in the repository, and inputs for its node.
fn examples(host: &PluginHost, unpooled: &PluginHost) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugins");
    let image = || Arc::new(Image::new(8, 8, 3, Pixels::U8(vec![7; 192])).expect("an image"));
    let grain = Inputs::default()
        .with("image", image())
        .with("amount", 0.1)
        .with("size", 1.0)
        .with("monochrome", true)
        .with("seed", 1_i64);
    let words = Inputs::default().with("template", "{a|b}").with("lists", "").with("seed", 1_i64);
    for (title, folder, inputs) in [
        ("Film Grain (Rust, 98 kB) on 8x8 pixels", "film", grain),
        ("Prompt Wildcards (JavaScript, 1.7 MB) on 5 letters", "prompt-wildcards", words),
    ] {
        let node = |host: &PluginHost| host.load(&examples.join(folder)).expect("an example").nodes[0].clone();
        let (pooled, alone) = (node(host), node(unpooled));
        compare(
            title,
            201,
            vec![
                ("in a place of the pool", Box::new(|| run(&pooled, &inputs))),
                ("in memory of its own", Box::new(|| run(&alone, &inputs))),
            ],
        );
    }
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path();
    let kept =
        PluginSettings { compiled: Some((root.join("compiled"), root.join("secret"))), ..PluginSettings::default() };
    let host = PluginHost::new(PluginSettings::default()).expect("a sandbox");
    let unstoppable = PluginHost::new(PluginSettings { interruptible: false, ..PluginSettings::default() });
    let unstoppable = unstoppable.expect("a sandbox");
    let unpooled = PluginHost::new(PluginSettings { pooled: false, ..PluginSettings::default() }).expect("a sandbox");

    let empty = load(&host, root, &Guest::new("Empty"));
    let alone = load(&unpooled, root, &Guest::new("Empty"));
    let nothing = Inputs::default();
    let number = load(&host, root, &Guest::echo("Echo", &[("a", "core:number")]));
    let one = Inputs::default().with("a", 1.0);
    compare(
        "calls",
        2001,
        vec![
            ("empty call, a fresh instance each", Box::new(|| run(&empty, &nothing))),
            ("the same, in memory of its own", Box::new(|| run(&alone, &nothing))),
            (
                "a number in and out",
                Box::new(|| {
                    let outputs = number.run(&one, &Quiet).expect("an honest node");
                    assert!(matches!(outputs.get("a"), Some(Value::Number(_))));
                }),
            ),
        ],
    );
    examples(&host, &unpooled);
    images(&host, &unstoppable, root);
    compare(
        "a graph of 5 plugin nodes in a row, 512x512x3 f32",
        51,
        vec![
            ("never interrupted", Box::new(graph(&unstoppable, &root.join("unstoppable")))),
            ("with interruption checks", Box::new(graph(&host, &root.join("stoppable")))),
        ],
    );

    // What a component of a real language weighs: an honest guest with thousands of functions.
    let mut large = Guest::echo("Large", &[("a", "core:number")]);
    for n in 0..5000 {
        large.items += &format!("(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {n})))");
    }
    let component = large.component();
    let size = component.len() >> 10;
    let folder = guest::folder(root, "large", "Large", &component, "");
    let cached = PluginHost::new(kept).expect("a sandbox");
    cached.load(&folder).expect("an honest plugin");
    compare(
        &format!("loading {size} KiB with 5,000 functions: read, compile, describe twice, check"),
        11,
        vec![
            (
                "compiled before, sealed",
                Box::new(|| {
                    black_box(cached.load(&folder).expect("an honest plugin"));
                }),
            ),
            (
                "compiled anew",
                Box::new(|| {
                    black_box(host.load(&folder).expect("an honest plugin"));
                }),
            ),
        ],
    );
}
