//! What plugins must not reach: files, links out of a folder, the clock, the network, WASI.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use dc_graph::exec::CancelToken;
use dc_graph::plugin::Grant;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::guest::{BUFFER_IMPORTS, Guest, NOW, Out, folder};
use super::{Fate, ID, LIMITS, fate, sandbox};

const IMPORTS: &str = r#"
    (import "dc-graph:node/files@0.1.0" "read" (func $read_file (param i32 i32 i32)))
    (import "dc-graph:node/files@0.1.0" "write" (func $write_file (param i32 i32 i32 i32)))
    (import "dc-graph:node/files@0.1.0" "entries" (func $entries (param i32 i32 i32)))
    (import "dc-graph:node/clock@0.1.0" "now" (func $now (param i32)))
    (import "dc-graph:node/http@0.1.0" "send" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
const ASKS: &str = "[plugin.capabilities]\nread-folder = \"a\"\nwrite-folder = \"b\"\nclock = \"c\"\n\
                    http = { reason = \"d\", hosts = [\"example.org\"] }\n";

/// Does something whose result lies at 64 (the tag) and, if it is an error, gives its text at `at` as the node's failure.
fn trying(body: &str, text: &str, at: u32) -> Guest {
    let failure = format!(
        "{body}
         (if (i32.load8_u (i32.const 64)) (then
           (i32.store8 (i32.const 128) (i32.const 1))
           (i32.store (i32.const 132) (i32.load (i32.const {at}))) (i32.store (i32.const 136) (i32.load (i32.const {})))
           (i32.store8 (i32.const 140) (i32.const 0)) (i32.store8 (i32.const 152) (i32.const 0))
           (return (i32.const 128))))",
        at + 4
    );
    let mut guest = Guest::new("Evil").gives("out", "core:number", Out::Number(1.0)).run(&failure);
    guest = guest.import(IMPORTS).import(BUFFER_IMPORTS);
    guest.items = format!("(data (i32.const 900) \"{text}\")");
    guest
}

fn read(path: &str) -> Guest {
    trying(&format!("(call $read_file (i32.const 900) (i32.const {}) (i32.const 64))", path.len()), path, 68)
}

fn list(path: &str) -> Guest {
    trying(&format!("(call $entries (i32.const 900) (i32.const {}) (i32.const 64))", path.len()), path, 68)
}

fn write_to(path: &str) -> Guest {
    let bytes = "(call $from_bytes (i32.const 900) (i32.const 4))";
    trying(&format!("(call $write_file (i32.const 900) (i32.const {}) {bytes} (i32.const 64))", path.len()), path, 68)
}

fn ask(url: &str) -> Guest {
    let send = format!(
        "(call $send (i32.const 896) (i32.const 3) (i32.const 900) (i32.const {}) (i32.const 8) (i32.const 0) (i32.const 8)
         (i32.const 0) (i32.const 64))",
        url.len()
    );
    let mut guest = trying(&send, url, 68);
    guest.items += "(data (i32.const 896) \"GET\")";
    guest
}

/// What becomes of it with these grants.
fn with(guest: &Guest, asks: &str, grant: impl FnOnce(&Path) -> Option<Grant>, root: &Path) -> Fate {
    let component = guest.component();
    let limits = LIMITS.trim_start_matches("---\n");
    let plugin = folder(root, ID, &guest.node, &component, &format!("{asks}---\n{limits}"));
    let grant = grant(root);
    let host = sandbox(grant.map(|grant| (&component[..], grant)));
    fate(&host, &plugin, &guest.node, &CancelToken::default())
}

#[track_caller]
fn fails(fate: &Fate, expected: &str) {
    let Fate::Failed(told) = fate else { panic!("expected `{expected}`, found {fate:?}") };
    assert!(told.contains(expected), "expected `{expected}`, found `{told}`");
}

/// A folder to read and to write, with something outside of it and ways out.
fn granted(root: &Path) -> Option<Grant> {
    let inside = root.join("inside");
    fs::create_dir_all(&inside).unwrap();
    fs::write(root.join("secret"), "outside").unwrap();
    fs::write(inside.join("own"), "inside").unwrap();
    #[cfg(unix)]
    {
        let _ = std::os::unix::fs::symlink(root.join("secret"), inside.join("file"));
        let _ = std::os::unix::fs::symlink(root, inside.join("folder"));
    }
    Some(Grant {
        plugin: ID.into(),
        read_folder: Some(inside.clone()),
        write_folder: Some(inside),
        clock: true,
        http: ["example.org".into()].into(),
    })
}

#[test]
fn nothing_without_a_grant() {
    let clock = trying("(call $now (i32.const 64))", "", 72);
    for asks in ["", ASKS] {
        for (guest, capability) in [
            (read("own"), "`read-folder`"),
            (list(""), "`read-folder`"),
            (write_to("own"), "`write-folder`"),
            (clock.clone(), "`clock`"),
            (ask("https://example.org/"), "`http`"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fails(&with(&guest, asks, |_| None, dir.path()), &format!("{capability} is not granted to plugin"));
        }
    }
    // Granted, but never asked for.
    let dir = tempfile::tempdir().unwrap();
    fails(&with(&clock, "", granted, dir.path()), "`clock` is not granted");
}

#[test]
fn nothing_beyond_a_grant() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let done = |guest: Guest| matches!(with(&guest, ASKS, granted, root), Fate::Done(..));
    assert!(done(read("own")) && done(list("")) && done(write_to("new/file")));
    assert_eq!(fs::read(root.join("inside/new/file")).unwrap().len(), 4);

    let absolute = root.join("secret").display().to_string();
    for path in ["../secret", "folder/secret", "file", "new/../../secret", "/etc/passwd", "..", &absolute] {
        fails(&with(&read(path), ASKS, granted, root), "plugin `evil` 1.2.3");
    }
    fails(&with(&list("folder"), ASKS, granted, root), "plugin `evil` 1.2.3");
    for path in ["../secret", "folder/secret", "new/../../secret", "/tmp/../secret", "", ".", &absolute] {
        fails(&with(&write_to(path), ASKS, granted, root), "plugin `evil` 1.2.3");
    }
    // A link in the place of a file is replaced, not followed.
    assert!(done(write_to("file")));
    assert_eq!(fs::read_to_string(root.join("secret")).unwrap(), "outside");

    for url in [
        "https://example.com/",
        "https://example.org.evil.net/",
        "https://example.org@evil.net/",
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "https://example.org:22/",
    ] {
        fails(&with(&ask(url), ASKS, granted, root), "plugin `evil` 1.2.3");
    }
}

/// What was granted works: a request, answered by this test, and answers that lead elsewhere are not followed.
#[test]
fn requests_to_hosts_that_were_granted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let answers = ["204 Fine\r\n", "302 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\n"];
        answers.map(|answer| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            write!(stream, "HTTP/1.1 {answer}content-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            String::from_utf8(head).unwrap()
        })
    });
    let asks = format!("[plugin.capabilities]\nhttp = {{ reason = \"asks\", hosts = [\"{host}\"] }}\n");
    let grant = |_: &Path| Some(Grant { plugin: ID.into(), http: [host.clone()].into(), ..Grant::default() });
    let dir = tempfile::tempdir().unwrap();
    let ask = ask(&format!("http://{host}/a?b"));
    let done = with(&ask, &asks, grant, dir.path());
    assert!(matches!(done, Fate::Done(..)), "{done:?}");
    fails(&with(&ask, &asks, grant, dir.path()), "requests to `127.0.0.1:1` are not granted");
    for head in server.join().unwrap() {
        assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
    }
}

/// With a clock, a plugin could describe other ports each time: it is asked twice.
#[test]
fn descriptions_that_change_are_refused() {
    // The last digits of the milliseconds, as letters, in the name of the input; after waiting for the next one.
    let mut guest = Guest::new("Evil").gives("out", "core:number", Out::Number(1.0)).import(NOW);
    guest = guest.input(super::guest::port("zzzzzzzz", "core:text"));
    guest.before_describe = "
        (call $now (i32.const 64)) (local.set $i (i32.load (i32.const 72)))
        (loop $wait (call $now (i32.const 64)) (br_if $wait (i32.eq (local.get $i) (i32.load (i32.const 72)))))
        (local.set $i (i32.const 0))
        (loop $letters
          (i32.store8 (i32.add (global.get $name) (local.get $i)) (i32.add (i32.const 97) (i32.and (i32.const 15)
            (i32.shr_u (i32.load (i32.const 72)) (i32.mul (i32.const 4) (local.get $i))))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $letters (i32.lt_u (local.get $i) (i32.const 8))))"
        .into();
    let at = guest.address_of(b"zzzzzzzz");
    guest.items = format!("(global $name i32 (i32.const {at}))");
    let asks = "[plugin.capabilities]\nclock = \"changes its mind\"\n";
    let grant = |_: &Path| Some(Grant { plugin: ID.into(), clock: true, ..Grant::default() });
    let dir = tempfile::tempdir().unwrap();
    let Fate::Refused(told) = with(&guest, asks, grant, dir.path()) else { panic!("it changed its ports") };
    assert!(told.contains("plugin `evil` 1.2.3: it describes its nodes differently each time"), "{told}");
}

/// Many compilers import WASI whatever a program does. It may be there; it may not be used.
#[test]
fn wasi_is_a_closed_door() {
    for (wit, import, function) in [
        (
            "package wasi:clocks@0.2.0; interface monotonic-clock { now: func() -> u64; }",
            "wasi:clocks/monotonic-clock@0.2.0",
            "now",
        ),
        (
            "package wasi:random@0.2.0; interface random { get-random-u64: func() -> u64; }",
            "wasi:random/random@0.2.0",
            "get-random-u64",
        ),
        (
            "package wasi:sockets@0.2.0; interface instance-network { open: func() -> u64; }",
            "wasi:sockets/instance-network@0.2.0",
            "open",
        ),
        (
            "package wasi:filesystem@0.2.0; interface preopens { first: func() -> u64; }",
            "wasi:filesystem/preopens@0.2.0",
            "first",
        ),
    ] {
        let guest = Guest::new("Evil")
            .gives("out", "core:number", Out::Number(1.0))
            .import(&format!("(import \"{import}\" \"{function}\" (func $f (result i64)))"))
            .run("(drop (call $f))");
        let mut resolve = Resolve::default();
        resolve.push_str("node.wit", dc_graph::plugin::WIT).unwrap();
        resolve.push_str("wasi.wit", wit).unwrap();
        let world = format!("package test:test; world evil {{ include dc-graph:node/plugin@0.1.0; import {import}; }}");
        let package = resolve.push_str("evil.wit", &world).unwrap();
        let world = resolve.select_world(&[package], Some("evil")).unwrap();
        let mut module = wat::parse_str(guest.text()).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let component = ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let plugin = folder(dir.path(), ID, "Evil", &component, LIMITS);
        fails(&fate(&sandbox(None), &plugin, "Evil", &CancelToken::default()), "which is not granted to plugins");
    }
}
