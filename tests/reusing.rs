//! Graphs in graphs, over lists and by choice, through the command line.

use std::fs;

use serde_json::{Value, json};

use crate::program::{Outcome, Place, repository};

/// A place with the graphs that show reuse, and two pictures.
fn place() -> Place {
    let place = Place::new();
    for name in ["cut_out_all.json", "backdrop.json", "parts/cut_out.json", "reference.png", "subject.png"] {
        place.write(&format!("graphs/{name}"), fs::read(repository().join("graphs").join(name)).unwrap());
    }
    let duck = fs::read(repository().join("graphs/reference.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(duck)).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut samples).unwrap();
    samples.iter_mut().step_by(3).for_each(|sample| *sample /= 2);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, info.width, info.height);
    encoder.set_color(info.color_type);
    encoder.set_depth(info.bit_depth);
    encoder.write_header().unwrap().write_image_data(&samples).unwrap();
    place.write("graphs/teal.png", bytes);
    place
}

fn run(place: &Place, graph: &str, more: &[&str]) -> Outcome {
    place.run(&[&["run", graph, "--progress", "json", "--format", "json"], more].concat()).expect(0)
}

/// The nodes that an event tells of, sorted.
fn of(outcome: &Outcome, event: &str) -> Vec<String> {
    let events = outcome.events().into_iter().filter(|e| e["event"] == event);
    let mut nodes: Vec<_> = events.map(|e| e["node"].as_str().unwrap_or_default().to_owned()).collect();
    nodes.sort();
    nodes
}

#[test]
fn one_more_picture_is_one_more_to_cut_out() {
    let place = place();
    let with = |pictures: &str| {
        run(&place, "graphs/cut_out_all.json", &["--set", "size=64", "--set", &format!("pictures={pictures}")])
    };
    let first = with(r#"["graphs/reference.png"]"#);
    assert_eq!(of(&first, "started"), ["cut", "cut[0]/load", "cut[0]/subject", "save", "save_sheet", "sheet"]);
    let second = with(r#"["graphs/reference.png", "graphs/teal.png"]"#);
    assert_eq!(of(&second, "started"), ["cut", "cut[1]/load", "cut[1]/subject", "save", "save_sheet", "sheet"]);
    assert_eq!(place.files("output"), ["subject-000.png", "subject-001.png", "subjects.png"]);
    let other_way_round = with(r#"["graphs/teal.png", "graphs/reference.png"]"#);
    assert_eq!(of(&other_way_round, "started"), ["cut", "save", "save_sheet", "sheet"]);
    assert_eq!(of(&with(r#"["graphs/teal.png", "graphs/reference.png"]"#), "started"), [""; 0]);
    // The two elements are the same work.
    let twice = with(r#"["graphs/teal.png", "graphs/teal.png"]"#);
    assert_eq!(of(&twice, "started"), ["cut", "save", "save_sheet", "sheet"]);
    let missing = ["run", "graphs/cut_out_all.json", "--set", r#"pictures=["graphs/gone.png"]"#];
    let told = place.run(&missing).expect(2).stderr;
    assert!(told.contains("`cut[0]/load.path`: no such file"), "{told}");
    assert!(told.contains("--> graphs/parts/cut_out.json:21:5\n"), "{told}");
}

#[test]
fn a_switch_makes_what_is_chosen() {
    let place = place();
    let with = |backdrop: &str, output: &str| {
        let set = format!("backdrop={backdrop}");
        run(&place, "graphs/backdrop.json", &["--set", "size=64", "--set", &set, "--output", output])
    };
    let colour = with("colour", "a");
    assert_eq!(of(&colour, "started"), ["before_colour", "chosen", "save", "subject/load", "subject/subject"]);
    let negative = with("negative", "b");
    assert_eq!(of(&negative, "started"), ["before_negative", "chosen", "fitted", "negative", "save"]);
    assert_ne!(
        fs::read(place.path("a/backdrop-000.png")).unwrap(),
        fs::read(place.path("b/backdrop-000.png")).unwrap()
    );
    let plan =
        place.run(&["plan", "graphs/backdrop.json", "--set", "size=64", "--set", "backdrop=colour", "--output", "b"]);
    let plan = plan.expect(0).stdout;
    // All but the picture on the disk, which the other choice has overwritten, is there from the first run.
    assert!(plan.contains("contents of chosen.value changed") && plan.contains("5 nodes: 4 known, 1 runs"), "{plan}");
    assert!(!plan.contains("fitted"), "{plan}");
}

/// A graph whose list and whose choice only a run tells.
const LATE: &str = r#"{
    "version": 1, "name": "late",
    "inputs": { "times": { "type": "integer", "default": 2 } },
    "nodes": {
        "a": { "type": "Load Image", "inputs": { "path": "./reference.png" } },
        "b": { "type": "Load Image", "inputs": { "path": "./teal.png" } },
        "first": { "type": "Save Image", "inputs": { "images": [{ "from": "a.image" }, { "from": "b.image" }], "prefix": "first" } },
        "which": { "type": "Text Template", "inputs": { "template": "{x}", "x": { "input": "times" } } },
        "some": { "type": "Switch", "inputs": { "choice": { "from": "which.text" }, "1": ["./reference.png"], "2": { "from": "first.paths" } } },
        "cut": { "type": "For Each", "path": "./save.json", "each": ["picture", "name"], "inputs": {
            "picture": { "from": "some.value" }, "name": { "from": "names.value" } } },
        "names": { "type": "Switch", "inputs": { "choice": { "from": "which.text" }, "1": ["one"], "2": ["one", "two"] } },
        "sheet": { "type": "Contact Sheet", "inputs": { "images": { "from": "cut.image" }, "cell": 64 } },
        "save": { "type": "Save Image", "inputs": { "images": { "from": "sheet.image" }, "path": "sheet.png" } }
    },
    "outputs": { "images": "cut.image" }
}"#;

const SAVE: &str = r#"{
    "version": 1, "name": "save",
    "inputs": { "picture": { "type": "path" }, "name": { "type": "text" } },
    "nodes": {
        "cut": { "type": "Graph", "path": "./parts/cut_out.json", "inputs": { "picture": { "input": "picture" }, "size": 64 } },
        "save": { "type": "Save Image", "inputs": { "images": { "from": "cut.image" }, "prefix": { "input": "name" } } }
    },
    "outputs": { "image": "cut.image" }
}"#;

#[test]
fn what_a_run_tells_shapes_the_rest_of_it() {
    let place = place();
    place.write("graphs/late.json", LATE);
    place.write("graphs/save.json", SAVE);
    place.run(&["validate", "graphs/late.json"]).expect(0);
    let one = run(&place, "graphs/late.json", &["--set", "times=1", "--output", "one"]);
    let ran = of(&one, "started");
    let expected =
        ["cut", "cut[0]/cut/load", "cut[0]/cut/subject", "cut[0]/save", "names", "save", "sheet", "some", "which"];
    // `first` writes files: it runs whatever is chosen, unless it serves a branch alone.
    assert_eq!(ran, expected);
    assert_eq!(place.files("one"), ["one-000.png", "sheet.png"]);
    let two = run(&place, "graphs/late.json", &[]);
    assert_eq!(place.files("output"), ["first-000.png", "first-001.png", "one-000.png", "sheet.png", "two-000.png"]);
    assert_eq!(of(&two, "started").iter().filter(|node| *node == "first").count(), 1);
    assert_eq!(two.events().iter().filter(|e| e["event"] == "run_started").count(), 1);
    assert_eq!(two.events().iter().filter(|e| e["event"] == "run_grew").count(), 1);
    let again = run(&place, "graphs/late.json", &[]);
    assert_eq!((of(&again, "started"), of(&again, "kept").len()), (vec![], 5));
    assert_eq!(again.json()["nodes"].as_array().unwrap().len(), of(&again, "cached").len());
    let plan = place.run(&["plan", "graphs/late.json", "--format", "json"]).expect(0).json();
    let nodes = plan["nodes"].as_array().unwrap();
    assert!(nodes.iter().all(|node| node["outlook"] == "known"), "{plan}");
    assert!(nodes.iter().any(|node| node["node"] == "cut[1]/cut/subject"), "{plan}");
}

/// A picture carries the graphs that its graph includes: it can be made again where none of them is.
#[test]
fn pictures_of_reused_graphs_are_made_again() {
    let place = place();
    place.write("graphs/late.json", LATE);
    place.write("graphs/save.json", SAVE);
    run(&place, "graphs/late.json", &["--output", "late"]);
    run(&place, "graphs/backdrop.json", &["--output", "backdrop"]);
    // A graph is what its picture says, also where it includes others.
    assert_eq!(place.run(&["diff", "graphs/late.json", "late/sheet.png"]).expect(0).stdout, "");
    let pictures = r#"pictures=["graphs/reference.png", "graphs/teal.png"]"#;
    run(&place, "graphs/cut_out_all.json", &["--set", "size=64", "--set", pictures, "--output", "all"]);
    for name in ["late.json", "save.json", "backdrop.json", "cut_out_all.json", "parts/cut_out.json"] {
        fs::remove_file(place.path("graphs").join(name)).unwrap();
    }
    for picture in [
        "late/first-000.png",
        "late/two-000.png",
        "late/sheet.png",
        "backdrop/backdrop-000.png",
        "all/subject-001.png",
        "all/subjects.png",
    ] {
        let outcome = place.run(&["replay", picture, "--verify", "--format", "json"]).expect(0);
        assert_eq!(
            (&outcome.json()["identical"], &outcome.json()["differences"]),
            (&json!(true), &json!([])),
            "{picture}"
        );
        // Nothing in it tells where it was made.
        let carried = place.run(&["image", "inspect", picture, "--graph"]).expect(0).stdout;
        assert!(!carried.contains(place.path("").to_str().unwrap()), "{carried}");
    }
    let graph = place.run(&["image", "inspect", "late/sheet.png", "--graph"]).expect(0).stdout;
    let document: Value = serde_json::from_str(&graph).unwrap();
    let carried: Vec<_> = document["graphs"].as_object().unwrap().keys().collect();
    assert_eq!(carried, ["save.json", "parts/cut_out.json"]);
    place.write("graphs/again.json", &graph);
    run(&place, "graphs/again.json", &["--output", "again"]);
    assert_eq!(fs::read(place.path("late/sheet.png")).unwrap(), fs::read(place.path("again/sheet.png")).unwrap());
    place.run(&["fmt", "graphs/again.json"]).expect(0);
    let same = place.run(&["diff", "graphs/again.json", "late/two-000.png", "--format", "json"]).expect(0).json();
    assert_eq!(same["changes"], json!([]));
    let changed = fs::read_to_string(place.path("graphs/again.json")).unwrap().replace("\"size\": 64", "\"size\": 96");
    place.write("graphs/changed.json", changed);
    let told = place.run(&["diff", "graphs/again.json", "graphs/changed.json"]).stdout;
    assert!(told.contains("graphs.save.json.nodes.cut.inputs.size") && told.contains("96"), "{told}");
}

#[test]
fn locks_see_into_included_graphs() {
    let place = place();
    place.run(&["lock", "graphs/backdrop.json"]).expect(0);
    let part = fs::read_to_string(place.path("graphs/parts/cut_out.json")).unwrap();
    place.write("graphs/parts/cut_out.json", part.replace("\"name\": \"cut out\"", "\"name\": \"cut\""));
    run(&place, "graphs/backdrop.json", &["--locked", "--set", "size=256"]);
    let changed = part.replace("\"size\": { \"input\": \"size\" }", "\"size\": 64");
    assert_ne!(part, changed);
    place.write("graphs/parts/cut_out.json", changed);
    let refused = place.run(&["run", "graphs/backdrop.json", "--locked"]).expect(2).stderr;
    assert!(refused.contains("node `subject/subject` (Segment Reference) is given something else"), "{refused}");
}

#[test]
fn mistakes_in_included_graphs_name_their_file() {
    let place = place();
    let part = fs::read_to_string(place.path("graphs/parts/cut_out.json")).unwrap();
    place.write("graphs/parts/cut_out.json", part.replace("load.image", "laod.image"));
    let outcome = place.run(&["validate", "graphs/backdrop.json", "--format", "json"]).expect(2).json();
    assert_eq!(outcome["file"], "graphs/backdrop.json");
    let told: Vec<_> = outcome["diagnostics"].as_array().unwrap().iter().map(|d| (&d["file"], &d["node"])).collect();
    assert!(told.contains(&(&json!("graphs/parts/cut_out.json"), &json!("subject/subject"))), "{outcome}");
    for name in ["Graph", "For Each", "Switch"] {
        let told = place.run(&["nodes", name]).expect(0).stdout;
        assert!(told.starts_with(&format!("{name} (graph, version 1)")), "{told}");
    }
}
