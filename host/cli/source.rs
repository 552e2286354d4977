//! The graph that a command works on: where its text comes from and what it means there.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use dc_graph::graph::{Diagnostic, Document, Graph, Overrides, Settings, Source, validate};
use dc_graph::registry::Registry;

/// Which graph, with which inputs.
#[derive(clap::Args)]
pub(crate) struct GraphArgs {
    /// The graph's file; `-` for standard input
    graph: String,
    /// Give a named input of the graph another value than its default; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

/// The text of a document, and what relative paths and `--set` mean there.
pub(crate) struct OpenedGraph {
    /// The text, and what diagnostics call it.
    pub(crate) source: Source,
    settings: Settings,
}

/// `name=value` in two.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected `name=value`".into()),
    }
}

impl GraphArgs {
    /// Fetches the text.
    pub(crate) fn open(&self) -> anyhow::Result<OpenedGraph> {
        let current = std::env::current_dir().context("cannot find the current folder")?;
        let mut overrides = Overrides::default();
        for (name, value) in &self.set {
            overrides.set(name, value);
        }
        let (source, folder) = if self.graph == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read the graph from standard input")?;
            (Source::new("<stdin>", text), current.clone())
        } else {
            let path = Path::new(&self.graph);
            let folder = path.parent().unwrap_or(Path::new(""));
            // Made absolute without following links: `..` in a document counts from the folder that was named.
            let folder = if folder.as_os_str().is_empty() { current.clone() } else { current.join(folder) };
            (read_graph(path)?, folder)
        };
        Ok(OpenedGraph { source, settings: Settings { overrides, folder, current } })
    }
}

fn read_graph(path: &Path) -> anyhow::Result<Source> {
    if path.is_dir() {
        bail!("`{}` is a folder, not a graph", path.display());
    }
    Source::read(path).with_context(|| format!("cannot read the graph `{}`", path.display()))
}

impl OpenedGraph {
    /// What relative paths in the document count from.
    pub(crate) fn folder(&self) -> &Path {
        &self.settings.folder
    }

    /// The graph with its warnings, or everything that is wrong with it.
    pub(crate) fn check(&self, registry: &Registry) -> Result<(Graph, Vec<Diagnostic>), Vec<Diagnostic>> {
        validate(&Document::parse(self.source.text())?, registry, &self.settings)
    }
}
