//! Comparing and merging whole documents, as folders beside what is expected of them. `DC_GRAPH_BLESS=1` writes the
//! expectations anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::*;

fn cases(kind: &str, least: usize) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs").join(kind);
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= least, "only {} cases", cases.len());
    cases
}

fn tree(case: &Path, name: &str) -> Tree {
    let text = std::fs::read_to_string(case.join(name)).unwrap();
    Tree::parse(&text).unwrap_or_else(|problems| panic!("{}/{name}: {problems:?}", case.display()))
}

/// Compares with the file `expected.txt` of a case, or writes it.
fn compare(case: &Path, found: &str, wrong: &mut Vec<String>) {
    let beside = case.join("expected.txt");
    if std::env::var_os("DC_GRAPH_BLESS").is_some() {
        std::fs::write(&beside, found).unwrap();
    }
    if std::fs::read_to_string(&beside).unwrap_or_default() != found {
        wrong.push(format!("{}:\n{found}", case.display()));
    }
}

#[test]
fn differences_are_told_by_node_port_and_value() {
    let mut wrong = Vec::new();
    for case in cases("diff", 6) {
        let (old, new) = (tree(&case, "old.json"), tree(&case, "new.json"));
        let changes = diff(&old, &new);
        compare(&case, &render_changes(&changes, false), &mut wrong);
        // The way back has as many steps.
        assert_eq!(diff(&new, &old).len(), changes.len(), "{}", case.display());
        assert_eq!(diff(&old, &old), []);
    }
    assert!(wrong.is_empty(), "not as expected (DC_GRAPH_BLESS=1 to accept):\n{}", wrong.join("\n"));
}

#[test]
fn merges_take_what_each_side_changed() {
    let mut wrong = Vec::new();
    for case in cases("merge", 8) {
        let [base, ours, theirs] = ["base.json", "ours.json", "theirs.json"].map(|name| tree(&case, name));
        let merged = merge(&base, &ours, &theirs);
        let mut found = String::new();
        for conflict in &merged.conflicts {
            let _ = writeln!(found, "conflict: {}", conflict.message);
        }
        found += &merged.text;
        compare(&case, &found, &mut wrong);
        // Whoever merges, the same places are in doubt; without doubt the results mean the same.
        let other = merge(&base, &theirs, &ours);
        let places = |merged: &Merged| -> Vec<Vec<String>> {
            let mut places: Vec<_> =
                merged.conflicts.iter().map(|c| c.place[..c.place.len().min(1)].to_vec()).collect();
            places.sort();
            places
        };
        assert_eq!(places(&merged), places(&other), "{}", case.display());
        if merged.conflicts.is_empty() {
            let (one, other) = (Tree::parse(&merged.text).unwrap(), Tree::parse(&other.text).unwrap());
            assert_eq!(diff(&one, &other), [], "{}", case.display());
            assert_eq!(one.format(), merged.text, "{}", case.display());
        }
    }
    assert!(wrong.is_empty(), "not as expected (DC_GRAPH_BLESS=1 to accept):\n{}", wrong.join("\n"));
}
