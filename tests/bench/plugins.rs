//! What the sandbox costs: `cargo bench --bench plugins`.
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
use dc_graph::plugin::{PluginHost, PluginSettings};

use guest::{FLOAT32, Guest, UINT8};

#[path = "../plugins/guest.rs"]
mod guest;

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

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path();
    let kept =
        PluginSettings { compiled: Some((root.join("compiled"), root.join("secret"))), ..PluginSettings::default() };
    let host = PluginHost::new(PluginSettings::default()).expect("a sandbox");
    let unstoppable = PluginHost::new(PluginSettings { interruptible: false, ..PluginSettings::default() });
    let unstoppable = unstoppable.expect("a sandbox");

    let empty = load(&host, root, &Guest::new("Empty"));
    let nothing = Inputs::default();
    let number = load(&host, root, &Guest::echo("Echo", &[("a", "core:number")]));
    let one = Inputs::default().with("a", 1.0);
    compare(
        "calls",
        2001,
        vec![
            ("empty call, a fresh instance each", Box::new(|| run(&empty, &nothing))),
            (
                "a number in and out",
                Box::new(|| {
                    let outputs = number.run(&one, &Quiet).expect("an honest node");
                    assert!(matches!(outputs.get("a"), Some(Value::Number(_))));
                }),
            ),
        ],
    );
    images(&host, &unstoppable, root);

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
