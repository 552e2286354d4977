//! `dc-graph schema`: the JSON Schema of documents, for editors.

use dc_graph_nodes::Settings;

use super::exit::Exit;
use super::{builtin, streams};

/// Print the JSON Schema of graphs, made from the nodes there are
#[derive(clap::Args)]
#[command(after_help = "Example:
  dc-graph schema > graphs/graph.schema.json")]
pub(crate) struct Args {}

/// Prints.
pub(crate) fn run(_: &Args) -> anyhow::Result<Exit> {
    streams::json(&dc_graph::graph::schema(&builtin::registry(&Settings::default())?))?;
    Ok(Exit::Done)
}
