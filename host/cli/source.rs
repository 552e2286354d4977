//! The graph that a command works on: where its text comes from and what it means there.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use dc_graph::graph::{AxisValue, Diagnostic, Document, Graph, Overrides, Settings, Source, Sweep, validate};
use dc_graph::registry::Registry;

/// Which graph, with which inputs.
#[derive(clap::Args)]
pub(crate) struct GraphArgs {
    /// The graph's file, or a PNG that carries the graph that made it; `-` for standard input
    graph: String,
    /// Give a named input of the graph another value than its default; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

/// The text of a document, and what relative paths and `--set` mean there.
pub(crate) struct OpenedGraph {
    /// The text, and what diagnostics call it.
    pub(crate) source: Source,
    /// The inputs that `--set` names.
    set: Vec<String>,
    settings: Settings,
    file: Option<PathBuf>,
}

/// `name=value` in two.
pub(crate) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected `name=value`".into()),
    }
}

impl GraphArgs {
    /// The file; nothing for standard input.
    pub(crate) fn path(&self) -> Option<&Path> {
        (self.graph != "-").then(|| Path::new(&self.graph))
    }

    /// Fetches the text.
    pub(crate) fn open(&self) -> anyhow::Result<OpenedGraph> {
        let current = std::env::current_dir().context("cannot find the current folder")?;
        let mut overrides = Overrides::default();
        for (name, value) in &self.set {
            overrides.set(name, value);
        }
        let (source, folder, file) = if self.graph == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read the graph from standard input")?;
            (Source::new("<stdin>", text), current.clone(), None)
        } else {
            let path = Path::new(&self.graph);
            let folder = path.parent().unwrap_or(Path::new(""));
            // Made absolute without following links: `..` in a document counts from the folder that was named.
            let folder = if folder.as_os_str().is_empty() { current.clone() } else { current.join(folder) };
            (read_graph(path)?, folder, Some(current.join(path)))
        };
        let set = self.set.iter().map(|(name, _)| name.clone()).collect();
        Ok(OpenedGraph { source, set, settings: Settings { overrides, folder, current }, file })
    }
}

/// Reads a graph: a file that holds one, or a PNG that carries the one that made it.
pub(crate) fn read_graph(path: &Path) -> anyhow::Result<Source> {
    if path.is_dir() {
        bail!("`{}` is a folder, not a graph", path.display());
    }
    if is_png(path) {
        let made_by = carried(path)?;
        let Some(graph) = made_by.get("graph") else { bail!("`{}` carries no graph", path.display()) };
        return Ok(Source::new(path.display().to_string(), format!("{graph:#}\n")));
    }
    Source::read(path).with_context(|| format!("cannot read the graph `{}`", path.display()))
}

/// What made a picture, as the picture says itself.
pub(crate) fn carried(picture: &Path) -> anyhow::Result<serde_json::Value> {
    let name = picture.display();
    // The message tells its cause itself.
    let text = dc_graph_nodes::read_provenance(picture).map_err(|error| anyhow!("{error}"))?;
    let Some(text) = text else {
        bail!("`{name}` does not say what made it; `Save Image` with `metadata` on writes PNG files that do");
    };
    serde_json::from_str(&text).with_context(|| format!("what `{name}` says of itself"))
}

fn is_png(path: &Path) -> bool {
    let mut begin = [0; 8];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && begin == *b"\x89PNG\r\n\x1a\n"
}

impl OpenedGraph {
    /// The document's file; none for standard input.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What relative paths in the document count from.
    pub(crate) fn folder(&self) -> &Path {
        &self.settings.folder
    }

    /// The graph with its warnings, or everything that is wrong with it.
    pub(crate) fn check(&self, registry: &Registry) -> Result<(Graph, Vec<Diagnostic>), Vec<Diagnostic>> {
        validate(&Document::parse(self.source.text())?, registry, &self.settings)
    }

    /// The same with other values for some inputs.
    pub(crate) fn check_with(
        &self,
        registry: &Registry,
        values: &[(String, AxisValue)],
    ) -> Result<(Graph, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut settings = self.settings.clone();
        values.iter().for_each(|(name, value)| value.set(name, &mut settings.overrides));
        validate(&Document::parse(self.source.text())?, registry, &settings)
    }

    /// The sweep in the document; nothing when the document is broken, which [`Self::check`] tells.
    pub(crate) fn sweep(&self) -> Option<Sweep> {
        Document::parse(self.source.text()).ok()?.sweep(self.folder())
    }

    /// The node types that the document and all that it includes name; none when it is broken, which [`Self::check`] tells.
    pub(crate) fn node_types(&self) -> BTreeSet<String> {
        Document::parse(self.source.text())
            .map_or_else(|_| BTreeSet::new(), |document| document.node_types(self.folder()))
    }

    /// The files of the graphs that the document includes, also those that are not there; none when it is broken, which
    /// [`Self::check`] tells.
    pub(crate) fn included_files(&self) -> Vec<PathBuf> {
        Document::parse(self.source.text())
            .map_or_else(|_| Vec::new(), |document| document.included_files(self.folder()))
    }

    /// Whether `--set` gives an input its value.
    pub(crate) fn sets(&self, name: &str) -> bool {
        self.set.iter().any(|set| set == name)
    }

    /// What the document calls itself.
    pub(crate) fn name(&self) -> String {
        Document::parse(self.source.text()).map_or_else(|_| String::new(), |document| document.name().to_owned())
    }
}
