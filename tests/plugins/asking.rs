//! What a user is asked on a terminal: once, about the plugins that a run uses, remembered for exactly this build.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::Stdio;

use serde_json::json;

use super::guest::{Guest, folder};
use crate::program::Place;

const ASKS: &str = "[plugin.capabilities]\nread-folder = \"reads tables\"\nclock = \"tells the time\"";

/// The two ends of a terminal: that of the user and that of programs.
fn terminal() -> (File, OwnedFd) {
    let (mut user, mut program) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: the numbers are written to, the rest may be null; both are new files that nobody else owns.
    unsafe {
        assert_eq!(libc::openpty(&raw mut user, &raw mut program, none, none.cast(), none.cast()), 0);
        (File::from_raw_fd(user), OwnedFd::from_raw_fd(program))
    }
}

/// Runs the program on a terminal where somebody types; gives what is seen there, and standard output.
fn on_terminal(place: &Place, args: &[&str], typed: &str) -> (String, String) {
    let (mut user, program) = terminal();
    user.write_all(typed.as_bytes()).unwrap();
    let mut command = place.command(args);
    command.stdin(program.try_clone().unwrap()).stderr(program).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    // The last handles of the program's end here.
    drop(command);
    let seen = std::thread::spawn(move || {
        let mut seen = Vec::new();
        // A terminal whose other end is closed is an error, and the end.
        let _ = user.read_to_end(&mut seen);
        String::from_utf8_lossy(&seen).replace('\r', "")
    });
    let output = child.wait_with_output().unwrap();
    (seen.join().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn graph(place: &Place) {
    let node = json!({ "type": "Look" });
    let graph = json!({ "version": 1, "name": "look", "nodes": { "n": node }, "outputs": { "failed": "n.failed" } });
    place.write("graph.json", graph.to_string());
}

const RUN: [&str; 6] = ["run", "graph.json", "--no-store", "--progress", "plain", "--format=json"];

#[test]
fn a_run_asks_once_for_what_it_uses() {
    let place = Place::new();
    graph(&place);
    let plugin = |guest: &Guest| folder(&place.path("plugins"), "curious", "Look", &guest.component(), ASKS);
    plugin(&Guest::clock("Look"));
    folder(&place.path("plugins"), "unused", "Other", &Guest::clock("Other").component(), ASKS);
    std::fs::create_dir(place.path("tables")).unwrap();

    // Where nobody can be asked, the way is told; the node is refused the clock.
    let alone = place.run(&RUN).expect(0);
    assert_eq!(alone.json()["outputs"]["failed"], true);
    let way = "to allow it: dc-graph plugin grant curious --read-folder DIR --clock";
    assert!(alone.stderr.contains(way) && !alone.stderr.contains("unused"), "{}", alone.stderr);

    let (seen, data) = on_terminal(&place, &RUN, "nowhere\ntables\ny\n");
    for question in [
        "`curious` wants to read a folder (reads tables). Which one? Empty for none:",
        "cannot find the folder `nowhere`",
        "`curious` wants to look at the clock (tells the time). Allow? y/N",
    ] {
        assert!(seen.contains(question), "{question}: {seen}");
    }
    assert!(!seen.contains("unused"), "{seen}");
    assert!(data.contains("\"failed\": false"), "{data}");
    let info = place.run(&["plugin", "info", "curious", "--format", "json"]).expect(0).json();
    assert!(info["granted"]["read-folder"].as_str().unwrap().ends_with("tables"), "{info}");

    // Remembered, with a terminal and without.
    let (seen, data) = on_terminal(&place, &RUN, "");
    assert!(!seen.contains("wants to") && data.contains("\"failed\": false"), "{seen}{data}");
    assert_eq!(place.run(&RUN).expect(0).json()["outputs"]["failed"], false);

    // Another build is asked about anew; a no is remembered too.
    plugin(&Guest { description: "Another build.".into(), ..Guest::clock("Look") });
    let (seen, data) = on_terminal(&place, &RUN, "\nn\n");
    assert!(seen.contains("wants to look at the clock") && data.contains("\"failed\": true"), "{seen}{data}");
    let (seen, data) = on_terminal(&place, &RUN, "");
    assert!(!seen.contains("wants to") && data.contains("\"failed\": true"), "{seen}{data}");
    let (seen, _) = on_terminal(&place, &["plugin", "grant", "curious"], "\nyes\n");
    assert!(seen.contains("wants to look at the clock"), "{seen}");
    assert_eq!(place.run(&RUN).expect(0).json()["outputs"]["failed"], false);
}

/// Also about plugins that only an included graph uses.
#[test]
fn a_run_asks_for_what_graphs_include() {
    let place = Place::new();
    graph(&place);
    std::fs::rename(place.path("graph.json"), place.path("inner.json")).unwrap();
    let inner = json!({ "type": "Graph", "path": "./inner.json" });
    let outer = json!({ "version": 1, "name": "outer", "nodes": { "g": inner }, "outputs": { "failed": "g.failed" } });
    place.write("graph.json", outer.to_string());
    folder(&place.path("plugins"), "curious", "Look", &Guest::clock("Look").component(), ASKS);
    let alone = place.run(&RUN).expect(0);
    assert!(alone.stderr.contains("to allow it: dc-graph plugin grant curious"), "{}", alone.stderr);
    let (seen, data) = on_terminal(&place, &RUN, "\ny\n");
    assert!(seen.contains("wants to look at the clock") && data.contains("\"failed\": false"), "{seen}{data}");
}

#[test]
fn installing_asks() {
    let place = Place::new();
    graph(&place);
    folder(&place.path("src"), "curious", "Look", &Guest::clock("Look").component(), ASKS);
    let (seen, data) = on_terminal(&place, &["plugin", "install", "src/curious"], "\ny\n");
    assert!(seen.contains("wants to look at the clock") && data.contains("curious 1.2.3: Look"), "{seen}{data}");
    assert_eq!(place.run(&RUN).expect(0).json()["outputs"]["failed"], false);
}
