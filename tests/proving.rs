//! `lock`, `run --locked` and `replay`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Place, repository};

const NEGATIVE: &str = r#"{
  "version": 1,
  "name": "negative",
  "inputs": {
    "picture": { "type": "path", "default": "reference.png" },
    "width": { "type": "integer", "default": 40, "minimum": 1, "maximum": 100 }
  },
  "nodes": {
    "load": { "type": "Load Image", "inputs": { "path": { "input": "picture" } } },
    "small": { "type": "Resize", "inputs": { "image": { "from": "load.image" }, "width": { "input": "width" } } },
    "invert": { "type": "Invert", "inputs": { "image": { "from": "small.image" } } },
    "save": { "type": "Save Image", "inputs": { "images": { "from": "invert.image" }, "path": "negative.png" } },
    "keep": { "type": "Save Image", "inputs": { "images": { "from": "load.image" }, "path": "kept.png" } }
  },
  "outputs": { "picture": "invert.image" }
}"#;

fn place() -> Place {
    let place = Place::new();
    place.write("graphs/negative.json", NEGATIVE);
    place.write("graphs/reference.png", fs::read(repository().join("graphs/reference.png")).unwrap());
    place
}

#[test]
fn a_locked_run_is_the_same_run_or_none() {
    let place = place();
    let missing = place.run(&["run", "graphs/negative.json", "--locked"]).expect(1);
    assert!(missing.stderr.contains("`dc-graph lock` writes it"), "{}", missing.stderr);
    assert_eq!(place.run(&["lock", "graphs/negative.json"]).expect(0).stdout, "graphs/negative.json.lock\n");
    let lock: Value =
        serde_json::from_str(&fs::read_to_string(place.path("graphs/negative.json.lock")).unwrap()).unwrap();
    assert_eq!(lock["inputs"], json!({ "picture": "reference.png", "width": 40 }));
    assert_eq!(lock["nodes"]["load"]["files"][0]["name"], "reference.png");
    place.run(&["run", "graphs/negative.json", "--locked"]).expect(0);
    assert_eq!(place.run(&["lock", "graphs/negative.json", "--check"]).expect(0).stdout, "");
    // Labels and order are no difference; everything else is named, and nothing runs.
    let labelled = NEGATIVE.replace("\"type\": \"Invert\"", "\"label\": \"other way round\", \"type\": \"Invert\"");
    place.write("graphs/negative.json", labelled);
    place.run(&["run", "graphs/negative.json", "--locked", "--output", "labelled"]).expect(0);
    let refused = |args: &[&str], expected: &[&str]| {
        let mut all = vec!["run", "graphs/negative.json", "--locked", "--output", "refused", "--format", "json"];
        all.extend(args);
        let outcome = place.run(&all).expect(2);
        assert_eq!(outcome.json()["differences"], json!(expected));
        assert!(expected.iter().all(|line| outcome.stderr.contains(line)), "{}", outcome.stderr);
        assert!(place.files("refused").is_empty());
    };
    refused(
        &["--set", "width=20"],
        &["input `width`: locked 40, found 20", "node `small` (Resize) is given something else"],
    );
    place.write(
        "graphs/negative.json",
        NEGATIVE.replace("\"Invert\"", "\"Image Info\"").replace("invert.image", "small.image"),
    );
    let told = place.run(&["lock", "graphs/negative.json", "--check"]).expect(1).stdout;
    assert!(told.contains("output `picture`: locked `invert.image`, found `small.image`"), "{told}");
    place.write("graphs/negative.json", NEGATIVE);
    let picture = place.path("output/kept.png");
    fs::copy(picture, place.path("graphs/reference.png")).unwrap();
    refused(&[], &["file `reference.png`, read by `load`, has other contents"]);
    place.write("graphs/negative.json.lock", "{}");
    let broken = place.run(&["run", "graphs/negative.json", "--locked"]).expect(1);
    assert!(broken.stderr.contains("is no lock of this program"), "{}", broken.stderr);
}

#[test]
fn a_picture_is_made_again_byte_by_byte() {
    let place = place();
    place.run(&["run", "graphs/negative.json", "--set", "width=24"]).expect(0);
    // From the folder above, from elsewhere, and after the picture was renamed.
    let verified = place.run(&["replay", "output/negative.png", "--verify"]).expect(0);
    assert_eq!(verified.stdout, "identical: output/negative.png\n");
    assert_eq!(place.files("").iter().filter(|file| file.ends_with("negative.png")).count(), 1, "nothing else is kept");
    fs::copy(place.path("output/negative.png"), place.path("renamed.png")).unwrap();
    place.run(&["replay", "renamed.png", "--verify"]).expect(0);
    let replayed = place.run(&["replay", "output/negative.png"]).expect(0);
    assert!(replayed.stdout.contains("negative.png"), "{}", replayed.stdout);
    assert_eq!(place.files("replayed"), ["negative.png"], "what the picture does not need does not run");
    let read = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(read("replayed/negative.png") == read("output/negative.png"));
    let plain = place.run(&["replay", "graphs/reference.png"]).expect(2);
    assert!(plain.stderr.contains("does not say what made it"), "{}", plain.stderr);
    place.run(&["replay", "missing.png"]).expect(2);
}

#[test]
fn what_differs_is_named() {
    let place = place();
    place.run(&["run", "graphs/negative.json"]).expect(0);
    let verify = |expected: &[&str]| {
        let found = place.run(&["replay", "output/negative.png", "--verify", "--format", "json"]).expect(1).json();
        assert_eq!((&found["identical"], &found["differences"]), (&json!(false), &json!(expected)));
        found["differing_pixels"].as_u64().unwrap()
    };
    // The reference is another one now.
    let other = place.run(&["run", "graphs/negative.json", "--output", "other"]).expect(0);
    assert!(other.stdout.contains("other/kept.png"));
    fs::copy(place.path("other/negative.png"), place.path("graphs/reference.png")).unwrap();
    assert!(verify(&["file `reference.png`, read by `load`, has other contents"]) > 0);
    let told = place.run(&["replay", "output/negative.png", "--verify"]).expect(1).stdout;
    assert!(told.contains("pixels differ, by at most"), "{told}");
    // The reference is gone: what is wrong is told as for any graph.
    fs::remove_file(place.path("graphs/reference.png")).unwrap();
    let gone = place.run(&["replay", "output/negative.png"]).expect(2);
    assert!(gone.stderr.contains("no such file") && gone.stderr.contains("--folder"), "{}", gone.stderr);
    let given = repository().join("graphs/reference.png");
    let set = format!("picture={}", given.display());
    place.run(&["replay", "output/negative.png", "--verify", "--set", &set]).expect(0);
    place
        .run(&["replay", "output/negative.png", "--verify", "--folder", given.parent().unwrap().to_str().unwrap()])
        .expect(0);
}

/// The pictures that the graphs a user starts from write, main job included.
#[test]
fn pictures_of_models_are_identical() {
    let place = Place::new();
    for (graph, sets, picture) in [
        ("personalize.json", &["num_images=2", "num_inference_steps=2"][..], "personalize-01.png"),
        ("personalize.json", &["num_images=2", "num_inference_steps=2"], "personalize-sheet.png"),
        ("text_to_image.json", &["num_inference_steps=2"], ""),
        ("segment_only.json", &[], ""),
        ("backdrop.json", &[], ""),
        ("cut_out_all.json", &["size=64"], "subject-001.png"),
    ] {
        let path = repository().join("graphs").join(graph);
        let output = Path::new("out").join(graph);
        let mut args = vec!["run", path.to_str().unwrap(), "--device", "cpu", "--progress", "none"];
        args.extend(["--output", output.to_str().unwrap()]);
        sets.iter().for_each(|set| args.extend(["--set", set]));
        place.run(&args).expect(0);
        let files = place.files(output.to_str().unwrap());
        let picture = output.join(if picture.is_empty() { &files[0] } else { picture });
        let folder = path.parent().unwrap().to_str().unwrap();
        let args = [
            "replay",
            picture.to_str().unwrap(),
            "--verify",
            "--device",
            "cpu",
            "--folder",
            folder,
            "--progress",
            "none",
        ];
        let verified = place.run(&args).expect(0);
        assert!(verified.stdout.starts_with("identical: "), "{graph}: {}", verified.stdout);
    }
}

/// The pictures that the repository shows, those of them that say what made them. The bits that kernels give differ between
/// kinds of CPUs, so that this is for where the pictures were made:
/// `cargo test --release -- --ignored pictures_that_are_shown`.
#[test]
#[ignore = "other CPUs round otherwise"]
fn pictures_that_are_shown_are_made_again() {
    let place = Place::new();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for folder in ["examples/pictures", "graphs"] {
        for entry in fs::read_dir(repository().join(folder)).unwrap() {
            let picture = entry.unwrap().path();
            let path = picture.to_str().unwrap();
            let says = picture.extension().is_some_and(|e| e == "png")
                && place.run(&["image", "inspect", path, "--graph"]).code == Some(0);
            if says {
                let mut command = place.command(&["replay", path, "--verify", "--device", "cpu", "--progress", "none"]);
                let output = command.current_dir(repository()).output().unwrap();
                wrong.extend((!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned()));
                seen += 1;
            }
        }
    }
    assert!(seen > 0 && wrong.is_empty(), "{}", wrong.concat());
}
