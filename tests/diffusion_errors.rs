//! Mistakes with models, adapters and caches, as a user meets them: which node, which input, what to do.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::diffusion::{Graph, MODELS, from};
use crate::program::{Place, repository};

const PERSONAL: &str = "Sample With Cache";

/// A graph that fails while it runs: exit code 1, this node named, each of these parts told, nothing written.
#[track_caller]
fn fails(graph: Graph, node: &str, parts: &[&str]) {
    let place = Place::new();
    let outcome = graph.run(&place, "output").expect(1);
    let at = outcome.stderr.find(&format!("error: `{node}` (")).unwrap_or_else(|| panic!("{node}: {}", outcome.stderr));
    for part in parts {
        assert!(outcome.stderr[at..].contains(part), "{part:?} is not in\n{}", outcome.stderr);
    }
    assert!(place.files("output").is_empty(), "{:?}", place.files("output"));
}

/// A graph that is refused before anything runs: exit code 2, this input named and shown at its line.
#[track_caller]
fn refused(place: &Place, graph: &Graph, input: &str, parts: &[&str]) {
    let outcome = graph.run(place, "output").expect(2);
    let id = input.split('.').next().unwrap();
    let line = 1 + graph.text().lines().position(|l| l.trim_start().starts_with(&format!("\"{id}\":"))).unwrap();
    for part in [&[&format!("error: `{input}`: ")[..], &format!("<stdin>:{line}:"), "invalid: 1 error"], parts].concat()
    {
        assert!(outcome.stderr.contains(part), "{part:?} is not in\n{}", outcome.stderr);
    }
    assert!(place.files("output").is_empty(), "{:?}", place.files("output"));
}

/// A second model of the other family, and a prompt for it.
fn two_models() -> Graph {
    Graph::new(MODELS[0]).node("model2", "Load Model", json!({ "model": MODELS[1] })).node(
        "prompt2",
        "Encode Prompt",
        json!({ "model": from("model2.model") }),
    )
}

#[test]
fn what_belongs_to_another_model() {
    // Both families by name; twelve digits of each model's digest follow.
    let other = ["`cache`: ", "built with another base model: sd1 ", "this is sd2 ", "build it again"];
    let theirs = json!({ "conditioning": from("prompt2.conditioning") });
    let swapped = two_models().sampler("new", PERSONAL, theirs).set("new", "model", from("model2.model"));
    fails(swapped, "new", &other);

    let theirs = json!({ "conditioning": from("prompt2.conditioning") });
    fails(
        two_models().sampler("new", "Sample", theirs),
        "new",
        &["`conditioning`: ", "another model's", "`Load Model`"],
    );

    let graph = two_models()
        .node("adapters2", "Load Adapters", json!({ "model": from("model2.model"), "adapters": MODELS[1] }))
        .sampler("new", PERSONAL, json!({ "adapters": from("adapters2.adapters") }));
    let families = ["Stable Diffusion 2.x, the model is Stable Diffusion 1.x", "the same `Load Model`"];
    fails(graph, "new", &[&["`adapters`: "][..], &families].concat());

    // The same through a file.
    let place = Place::new();
    Graph::new(MODELS[0])
        .node("keep", "Save Cache", json!({ "cache": from("cache.cache") }))
        .run(&place, "a")
        .expect(0);
    let file = place.path("a/cache.safetensors").display().to_string();
    let load = |model: &str| {
        Graph::new(model).on_model("cache", "Load Cache", json!({ "path": file })).sampler("new", PERSONAL, json!({}))
    };
    fails(load(MODELS[1]), "cache", &["`path`: ", "built with another base model: sd1 ", "this is sd2 "]);
    load(MODELS[0]).run(&place, "b").expect(0);
}

/// Writes adapters of zeros: all five cached layers of the tiny models, those of `narrow` at half the width.
fn write_adapters(path: &Path, narrow: &str, metadata: &[(&str, &str)]) {
    let points = [
        ("mid_block.attentions.0", 64),
        ("up_blocks.1.attentions.1", 64),
        ("up_blocks.2.attentions.0", 64),
        ("up_blocks.2.attentions.2", 64),
        ("up_blocks.3.attentions.1", 32),
    ];
    let zeros = [0; 4 * 64 * 128];
    let mut tensors = HashMap::new();
    for (point, width) in points {
        let d = if point == narrow { width / 2 } else { width };
        let fields = [
            ("norm.weight", vec![d]),
            ("norm.bias", vec![d]),
            ("to_q.weight", vec![d, d]),
            ("to_k.weight", vec![d, d]),
            ("to_v.weight", vec![d, d]),
            ("to_out.weight", vec![d, d]),
            ("to_out.bias", vec![d]),
            ("proj.weight", vec![d, 2 * d]),
            ("proj.bias", vec![d]),
        ];
        for (field, shape) in fields {
            let bytes = &zeros[..4 * shape.iter().product::<usize>()];
            tensors.insert(format!("{point}.{field}"), TensorView::new(Dtype::F32, shape, bytes).unwrap());
        }
    }
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    fs::write(path, safetensors::serialize(&tensors, Some(metadata)).unwrap()).unwrap();
}

#[test]
fn adapters() {
    let with = |model: &str, adapters: &str| {
        Graph::new(model).set("adapters", "adapters", json!(adapters)).sampler("new", PERSONAL, json!({}))
    };
    let [first, second] = MODELS;
    let families = "trained for Stable Diffusion 2.x, the base model is Stable Diffusion 1.x";
    fails(with(first, second), "adapters", &["`adapters`: ", second, families]);

    let place = Place::new();
    let file = place.path("adapters.safetensors");
    let path = file.to_str().unwrap();
    write_adapters(&file, "", &[]);
    with(first, path).run(&place, "zeros").expect(0);
    write_adapters(&file, "", &[("family", "sd2")]);
    fails(with(first, path), "adapters", &["`adapters`: ", path, families]);
    write_adapters(&file, "up_blocks.2.attentions.2", &[]);
    let told = ["`up_blocks.2.attentions.2.", "found [32", "not adapters for this base model (Stable Diffusion 1.x)"];
    fails(with(first, path), "adapters", &told);

    fails(
        Graph::new(first).sampler("new", PERSONAL, json!({ "adapters": null })),
        "new",
        &["`adapters`: a cache is connected, but no adapters", "hint: connect a `Load Adapters` node"],
    );
    fails(
        Graph::new(first).set("cache", "placement", json!("middle")).sampler("new", PERSONAL, json!({})),
        "new",
        &["`cache`: ", "need features of `up_blocks.1.attentions.1`", "(middle)"],
    );
    let place = |placement: &str| {
        Graph::new(first).set("cache", "placement", json!(placement)).sampler("new", PERSONAL, json!({}))
    };
    fails(place("middel"), "cache", &["`placement`: ", "`encoder`, `middle`, `decoder`", "found `middel`"]);
    fails(place("middle+16"), "cache", &["`placement`: ", "`middle+16` names layer 16", "are 0 to 15"]);
}

#[test]
fn shapes() {
    let fixture = repository().join("tests/parity/pipeline_sd15.safetensors").display().to_string();
    let load = |tensor: &str| {
        Graph::new(MODELS[0]).node("loaded", "Load Latents", json!({ "path": fixture, "tensor": tensor }))
    };
    let loaded = from("loaded.latents");
    let found = "should have the shape [1, 4, 8, 8], found [1, 4, 16, 16]";
    for node in ["Sample", PERSONAL] {
        fails(load("sample.start").sampler("new", node, json!({ "noise": loaded })), "new", &["`noise`: ", found]);
    }
    let graph = load("sample.start").set("cache", "noise", loaded.clone()).sampler("new", PERSONAL, json!({}));
    fails(graph, "cache", &["`noise`: ", found]);
    let graph = load("vae.image").sampler("new", "Sample", json!({ "latents": loaded, "denoising_strength": 0.5 }));
    fails(graph, "new", &["`latents`: should have the shape [1, 4, 64, 64], found [1, 3, 64, 64]"]);
    let graph = load("vae.image").on_model("cache", "Build Cache", json!({ "latents": loaded }));
    fails(graph.sampler("new", PERSONAL, json!({})), "cache", &["`latents`: ", "4 channels, found 3"]);
    let graph = load("sample.strat").sampler("new", "Sample", json!({ "noise": loaded }));
    fails(graph, "loaded", &["`tensor`: there is no tensor `sample.strat`", "hint: there is `cache.features."]);
    let graph = load("text.context").sampler("new", "Sample", json!({ "noise": loaded }));
    fails(graph, "loaded", &["`tensor`: `text.context` has the shape [2, 77, 32], latents have four axes"]);

    let sides = ["sides that are multiples of 8, found 60x60", "hint: put a `Resize`"];
    let uneven = || Graph::new(MODELS[0]).set("picture", "height", json!(60));
    let graph = uneven().on_model("encoded", "Encode VAE", json!({ "image": from("picture.image") }));
    let graph = graph.sampler("new", "Sample", json!({ "latents": from("encoded.latents") }));
    fails(graph, "encoded", &[&["`image`: "][..], &sides].concat());
    fails(uneven().sampler("new", PERSONAL, json!({})), "cache", &[&["`images`: "][..], &sides].concat());
    fails(
        Graph::new(MODELS[0]).set("size", "width", json!(60)).sampler("new", "Sample", json!({})),
        "size",
        &["`width`: 60 is not a multiple of 8", "hint: take 56"],
    );
}

#[test]
fn inputs_that_need_each_other() {
    fails(
        Graph::new(MODELS[0]).sampler("new", "Attention Maps", json!({ "cache": null })),
        "new",
        &["`cache`: there is nothing to look at without a cache"],
    );
    for nothing in [json!({ "adapter_strength": 0 }), json!({ "start_step": 3 })] {
        fails(Graph::new(MODELS[0]).sampler("new", "Attention Maps", nothing), "new", &["no step looked at the cache"]);
    }
    fails(
        Graph::new(MODELS[0]).sampler("new", "Sample", json!({ "denoising_strength": 0.5, "latents": null })),
        "new",
        &["`denoising_strength`: ", "hint: connect an `Encode VAE` node"],
    );
    fails(
        Graph::new(MODELS[0]).on_model("cache", "Build Cache", json!({})).sampler("new", PERSONAL, json!({})),
        "cache",
        &["`images`: no reference is connected"],
    );
    fails(
        Graph::new(MODELS[0]).set("cache", "latents", from("size.latents")).sampler("new", PERSONAL, json!({})),
        "cache",
        &["`latents`: `images` and `latents` are both connected"],
    );
    let ids = |port: &str, ids: serde_json::Value| {
        Graph::new(MODELS[0]).set("prompt", port, ids).sampler("new", "Sample", json!({}))
    };
    let mut unknown = vec![0; 77];
    unknown[3] = 49408;
    for port in ["token_ids", "negative_token_ids"] {
        let told = format!("`{port}`: ");
        fails(ids(port, json!(unknown)), "prompt", &[&told, "token 49408 is not in", "vocabulary of 49408"]);
        fails(ids(port, json!([])), "prompt", &[&told, "1 to 77 token ids are needed, found 0"]);
        fails(ids(port, json!([-1])), "prompt", &[&told, "-1 is no token id"]);
    }
    let short = ids("token_ids", json!([49406, 49407]));
    fails(short, "prompt", &["`negative_token_ids`: 77 token ids, but the prompt has 2"]);
}

#[test]
fn files_that_are_no_models() {
    let place = Place::new();
    let text = place.write("model/readme.txt", "no model");
    let folder = text.parent().unwrap().to_str().unwrap();
    // A zip file lists its contents at its end.
    let truncated = place.write("adapters.pt", [b"PK\x03\x04".as_slice(), &[0; 5000]].concat());
    let fixture = fs::read(repository().join("tests/parity/pipeline_sd15.safetensors")).unwrap();
    let header = place.write("header.safetensors", &fixture[..1000]);
    let half = place.write("half.safetensors", &fixture[..100_000]);

    let model =
        |path: &str| Graph::new(path).set("adapters", "adapters", json!(MODELS[0])).sampler("new", "Sample", json!({}));
    refused(&place, &model(folder), "model.model", &[folder, "not a model", "`model_index.json`"]);
    refused(&place, &model("missing"), "model.model", &["missing"]);
    refused(&place, &model("random:sd99"), "model.model", &["no random model `sd99`", "`sd15-tiny`, `sd21-tiny`"]);
    refused(&place, &model(half.to_str().unwrap()), "model.model", &["half.safetensors"]);

    let adapters = |path: &Path| {
        Graph::new(MODELS[0]).set("adapters", "adapters", json!(path)).sampler("new", PERSONAL, json!({}))
    };
    refused(&place, &adapters(&truncated), "adapters.adapters", &["adapters.pt", "truncated"]);
    refused(&place, &adapters(&header), "adapters.adapters", &["header.safetensors"]);
    refused(&place, &adapters(&half), "adapters.adapters", &["half.safetensors"]);
    refused(&place, &adapters(&text), "adapters.adapters", &["readme.txt"]);
    refused(&place, &adapters(Path::new("missing.pt")), "adapters.adapters", &["missing.pt"]);

    // Whole files of another kind show themselves when they are read.
    let whole = place.write("whole.safetensors", &fixture);
    fails(adapters(&whole), "adapters", &["`adapters`: ", "whole.safetensors", "is missing; these are not adapters"]);
    let cache = Graph::new(MODELS[0]).on_model("cache", "Load Cache", json!({ "path": whole }));
    fails(cache.sampler("new", PERSONAL, json!({})), "cache", &["`path`: ", "not a reference cache"]);
}
