//! Hostile plugins beside honest ones, often, and with a cache that somebody else wrote into.

use std::fs;
use std::time::{Duration, Instant};

use dc_graph::api::Value;
use dc_graph::exec::CancelToken;
use dc_graph::plugin::{PluginHost, PluginSettings};
use dc_graph::registry::Registry;

use super::guest::{BUFFER_IMPORTS, Guest, Out, folder};
use super::{Fate, honest, run, sandbox, write};

/// Ten plugins that never end, and an honest one that has to do its work again and again meanwhile. The stuck ones have a
/// minute; they are cancelled as soon as the honest one is done, and have to end then.
#[test]
fn others_go_on_while_ten_are_stuck() {
    let dir = tempfile::tempdir().unwrap();
    let stuck = Guest::new("Stuck").gives("out", "core:number", Out::Number(1.0)).run("(loop $l (br $l))");
    let folders = [
        folder(dir.path(), "stuck", "Stuck", &stuck.component(), ""),
        folder(dir.path(), "honest", "Honest", &honest().component(), ""),
    ];
    let mut registry = Registry::default();
    let (_, problems) = sandbox(None).add_all(&folders, &mut registry);
    assert!(problems.is_empty(), "{problems:?}");
    let cancel = CancelToken::default();
    std::thread::scope(|scope| {
        let stuck: Vec<_> = (0..10).map(|_| scope.spawn(|| run(&registry, "Stuck", &cancel))).collect();
        for _ in 0..20 {
            let done = run(&registry, "Honest", &CancelToken::default());
            assert!(matches!(done, Fate::Done(Value::Integer(7), _)), "{done:?}");
        }
        assert!(stuck.iter().all(|thread| !thread.is_finished()), "none ended by itself");
        cancel.cancel();
        let asked = Instant::now();
        for thread in stuck {
            let fate = thread.join().unwrap();
            assert!(matches!(fate, Fate::Cancelled), "{fate:?}");
        }
        // Not a measurement: only far from the minute they had.
        assert!(asked.elapsed() < Duration::from_secs(30));
    });
}

#[test]
fn a_flood_of_log_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::new("Evil").gives("out", "core:number", Out::Number(1.0)).run(
        "(loop $l (call $log (i32.const 0) (i32.const 900) (i32.const 100))
           (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 10000))))",
    );
    guest.imports = r#"(import "dc-graph:node/host@0.1.0" "log" (func $log (param i32 i32 i32)))"#.into();
    let mut registry = Registry::default();
    sandbox(None).add_all(&[write(dir.path(), &guest)], &mut registry);
    let Fate::Done(_, said) = run(&registry, "Evil", &CancelToken::default()) else { panic!("it only talks") };
    assert!(said.iter().map(String::len).sum::<usize>() < 6000, "{}", said.len());
    assert!(said.last().unwrap().contains("logs too much"), "{said:?}");
}

/// What one call leaves in globals, in memory and in memory that it got meanwhile, another must not find.
#[test]
fn no_state_from_call_to_call() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::new("Evil").output("out", "core:number").run(
        "(global.set $calls (f64.add (global.get $calls) (f64.const 1)))
         (i32.store (i32.const 700000) (i32.add (i32.const 1) (i32.load (i32.const 700000))))
         (local.set $p (i32.mul (memory.size) (i32.const 65536))) (drop (memory.grow (i32.const 16)))
         (i32.store (local.get $p) (i32.add (i32.const 1) (i32.load (local.get $p))))
         (global.set $calls (f64.add (global.get $calls) (f64.convert_i32_u
           (i32.add (i32.load (i32.const 700000)) (i32.load (local.get $p))))))
         (i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 32)) (i32.store (i32.const 24) (i32.const 1))
         (i32.store (i32.const 32) (i32.const 900)) (i32.store (i32.const 36) (i32.const 3))
         (i32.store8 (i32.const 40) (i32.const 2)) (f64.store (i32.const 48) (global.get $calls)) (return (i32.const 16))",
    );
    guest.items = "(global $calls (mut f64) (f64.const 0)) (data (i32.const 900) \"out\")".into();
    guest.pages = 16;
    let mut registry = Registry::default();
    sandbox(None).add_all(&[write(dir.path(), &guest)], &mut registry);
    for _ in 0..3 {
        let fate = run(&registry, "Evil", &CancelToken::default());
        assert!(matches!(fate, Fate::Done(Value::Number(n), _) if n == 3.0), "{fate:?}");
    }
}

/// The compiled form of a plugin, exchanged by whoever can write into the cache: never run.
#[test]
fn a_tampered_cache_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, seal) = (dir.path().join("cache"), dir.path().join("seal"));
    let host = || {
        let compiled = Some((cache.clone(), seal.clone()));
        PluginHost::new(PluginSettings { compiled, ..PluginSettings::default() }).unwrap()
    };
    let guests = [honest(), Guest::new("Honest").gives("out", "core:integer", Out::Integer(666))];
    let folders = [0, 1].map(|i| {
        let root = dir.path().join(i.to_string());
        write(&root, &guests[i])
    });
    let first = |host: &PluginHost| {
        let mut registry = Registry::default();
        let (_, problems) = host.add_all(&folders[..1], &mut registry);
        assert!(problems.is_empty(), "{problems:?}");
        run(&registry, "Honest", &CancelToken::default())
    };
    host().load(&folders[0]).unwrap();
    let file = |after: &[std::path::PathBuf]| {
        let files = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| !after.contains(path)).collect::<Vec<_>>()
    };
    let honest_file = file(&[]).remove(0);
    host().load(&folders[1]).unwrap();
    let evil_file = file(std::slice::from_ref(&honest_file)).remove(0);
    let (good, evil) = (fs::read(&honest_file).unwrap(), fs::read(&evil_file).unwrap());
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for tampered in [&evil[..], &flipped, &good[..good.len() / 2], b"", &vec![0; good.len()]] {
        fs::write(&honest_file, tampered).unwrap();
        let fate = first(&host());
        assert!(matches!(fate, Fate::Done(Value::Integer(7), _)), "{fate:?}");
    }
}

/// Bytes of memory that this process has for itself.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Ten thousand calls that leave a handle, a megabyte in a buffer and a megabyte of memory behind, every second of which
/// traps: the process that makes them, and does nothing else, stays as large as it was.
#[test]
#[cfg(target_os = "linux")]
fn calls_leave_nothing_behind() {
    const ALONE: &str = "DC_GRAPH_TEST_CALLS_ALONE";
    const CALLS: u64 = 10_000;
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", "hostile::together::calls_leave_nothing_behind", "--nocapture"]).env(ALONE, "1");
        let output = alone.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let body = |end: &str| {
        format!("(drop (memory.grow (i32.const 16))) (drop (call $from_bytes (i32.const 0) (i32.const 1000000))) {end}")
    };
    let leaky = |end: &str| Guest {
        pages: 20,
        ..Guest::new("Evil").gives("out", "core:number", Out::Number(1.0)).import(BUFFER_IMPORTS).run(&body(end))
    };
    let (mut fine, mut traps) = (Registry::default(), Registry::default());
    let host = sandbox(None);
    host.add_all(&[write(&dir.path().join("a"), &leaky(""))], &mut fine);
    host.add_all(&[write(&dir.path().join("b"), &leaky("unreachable"))], &mut traps);
    let cancel = CancelToken::default();
    let call = || {
        assert!(matches!(run(&fine, "Evil", &cancel), Fate::Done(..)));
        assert!(matches!(run(&traps, "Evil", &cancel), Fate::Failed(_)));
    };
    (0..250).for_each(|_| call());
    let before = resident();
    (0..CALLS / 2).for_each(|_| call());
    let grown = resident().saturating_sub(before);
    eprintln!("{CALLS} calls: {grown} bytes more than the {before} before");
    // What an allocator keeps, and not 800 bytes for each call.
    assert!(grown < 8 << 20, "{CALLS} calls grew the host by {grown} bytes");
}
