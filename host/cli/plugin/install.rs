//! `dc-graph plugin install`: a plugin for all graphs of the user.

use std::path::PathBuf;

use anyhow::anyhow;
use dc_graph::plugin::Package;
use serde_json::json;

use super::{grant, host, places, told};
use crate::cli::exit::Exit;
use crate::cli::streams;
use crate::cli::validate::Format;

/// Install a plugin from a folder, a `.zip` or a `.tar.gz`, in the place of another version
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph plugin install soft-glow/
  dc-graph plugin install soft-glow-0.1.0.zip")]
pub(crate) struct Args {
    /// A folder with plugin.toml, or an archive of one
    path: PathBuf,
    /// How the result is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Checks it in the sandbox first: what cannot be used is not installed.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let places = places()?;
    let host = host(&places)?;
    let package = match Package::read(&args.path) {
        Ok(package) => package,
        Err(error) => {
            streams::talk(&format!("error: `{}`: {error}", args.path.display()));
            return Ok(Exit::Invalid);
        }
    };
    let folder = package.install(&places.plugins(), |folder| {
        host.load(folder).map(drop).map_err(|error| anyhow!("{}", told(&error).trim_start_matches("error: ")))
    })?;
    let table = &package.manifest.plugin;
    let nodes: Vec<_> = table.nodes.iter().map(String::as_str).collect();
    match args.format {
        Format::Json => streams::json(&json!({
            "id": table.id, "version": table.version, "folder": folder.display().to_string(), "nodes": nodes,
        }))?,
        Format::Text => streams::data(&format!("{} {}: {}\n", table.id, table.version, nodes.join(", ")))?,
    }
    grant::offer(&package.manifest, &places)?;
    Ok(Exit::Done)
}
