//! The ways in which editors and tools save files, on a real file system.
#![cfg(unix)]

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::sitting::Sitting;
use crate::program::Place;

/// A graph whose output is a text. All have one length.
fn graph(text: &str) -> String {
    assert_eq!(text.len(), 4);
    json!({
        "version": 1,
        "name": "text",
        "nodes": { "text": { "type": "Text", "inputs": { "value": text } } },
        "outputs": { "text": "text.value" },
    })
    .to_string()
}

/// A way to save: what happens to the folder of the graph until it holds the new text. `wait` goes on when the program has
/// said what is given to it.
type Save = fn(place: &Path, text: &str, wait: &mut dyn FnMut(&str));

fn beside(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}

/// Each one saves `folder/graph.json` as something is known to.
const PATTERNS: [(&str, Save); 15] = [
    ("cut and written at once", |path, text, _| fs::write(path, text).unwrap()),
    ("cut and written in pieces, flushed after each", |path, text, _| {
        let mut file = File::create(path).unwrap();
        for piece in text.as_bytes().chunks(7) {
            file.write_all(piece).unwrap();
            file.sync_all().unwrap();
        }
    }),
    ("written in place without cutting", |path, text, _| {
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.set_len(text.len() as u64).unwrap();
    }),
    ("another file renamed over it", |path, text, _| {
        fs::write(beside(path, ".graph.json.swp"), text).unwrap();
        fs::rename(beside(path, ".graph.json.swp"), path).unwrap();
    }),
    ("kept as a backup, then written anew", |path, text, _| {
        fs::rename(path, beside(path, "graph.json~")).unwrap();
        fs::write(path, text).unwrap();
    }),
    ("deleted and made anew", |path, text, _| {
        fs::remove_file(path).unwrap();
        fs::write(path, text).unwrap();
    }),
    ("away until somebody misses it", |path, text, wait| {
        fs::remove_file(path).unwrap();
        wait("problems");
        fs::write(path, text).unwrap();
    }),
    ("empty until somebody minds", |path, text, wait| {
        File::create(path).unwrap();
        wait("problems");
        fs::write(path, text).unwrap();
    }),
    ("a link turned to another file", |path, text, _| {
        fs::write(beside(path, "other.json"), text).unwrap();
        symlink("other.json", beside(path, "link")).unwrap();
        fs::rename(beside(path, "link"), path).unwrap();
    }),
    // The graph is a link to `other.json` from here on.
    ("the file behind a link replaced", |path, text, _| {
        fs::write(beside(path, "next.json"), text).unwrap();
        fs::rename(beside(path, "next.json"), beside(path, "other.json")).unwrap();
    }),
    ("the file behind a link written", |path, text, _| fs::write(beside(path, "other.json"), text).unwrap()),
    ("its folder renamed and another one put there", |path, text, _| {
        let folder = path.parent().unwrap();
        fs::create_dir(folder.with_extension("new")).unwrap();
        fs::write(folder.with_extension("new").join("graph.json"), text).unwrap();
        fs::rename(folder, folder.with_extension("old")).unwrap();
        fs::rename(folder.with_extension("new"), folder).unwrap();
    }),
    ("a folder of a name that is a link, turned to another one", |path, text, wait| {
        let folder = path.parent().unwrap();
        fs::create_dir(folder.with_extension("2")).unwrap();
        fs::write(folder.with_extension("2").join("graph.json"), text).unwrap();
        fs::remove_dir_all(folder).unwrap();
        wait("problems");
        symlink(folder.with_extension("2"), folder).unwrap();
    }),
    ("the same size and time as before", |path, text, _| {
        let before = fs::metadata(path).unwrap();
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        file.rewind().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.set_times(FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
    }),
    ("saved many times in a row", |path, text, _| {
        for n in 0..40 {
            fs::write(path, graph(&format!("{n:04}"))).unwrap();
        }
        fs::write(path, text).unwrap();
    }),
];

fn each_pattern_is_seen(more: &[&str]) {
    let place = Place::new();
    let path = place.write("work/graph.json", graph("0000"));
    let args = [&["work/graph.json", "--no-store"], more].concat();
    let mut sitting = Sitting::start(&place, &args);
    sitting.wait_for_output("text", "0000");
    for (number, (name, save)) in PATTERNS.iter().enumerate() {
        eprintln!("{name}");
        let text = format!("t{number:03}");
        save(&path, &graph(&text), &mut |kind| drop(sitting.wait(kind)));
        sitting.wait_for_output("text", text);
    }
}

#[test]
fn every_way_of_saving_is_seen() {
    each_pattern_is_seen(&[]);
}

#[test]
fn every_way_of_saving_is_seen_by_looking() {
    each_pattern_is_seen(&["--poll", "0.02"]);
}

#[test]
fn what_is_touched_but_the_same_runs_nothing() {
    let place = Place::new();
    let path = place.write("graph.json", graph("same"));
    let mut sitting = Sitting::start(&place, &["graph.json"]);
    sitting.wait_for_output("text", "same");
    let touches: [fn(&Path); 4] = [
        |path| File::open(path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap(),
        |path| fs::write(path, graph("same")).unwrap(),
        |path| {
            fs::write(beside(path, "copy"), graph("same")).unwrap();
            fs::rename(beside(path, "copy"), path).unwrap();
        },
        |path| {
            fs::rename(path, beside(path, "away")).unwrap();
            fs::rename(beside(path, "away"), path).unwrap();
        },
    ];
    for touch in touches {
        touch(&path);
        let told = sitting.wait("unchanged");
        assert_eq!(told["files"], json!(["graph.json"]));
    }
    // Neighbours are nobody's business.
    place.write("other.json", "{}");
    place.write(".graph.json.lock", "");
    fs::write(&path, graph("next")).unwrap();
    assert_eq!(sitting.wait("changed")["files"], json!(["graph.json"]));
    sitting.wait_for_output("text", "next");
    assert_eq!(sitting.count("run"), 2);
}
