//! The main job, and what must not depend on how it is done.

use std::fs;

use serde_json::Value;

use crate::program::{Place, repository};

/// Runs `graphs/NAME.json` on the CPU with few steps and gives the JSON summary back.
#[track_caller]
fn run(place: &Place, graph: &str, output: &str, sets: &[&str]) -> Value {
    let graph = repository().join(format!("graphs/{graph}.json"));
    let mut args = vec!["run", graph.to_str().unwrap(), "--device", "cpu", "--format", "json", "--output", output];
    for set in sets {
        args.extend(["--set", set]);
    }
    place.run(&args).expect(0).json()
}

#[test]
fn the_main_job() {
    let place = Place::new();
    let summary = run(&place, "personalize", "a", &["num_inference_steps=2", "num_images=2"]);
    assert_eq!(place.files("a"), ["personalize-00.png", "personalize-01.png", "personalize-sheet.png"]);
    assert_eq!(summary["outputs"]["pictures"].as_array().unwrap().len(), 2);
    assert_eq!(summary["files"].as_array().unwrap().len(), 3);
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("a/personalize-00.png") != read("a/personalize-01.png"));

    // The same again, computed anew, byte for byte; also from the graph that a picture carries.
    place.run(&["store", "clear"]).expect(0);
    run(&place, "personalize", "b", &["num_inference_steps=2", "num_images=2"]);
    place.run(&["store", "clear"]).expect(0);
    let graph = place.run(&["image", "inspect", "a/personalize-01.png", "--graph"]).expect(0).stdout;
    place.write("again.json", graph);
    place.write("subject.png", fs::read(repository().join("graphs/subject.png")).unwrap());
    place.run(&["run", "again.json", "--device", "cpu", "--output", "c"]).expect(0);
    for file in place.files("a") {
        assert!(read(&format!("a/{file}")) == read(&format!("b/{file}")), "{file}");
        assert!(read(&format!("a/{file}")) == read(&format!("c/{file}")), "{file}");
    }

    // Another seed, prompt or reference gives other pictures.
    for set in ["seed=1", "prompt=another", "guidance_scale=2"] {
        let other = run(&place, "personalize", "d", &["num_inference_steps=2", "num_images=1", set]);
        assert_eq!(other["status"], "done");
        assert!(read("a/personalize-00.png") != read("d/personalize-00.png"), "{set}");
    }
}

#[test]
fn a_cache_as_a_file() {
    let place = Place::new();
    run(&place, "build_cache", "a", &[]);
    run(&place, "build_cache", "b", &["file=other.safetensors"]);
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("a/subject.safetensors") == read("b/other.safetensors"));
    let told = place.run(&["cache", "inspect", "a/subject.safetensors", "--json"]).expect(0).json();
    assert_eq!(told["kind"], "reference_cache");
    let wrong = place.run(&["cache", "inspect", repository().join("graphs/reference.png").to_str().unwrap()]).expect(1);
    assert!(wrong.stderr.starts_with("error: "), "{}", wrong.stderr);

    // The graph of the main job, with the cache from the file in place of the one built: the same pictures.
    let text = fs::read_to_string(repository().join("graphs/personalize.json")).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["inputs"]["reference"]["default"] = repository().join("graphs/subject.png").to_str().unwrap().into();
    let build = place.write("build.json", document.to_string());
    document["nodes"]["cache"] = serde_json::json!({
        "type": "Load Cache",
        "inputs": { "model": { "from": "model.model" }, "path": "a/subject.safetensors" },
    });
    let load = place.write("load.json", document.to_string());
    for (graph, output) in [(&build, "built"), (&load, "loaded")] {
        let args = [
            "run",
            graph.to_str().unwrap(),
            "--set",
            "num_inference_steps=2",
            "--set",
            "num_images=1",
            "--device",
            "cpu",
            "--output",
            output,
        ];
        place.run(&args).expect(0);
    }
    let pixels = |folder: &str| pixels(&read(&format!("{folder}/personalize-00.png")));
    assert!(pixels("built") == pixels("loaded"));

    // Another base model refuses it.
    let args = ["run", load.to_str().unwrap(), "--set", "model=random:sd21-tiny", "--set", "adapters=random:sd21-tiny"];
    let refused = place.run(&[&args[..], &["--device", "cpu", "--output", "refused"]].concat()).expect(1);
    assert!(refused.stderr.contains("`cache` (Load Cache)"), "{}", refused.stderr);
    assert!(place.files("refused").is_empty());
}

/// The picture alone, without the text that tells of the graph.
fn pixels(bytes: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}
