//! `dc-graph image inspect`: what made a picture.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::bail;
use serde_json::Value;

use super::exit::Exit;
use super::{source, streams};

/// Look into pictures
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Inspect(Inspect),
}

/// Show what made a PNG: the graph, its inputs and the digests of the files it read
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph image inspect output/personalize-00.png
  dc-graph image inspect output/personalize-00.png --graph > graphs/again.json

Relative paths in the graph count from the folder in which the graph that made the picture lay.")]
struct Inspect {
    /// The picture
    file: PathBuf,
    /// Only the graph, with the values of that run as its defaults, so that it can be run again
    #[arg(long)]
    graph: bool,
    /// Everything as JSON
    #[arg(long, conflicts_with = "graph")]
    json: bool,
}

/// Dispatches.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Command::Inspect(args) = &args.command;
    let made_by = source::carried(&args.file)?;
    if args.json {
        streams::json(&made_by)?;
    } else if args.graph {
        let Some(graph) = made_by.get("graph") else { bail!("`{}` carries no graph", args.file.display()) };
        streams::json(graph)?;
    } else {
        streams::data(&shown(&made_by))?;
    }
    Ok(Exit::Done)
}

/// For people. What is not there is left out.
fn shown(made_by: &Value) -> String {
    let mut text = String::new();
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for key in ["program", "version", "node"] {
        if let Some(value) = made_by.get(key) {
            let _ = writeln!(text, "{key:8} {}", word(value));
        }
    }
    if let Some(name) = made_by.pointer("/graph/name") {
        let nodes = made_by.pointer("/graph/nodes").and_then(Value::as_object).map_or(0, serde_json::Map::len);
        let _ = writeln!(text, "graph    {} ({nodes} nodes)", word(name));
    }
    for (name, input) in made_by.pointer("/graph/inputs").and_then(Value::as_object).into_iter().flatten() {
        let _ = writeln!(text, "input    {name} = {}", input.get("default").unwrap_or(&Value::Null));
    }
    for file in made_by.get("files").and_then(Value::as_array).into_iter().flatten() {
        let part = |key| file.get(key).map_or_else(String::new, word);
        let _ = writeln!(text, "file     {} (read by `{}`) blake3 {}", part("name"), part("node"), part("blake3"));
    }
    for (id, plugin) in made_by.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let part = |key| plugin.get(key).map_or_else(String::new, word);
        let _ = writeln!(text, "plugin   {id} {} blake3 {}", part("version"), part("blake3"));
    }
    text
}
