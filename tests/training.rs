//! Training through the command line: every stage of a small model, and going on from what is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::program::{Outcome, Place, repository};

/// A graph of one training on the drawn subjects alone, so that it is the same with a font and without one.
fn graph(node: &str, inputs: Value, others: Value) -> String {
    let mut all = json!({
        "triplets": { "from": "stickers.triplets" }, "steps": 2, "batch_size": 2, "show_every": 0, "optimizer": "muon", "warmup_steps": 0, "learning_rate": 1e-2
    });
    all.as_object_mut().unwrap().extend(inputs.as_object().unwrap().clone());
    let mut nodes = json!({
        "stickers": { "type": "Make Stickers", "inputs": { "glyphs": false } },
        "train": { "type": node, "inputs": all }
    });
    nodes.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    json!({ "version": 1, "name": "train", "nodes": nodes, "outputs": { "steps": "train.steps" } }).to_string()
}

fn run(place: &Place, text: &str) -> Outcome {
    place.run_with_input(&["run", "-", "--device", "cpu", "--output", ".", "--no-store", "--progress", "plain"], text)
}

fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

fn losses(place: &Place, folder: &str) -> Vec<Value> {
    let log = fs::read_to_string(place.path(folder).join("log.jsonl")).unwrap();
    log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["loss"].clone()).collect()
}

/// Autoencoder, its decoder alone, denoiser, adapters: each from the one before, then pictures from all of it.
#[test]
fn from_nothing_to_pictures() {
    let place = Place::new();
    let small = json!({ "widths": "8,8,8", "latent_channels": 4, "folder": "first" });
    run(&place, &graph("Train Autoencoder", small, json!({}))).expect(0);
    assert_eq!(losses(&place, "first").len(), 2);
    assert!(place.path("first/curve.png").is_file());

    // The decoder goes on alone: the encoder keeps its bits.
    let decoder = |from: &str| json!({ "autoencoder": from, "decoder_only": true, "folder": "second"});
    run(&place, &graph("Train Autoencoder", decoder("first/model"), json!({}))).expect(0);
    let file = "diffusion_pytorch_model.safetensors";
    let [before, after] = ["first", "second"].map(|run| tensors(&place.path(run).join("model").join(file)));
    assert!(before.keys().eq(after.keys()));
    let changed: Vec<_> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert!(changed.iter().any(|name| name.starts_with("decoder.")), "{changed:?}");
    assert!(changed.iter().all(|n| n.starts_with("decoder.") || n.starts_with("post_quant_conv.")), "{changed:?}");

    let lone = graph("Train Autoencoder", json!({ "decoder_only": true }), json!({}));
    assert!(run(&place, &lone).expect(1).stderr.contains("there is no encoder to keep"));
    let missing = run(&place, &graph("Train Autoencoder", decoder("nowhere"), json!({}))).expect(2).stderr;
    assert!(missing.contains("train.autoencoder"), "{missing}");

    let shapes = json!({
        "autoencoder": "second/model", "widths": "16,16", "context_dim": 16, "text_layers": 1, "pool": 4, "folder": "base"
    });
    let load = |path: &str| json!({ "load": { "type": "Load Model", "inputs": { "model": path } } });
    run(&place, &graph("Train Denoiser", shapes.clone(), json!({}))).expect(0);
    assert_eq!(place.run(&["model", "inspect", "base/model"]).expect(0).code, Some(0));

    // The same once more goes on where it was: it is done.
    let again = run(&place, &graph("Train Denoiser", shapes.clone(), json!({}))).expect(0);
    assert_eq!(losses(&place, "base").len(), 2, "{}", again.stderr);

    // From its own weights, in another folder: the first loss is not that of a beginning from nothing.
    let mut further = shapes.clone();
    further["model"] = json!({ "from": "load.model" });
    further["folder"] = "further".into();
    run(&place, &graph("Train Denoiser", further.clone(), load("base/model"))).expect(0);
    assert_ne!(losses(&place, "base")[0], losses(&place, "further")[0]);
    further["widths"] = "16,32".into();
    further["folder"] = "other".into();
    let other = run(&place, &graph("Train Denoiser", further, load("base/model"))).expect(1).stderr;
    assert!(other.contains("other shapes or words"), "{other}");

    let adapters = json!({ "model": { "from": "load.model" }, "pool": 4, "folder": "adapters"});
    run(&place, &graph("Train Adapters", adapters.clone(), load("base/model"))).expect(0);
    let mut further = adapters.clone();
    further["adapters"] = json!({ "from": "trained.adapters" });
    further["folder"] = "adapters-further".into();
    let mut loads = load("base/model");
    loads["trained"] = json!({
        "type": "Load Adapters",
        "inputs": { "model": { "from": "load.model" }, "adapters": "adapters/adapters.safetensors" }
    });
    run(&place, &graph("Train Adapters", further.clone(), loads.clone())).expect(0);
    assert_ne!(losses(&place, "adapters")[0], losses(&place, "adapters-further")[0]);
    // More places: the new ones begin neutral, so the first loss is the same.
    further["placement"] = "encoder+middle+decoder".into();
    further["folder"] = "adapters-more".into();
    run(&place, &graph("Train Adapters", further.clone(), loads.clone())).expect(0);
    assert_eq!(losses(&place, "adapters-further")[0], losses(&place, "adapters-more")[0]);
    let [fewer, more] =
        ["adapters-further", "adapters-more"].map(|folder| tensors(&place.path(folder).join("adapters.safetensors")));
    assert!(fewer.len() < more.len() && fewer.keys().all(|name| more.contains_key(name)), "{:?}", more.keys());
    further["variant"] = "spatial_sum".into();
    further["folder"] = "adapters-other".into();
    let other = run(&place, &graph("Train Adapters", further, loads)).expect(1).stderr;
    assert!(other.contains("another variant"), "{other}");

    let personalize = repository().join("graphs/personalize.json");
    let sets =
        ["model=further/model", "adapters=adapters-more/adapters.safetensors", "num_images=1", "num_inference_steps=2"];
    let mut args = vec!["run", personalize.to_str().unwrap(), "--device", "cpu", "--output", "pictures"];
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    place.run(&args).expect(0);
    assert_eq!(place.files("pictures"), ["personalize-00.png", "personalize-sheet.png"]);
}
