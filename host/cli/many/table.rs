//! What came of many runs, as a CSV file, as data and as lines for people.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use dc_graph::graph::AxisValue;
use serde_json::{Value, json};

use super::cases::Case;
use super::csv;
use super::runs::Outcome;
use crate::cli::files;

/// Writes parameters, timings, outputs and files of every run.
pub(super) fn write(path: &Path, cases: &[Case], outcomes: &[Outcome]) -> anyhow::Result<()> {
    let parameters = names(cases.iter().flat_map(|case| case.values.iter().map(|(name, _)| name)));
    let outputs = names(outcomes.iter().flat_map(|outcome| outcome.outputs.iter().map(|(name, _)| name)));
    let mut text = String::new();
    let header = ["run"].into_iter().chain(parameters.iter().copied()).chain(["status", "seconds"]);
    let header = header.map(str::to_owned).chain(outputs.iter().map(|output| format!("output {output}")));
    csv::write(&mut text, &header.chain(["files".to_owned(), "message".to_owned()]).collect::<Vec<_>>());
    for (number, (case, outcome)) in cases.iter().zip(outcomes).enumerate() {
        let given = |name: &&str| case.values.iter().find(|(n, _)| n == name).map_or(String::new(), |(_, v)| v.label());
        let gave = |name: &&str| {
            let found = outcome.outputs.iter().find(|(n, _)| n == name);
            found.map_or(String::new(), |(_, value)| plain(value))
        };
        let mut row = vec![(number + 1).to_string()];
        row.extend(parameters.iter().map(given));
        row.extend([outcome.status.word().to_owned(), format!("{:.3}", outcome.seconds)]);
        row.extend(outputs.iter().map(gave));
        row.push(shown(&outcome.files).join(";"));
        row.push(outcome.message.clone().unwrap_or_default());
        csv::write(&mut text, &row);
    }
    files::write(path, text.as_bytes())
}

/// Every run as data.
pub(super) fn to_json(cases: &[Case], outcomes: &[Outcome]) -> Value {
    let case = |(case, outcome): (&Case, &Outcome)| {
        let inputs: serde_json::Map<String, Value> = case
            .values
            .iter()
            .map(|(name, value)| match value {
                AxisValue::Text(text) => (name.clone(), text.as_str().into()),
                AxisValue::Json(value) => (name.clone(), value.clone()),
            })
            .collect();
        let outputs: serde_json::Map<String, Value> = outcome.outputs.iter().cloned().collect();
        let mut told = json!({
            "inputs": inputs,
            "status": outcome.status.word(),
            "seconds": outcome.seconds,
            "computed": outcome.computed,
            "outputs": outputs,
            "files": shown(&outcome.files),
        });
        if let Some(message) = &outcome.message {
            told["message"] = message.as_str().into();
        }
        told
    };
    cases.iter().zip(outcomes).map(case).collect()
}

/// A line for each run.
pub(super) fn to_text(cases: &[Case], outcomes: &[Outcome]) -> String {
    let mut text = String::from("runs\n");
    let width = cases.iter().map(|case| case.label.chars().count()).max().unwrap_or(0);
    for (case, outcome) in cases.iter().zip(outcomes) {
        let (status, seconds) = (outcome.status.word(), outcome.seconds);
        let _ = writeln!(
            text,
            "  {:width$}  {status:11}  {seconds:8.3} s  {}",
            case.label,
            shown(&outcome.files).join(" ")
        );
    }
    text
}

fn names<'a>(all: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for name in all {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

/// Paths as short as they can be said from here.
pub(super) fn shown(paths: &[PathBuf]) -> Vec<String> {
    let current = std::env::current_dir().ok();
    let short = |path: &PathBuf| {
        let inside = current.as_deref().and_then(|current| path.strip_prefix(current).ok());
        inside.unwrap_or(path).display().to_string()
    };
    paths.iter().map(short).collect()
}
