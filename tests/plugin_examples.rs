//! The example plugins against what numpy computes: as they lie in the repository, or, with `DC_GRAPH_EXAMPLE_PLUGINS`, in
//! another folder, where somebody built them from their source.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dc_graph::api::step_hook::{HookStep, StepHookValue};
use dc_graph::api::{Image, Inputs, LogLevel, Node, NodeError, Pixels, RunContext, Value};
use dc_graph::plugin::{PluginHost, PluginSettings};
use serde_json::Value as Json;

use crate::program::{Place, repository};

/// A run that nobody listens to.
pub(crate) struct Quiet;

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

/// A folder of the examples: of those in the repository, or of those that were built elsewhere.
fn folder(name: &str) -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugins");
    std::env::var_os("DC_GRAPH_EXAMPLE_PLUGINS").map_or_else(here, PathBuf::from).join(name)
}

fn node(plugin: &str, name: &str) -> Arc<dyn Node> {
    let host = PluginHost::new(PluginSettings::default()).unwrap();
    let plugin = host.load(&folder(plugin)).unwrap_or_else(|error| panic!("{error}"));
    plugin.nodes.into_iter().find(|node| node.spec().type_name == name).unwrap()
}

fn goldens(name: &str) -> Vec<Json> {
    let text = std::fs::read_to_string(folder("goldens/goldens.json")).unwrap();
    let all: Json = serde_json::from_str(&text).unwrap();
    all[name].as_array().unwrap().clone()
}

/// The picture of `make_goldens.py`.
fn picture(width: u32, height: u32, channels: u32, salt: u64) -> Vec<u8> {
    let mut samples = Vec::new();
    for y in 0..u64::from(height) {
        for x in 0..u64::from(width) {
            for c in 0..u64::from(channels) {
                let noise = (x * 7919 + y * 104_729 + c * 1_299_709 + salt * 15_485_863) % 97;
                samples.push(((x * 5 + y * 3 + c * 40 + noise + salt) % 256) as u8);
            }
        }
    }
    samples
}

fn image(width: u32, height: u32, channels: u32, samples: Vec<u8>) -> Image {
    Image::new(width, height, channels as u8, Pixels::U8(samples)).unwrap()
}

fn number(json: &Json) -> f64 {
    json.as_f64().unwrap()
}

fn whole(json: &Json) -> u32 {
    json.as_u64().unwrap() as u32
}

/// Compares with a golden picture: float32 here, float64 there, so a level may round the other way.
#[track_caller]
fn assert_near(found: &Value, golden: &Json) {
    let Value::Image(found) = found else { panic!("{found:?}") };
    let size = [found.width(), found.height(), found.channels().into()];
    assert_eq!(Json::from(size.to_vec()), golden["size"]);
    let hex = golden["hex"].as_str().unwrap();
    let expected = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    let differences: Vec<_> = found.to_u8().iter().zip(expected).map(|(a, b)| a.abs_diff(b)).collect();
    assert!(differences.iter().all(|d| *d <= 1), "{:?}", differences.iter().max());
    let off = differences.iter().filter(|d| **d > 0).count();
    assert!(off * 50 <= differences.len(), "{off} of {}", differences.len());
}

#[test]
fn film_grain() {
    let node = node("film", "Film Grain");
    for golden in goldens("film_grain") {
        let inputs = Inputs::default()
            .with("image", image(13, 9, 3, picture(13, 9, 3, 1)))
            .with("amount", number(&golden["amount"]))
            .with("size", number(&golden["size"]))
            .with("monochrome", golden["monochrome"].as_bool().unwrap())
            .with("seed", golden["seed"].as_i64().unwrap());
        let outputs = node.run(&inputs, &Quiet).unwrap();
        assert_near(outputs.get("image").unwrap(), &golden["image"]);
    }
}

/// At most as many colours as asked for, all of them in the palette; nearer to the picture than evenly spaced greys; what has
/// few colours stays as it is.
#[test]
fn palette_quantise() {
    let node = node("film", "Palette Quantise");
    let samples = picture(40, 30, 3, 2);
    let quantise = |samples: &[u8], colors: i64, dither: bool| {
        let inputs = Inputs::default()
            .with("image", image(40, 30, 3, samples.to_vec()))
            .with("colors", colors)
            .with("dither", dither);
        let outputs = node.run(&inputs, &Quiet).unwrap();
        let Some(Value::Image(image)) = outputs.get("image") else { panic!("an image") };
        let Some(Value::List(_, names)) = outputs.get("palette") else { panic!("a list") };
        let names: Vec<String> = names
            .iter()
            .map(|name| if let Value::Text(name) = name { name.to_string() } else { panic!("a text") })
            .collect();
        (image.to_u8(), names)
    };
    let name = |pixel: &[u8]| format!("#{:02x}{:02x}{:02x}", pixel[0], pixel[1], pixel[2]);
    let mut last = f64::INFINITY;
    for colors in [2, 4, 16, 256] {
        let (plain, palette) = quantise(&samples, colors, false);
        assert!(palette.len() as i64 <= colors && plain.chunks(3).all(|pixel| palette.contains(&name(pixel))));
        let error: f64 = plain.iter().zip(&samples).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        assert!(error < last, "more colours, less error");
        last = error;
        let (dithered, palette) = quantise(&samples, colors, true);
        assert!(dithered.chunks(3).all(|pixel| palette.contains(&name(pixel))));
        let mean = |samples: &[u8]| samples.iter().map(|s| f64::from(*s)).sum::<f64>() / samples.len() as f64;
        assert!((mean(&dithered) - mean(&samples)).abs() < 4.0, "dithering keeps the brightness");
        let (again, _) = quantise(&plain, colors, false);
        assert_eq!(again, plain, "{colors} colours");
    }
}

#[test]
fn seamless_tile() {
    let node = node("seamless-tile", "Seamless Tile");
    for golden in goldens("seamless_tile") {
        let (width, height, channels) =
            (whole(&golden["side"][0]), whole(&golden["side"][1]), whole(&golden["channels"]));
        let inputs = Inputs::default()
            .with("image", image(width, height, channels, picture(width, height, channels, 3)))
            .with("overlap", i64::from(whole(&golden["overlap"])))
            .with("feather", i64::from(whole(&golden["feather"])));
        let outputs = node.run(&inputs, &Quiet).unwrap();
        assert_near(outputs.get("image").unwrap(), &golden["image"]);
    }
    let inputs =
        Inputs::default().with("image", image(8, 8, 1, vec![0; 64])).with("overlap", 5i64).with("feather", 0i64);
    let error = node.run(&inputs, &Quiet).unwrap_err().to_string();
    assert!(error.contains("`overlap`: expected at most half of the shorter side (4 of 8 pixels), found 5"), "{error}");
}

#[test]
fn prompt_wildcards() {
    let node = node("prompt-wildcards", "Prompt Wildcards");
    let fill = |template: &str, lists: &str, seed: i64| {
        let inputs = Inputs::default().with("template", template).with("lists", lists).with("seed", seed);
        node.run(&inputs, &Quiet).map(|outputs| match outputs.get("text") {
            Some(Value::Text(text)) => text.to_string(),
            other => panic!("{other:?}"),
        })
    };
    for golden in goldens("wildcards") {
        let text = |key: &str| golden[key].as_str().unwrap();
        assert_eq!(fill(text("template"), text("lists"), golden["seed"].as_i64().unwrap()).unwrap(), text("text"));
    }
    let nested = fill("{a {red|blue}|b} cat", "", 3).unwrap();
    assert!(["a red cat", "a blue cat", "b cat"].contains(&nested.as_str()), "{nested}");
    for (template, lists, expected) in [
        ("{a|b", "", "`template`: a `{` without `}`: `{a|b`"),
        ("__no__", "yes: a", "`template`: there is no list `no`"),
        ("a", "nonsense", "`lists`: expected `name: word, word`, found `nonsense`"),
    ] {
        let error = fill(template, lists, 0).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn karras_schedule() {
    let node = node("sampling", "Karras Schedule");
    for golden in goldens("karras") {
        let mut inputs = Inputs::default().with("num_inference_steps", i64::from(whole(&golden["steps"])));
        for name in ["sigma_min", "sigma_max", "rho"] {
            inputs.set(name, number(&golden[name]));
        }
        let outputs = node.run(&inputs, &Quiet).unwrap();
        let Some(Value::List(_, sigmas)) = outputs.get("sigmas") else { panic!("a list") };
        let expected = golden["sigmas"].as_array().unwrap();
        assert_eq!(sigmas.len(), expected.len());
        for (found, expected) in sigmas.iter().zip(expected) {
            let Value::Number(found) = found else { panic!("a number") };
            assert!((found - number(expected)).abs() <= 1e-12 * number(expected).max(1.0), "{found} {expected}");
        }
    }
    let inputs = Inputs::default()
        .with("num_inference_steps", 5i64)
        .with("sigma_min", 2.0)
        .with("sigma_max", 1.0)
        .with("rho", 7.0);
    let error = node.run(&inputs, &Quiet).unwrap_err().to_string();
    assert!(error.contains("`sigma_min`: expected less than `sigma_max` (1), found 2"), "{error}");
}

#[test]
fn sharpen_latents() {
    let node = node("sampling", "Sharpen Latents");
    let latents: Vec<f32> = (0..240).map(|i| ((i * 37 % 101) as f32) / 25.0 - 2.0).collect();
    for golden in goldens("sharpen") {
        let inputs = Inputs::default().with("amount", number(&golden["amount"])).with("start", 0.5).with("end", 1.0);
        let outputs = node.run(&inputs, &Quiet).unwrap();
        let Some(Value::Native(hook)) = outputs.get("hook") else { panic!("a hook") };
        let hook = hook.downcast::<StepHookValue>().unwrap();
        let step = |step| {
            let at = HookStep { step, total: 10, timestep: 500.0, sigma: 1.0, sigma_next: 0.5 };
            hook.hook().step(&at, [2, 4, 5, 6], latents.clone(), &Quiet).unwrap()
        };
        assert_eq!(step(5), latents, "not yet");
        for (found, expected) in step(6).iter().zip(golden["latents"].as_array().unwrap()) {
            assert!((f64::from(*found) - number(expected)).abs() < 1e-5, "{found} {expected}");
        }
    }
}

/// Only where it was built: the component is too large for the repository.
#[test]
fn histogram_match() {
    if !folder("histogram-match/histogram-match.wasm").is_file() {
        eprintln!("not built: examples/plugins/histogram-match/build.sh");
        return;
    }
    let node = node("histogram-match", "Histogram Match");
    for golden in goldens("histogram_match") {
        let reference = picture(11, 10, 3, 9).iter().map(|sample| sample / 2 + 30).collect();
        let inputs = Inputs::default()
            .with("image", image(16, 12, 3, picture(16, 12, 3, 5)))
            .with("reference", image(11, 10, 3, reference))
            .with("amount", number(&golden["amount"]));
        let outputs = node.run(&inputs, &Quiet).unwrap();
        assert_near(outputs.get("image").unwrap(), &golden["image"]);
    }
}

/// All four languages in one graph, through the command line; without Python where that was not built.
#[test]
fn four_languages_in_one_graph() {
    let place = Place::new();
    let text = std::fs::read_to_string(repository().join("examples/graphs/plugins.json")).unwrap();
    let mut graph: Json = serde_json::from_str(&text).unwrap();
    let python = folder("histogram-match/histogram-match.wasm").is_file();
    if !python {
        graph["nodes"].as_object_mut().unwrap().remove("match");
        graph["nodes"]["tile"]["inputs"]["image"]["from"] = "load.image".into();
        graph["nodes"].as_object_mut().unwrap().remove("palette");
        graph["inputs"].as_object_mut().unwrap().remove("colours");
    }
    graph["inputs"]["picture"]["default"] = repository().join("graphs/reference.png").display().to_string().into();
    if python {
        let colours = repository().join("examples/pictures/attention-maps.png");
        graph["inputs"]["colours"]["default"] = colours.display().to_string().into();
    }
    place.write("graph.json", graph.to_string());
    let plugins = folder("").display().to_string();
    let run = |output: &str| {
        let args = ["run", "graph.json", "--plugins", &plugins, "--no-store", "--format", "json", "--output", output];
        place.run(&args).expect(0).json()
    };
    let (first, second) = (run("a"), run("b"));
    for outputs in [&first["outputs"], &second["outputs"]] {
        let prompt = outputs["prompt"].as_str().unwrap();
        let words: Vec<_> = prompt.split(' ').collect();
        assert!(matches!(words[..], [_, "small" | "large", "tile", "of", "red" | "green" | "blue", "stone" | "cloth"]));
        let palette = outputs["palette"].as_array().unwrap();
        assert!((2..=12).contains(&palette.len()), "{palette:?}");
    }
    assert_eq!(first["outputs"], second["outputs"]);
    let picture = |output: &str| std::fs::read(place.path(&format!("{output}/plugins-000.png"))).unwrap();
    assert!(picture("a") == picture("b"));
    // Each plugin is in the picture's provenance, with its digest and that of its contract.
    let told = place.run(&["image", "inspect", "a/plugins-000.png", "--json"]).expect(0).stdout;
    let contract = blake3::hash(dc_graph::plugin::WIT.as_bytes()).to_string();
    for id in ["film", "prompt-wildcards", "seamless-tile"].into_iter().chain(python.then_some("histogram-match")) {
        let component = std::fs::read(folder(id).join(format!("{id}.wasm"))).unwrap();
        assert!(told.contains(&blake3::hash(&component).to_string()), "{id}: {told}");
    }
    assert!(told.contains(&contract), "{told}");
}
