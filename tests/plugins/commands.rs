//! `dc-graph plugin`: each of its commands as a user and as a script call it.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::guest::{Guest, UINT8, WIT, described, folder};
use crate::program::{Place, repository};

/// A folder with the files of a plugin, as an archive.
fn zip(plugin: &Path, prefix: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut out);
    for name in ["plugin.toml", "plugin.wasm"] {
        let (mut entry, config) = archive
            .new_file(format!("{prefix}{name}"))
            .compression_method(rawzip::CompressionMethod::DEFLATE)
            .start()
            .unwrap();
        let mut writer = config.wrap(flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast()));
        writer.write_all(&fs::read(plugin.join(name)).unwrap()).unwrap();
        let (encoder, descriptor) = writer.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap();
    out
}

fn tar_gz(plugin: &Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for name in ["plugin.toml", "plugin.wasm"] {
        builder.append_path_with_name(plugin.join(name), format!("top/{name}")).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn ids(listed: &Value) -> Vec<&str> {
    listed["plugins"].as_array().unwrap().iter().map(|plugin| plugin["id"].as_str().unwrap()).collect()
}

#[test]
fn install_list_info_remove() {
    let place = Place::new();
    let empty = place.run(&["plugin", "list"]).expect(0);
    assert!(empty.stdout.is_empty() && empty.stderr.contains("no plugins; `dc-graph plugin install`"), "{empty:?}");

    let invert = Guest::invert("Turn Round", UINT8).component();
    let source = folder(&place.path("src"), "round", "Turn Round", &invert, "authors = [\"A Person\"]");
    place.write("round.zip", zip(&source, ""));
    place.write("round.tar.gz", tar_gz(&source));
    for from in ["src/round", "round.zip", "round.tar.gz"] {
        let checked = place.run(&["plugin", "check", from, "--format", "json"]).expect(0).json();
        assert_eq!((&checked["valid"], &checked["plugin"]["nodes"]), (&json!(true), &json!(["Turn Round"])));
        let installed = place.run(&["plugin", "install", from, "--format", "json"]).expect(0).json();
        assert_eq!((&installed["id"], &installed["version"]), (&json!("round"), &json!("1.2.3")));
        assert_eq!(place.files(".home/dc-graph/plugins"), ["round/plugin.toml", "round/plugin.wasm"]);
        let listed = place.run(&["plugin", "list", "--format", "json"]).expect(0).json();
        assert_eq!((ids(&listed), &listed["problems"]), (vec!["round"], &json!([])));
        assert_eq!(place.run(&["plugin", "list"]).expect(0).stdout, "round  1.2.3  Turn Round\n");
        let info = place.run(&["plugin", "info", "round"]).expect(0).stdout;
        let digest = blake3::hash(&invert).to_string();
        for (key, value) in [
            ("authors", "A Person"),
            ("blake3", &digest),
            ("seconds", "60"),
            ("stack-kib", "1024"),
            ("node", "Turn Round: "),
        ] {
            assert!(info.contains(&format!("{key:16}  {value}")), "{key}: {info}");
        }
        assert!(place.run(&["nodes"]).expect(0).stdout.contains("Turn Round"), "installed for all graphs");
        assert_eq!(place.run(&["plugin", "remove", "round"]).expect(0).stdout, "round\n");
        assert!(place.files(".home/dc-graph/plugins").is_empty());
    }
    // A component alone, without a manifest.
    assert_eq!(place.run(&["plugin", "check", "src/round/plugin.wasm"]).expect(0).stdout, "valid: Turn Round\n");
    for (args, expected) in [
        (&["plugin", "remove", "round"][..], "no plugin `round` is installed"),
        (&["plugin", "remove", "../src/round"], "no plugin `../src/round` is installed"),
        (&["plugin", "install", "src"], "there is no `plugin.toml` in it"),
        (&["plugin", "check", "round.rar"], "No such file"),
    ] {
        let refused = place.run(args).expect(2);
        assert!(refused.stderr.contains(expected), "{args:?}: {}", refused.stderr);
    }
    let unknown = place.run(&["plugin", "info", "round"]).expect(1);
    assert!(unknown.stderr.contains("there is no plugin `round`"), "{}", unknown.stderr);
}

/// What cannot be used is not installed, and what was there stays.
#[test]
fn what_is_broken_is_refused_and_replaces_nothing() {
    let place = Place::new();
    let good = folder(&place.path("good"), "thing", "Thing", &Guest::new("Thing").component(), "");
    place.run(&["plugin", "install", "good/thing"]).expect(0);
    let broken = |name: &str, change: &dyn Fn(&Path)| {
        let plugin = folder(&place.path(name), "thing", "Thing", &Guest::new("Thing").component(), "");
        change(&plugin);
        plugin.display().to_string()
    };
    let edit = |from: &'static str, to: &'static str| {
        move |plugin: &Path| {
            let text = fs::read_to_string(plugin.join("plugin.toml")).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(plugin.join("plugin.toml"), text.replace(from, to)).unwrap();
        }
    };
    let exchange = |plugin: &Path| fs::write(plugin.join("plugin.wasm"), Guest::new("Other").component()).unwrap();
    for (plugin, told) in [
        (broken("a", &exchange), "has the blake3"),
        (broken("b", &edit("0.1.0", "0.9.0")), "made for version 0.9.0 of `dc-graph:node`, this program knows 0.1.0"),
        (broken("c", &edit("[\"Thing\"]", "[\"Other\"]")), "node `Other` is named but not there"),
        (broken("d", &edit("[wasm]", "[limits]\nseconds = 999999\n[wasm]")), "at most 3600 is allowed"),
        (broken("e", &edit("[wasm]", "[plugin.capabilities]\nclock = \"\"\n[wasm]")), "asked for without a reason"),
    ] {
        let checked = place.run(&["plugin", "check", &plugin, "--format", "json"]);
        assert_eq!(checked.code, Some(2), "{checked:?}");
        let installed = place.run(&["plugin", "install", &plugin]);
        assert_ne!(installed.code, Some(0));
        for outcome in [checked, installed] {
            assert!(outcome.stderr.contains(told), "{told}: {}", outcome.stderr);
        }
        let kept = place.path(".home/dc-graph/plugins/thing/plugin.toml");
        assert_eq!(fs::read(kept).unwrap(), fs::read(good.join("plugin.toml")).unwrap());
    }
    assert_eq!(place.run(&["plugin", "list"]).expect(0).stdout, "thing  1.2.3  Thing\n");
}

/// Of two with one node type the first is taken, and the other one is told about; so for the program's own nodes.
#[test]
fn two_plugins_with_one_node() {
    let place = Place::new();
    let component = Guest::new("Thing").component();
    folder(&place.path("plugins"), "one", "Thing", &component, "");
    folder(&place.path("plugins"), "two", "Thing", &component, "");
    folder(&place.path("plugins"), "three", "Resize", &Guest::new("Resize").component(), "");
    let nodes = place.run(&["nodes", "--json"]).expect(0);
    assert!(nodes.stdout.contains("\"Thing\""));
    for told in [
        "warning: plugin `two` 1.2.3: its node `Thing` is there already: plugin `one` brings it",
        "warning: plugin `three` 1.2.3: its node `Resize` is there already: the program itself brings it",
        "hint: remove one of the two",
    ] {
        assert!(nodes.stderr.contains(told), "{}", nodes.stderr);
    }
}

#[test]
fn grants_by_options() {
    let place = Place::new();
    let asks = "[plugin.capabilities]\nread-folder = \"reads tables\"\nclock = \"tells the time\"\n\
                http = { reason = \"asks\", hosts = [\"example.org\", \"localhost:81\"] }";
    let plugin = folder(&place.path("plugins"), "curious", "Look", &Guest::clock("Look").component(), asks);
    place.write("tables/a", "");
    let grant = |more: &[&str]| place.run(&[&["plugin", "grant", "curious", "--format", "json"][..], more].concat());
    let nobody = grant(&[]).expect(2);
    assert!(nobody.stderr.contains("this is no terminal"), "{}", nobody.stderr);
    let all = "dc-graph plugin grant curious --read-folder DIR --clock --http example.org --http localhost:81";
    assert!(nobody.stderr.contains(all), "{}", nobody.stderr);
    for (more, told) in [
        (["--http", "example.com"], "does not ask for the host `example.com`"),
        (["--write-folder", "."], "does not ask for `write-folder`"),
    ] {
        let refused = grant(&more).expect(2);
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    let missing = grant(&["--read-folder", "nowhere"]).expect(1);
    assert!(missing.stderr.contains("cannot find the folder `nowhere`"), "{}", missing.stderr);

    let granted = grant(&["--read-folder", "tables", "--http", "example.org"]).expect(0).json();
    let tables = fs::canonicalize(place.path("tables")).unwrap();
    assert_eq!(granted["granted"]["read-folder"], json!(tables));
    assert_eq!(granted["granted"]["http"], json!(["example.org"]));
    let granted = grant(&["--clock"]).expect(0).json();
    assert_eq!((&granted["granted"]["clock"], &granted["granted"]["http"]), (&json!(true), &json!(["example.org"])));
    let info = place.run(&["plugin", "info", "curious"]).expect(0).stdout;
    for (key, value) in
        [("asks for", "clock: tells the time"), ("may look at", "the clock"), ("may ask", "example.org")]
    {
        assert!(info.contains(&format!("{key:16}  {value}")), "{key}: {info}");
    }

    // Another build has to be granted anew.
    let other = Guest { description: "Another build.".into(), ..Guest::clock("Look") };
    folder(&place.path("plugins"), "curious", "Look", &other.component(), asks);
    let info = place.run(&["plugin", "info", "curious"]).expect(0).stdout;
    assert!(!info.contains("may look at"), "{info}");
    folder(&place.path("plugins"), "curious", "Look", &Guest::clock("Look").component(), asks);
    assert!(place.run(&["plugin", "info", "curious"]).expect(0).stdout.contains("may look at"));
    let revoked = grant(&["--revoke"]).expect(0).json();
    assert_eq!(revoked["granted"]["clock"], json!(false));

    // Removing forgets.
    place.run(&["plugin", "install", &plugin.display().to_string()]).expect(0);
    grant(&["--clock"]).expect(0);
    place.run(&["plugin", "remove", "curious"]).expect(0);
    let grants = fs::read_to_string(place.path(".home/dc-graph/plugin-grants.json")).unwrap();
    assert_eq!(grants.trim(), "{}");
}

/// The user's ceiling lowers defaults and refuses what asks for more.
#[test]
fn a_ceiling_of_the_user() {
    let place = Place::new();
    let component = Guest::new("Thing").component();
    folder(&place.path("plugins"), "modest", "Thing", &component, "");
    place.write(".home/dc-graph/plugin-limits.toml", "seconds = 5\nmemory-mib = 2000\n");
    let info = place.run(&["plugin", "info", "modest", "--format", "json"]).expect(0).json();
    assert_eq!((&info["limits"]["seconds"], &info["limits"]["memory-mib"]), (&json!(5), &json!(1024)));
    folder(&place.path("plugins"), "modest", "Thing", &component, "---\n[limits]\nseconds = 6");
    let refused = place.run(&["plugin", "info", "modest"]).expect(1);
    assert!(refused.stderr.contains("it asks for `seconds` = 6, at most 5 is allowed"), "{}", refused.stderr);
    assert!(refused.stderr.contains("plugin-limits.toml"), "{}", refused.stderr);
    place.write(".home/dc-graph/plugin-limits.toml", "hours = 5\n");
    let bad = place.run(&["plugin", "info", "modest"]).expect(1);
    assert!(bad.stderr.contains("plugin-limits.toml") && bad.stderr.contains("hours"), "{}", bad.stderr);
}

/// Each template has all its files, none with a gap left, and the contract of this program.
#[test]
fn templates_are_whole() {
    let place = Place::new();
    let common = ["README.md", "plugin.toml", "try.json", "wit/node.wit"];
    for (lang, own) in [
        ("rust", &["Cargo.toml", "src/lib.rs", "src/brighten.rs"][..]),
        ("c", &["build.sh", "plugin.c", "brighten.c", "test.c", "bindings/plugin.c", "bindings/plugin.h"]),
        ("js", &["package.json", "plugin.js", "brighten.js", "brighten.test.js"]),
        ("python", &["app.py", "brighten.py", "test_brighten.py"]),
    ] {
        let name = format!("soft-{lang}");
        assert_eq!(place.run(&["plugin", "new", &name, "--lang", lang]).expect(0).stdout, format!("{name}\n"));
        let files = place.files(&name);
        for file in common.iter().chain(own) {
            assert!(files.iter().any(|found| found == file), "{lang}: {file} in {files:?}");
        }
        for file in files {
            let bytes = fs::read(place.path(&name).join(&file)).unwrap();
            assert!(!bytes.windows(2).any(|pair| pair == b"{{"), "{lang}: {file}");
        }
        let contract = fs::read(repository().join("nodes/api/wit/v0.1/node.wit")).unwrap();
        assert_eq!(fs::read(place.path(&name).join("wit/node.wit")).unwrap(), contract);
        // Not built yet: the error says what is missing.
        let unbuilt = place.run(&["plugin", "check", &name]).expect(2);
        assert!(unbuilt.stderr.contains(&format!("{name}.wasm")), "{}", unbuilt.stderr);
        // A component in the place of the compiler's: packed, checked, listed.
        let node = format!("Soft {}{}", lang[..1].to_uppercase(), &lang[1..]);
        place.write("made.wasm", Guest::invert(&node, UINT8).component());
        place.run(&["plugin", "pack", &name, "--from", "made.wasm"]).expect(0);
        assert_eq!(place.run(&["plugin", "check", &name]).expect(0).stdout, format!("valid: {node}\n"));
        assert!(place.run(&["plugin", "new", &name, "--lang", lang]).expect(1).stderr.contains("is there already"));
    }
    let bad = place.run(&["plugin", "new", "Soft_Glow", "--lang", "c"]).expect(2);
    assert!(bad.stderr.contains("joined by `-`") && bad.stderr.contains("soft-glow"), "{}", bad.stderr);
}

/// A core module, as compilers write it, becomes a component; what is none is told.
#[test]
fn packing() {
    let place = Place::new();
    let plugin = folder(&place.path(""), "thing", "Thing", &Guest::new("Thing").component(), "");
    fs::remove_file(plugin.join("plugin.wasm")).unwrap();
    place.write("text.wasm", "(module)");
    place.write("bare.wasm", b"\0asm\x01\0\0\0");
    for (from, told) in [
        ("text.wasm", "expected WebAssembly, found something else"),
        ("bare.wasm", "it cannot be made a component"),
        ("nowhere.wasm", "cannot read `nowhere.wasm`"),
    ] {
        let refused = place.run(&["plugin", "pack", "thing", "--from", from]).expect(1);
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    // What debuggers read goes, names stay.
    let text = Guest::new("Thing").text();
    let end = text.rfind(')').unwrap();
    let text = format!("{} (func $by_name) (@custom \".debug_info\" \"for debuggers\"))", &text[..end]);
    let module = wat::parse_str(text).unwrap();
    let holds = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(holds(&module, b"for debuggers") && holds(&module, b"by_name"));
    place.write("core.wasm", described(module, "plugin", WIT));
    place.run(&["plugin", "pack", "thing", "--from", "core.wasm"]).expect(0);
    let component = fs::read(plugin.join("plugin.wasm")).unwrap();
    assert!(!holds(&component, b"for debuggers") && holds(&component, b"by_name"));
    assert_eq!(place.run(&["plugin", "check", "thing"]).expect(0).stdout, "valid: Thing\n");
}
