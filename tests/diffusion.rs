//! What the diffusion nodes promise, through the command line alone: what must be the same byte for byte, what must
//! differ, and that every way through them ends in a picture.

use std::fs;

use serde_json::{Value, json};

use crate::parity_of_pipelines::tensor;
use crate::program::{Outcome, Place, repository};

/// Both families of base models.
pub(crate) const MODELS: [&str; 2] = ["random:sd15-tiny", "random:sd21-tiny"];

/// A link, as documents write it.
pub(crate) fn from(port: &str) -> Value {
    json!({ "from": port })
}

/// A document: a model, a prompt, adapters, the cache of one picture, and what a test adds. Small and quick.
pub(crate) struct Graph(Value);

impl Graph {
    /// The nodes `model`, `prompt`, `adapters`, `picture`, `cache` and `size`. Those that nothing uses do not run.
    pub(crate) fn new(model: &str) -> Self {
        let reference = repository().join("graphs/reference.png").display().to_string();
        Self(json!({}))
            .node("model", "Load Model", json!({ "model": model }))
            .on_model("prompt", "Encode Prompt", json!({ "prompt": "a red fox in the snow" }))
            .on_model("adapters", "Load Adapters", json!({ "adapters": model }))
            .node("photo", "Load Image", json!({ "path": reference }))
            .node("picture", "Resize", json!({ "image": from("photo.image"), "width": 64, "height": 64 }))
            .on_model("cache", "Build Cache", json!({ "images": from("picture.image") }))
            .on_model("size", "Empty Latents", json!({ "width": 64, "height": 64 }))
    }

    /// Adds a node.
    pub(crate) fn node(mut self, id: &str, type_name: &str, inputs: Value) -> Self {
        self.0[id] = json!({ "type": type_name, "inputs": inputs });
        self
    }

    /// Adds a node that takes `model`.
    pub(crate) fn on_model(self, id: &str, type_name: &str, mut inputs: Value) -> Self {
        inputs["model"] = from("model.model");
        self.node(id, type_name, inputs)
    }

    /// Adds a sampler of three small steps, changed by `inputs` (null takes an input away), and saves its latents.
    pub(crate) fn sampler(self, id: &str, type_name: &str, inputs: Value) -> Self {
        let mut all = json!({
            "conditioning": from("prompt.conditioning"), "latents": from("size.latents"), "num_inference_steps": 3,
        });
        if type_name != "Sample" {
            all["cache"] = from("cache.cache");
            all["adapters"] = from("adapters.adapters");
        }
        for (name, value) in inputs.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let save = json!({ "latents": from(&format!("{id}.latents")), "path": format!("{id}.safetensors") });
        self.on_model(id, type_name, all).node(&format!("save-{id}"), "Save Latents", save)
    }

    /// Decodes and saves latents as PNG files that do not tell of this graph: those differ where pictures may not.
    pub(crate) fn pictures(self, id: &str) -> Self {
        let decoded = format!("{id}-decoded");
        self.on_model(&decoded, "Decode VAE", json!({ "latents": from(&format!("{id}.latents")) })).save(
            &format!("{id}-pictures"),
            &format!("{decoded}.images"),
            &format!("{id}-{{index}}.png"),
        )
    }

    fn save(self, id: &str, images: &str, path: &str) -> Self {
        self.node(id, "Save Image", json!({ "images": from(images), "path": path, "metadata": false }))
    }

    /// Changes an input of a node.
    pub(crate) fn set(mut self, id: &str, input: &str, value: Value) -> Self {
        self.0[id]["inputs"][input] = value;
        self
    }

    /// The document, one line a node.
    pub(crate) fn text(&self) -> String {
        let nodes = self.0.as_object().unwrap().iter().map(|(id, node)| format!("    {}: {node}", json!(id)));
        let nodes = nodes.collect::<Vec<_>>().join(",\n");
        format!("{{\n  \"version\": 1, \"name\": \"test\", \"nodes\": {{\n{nodes}\n  }}\n}}\n")
    }

    /// Runs it on the CPU; files go to `output`.
    pub(crate) fn run(&self, place: &Place, output: &str) -> Outcome {
        let args = ["run", "-", "--device", "cpu", "--dtype", "f32", "--progress", "none", "--output", output];
        place.run_with_input(&args, &self.text())
    }
}

/// The bytes of a file in a place.
fn bytes(place: &Place, name: &str) -> Vec<u8> {
    fs::read(place.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The latents in a file.
fn latents(place: &Place, name: &str) -> Vec<f32> {
    tensor(&place.path(name), "latents")
}

/// Without a subject there is no trace of DreamCache, whatever is connected.
#[test]
fn without_a_subject_it_is_the_plain_model() {
    for model in MODELS {
        let place = Place::new();
        Graph::new(model).sampler("plain", "Sample", json!({})).pictures("plain").run(&place, "plain").expect(0);
        let personal = "Sample With Cache";
        Graph::new(model)
            .sampler("neither", personal, json!({ "cache": null, "adapters": null }))
            .sampler("no-cache", personal, json!({ "cache": null }))
            .sampler("no-strength", personal, json!({ "adapter_strength": 0 }))
            .sampler("no-steps", personal, json!({ "start_step": 2, "end_step": 2 }))
            .sampler("late", personal, json!({ "start_step": 3 }))
            .sampler("reversed", personal, json!({ "start_step": 2, "end_step": 1 }))
            .sampler("cached", personal, json!({}))
            .sampler("half", personal, json!({ "adapter_strength": 0.5 }))
            .sampler("first", personal, json!({ "end_step": 1 }))
            .sampler("last", personal, json!({ "start_step": 2 }))
            .sampler("combined", personal, json!({ "guidance": "combined" }))
            .sampler("plain", "Sample", json!({}))
            .pictures("no-strength")
            .pictures("cached")
            .run(&place, "all")
            .expect(0);
        let plain = bytes(&place, "plain/plain.safetensors");
        for name in ["neither", "no-cache", "no-strength", "no-steps", "late", "reversed", "plain"] {
            assert!(bytes(&place, &format!("all/{name}.safetensors")) == plain, "{model}: {name} is not plain");
        }
        let picture = |name: &str| bytes(&place, name);
        assert!(picture("all/no-strength-0.png") == picture("plain/plain-0.png"));
        assert!(picture("all/cached-0.png") != picture("plain/plain-0.png"));
        let mut seen = vec![plain];
        for name in ["cached", "half", "first", "last", "combined"] {
            let found = bytes(&place, &format!("all/{name}.safetensors"));
            assert!(!seen.contains(&found), "{model}: {name} is like another");
            seen.push(found);
        }
    }
}

/// Whether it was just built or comes from a file, a cache gives the same pictures.
#[test]
fn caches_are_the_same_every_time() {
    let other = json!({ "image": from("photo.image"), "width": 40, "height": 72, "mode": "stretch" });
    for (model, options) in [
        (MODELS[0], json!({})),
        (MODELS[1], json!({ "dtype": "f32", "seed": 3 })),
        (MODELS[0], json!({ "latents_mode": "sample", "timestep": 150, "prompt": "a toy" })),
        (MODELS[1], json!({ "images": [from("picture.image"), from("other.image")] })),
    ] {
        let place = Place::new();
        let mut graph = Graph::new(model)
            .node("other", "Resize", other.clone())
            .node("keep", "Save Cache", json!({ "cache": from("cache.cache") }))
            .sampler("new", "Sample With Cache", json!({}))
            .pictures("new");
        for (name, value) in options.as_object().unwrap() {
            graph = graph.set("cache", name, value.clone());
        }
        graph.run(&place, "a").expect(0);
        graph.run(&place, "b").expect(0);
        assert_eq!(place.files("a"), ["cache.safetensors", "new-0.png", "new.safetensors"]);
        for file in place.files("a") {
            assert!(bytes(&place, &format!("a/{file}")) == bytes(&place, &format!("b/{file}")), "{options}: {file}");
        }
        let file = place.path("a/cache.safetensors").display().to_string();
        Graph::new(model)
            .on_model("cache", "Load Cache", json!({ "path": file }))
            .node("keep", "Save Cache", json!({ "cache": from("cache.cache") }))
            .sampler("new", "Sample With Cache", json!({}))
            .pictures("new")
            .run(&place, "c")
            .expect(0);
        for file in place.files("a") {
            assert!(bytes(&place, &format!("a/{file}")) == bytes(&place, &format!("c/{file}")), "{options}: {file}");
        }
    }
}

#[test]
fn caches_depend_on_everything_they_should() {
    let place = Place::new();
    let mut graph = Graph::new(MODELS[0]).node("negative", "Invert", json!({ "image": from("picture.image") }));
    let variations = [
        json!({}),
        json!({ "dtype": "f32" }),
        json!({ "seed": 1 }),
        json!({ "timestep": 300 }),
        json!({ "prompt": "a toy" }),
        json!({ "latents_mode": "sample" }),
        json!({ "images": from("negative.image") }),
        json!({ "images": [from("picture.image"), from("negative.image")] }),
    ];
    for (i, variation) in variations.iter().enumerate() {
        let mut inputs = json!({ "images": from("picture.image") });
        for (name, value) in variation.as_object().unwrap() {
            inputs[name] = value.clone();
        }
        let cache = format!("cache-{i}");
        graph = graph.on_model(&cache, "Build Cache", inputs).sampler(
            &format!("new-{i}"),
            "Sample With Cache",
            json!({ "cache": from(&format!("{cache}.cache")) }),
        );
    }
    graph.run(&place, "output").expect(0);
    let all: Vec<_> = (0..variations.len()).map(|i| latents(&place, &format!("output/new-{i}.safetensors"))).collect();
    let difference = |a: usize, b: usize| all[a].iter().zip(&all[b]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = all[0].iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (i, variation) in variations.iter().enumerate().skip(2) {
        assert!(difference(0, i) > 1e-3 * largest, "{variation}: {:e} of {largest}", difference(0, i));
    }
    // The two pictures together are like neither of them.
    assert!(difference(6, 7) > 1e-3 * largest, "{:e} of {largest}", difference(6, 7));
    // Half precision is kept for being smaller, not for being different.
    assert!(difference(0, 1) > 0.0 && difference(0, 1) < 1e-2 * largest, "{:e}", difference(0, 1));
}

#[test]
fn attention_maps() {
    for model in MODELS {
        let place = Place::new();
        let maps = |graph: Graph, id: &str, inputs: Value| {
            graph.sampler(id, "Attention Maps", inputs).save(
                &format!("{id}-maps"),
                &format!("{id}.maps"),
                &format!("{id}-{{index}}.png"),
            )
        };
        let graph = Graph::new(model).sampler("cached", "Sample With Cache", json!({})).sampler(
            "combined",
            "Sample With Cache",
            json!({ "guidance": "combined", "end_step": 2 }),
        );
        let graph = maps(graph, "all", json!({}));
        let graph = maps(graph, "left", json!({ "x": 0.1, "y": 0.2, "guidance": "combined", "end_step": 2 }));
        let graph = maps(graph, "right", json!({ "x": 1, "y": 1, "reference": from("picture.image") }));
        let graph =
            graph.on_model("pair", "Build Cache", json!({ "images": [from("picture.image"), from("picture.image")] }));
        maps(graph, "two", json!({ "cache": from("pair.cache") })).run(&place, "output").expect(0);

        let read = |name: &str| bytes(&place, &format!("output/{name}"));
        for (with, without) in [("all", "cached"), ("left", "combined"), ("right", "cached")] {
            let (with, without) = (format!("{with}.safetensors"), format!("{without}.safetensors"));
            assert!(read(&with) == read(&without), "{model}: {with} differs from {without}");
        }
        // Five cached layers, and of two references two maps each.
        for (id, expected) in [("all", 5), ("left", 5), ("right", 5), ("two", 10)] {
            let found = place.files("output").iter().filter(|f| f.starts_with(&format!("{id}-"))).count();
            assert_eq!(found, expected, "{model} {id}");
        }
        // The middle of 64 pixels is one token, at which every place looks alike; the layers above have more.
        for layer in 1..5 {
            assert!(read(&format!("all-{layer}.png")) != read(&format!("left-{layer}.png")), "{model} {layer}");
            assert!(read(&format!("all-{layer}.png")) != read(&format!("right-{layer}.png")), "{model} {layer}");
        }
    }
}

/// Every sampler, from noise and from a picture, for each thing that a denoiser can predict.
#[test]
fn every_sampler_ends_in_numbers() {
    let shown = Place::new().run(&["nodes", "Sample", "--json"]).expect(0).json();
    let ports = shown["inputs"].as_array().unwrap();
    let samplers = ports.iter().find(|p| p["name"] == "sampler").unwrap()["choices"].as_array().unwrap();
    assert!(samplers.len() >= 10, "{samplers:?}");
    for (model, prediction_type) in [(MODELS[0], "auto"), (MODELS[0], "v_prediction"), (MODELS[1], "epsilon")] {
        let place = Place::new();
        let mut graph = Graph::new(model).set("model", "prediction_type", json!(prediction_type)).on_model(
            "encoded",
            "Encode VAE",
            json!({ "image": from("picture.image") }),
        );
        for sampler in samplers {
            let name = sampler.as_str().unwrap();
            let redraw = json!({
                "sampler": name, "latents": from("encoded.latents"), "denoising_strength": 0.5,
                "num_inference_steps": 4,
            });
            graph = graph.sampler(name, "Sample With Cache", json!({ "sampler": name })).sampler(
                &format!("{name}-redraw"),
                "Sample With Cache",
                redraw,
            );
        }
        graph.run(&place, "output").expect(0);
        assert_eq!(place.files("output").len(), samplers.len() * 2);
        for file in place.files("output") {
            let found = latents(&place, &format!("output/{file}"));
            assert_eq!(found.len(), 4 * 8 * 8);
            assert!(found.iter().all(|v| v.is_finite()), "{model} {prediction_type} {file}");
            assert!(found.iter().any(|v| v.abs() > 0.1), "{model} {prediction_type} {file}");
        }
    }
}

/// The less is redrawn, the closer the result is to the picture it started from.
#[test]
fn from_picture_to_picture() {
    let place = Place::new();
    let mut graph = Graph::new(MODELS[0])
        .on_model("encoded", "Encode VAE", json!({ "image": from("picture.image") }))
        .node("keep", "Save Latents", json!({ "latents": from("encoded.latents"), "path": "encoded.safetensors" }));
    let strengths = [("little", 0.1), ("half", 0.5), ("all", 1.0)];
    for (id, strength) in strengths {
        let inputs = json!({
            "latents": from("encoded.latents"), "num_inference_steps": 10, "guidance_scale": 1,
            "denoising_strength": strength,
        });
        graph = graph.sampler(id, "Sample", inputs);
    }
    graph.pictures("half").run(&place, "output").expect(0);
    let encoded = latents(&place, "output/encoded.safetensors");
    let distance = |(id, _)| {
        let found = latents(&place, &format!("output/{id}.safetensors"));
        found.iter().zip(&encoded).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    };
    let distances = strengths.map(distance);
    assert!(distances.is_sorted_by(|a, b| a * 1.5 < *b), "{distances:?}");
    assert_eq!(place.files("output").iter().filter(|f| f.ends_with(".png")).count(), 1);
}

/// Sizes and numbers of pictures; the pictures of a batch differ, and the same seed gives the same pictures.
#[test]
fn sizes_and_batches() {
    let place = Place::new();
    let sizes = [(72, 40), (8, 8), (16, 136)];
    let mut graph = Graph::new(MODELS[1]).on_model("native", "Empty Latents", json!({}));
    for (width, height) in sizes {
        let id = format!("of-{width}x{height}");
        let size = format!("size-{id}");
        graph = graph
            .on_model(&size, "Empty Latents", json!({ "width": width, "height": height, "batch_size": 2 }))
            .sampler(&id, "Sample With Cache", json!({ "latents": from(&format!("{size}.latents")) }))
            .pictures(&id);
    }
    graph
        .sampler("native", "Sample", json!({ "latents": null }))
        .sampler("same", "Sample", json!({ "latents": from("native.latents") }))
        .sampler("seed", "Sample", json!({ "latents": null, "seed": 1 }))
        .run(&place, "output")
        .expect(0);
    for (width, height) in sizes {
        let read = |index: usize| bytes(&place, &format!("output/of-{width}x{height}-{index}.png"));
        assert!(read(0) != read(1), "{width}x{height}");
        for index in 0..2 {
            let info = png::Decoder::new(std::io::Cursor::new(read(index))).read_info().unwrap();
            assert_eq!(info.info().size(), (width, height));
        }
    }
    assert_eq!(latents(&place, "output/native.safetensors").len(), 4 * 16 * 16);
    assert!(bytes(&place, "output/native.safetensors") != bytes(&place, "output/seed.safetensors"));
}
