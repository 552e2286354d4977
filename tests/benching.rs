//! `bench`: what it measures, and what it says to peers.

use serde_json::Value;

use crate::program::Place;

#[test]
fn parts_are_measured_in_milliseconds() {
    let place = Place::new();
    let report = place.run(&["bench", "--only", "UNet", "--only", "cache", "--rounds", "1", "--format", "json"]);
    let report = report.expect(0).json();
    let parts = report["parts"].as_array().unwrap();
    let names: Vec<_> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["UNet", "UNet, personalised", "step, joint, no cache", "cache build"]);
    for part in parts {
        assert!(part["milliseconds"].as_f64().unwrap() > 0.0, "{part}");
        assert!(part["gflop"].as_f64().unwrap() > 0.0, "{part}");
    }
    // The adapters are not for nothing, and two rows are twice as much as one.
    let gflop = |i: usize| parts[i]["gflop"].as_f64().unwrap();
    assert!(gflop(1) > gflop(0) && (gflop(2) / gflop(0) - 2.0).abs() < 1e-9);
    assert!(report["machine"]["threads"].as_u64().unwrap() > 0);
}

#[test]
fn tables_are_markdown_and_can_be_written() {
    let place = Place::new();
    let outcome = place.run(&["bench", "--only", "text encoder", "--rounds", "1", "--write", "table.md"]).expect(0);
    let written = std::fs::read_to_string(place.path("table.md")).unwrap();
    assert_eq!(written, outcome.stdout);
    assert!(written.contains("\n| text encoder | "), "{written}");
    assert!(written.contains("`random:sd15-tiny` on cpu, f32"), "{written}");
}

#[cfg(unix)]
#[test]
fn peers_have_a_turn_in_every_round() {
    let place = Place::new();
    // Says its name, then a time for the one part that it has.
    let script = "echo sham\nwhile read part; do\n  echo \"$part\" >> asked\n  case $part in UNet) echo 12.5;; *) echo -;; esac\ndone\n";
    place.write("peer.sh", script);
    let args = ["bench", "--only", "UNet", "--rounds", "2", "--peer", "sh peer.sh", "--format", "json"];
    let report = place.run(&args).expect(0).json();
    assert_eq!(report["peers"], serde_json::json!(["sham"]));
    let parts = report["parts"].as_array().unwrap();
    assert_eq!(parts[0]["peers"][0], 12.5);
    assert_eq!(parts[1]["peers"][0], Value::Null);
    let asked = std::fs::read_to_string(place.path("asked")).unwrap();
    assert_eq!(asked.lines().filter(|part| *part == "UNet").count(), 3, "one to warm up, two that count");
}

#[test]
fn starts_from_nothing_are_measured_to_the_first_step_and_image() {
    let place = Place::new();
    for (first, wanted) in [("step", "start to first step"), ("image", "start to first image")] {
        let args = ["bench", "--only", "text encoder", "--rounds", "1", "--cold", first, "--format", "json"];
        let report = place.run(&args).expect(0).json();
        let cold = report["cold"].as_array().unwrap();
        let names: Vec<_> = cold.iter().map(|cold| cold["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["start to the end of a graph of one node", wanted]);
        for cold in cold {
            assert!(cold["milliseconds"].as_f64().unwrap() > 0.0, "{cold}");
        }
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    let place = Place::new();
    let refused = |args: &[&str], expected: &str| {
        let outcome = place.run(&[&["bench"], args].concat());
        assert_ne!(outcome.code, Some(0), "{args:?}");
        assert!(outcome.stderr.contains(expected), "{args:?}: {}", outcome.stderr);
    };
    refused(&["--only", "flux"], "no part is called like");
    refused(&["--model", "random:sd99"], "no random model `sd99`");
    refused(&["--model", "folder"], "give `--adapters FILE`");
    refused(&["--rounds", "0"], "--rounds");
    refused(&["--only", "UNet", "--peer", "no-such-program"], "cannot start the peer `no-such-program`");
}
