//! `dc-graph merge`: two edits of one graph brought together, by node, port and value.

use std::path::{Path, PathBuf};

use dc_graph::graph::{Source, Tree, merge};
use serde_json::json;

use super::exit::Exit;
use super::validate::{Format, unreadable};
use super::{diff, files, source, streams};

/// Bring two edits of one graph together, by node, port and value
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph merge base.json mine.json yours.json > both.json
  git config merge.dc-graph.driver \"dc-graph merge %O %A %B --output %A\"
  echo 'graphs/*.json merge=dc-graph' >> .gitattributes

The result is in the form that `dc-graph fmt` writes. What both sides changed, each in another way, stands in it between
the markers that git uses. Exit codes: 0 merged, 1 conflicts are left, 2 a graph cannot be read.")]
pub(crate) struct Args {
    /// What both sides began with; an empty file when they share nothing
    base: PathBuf,
    /// One side, whose order is kept
    ours: PathBuf,
    /// The other side
    theirs: PathBuf,
    /// The file to write instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How the result is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Merges.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let read = |path: &Path| -> anyhow::Result<(Source, Tree)> {
        let source = source::read_graph(path)?;
        let tree = if source.text().trim().is_empty() { Tree::empty() } else { diff::parse(&source)? };
        Ok((source, tree))
    };
    let all = [&args.base, &args.ours, &args.theirs].map(|path| read(path));
    let [Ok(base), Ok(ours), Ok(theirs)] = all else {
        let errors = all.into_iter().filter_map(Result::err);
        return Ok(errors.map(|error| unreadable(&error)).last().unwrap_or(Exit::Invalid));
    };
    let (text, conflicts) = if base.0.text() == ours.0.text() {
        // Only they changed it: their bytes.
        (theirs.0.text().to_owned(), Vec::new())
    } else if base.0.text() == theirs.0.text() {
        (ours.0.text().to_owned(), Vec::new())
    } else {
        let merged = merge(&base.1, &ours.1, &theirs.1);
        (merged.text, merged.conflicts)
    };
    for conflict in &conflicts {
        streams::talk(&format!("conflict: {}", conflict.message));
    }
    if let Some(output) = &args.output {
        files::write(output, text.as_bytes())?;
    }
    match args.format {
        Format::Json => {
            let status = if conflicts.is_empty() { "merged" } else { "conflicts" };
            streams::json(&json!({ "status": status, "conflicts": conflicts, "text": text }))?;
        }
        Format::Text if args.output.is_none() => streams::data(&text)?,
        Format::Text => {}
    }
    Ok(if conflicts.is_empty() { Exit::Done } else { Exit::Failed })
}
