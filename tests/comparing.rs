//! `diff`, `merge` and `fmt`: as commands, between pictures, and as git's drivers.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::program::{Place, repository};

const GRAPH: &str = r#"{
  "version": 1,
  "name": "negative",
  "inputs": {
    "width": { "type": "integer", "default": 40 }
  },
  "nodes": {
    "load": { "type": "Load Image", "inputs": { "path": "reference.png" } },
    "small": { "type": "Resize", "inputs": { "image": { "from": "load.image" }, "width": { "input": "width" } } },
    "invert": { "type": "Invert", "inputs": { "image": { "from": "small.image" } } },
    "save": { "type": "Save Image", "inputs": { "images": { "from": "invert.image" }, "path": "negative.png" } }
  },
  "outputs": {
    "picture": "invert.image"
  }
}
"#;

#[test]
fn diff_ends_as_diff_does() {
    let place = Place::new();
    place.write("a.json", GRAPH);
    place.write("same.json", GRAPH.replace("  ", " "));
    place.write("b.json", GRAPH.replace("40", "50"));
    place.write("broken.json", "{");
    assert_eq!(place.run(&["diff", "a.json", "same.json"]).expect(0).stdout, "");
    let told = place.run(&["diff", "a.json", "b.json"]).expect(1).stdout;
    assert_eq!(told, "~ default of graph input `width`: 40 -> 50\n");
    let data = place.run(&["diff", "a.json", "b.json", "--format", "json"]).expect(1).json();
    let change = json!({ "kind": "changed", "place": ["inputs", "width", "default"], "old": 40, "new": 50 });
    assert_eq!(data, json!({ "changes": [change] }));
    let broken = place.run(&["diff", "a.json", "broken.json"]).expect(2);
    assert!(broken.stderr.contains("broken.json:1:2"), "{}", broken.stderr);
    place.run(&["diff", "a.json", "missing.json"]).expect(2);
    place.run(&["diff", "a.json"]).expect(2);
}

#[test]
fn pictures_are_compared_by_what_made_them() {
    let place = Place::new();
    place.write("graph.json", GRAPH);
    place.write("reference.png", fs::read(repository().join("graphs/reference.png")).unwrap());
    for (width, output) in [("24", "a"), ("32", "b")] {
        let set = format!("width={width}");
        place.run(&["run", "graph.json", "--set", &set, "--output", output]).expect(0);
    }
    let told = place.run(&["diff", "a/negative.png", "b/negative.png"]).expect(1).stdout;
    assert_eq!(told, "~ default of graph input `width`: 24 -> 32\n");
    place.run(&["diff", "a/negative.png", "a/negative.png"]).expect(0);
    // A picture is as good as its graph elsewhere too.
    place.write("c.json", GRAPH.replace("\"negative.png\"", "\"other.png\""));
    let merged = place.run(&["merge", "graph.json", "a/negative.png", "c.json"]).expect(0).stdout;
    assert!(merged.contains("\"default\": 24") && merged.contains("other.png"), "{merged}");
    let plain = place.run(&["diff", "reference.png", "graph.json"]).expect(2);
    assert!(plain.stderr.contains("does not say what made it"), "{}", plain.stderr);
}

#[test]
fn merge_writes_and_tells() {
    let place = Place::new();
    place.write("base.json", GRAPH);
    place.write("ours.json", GRAPH.replace("40", "50"));
    place.write("theirs.json", GRAPH.replace("40", "60"));
    place.write("apart.json", GRAPH.replace("\"negative\"", "\"other\""));
    place.write("empty.json", "\n");
    let merged = place.run(&["merge", "base.json", "ours.json", "apart.json"]).expect(0);
    assert_eq!(merged.stdout, GRAPH.replace("40", "50").replace("\"negative\"", "\"other\""));
    assert_eq!(merged.stderr, "");
    let torn = place.run(&["merge", "base.json", "ours.json", "theirs.json", "--output", "out/merged.json"]).expect(1);
    assert_eq!(torn.stderr, "conflict: default of graph input `width` was changed by both, each in another way\n");
    assert_eq!(torn.stdout, "");
    assert!(fs::read_to_string(place.path("out/merged.json")).unwrap().contains("\n<<<<<<< ours\n"));
    assert_eq!(place.files("out"), ["merged.json"]);
    let data = place.run(&["merge", "base.json", "ours.json", "theirs.json", "--format", "json"]).expect(1).json();
    assert_eq!(data["conflicts"][0]["place"], json!(["inputs", "width", "default"]));
    assert_eq!((&data["conflicts"][0]["ours"], &data["conflicts"][0]["theirs"]), (&json!(50), &json!(60)));
    place.run(&["merge", "empty.json", "ours.json", "ours.json"]).expect(0);
    place.run(&["merge", "missing.json", "ours.json", "theirs.json"]).expect(2);
}

#[test]
fn fmt_rewrites_and_checks() {
    let place = Place::new();
    place.write("good.json", GRAPH);
    place.write("odd.json", GRAPH.replace("  ", "\t"));
    place.write("broken.json", "[]");
    let checked = place.run(&["fmt", "--check", "good.json", "odd.json"]).expect(1);
    assert_eq!(checked.stdout, "odd.json\n");
    let broken = place.run(&["fmt", "broken.json", "odd.json"]).expect(2);
    assert!(broken.stderr.contains("must be an object"), "{}", broken.stderr);
    assert_eq!(fs::read_to_string(place.path("odd.json")).unwrap(), GRAPH, "the others are formatted all the same");
    let data = place.run(&["fmt", "--check", "good.json", "odd.json", "--format", "json"]).expect(0).json();
    let fine = |name: &str| json!({ "file": name, "changed": false });
    assert_eq!(data, json!({ "files": [fine("good.json"), fine("odd.json")] }));
    assert_eq!(place.run_with_input(&["fmt", "-"], &GRAPH.replace('\n', " ")).expect(0).stdout, GRAPH);
    // The schema lies beside the graphs.
    let schema = place.write("graph.schema.json", "{\"properties\":   {}}");
    let told = place.run(&["fmt", "good.json", "graph.schema.json"]).expect(0).stderr;
    assert!(told.contains("`graph.schema.json` has no `nodes`"), "{told}");
    assert_eq!(fs::read_to_string(schema).unwrap(), "{\"properties\":   {}}");
}

/// A repository in a folder; nothing when git is not there.
fn repository_of(place: &Place) -> Option<impl Fn(&[&str]) -> (bool, String) + '_> {
    let git = move |args: &[&str]| {
        let mut command = Command::new("git");
        // Nothing of the machine's configuration counts.
        command.args(args).current_dir(place.path("")).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", place.path("")).env("GIT_TERMINAL_PROMPT", "0");
        for (key, value) in [("NAME", "somebody"), ("EMAIL", "somebody@example.org")] {
            command.env(format!("GIT_AUTHOR_{key}"), value).env(format!("GIT_COMMITTER_{key}"), value);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("git is not installed: its drivers are not tried");
        return None;
    }
    let program = env!("CARGO_BIN_EXE_dc-graph");
    for args in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["config", "diff.dc-graph.command", &format!("'{program}' diff --git")],
        &["config", "merge.dc-graph.driver", &format!("'{program}' merge %O %A %B --output %A")],
    ] {
        let (fine, told) = git(args);
        assert!(fine, "{args:?}: {told}");
    }
    place.write(".gitattributes", "*.json diff=dc-graph merge=dc-graph\n");
    Some(git)
}

#[test]
fn git_shows_and_merges_by_meaning() {
    let place = Place::new();
    let Some(git) = repository_of(&place) else { return };
    let must = |args: &[&str]| {
        let (fine, told) = git(args);
        assert!(fine, "{args:?}: {told}");
        told
    };
    let commit = |text: &str, message: &str| {
        place.write("graph.json", text);
        must(&["add", "."]);
        must(&["commit", "--quiet", "--message", message]);
    };
    commit(GRAPH, "begin");
    must(&["checkout", "--quiet", "-b", "side"]);
    commit(&GRAPH.replace("\"small\"", "\"tiny\"").replace("\"small.", "\"tiny."), "rename");
    must(&["checkout", "--quiet", "main"]);
    // The same line as the rename: git alone would stop here.
    commit(&GRAPH.replace("{ \"input\": \"width\" }", "96"), "resize");
    let shown = must(&["diff", "main~", "main"]);
    assert_eq!(shown, "graph graph.json\n~ `small.width`: { \"input\": \"width\" } -> 96\n");
    must(&["merge", "--quiet", "side", "--message", "merge"]);
    let merged = fs::read_to_string(place.path("graph.json")).unwrap();
    assert!(merged.contains("\"tiny\": {") && merged.contains("\"width\": 96"), "{merged}");
    assert_eq!(must(&["diff", "HEAD"]), "");
    // A real conflict: git knows of it, and the file says where.
    must(&["checkout", "--quiet", "-b", "other"]);
    commit(&merged.replace("96", "97"), "97");
    must(&["checkout", "--quiet", "main"]);
    commit(&merged.replace("96", "98"), "98");
    let (fine, told) = git(&["merge", "other"]);
    assert!(!fine && told.contains("CONFLICT"), "{told}");
    assert!(told.contains("conflict: `tiny.width` was changed by both"), "{told}");
    let torn = fs::read_to_string(place.path("graph.json")).unwrap();
    let conflict = "<<<<<<< ours\n        \"width\": 98\n=======\n        \"width\": 97\n>>>>>>> theirs\n";
    let on_one_line = conflict.split_whitespace().collect::<String>();
    assert!(torn.split_whitespace().collect::<String>().contains(&on_one_line), "{torn}");
    // A new file, and one that is no graph, do not stop `git diff`.
    must(&["reset", "--quiet", "--hard", "HEAD"]);
    place.write("new.json", GRAPH);
    place.write("graph.json", "no graph");
    must(&["add", "."]);
    let shown = must(&["diff", "--cached"]);
    assert!(shown.contains("+ node `load`") && shown.contains("expected a value"), "{shown}");
}
