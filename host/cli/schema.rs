//! `dc-graph schema`: the JSON Schema of documents, for editors.

use std::path::Path;

use dc_graph_nodes::Settings;

use super::exit::Exit;
use super::plugin_args::PluginArgs;
use super::{builtin, streams};

/// Print the JSON Schema of graphs, made from the nodes there are
#[derive(clap::Args)]
#[command(after_help = "Example:
  dc-graph schema > graphs/graph.schema.json")]
pub(crate) struct Args {
    #[command(flatten)]
    plugins: PluginArgs,
}

/// Prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut registry = builtin::registry(&Settings::default())?;
    args.plugins.join(&mut registry, Path::new(""), streams::talk)?;
    streams::json(&dc_graph::graph::schema(&registry))?;
    Ok(Exit::Done)
}
