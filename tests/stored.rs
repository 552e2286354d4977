//! The store from outside: what a second run, a killed run, two runs at once and a damaged store come to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dc_graph::api::Decoders;
use dc_graph::store::Store;
use serde_json::Value;

use crate::program::{Outcome, Place, repository};

/// The arguments of a run of a graph of the repository, on the CPU, telling events.
fn args(graph: &str, output: &str, more: &[&str]) -> Vec<String> {
    let graph = repository().join(format!("graphs/{graph}.json")).display().to_string();
    let args = ["run", &graph, "--device", "cpu", "--progress", "json", "--format", "json", "--output", output];
    args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
}

fn command(place: &Place, args: &[String]) -> Command {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    place.command(&args)
}

fn run(place: &Place, args: &[String]) -> Outcome {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    place.run(&args).expect(0)
}

/// The nodes that an event tells of.
fn of(outcome: &Outcome, event: &str) -> Vec<String> {
    let events = outcome.events().into_iter().filter(|e| e["event"] == event);
    events.map(|e| e["node"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The files of a folder with their contents, without what is still being written.
fn contents(place: &Place, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let names = place.files(folder).into_iter().filter(|name| !name.starts_with(".dc-graph-"));
    names.map(|name| (name.clone(), fs::read(place.path(folder).join(name)).unwrap())).collect()
}

fn store(place: &Place) -> Store {
    Store::open(&place.path(".cache/dc-graph/store"), None, Decoders::default()).unwrap()
}

#[test]
fn a_second_run_evaluates_nothing() {
    let place = Place::new();
    let args = args("personalize", "out", &["--set", "num_inference_steps=2", "--set", "num_images=1"]);
    let first = run(&place, &args);
    assert_eq!(of(&first, "cached"), [""; 0]);
    let second = run(&place, &args);
    assert_eq!((of(&second, "started"), of(&second, "progress")), (vec![], vec![]));
    assert_eq!((of(&second, "cached").len(), of(&second, "kept").len()), (11, 2));
    let (first, second) = (first.json(), second.json());
    assert_eq!(first["files"], second["files"]);
    assert_eq!(first["outputs"], second["outputs"]);
    // Models are not kept: the store stays small.
    let stats = place.run(&["store", "stats", "--format", "json"]).expect(0).json();
    assert_eq!((stats["entries"].as_u64(), stats["checkpoints"].as_u64()), (Some(11), Some(0)));
    assert!(stats["bytes"].as_u64().unwrap() < 10_000_000, "{stats}");
    assert_eq!(place.run(&["store", "verify", "--format", "json"]).expect(0).json()["damaged"], serde_json::json!([]));
    // Without a store everything is computed, to the same end.
    let again: Vec<_> = args.iter().map(|arg| if arg == "out" { "again" } else { arg }.to_owned()).collect();
    let without = run(&place, &[&again[..], &["--no-store".to_owned()]].concat());
    assert_eq!(of(&without, "started").len(), 11);
    assert!(contents(&place, "out") == contents(&place, "again"));
    let cleared = place.run(&["store", "clear", "--format", "json"]).expect(0).json();
    assert!(cleared["files"].as_u64().unwrap() >= 11);
    assert_eq!(store(&place).stats().bytes, 0);
}

#[test]
fn a_killed_sampler_goes_on_with_the_same_bits() {
    let place = Place::new();
    let args =
        |output, more: &[&str]| args("text_to_image", output, &[&["--set", "num_inference_steps=40"], more].concat());
    run(&place, &args("whole", &["--no-store"]));
    let mut child = command(&place, &args("out", &[])).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert!(events.any(|event| event["event"] == "progress" && event["step"] == 12), "it never came to step 12");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((contents(&place, "out").len(), store(&place).stats().checkpoints), (0, 1));
    let resumed = run(&place, &args("out", &[]));
    let steps: Vec<_> =
        resumed.events().iter().filter(|e| e["event"] == "progress").filter_map(|e| e["step"].as_u64()).collect();
    assert!(steps[0] > 10, "{steps:?}");
    let told =
        resumed.events().iter().any(|e| e["message"].as_str().is_some_and(|m| m.starts_with("goes on after step")));
    assert!(told, "{}", resumed.stderr);
    assert!(contents(&place, "out") == contents(&place, "whole"));
    assert_eq!(store(&place).stats().checkpoints, 0);
}

/// Kills a run at random instants, again and again until it comes through; nothing is torn and nothing lost.
/// `DC_GRAPH_KILLS` says how often.
#[test]
fn killed_at_any_instant_nothing_is_torn() {
    let kills: u32 = std::env::var("DC_GRAPH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let place = Place::new();
    let sets = ["--set", "num_inference_steps=12", "--set", "num_images=2"];
    let began = Instant::now();
    run(&place, &args("personalize", "whole", &[&sets[..], &["--no-store"]].concat()));
    let whole = began.elapsed();
    let expected = contents(&place, "whole");
    let mut random = blake3::Hasher::new().update(b"kills").finalize_xof();
    let (mut killed, mut finished) = (0, 0);
    while killed < kills {
        let mut child = command(&place, &args("personalize", "out", &sets));
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut number = [0; 4];
        random.fill(&mut number);
        // Any instant will do, also one after the end.
        std::thread::sleep(
            whole.mul_f64(f64::from(u32::from_le_bytes(number)) / f64::from(u32::MAX)).max(Duration::from_millis(1)),
        );
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        for (name, bytes) in contents(&place, "out") {
            assert!(bytes == expected[&name], "`{name}` is torn after kill {killed}");
        }
        let store = store(&place);
        let damage = store.verify();
        assert!(damage.damaged.is_empty(), "after kill {killed}: {damage:?}");
        if ended.success() {
            finished += 1;
            assert!(contents(&place, "out") == expected);
            store.clear();
            fs::remove_dir_all(place.path("out")).unwrap();
        } else {
            killed += 1;
        }
    }
    let last = run(&place, &args("personalize", "out", &sets));
    assert!(!last.stderr.contains("damaged"), "{}", last.stderr);
    assert!(contents(&place, "out") == expected);
    eprintln!("{killed} kills, {finished} runs came through, one more did at the end");
}

#[test]
fn two_processes_compute_each_node_once() {
    let place = Place::new();
    let sets = ["--set", "num_inference_steps=8", "--set", "num_images=1"];
    let spawn = |output| {
        let mut command = command(&place, &args("personalize", output, &sets));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children = ["a", "b"].map(spawn);
    let outcomes = children.map(|child| Outcome::from(child.wait_with_output().unwrap()).expect(0));
    let mut ran = BTreeMap::new();
    outcomes.iter().flat_map(|o| of(o, "started")).for_each(|node| *ran.entry(node).or_insert(0) += 1);
    for node in ["photo", "subject", "cache", "prompt", "sampler", "pictures", "sheet"] {
        assert_eq!(ran.get(node), Some(&1), "`{node}`: {ran:?}");
    }
    // They write to two folders.
    assert_eq!((ran["save"], ran["save_sheet"]), (2, 2));
    assert!(contents(&place, "a") == contents(&place, "b"));
    let damage = store(&place).verify();
    assert!(damage.damaged.is_empty(), "{damage:?}");
}

/// A picture and its negative: no model.
fn negative(place: &Place) {
    let graph = serde_json::json!({
        "version": 1,
        "name": "negative",
        "nodes": {
            "load": { "type": "Load Image", "inputs": { "path": "./reference.png" } },
            "small": { "type": "Resize", "inputs": { "image": { "from": "load.image" }, "width": 40 } },
            "invert": { "type": "Invert", "inputs": { "image": { "from": "small.image" } } },
            "save": { "type": "Save Image", "inputs": { "images": { "from": "invert.image" }, "path": "negative.png" } },
        },
        "outputs": { "files": "save.paths" },
    });
    place.write("negative.json", graph.to_string());
    place.write("reference.png", fs::read(repository().join("graphs/reference.png")).unwrap());
}

const NEGATIVE: [&str; 4] = ["run", "negative.json", "--progress", "plain"];

#[test]
fn a_flipped_bit_is_found_and_computed_again() {
    let place = Place::new();
    negative(&place);
    place.run(&NEGATIVE).expect(0);
    let expected = contents(&place, "output");
    let flip = |folder: &Path| {
        for room in fs::read_dir(folder.join("blobs")).unwrap().flat_map(|f| fs::read_dir(f.unwrap().path()).unwrap()) {
            let path = room.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 16;
            fs::write(path, bytes).unwrap();
        }
    };
    let root = store(&place).root().to_path_buf();
    flip(&root);
    fs::remove_file(place.path("output/negative.png")).unwrap();
    let outcome = place.run(&NEGATIVE).expect(0);
    assert!(outcome.stderr.contains("is damaged; what it held is computed again"), "{}", outcome.stderr);
    assert!(contents(&place, "output") == expected);
    flip(&root);
    let verified = place.run(&["store", "verify", "--format", "json"]).expect(1).json();
    assert!(!verified["damaged"].as_array().unwrap().is_empty());
    place.run(&["store", "verify"]).expect(0);
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let place = Place::new();
    negative(&place);
    place.write(".cache/dc-graph/store/format", "dc-graph store 2\n");
    let before = place.files(".cache");
    let outcome = place.run(&NEGATIVE).expect(0);
    assert!(outcome.stderr.contains("has format 2, this program knows 1"), "{}", outcome.stderr);
    assert_eq!((place.files(".cache"), place.files("output").len()), (before, 1));
    let stats = place.run(&["store", "stats"]).expect(1);
    assert!(stats.stderr.contains("hint: nothing in it was changed"), "{}", stats.stderr);
}

/// Writes that stop in the middle of a file, as on a full disk.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_costs_the_store_only() {
    let place = Place::new();
    negative(&place);
    let command = place.command(&NEGATIVE);
    let line = format!("trap '' XFSZ; ulimit -f 64; exec \"$0\" {}", NEGATIVE.join(" "));
    let mut limited = Command::new("sh");
    limited.args(["-c", &line]).arg(command.get_program()).current_dir(place.path("")).stdin(Stdio::null());
    limited.env("XDG_CACHE_HOME", place.path(".cache"));
    let outcome = Outcome::from(limited.output().unwrap()).expect(0);
    assert_eq!(
        outcome.stderr.matches("cannot be written, so what this run computes is not kept").count(),
        1,
        "{}",
        outcome.stderr
    );
    assert_eq!(place.files("output"), ["negative.png"]);
    let store = store(&place);
    assert_eq!((store.verify().damaged.len(), store.stats().blobs), (0, 0));
    assert_eq!(place.files(".cache/dc-graph/store/tmp"), [""; 0]);
    let limited = contents(&place, "output");
    place.run(&NEGATIVE).expect(0);
    assert!(contents(&place, "output") == limited);
}

/// Another user's store: it can be read, and that is all.
#[cfg(unix)]
#[test]
fn a_store_that_cannot_be_written_is_still_read() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    negative(&place);
    place.run(&NEGATIVE).expect(0);
    let _ = fs::remove_dir_all(place.path("output"));
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let shell = |line: &str| {
        assert!(Command::new("sh").args(["-c", line]).current_dir(place.path("")).status().unwrap().success())
    };
    shell("chmod -R a+rX,a-w .cache");
    mode(&place.path(""), 0o777);
    let mut command = place.command(&[&NEGATIVE[..], &["--output", "other"]].concat());
    // Nothing stops root: it runs as nobody.
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if is_root {
        command.uid(65534).gid(65534);
    }
    let outcome = Outcome::from(command.output().unwrap()).expect(0);
    shell("chmod -R u+w .cache");
    assert_eq!(outcome.stderr.matches("cannot be written").count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("invert: known already"), "{}", outcome.stderr);
    assert_eq!(place.files("other"), ["negative.png"]);
}

#[test]
fn the_store_keeps_to_its_limit() {
    let place = Place::new();
    negative(&place);
    for width in 0..8 {
        let text = fs::read_to_string(place.path("negative.json")).unwrap();
        place.write(
            "negative.json",
            text.replace(&format!("\"width\":{}", 40 + width), &format!("\"width\":{}", 41 + width)),
        );
        place.run(&[&NEGATIVE[..], &["--store-limit", "1.2MB"]].concat()).expect(0);
        assert!(store(&place).stats().bytes <= 1_200_000, "{:?}", store(&place).stats());
    }
    let freed = place.run(&["store", "gc", "--to", "100kB", "--format", "json"]).expect(0).json();
    assert!(freed["files"].as_u64().unwrap() > 0 && store(&place).stats().bytes <= 100_000, "{freed}");
}
