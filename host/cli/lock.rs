//! `dc-graph lock`: everything that a run depends on, written down.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dc_graph::exec::{Digests, plan};
use dc_graph::graph::render;
use dc_graph::proof::Lock;
use serde_json::json;

use super::device_args::DeviceArgs;
use super::exit::Exit;
use super::plugin_args::PluginArgs;
use super::source::GraphArgs;
use super::validate::{self, Format};
use super::{builtin, files, streams};

/// Write down what a run depends on, so that `run --locked` refuses anything else
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph lock graphs/personalize.json
  dc-graph run graphs/personalize.json --locked
  dc-graph lock graphs/personalize.json --check

`GRAPH.lock` holds the values of the graph's inputs and the digests of nodes, models, pictures and plugins, with the
versions of program and node types and the class of the device. Exit codes: 0 done, 1 with `--check` something differs,
2 invalid graph.")]
pub(crate) struct Args {
    #[command(flatten)]
    graph: GraphArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    plugins: PluginArgs,
    /// Write nothing, and tell what differs from the lock that is there
    #[arg(long)]
    check: bool,
    /// How it is told
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// The lock that belongs to a graph.
pub(crate) fn file_of(graph: &Path) -> PathBuf {
    let mut name = graph.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Reads a lock.
pub(crate) fn read(path: &Path) -> anyhow::Result<Lock> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read `{}`; `dc-graph lock` writes it", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("`{}` is no lock of this program", path.display()))
}

/// Locks or checks.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(graph_file) = args.graph.path() else { bail!("a graph from standard input has no lock: save it first") };
    let mut registry = builtin::registry(&args.device.settings())?;
    let opened = match args.graph.open() {
        Ok(opened) => opened,
        Err(error) => return Ok(validate::unreadable(&error)),
    };
    args.plugins.join(&mut registry, opened.folder(), streams::talk)?;
    let graph = match opened.check(&registry) {
        Ok((graph, _)) => graph,
        Err(problems) => {
            let told = render(&problems, &opened.source, streams::colour(&std::io::stderr()));
            streams::talk(&(told + &validate::summary(&problems)));
            return Ok(Exit::Invalid);
        }
    };
    let plan = plan(&graph, &Digests::default())?;
    let now = Lock::of(&graph, &plan);
    let file = file_of(graph_file);
    if args.check {
        let differences = read(&file)?.differences(&now);
        match args.format {
            Format::Json => streams::json(&json!({ "same": differences.is_empty(), "differences": differences }))?,
            Format::Text => streams::data(&differences.iter().map(|line| format!("{line}\n")).collect::<String>())?,
        }
        return Ok(if differences.is_empty() { Exit::Done } else { Exit::Failed });
    }
    for (id, node) in now.nodes.iter().filter(|(_, node)| node.reads_more) {
        let kind = &node.type_name;
        streams::talk(&format!("warning: `{id}` ({kind}) reads files that a link names; they are not locked"));
    }
    files::write(&file, format!("{:#}\n", json!(now)).as_bytes())?;
    match args.format {
        Format::Json => streams::json(&json!({ "lock": file, "nodes": now.nodes.len() }))?,
        Format::Text => streams::data(&format!("{}\n", file.display()))?,
    }
    Ok(Exit::Done)
}
