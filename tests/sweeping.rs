//! Sweeps and batches.

use std::fs;

use serde_json::{Value, json};

use crate::program::{Place, repository};

const GRAPH: &str = r#"{
  "version": 1,
  "name": "negative",
  "inputs": {
    "width": { "type": "integer", "default": 40, "minimum": 1, "maximum": 100 },
    "factor": { "type": "number", "default": 0.5, "minimum": 0, "maximum": 1 },
    "name": { "type": "text", "default": "picture" }
  },
  "nodes": {
    "load": { "type": "Load Image", "inputs": { "path": "reference.png" } },
    "small": { "type": "Resize", "inputs": { "image": { "from": "load.image" }, "width": { "input": "width" } } },
    "invert": { "type": "Invert", "inputs": { "image": { "from": "small.image" } } },
    "blend": {
      "type": "Blend",
      "inputs": { "image": { "from": "small.image" }, "overlay": { "from": "invert.image" }, "factor": { "input": "factor" } }
    },
    "save": { "type": "Save Image", "inputs": { "images": { "from": "blend.image" }, "prefix": { "input": "name" } } }
  },
  "outputs": { "picture": "blend.image" }
}"#;

fn place() -> Place {
    let place = Place::new();
    place.write("graph.json", GRAPH);
    place.write("reference.png", fs::read(repository().join("graphs/reference.png")).unwrap());
    place
}

/// The lines of a CSV file without quoted cells.
fn csv(place: &Place, name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(place.path(name)).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn a_grid_computes_what_its_runs_share_once() {
    let place = place();
    for jobs in ["1", "3"] {
        // What one command shares between its runs, not what an earlier one left.
        place.run(&["store", "clear"]).expect(0);
        let output = format!("out{jobs}");
        let args = ["run", "graph.json", "--sweep", "factor=0..1:0.5", "--sweep", "width=20,30", "--jobs", jobs];
        let outcome = place.run(&[&args[..], &["--output", &output, "--format", "json"]].concat()).expect(0).json();
        let runs = outcome["runs"].as_array().unwrap();
        let inputs: Vec<_> =
            runs.iter().map(|run| (run["inputs"]["factor"].clone(), run["inputs"]["width"].clone())).collect();
        let expected = [("0.0", "20"), ("0.0", "30"), ("0.5", "20"), ("0.5", "30"), ("1.0", "20"), ("1.0", "30")];
        assert_eq!(inputs, expected.map(|(factor, width)| (json!(factor), json!(width))));
        let computed: Vec<u64> = runs.iter().map(|run| run["computed"].as_u64().unwrap()).collect();
        if jobs == "1" {
            // Five nodes; then all but loading; then blending and saving alone.
            assert_eq!(computed, [5, 4, 2, 2, 2, 2]);
        } else {
            assert_eq!(computed[0], 5);
            assert!(computed[1..].iter().all(|count| *count < 5), "{computed:?}");
        }
        assert_eq!(place.files(&output).iter().filter(|file| file.ends_with("picture-000.png")).count(), 6);
        // Each run's picture says its own parameters.
        let picture = format!("{output}/4-factor=0.5,width=30/picture-000.png");
        let told = place.run(&["image", "inspect", &picture]).expect(0).stdout;
        assert!(told.contains("factor = 0.5\n") && told.contains("width = 30\n"), "{told}");
        let table = csv(&place, &format!("{output}/sweep.csv"));
        assert_eq!(table[0][..5], ["run", "factor", "width", "status", "seconds"]);
        assert_eq!(table.len(), 7);
        assert_eq!(table[4][..4], ["4", "0.5", "30", "done"]);
        assert!(table[4].iter().any(|cell| cell.contains("picture-000.png")), "{:?}", table[4]);
        let sheet = dc_graph_nodes::read_picture(&place.path(&format!("{output}/sweep.png"))).unwrap();
        assert!(sheet.width() > 3 * 256 && sheet.height() > 2 * 256 && sheet.height() < 3 * 256);
    }
    // Several at once give the same bytes.
    let one = fs::read(place.path("out1/6-factor=1.0,width=30/picture-000.png")).unwrap();
    assert!(one == fs::read(place.path("out3/6-factor=1.0,width=30/picture-000.png")).unwrap());
    assert!(fs::read(place.path("out1/sweep.png")).unwrap() == fs::read(place.path("out3/sweep.png")).unwrap());
}

#[test]
fn axes_side_by_side_and_mistakes() {
    let place = place();
    let args = ["run", "graph.json", "--sweep", "width=10..12", "--sweep", "name=a,b,c", "--zip"];
    place.run(&args).expect(0);
    assert_eq!(
        place.files("output"),
        [
            "1-width=10,name=a/a-000.png",
            "2-width=11,name=b/b-000.png",
            "3-width=12,name=c/c-000.png",
            "sweep.csv",
            "sweep.png"
        ]
    );
    let check = |args: &[&str], part: &str| {
        let all = [&["run", "graph.json", "--output", "wrong"], args].concat();
        let told = place.run(&all).expect(2).stderr;
        assert!(told.contains(part), "{args:?}: {told}");
        assert!(place.files("wrong").is_empty(), "{args:?}: nothing runs");
    };
    check(&["--sweep", "width=10..12", "--sweep", "name=a,b", "--zip"], "`width` has 3, `name` has 2");
    check(&["--sweep", "width=98..102"], "must be from 1 to 100, found `101`");
    check(&["--sweep", "wdith=1,2"], "did you mean `width`?");
    check(&["--sweep", "width"], "expected `name=1..8`");
    check(&["--zip"], "--sweep");
    check(&["--sweep", "width=1,2", "--batch", "rows.csv"], "cannot be used with");
    check(&["--sweep", "width=1..100", "--sweep", "factor=0..1:0.001"], "more than 10000 runs");
    check(&["--batch", "missing.csv"], "cannot read the rows `missing.csv`");
}

#[test]
fn a_document_can_ask_for_its_sweep() {
    let place = place();
    let sweep = r#""sweep": { "axes": { "width": [10, 20], "factor": "0..1" } },"#;
    place.write("sweep.json", GRAPH.replace("\"nodes\": {", &format!("{sweep}\n  \"nodes\": {{")));
    place.run(&["validate", "sweep.json"]).expect(0);
    let runs = |args: &[&str]| {
        let all = [&["run", "sweep.json", "--format", "json"], args].concat();
        place.run(&all).expect(0).json()["runs"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(runs(&[]), 4);
    assert_eq!(runs(&["--set", "width=15"]), 2, "what is set does not vary");
    assert_eq!(runs(&["--set", "width=15", "--set", "factor=1"]), 0, "a single run");
    assert_eq!(runs(&["--sweep", "width=1..3"]), 3, "the command line's sweep counts");
    let told = place.run(&["diff", "graph.json", "sweep.json"]).expect(1).stdout;
    assert!(told.starts_with("+ sweep"), "{told}");
}

#[test]
fn one_failing_run_stops_no_other() {
    let place = place();
    // One of the names leads out of the output folder, which only the node that saves knows.
    let outcome = place.run(&["run", "graph.json", "--sweep", "name=a,../b,c", "--format", "json"]).expect(1);
    let outcome = outcome.json();
    let status: Vec<&Value> = outcome["runs"].as_array().unwrap().iter().map(|run| &run["status"]).collect();
    assert_eq!(
        (status, &outcome["status"]),
        (vec![&json!("done"), &json!("failed"), &json!("done")], &json!("failed"))
    );
    assert!(outcome["runs"][1]["message"].as_str().unwrap().contains("`save` (Save Image)"));
    let table = fs::read_to_string(place.path("output/sweep.csv")).unwrap();
    assert!(table.contains(",failed,"), "{table}");
}

#[test]
fn a_batch_goes_on_where_it_was() {
    let place = place();
    place.write("rows.csv", "width,name\n10,first\n20,\n30,third\n");
    let run = |file: &str| -> Vec<String> {
        let outcome = place.run(&["run", "graph.json", "--batch", file, "--format", "json"]).expect(0).json();
        outcome["runs"].as_array().unwrap().iter().map(|run| run["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(run("rows.csv"), ["done", "done", "done"]);
    let files = [
        "batch.csv",
        "batch.done.jsonl",
        "row-0001/first-000.png",
        "row-0002/picture-000.png",
        "row-0003/third-000.png",
    ];
    assert_eq!(place.files("output"), files);
    assert_eq!(run("rows.csv"), ["done before"; 3]);
    // A changed row, a new one, and one whose file is gone.
    fs::remove_file(place.path("output/row-0003/third-000.png")).unwrap();
    place.write("rows.csv", "width,name\n10,first\n21,\n30,third\n40,fourth\n");
    assert_eq!(run("rows.csv"), ["done before", "done", "done", "done"]);
    // The same rows as JSON are the same rows.
    place.write(
        "rows.jsonl",
        "{\"width\": 10, \"name\": \"first\"}\n{\"width\": 21}\n{\"width\": 30, \"name\": \"third\"}\n",
    );
    assert_eq!(run("rows.jsonl"), ["done before"; 3]);
    // What the rows read is a part of them.
    place.write("reference.png", fs::read(place.path("output/row-0001/first-000.png")).unwrap());
    assert_eq!(run("rows.jsonl"), ["done"; 3]);
    let wrong = |text: &str, part: &str| {
        place.write("wrong.csv", text);
        let told = place.run(&["run", "graph.json", "--batch", "wrong.csv"]).expect(2).stderr;
        assert!(told.contains(part), "{told}");
    };
    wrong("width\n10\n1000\n", "row 2: width=1000");
    wrong("wdith\n10\n", "did you mean `width`?");
    wrong("width\n", "has no rows");
}
