//! Arbitrary bytes as components, and arbitrary bytes as what a plugin gives back: nothing panics, hangs or escapes.
//!
//! Without more being said a few hundred inputs are tried, and all of `corpus`. `DC_GRAPH_FUZZ_MINUTES` says for how long
//! to go on; then those inputs whose end was told in words that no input before had are kept in `corpus`, from where
//! later runs start. Inputs follow from a number that a failure tells, as long as the corpus is the same. What lies there
//! comes from 630 seconds: 30,147 inputs, no failure.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dc_graph::exec::CancelToken;
use dc_graph::plugin::PluginHost;

use super::guest::{BUFFER_IMPORTS, Guest, Out, UINT8, folder, port};
use super::{Fate, ID, LIMITS, fate, honest, sandbox};

/// Steele, Lea and Flood's SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| match self.below(3) {
            0 => 0,
            1 => self.below(4) as u8,
            _ => self.next() as u8,
        })
    }
}

/// Where inputs are kept: components, named by their digest.
fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/corpus")
}

/// Honest guests, and all that was kept.
fn seeds() -> Vec<Vec<u8>> {
    let image = Out::Image(2, 2, 1, UINT8, vec![1, 2, 3, 4]);
    let guests = [
        honest(),
        Guest::new("Honest").gives("out", "core:image", image),
        Guest::new("Honest").gives("out", "core:list<core:number>", Out::Numbers(vec![1.0, 2.0])),
        Guest::echo("Honest", &[("out", "core:tensor")]),
        Guest::new("Honest").input(port("a", "core:text")).gives("out", "core:text", Out::Text(b"x".to_vec())),
    ];
    let mut kept: Vec<_> = fs::read_dir(corpus()).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    guests.iter().map(Guest::component).chain(kept.iter().map(|path| fs::read(path).unwrap())).collect()
}

/// A component with a few changes: bits, bytes, pieces cut, doubled or exchanged with another.
fn mutated(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = chance.below(bytes.len());
        let length = chance.below(16).min(bytes.len() - at);
        match chance.below(6) {
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = chance.next() as u8,
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len());
                let piece = &other[from..(from + length).min(other.len())];
                let end = (at + piece.len()).min(bytes.len());
                bytes.splice(at..end, piece.iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// A plugin that gives something which may or may not be what it says.
fn giving(chance: &mut Chance) -> Guest {
    const TYPES: [&str; 8] = [
        "core:number",
        "core:text",
        "core:image",
        "core:mask",
        "core:tensor",
        "core:list<core:number>",
        "dc:latents",
        "core:integer",
    ];
    let ty = TYPES[chance.below(TYPES.len())];
    let small = |chance: &mut Chance| chance.below(5) as u32;
    let bytes = |chance: &mut Chance| (0..chance.below(40)).map(|_| chance.next() as u8).collect::<Vec<_>>();
    let value = match chance.below(8) {
        0 => Out::Number(f64::from_bits(chance.next())),
        1 => Out::Text(bytes(chance)),
        2 => Out::Image(small(chance), small(chance), small(chance), chance.below(15) as u32, bytes(chance)),
        3 => Out::Mask(small(chance), small(chance), bytes(chance)),
        4 => Out::Tensor((0..chance.below(4)).map(|_| small(chance)).collect(), chance.below(14) as u32, bytes(chance)),
        5 => Out::Numbers((0..chance.below(6)).map(|_| f64::from_bits(chance.next())).collect()),
        6 => Out::Integer(chance.next().cast_signed()),
        _ => Out::Raw(chance.below(20) as u8, chance.bytes()),
    };
    let mut guest = Guest::new("Honest").import(BUFFER_IMPORTS).gives("out", ty, value);
    if chance.below(4) == 0 {
        // Overwrites some of what it is about to give: lengths, addresses, tags.
        let (at, word) = (1024 + 4 * chance.below(60), chance.next() as i32 >> chance.below(32));
        guest.before_run = format!("(i32.store (i32.const {at}) (i32.const {word}))");
    }
    guest
}

/// Tries a component. What is told of it matters only in that something is, and that the sandbox lives on. Gives what was
/// told without names and numbers.
fn attempt(host: &PluginHost, component: &[u8], name: &str, root: &Path) -> String {
    let plugin = folder(root, ID, "Honest", component, LIMITS);
    match fate(host, &plugin, "Honest", &CancelToken::default()) {
        Fate::Refused(told) | Fate::Failed(told) => {
            assert!(!told.is_empty() && !told.contains("panicked"), "{name}: {told}");
            assert!(told.chars().all(|c| c == '\n' || !c.is_control()), "{name}: {told:?}");
            general(&told)
        }
        Fate::Done(..) => "done".into(),
        Fate::Cancelled => panic!("{name}: nobody cancelled it"),
    }
}

/// The beginning of the first line, without what is quoted and counted.
fn general(told: &str) -> String {
    let line = told.lines().next().unwrap_or_default();
    let unquoted = line.split('`').step_by(2).collect::<String>();
    let words = unquoted.split_whitespace().filter(|word| word.chars().all(|c| c.is_alphabetic() || c == ':'));
    words.take(10).collect::<Vec<_>>().join(" ")
}

#[test]
fn arbitrary_components_and_values_do_no_harm() {
    /// Larger inputs are not kept, nor more of them.
    const MOST: (usize, usize) = (16 << 10, 100);
    let minutes: Option<f64> = std::env::var("DC_GRAPH_FUZZ_MINUTES").ok().map(|minutes| minutes.parse().unwrap());
    let first = u64::from(minutes.is_some()) * 1_000_000;
    let end = minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes * 60.0));
    let seeds = seeds();
    let host = sandbox(None);
    let dir = tempfile::tempdir().unwrap();
    let mut ends: BTreeSet<String> =
        seeds.iter().enumerate().map(|(i, seed)| attempt(&host, seed, &format!("seed {i}"), dir.path())).collect();
    let (mut tried, mut kept) = (0, seeds.len());
    while end.map_or(tried < 300, |end| Instant::now() < end) {
        let mut chance = Chance(first + tried);
        let component =
            if chance.below(2) == 0 { mutated(&seeds, &mut chance) } else { giving(&mut chance).component() };
        let new = ends.insert(attempt(&host, &component, &format!("input {}", first + tried), dir.path()));
        if new && minutes.is_some() && component.len() <= MOST.0 && kept < MOST.1 {
            fs::create_dir_all(corpus()).unwrap();
            fs::write(corpus().join(format!("{}.wasm", &blake3::hash(&component).to_hex()[..16])), &component).unwrap();
            kept += 1;
        }
        tried += 1;
    }
    if minutes.is_some() {
        eprintln!("{tried} inputs, {} ends, {kept} seeds", ends.len());
    }
}
