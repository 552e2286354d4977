//! `dc-graph diff`: what differs between two graphs, by node, port and value.

use std::io::stdout;
use std::path::{Path, PathBuf};

use dc_graph::graph::{Change, Document, Source, Tree, diff, render, render_changes};
use serde_json::json;

use super::exit::Exit;
use super::validate::{Format, unreadable};
use super::{source, streams};

/// Compare two graphs, or pictures that carry graphs, by node, port and value
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph diff old.json new.json
  dc-graph diff output/cat-00.png output/cat-01.png
  git config diff.dc-graph.command \"dc-graph diff --git\"
  echo 'graphs/*.json diff=dc-graph' >> .gitattributes

Layout and order are no difference. Exit codes: 0 nothing differs, 1 something does, 2 a graph cannot be read.")]
pub(crate) struct Args {
    /// The old graph and the new one
    #[arg(num_args = 2..=9, required = true, value_names = ["OLD", "NEW"])]
    files: Vec<PathBuf>,
    /// Take the arguments that git gives a diff driver, and end with 0 whatever differs
    #[arg(long)]
    git: bool,
    /// How the differences are written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Compares.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.git {
        return for_git(&args.files);
    }
    let [old, new] = args.files.as_slice() else {
        streams::talk("error: expected two graphs\nhint: `--git` takes what git gives a diff driver");
        return Ok(Exit::Invalid);
    };
    let (old, new) = match (read_whole(old), read_whole(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            let errors = old.err().into_iter().chain(new.err());
            return Ok(errors.map(|error| unreadable(&error)).last().unwrap_or(Exit::Invalid));
        }
    };
    let changes = diff(&old, &new);
    match args.format {
        Format::Text => streams::data(&render_changes(&changes, streams::colour(&stdout())))?,
        Format::Json => streams::json(&json!({ "changes": changes }))?,
    }
    Ok(if changes.is_empty() { Exit::Done } else { Exit::Failed })
}

/// `path old-file old-hex old-mode new-file new-hex new-mode [new-path message]`; /dev/null stands for what is not there.
fn for_git(files: &[PathBuf]) -> anyhow::Result<Exit> {
    let (Some(path), Some(old), Some(new)) = (files.first(), files.get(1), files.get(4)) else {
        streams::talk("error: git gives a diff driver seven arguments or nine");
        return Ok(Exit::Invalid);
    };
    let side = |path: &Path| if path == Path::new("/dev/null") { Ok(Tree::empty()) } else { read(path) };
    let changes: anyhow::Result<Vec<Change>> = side(old).and_then(|old| Ok(diff(&old, &side(new)?)));
    let mut text = format!("graph {}\n", path.display());
    if let Some(renamed) = files.get(7) {
        text = format!("graph {} -> {}\n", path.display(), renamed.display());
    }
    match changes {
        Ok(changes) => text += &render_changes(&changes, streams::colour(&stdout())),
        // One file that is no graph must not end `git log -p`.
        Err(error) => text += &format!("{error:#}\n"),
    }
    streams::data(&text)?;
    Ok(Exit::Done)
}

/// The graph in a file, for commands that do not judge it.
pub(crate) fn read(path: &Path) -> anyhow::Result<Tree> {
    let source = source::read_graph(path)?;
    parse(&source)
}

/// The same with the graphs that it includes, which pictures carry, too.
fn read_whole(path: &Path) -> anyhow::Result<Tree> {
    let source = source::read_graph(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let whole = Document::parse(source.text()).ok().map(|document| document.carrying(folder));
    match whole.filter(|whole| whole.get("graphs").is_some()) {
        Some(whole) => parse(&Source::new(path.display().to_string(), whole.to_string())),
        None => parse(&source),
    }
}

/// A text as a document that is not judged.
pub(crate) fn parse(source: &Source) -> anyhow::Result<Tree> {
    Tree::parse(source.text()).map_err(|problems| {
        let told = render(&problems, source, false);
        anyhow::anyhow!("{}", told.trim_start_matches("error: ").trim_end())
    })
}
