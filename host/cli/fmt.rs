//! `dc-graph fmt`: graphs in canonical form.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use dc_graph::graph::Source;
use serde_json::json;

use super::exit::Exit;
use super::validate::{Format, unreadable};
use super::{diff, files, streams};

/// Bring graphs into one layout, keeping the order of nodes and all labels
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph fmt graphs/*.json
  dc-graph fmt --check graphs/*.json
  dc-graph fmt - < graph.json

Objects without `nodes`, such as schemas, are no graphs and stay as they are. Exit codes: 0 done, 1 with `--check` a file
is not in this form, 2 a file is no JSON object.")]
pub(crate) struct Args {
    /// The files to rewrite; `-` from standard input to standard output
    #[arg(required = true)]
    files: Vec<String>,
    /// Only tell which files are not in canonical form
    #[arg(long)]
    check: bool,
    /// How it is told what was done
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Formats.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    let mut told = Vec::new();
    for name in &args.files {
        match one(name, args) {
            Ok(changed) => {
                if changed && args.check && exit == Exit::Done {
                    exit = Exit::Failed;
                }
                told.push(json!({ "file": name, "changed": changed }));
            }
            // The others are not to blame.
            Err(error) => exit = unreadable(&error),
        }
    }
    if args.format == Format::Json {
        streams::json(&json!({ "files": told }))?;
    }
    Ok(exit)
}

/// Whether the file is, or was, not in canonical form.
fn one(name: &str, args: &Args) -> anyhow::Result<bool> {
    let source = if name == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read the graph from standard input")?;
        Source::new("<stdin>", text)
    } else {
        Source::read(Path::new(name)).with_context(|| format!("cannot read the graph `{name}`"))?
    };
    let tree = diff::parse(&source)?;
    if !tree.is_graph() {
        streams::talk(&format!("`{name}` has no `nodes`, so it is no graph; it stays as it is"));
        if name == "-" && !args.check && args.format == Format::Text {
            streams::data(source.text())?;
        }
        return Ok(false);
    }
    let formatted = tree.format();
    let changed = formatted != source.text();
    let text = args.format == Format::Text;
    match (args.check, name) {
        (true, _) if changed && text => streams::data(&format!("{name}\n"))?,
        (true, _) => {}
        (false, "-") if text => streams::data(&formatted)?,
        (false, "-") => {}
        (false, _) if changed => {
            files::write(Path::new(name), formatted.as_bytes())?;
            if text {
                streams::talk(&format!("formatted {name}"));
            }
        }
        (false, _) => {}
    }
    Ok(changed)
}
