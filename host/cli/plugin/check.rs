//! `dc-graph plugin check`: is it a plugin, and what would it be allowed?

use std::path::PathBuf;

use dc_graph::plugin::{PackageError, PluginHost, PluginSettings};
use serde_json::json;

use super::{to_json, told};
use crate::cli::exit::Exit;
use crate::cli::streams;
use crate::cli::validate::Format;

/// Check a plugin's folder, archive or component without installing it
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph plugin check soft-glow/
  dc-graph plugin check soft-glow.zip
  dc-graph plugin check soft_glow.wasm")]
pub(crate) struct Args {
    /// A folder, a `.zip`, a `.tar.gz` or a `.wasm`
    path: PathBuf,
    /// How the result is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Loads it in the sandbox, with nothing granted; runs none of its nodes.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let host = PluginHost::new(PluginSettings::default())?;
    let result = if args.path.extension().is_some_and(|extension| extension == "wasm") {
        host.inspect(&args.path).map(|specs| {
            let nodes: Vec<_> = specs.into_iter().map(|spec| spec.type_name).collect();
            (json!({ "nodes": nodes }), nodes)
        })
    } else {
        let unpacked = tempfile::tempdir()?;
        let folder = if args.path.is_dir() {
            args.path.clone()
        } else {
            let read = dc_graph::plugin::Package::read(&args.path).and_then(|package| package.write(unpacked.path()));
            if let Err(error) = read {
                return Ok(refused(args, &error));
            }
            unpacked.path().to_owned()
        };
        host.load(&folder).map(|plugin| {
            let nodes = plugin.nodes.iter().map(|node| node.spec().type_name.clone()).collect();
            (to_json(&plugin).unwrap_or_default(), nodes)
        })
    };
    match result {
        Ok((data, nodes)) => {
            match args.format {
                Format::Json => streams::json(&json!({ "valid": true, "plugin": data }))?,
                Format::Text => streams::data(&format!("valid: {}\n", nodes.join(", ")))?,
            }
            Ok(Exit::Done)
        }
        Err(error) => {
            if args.format == Format::Json {
                streams::json(&json!({ "valid": false, "problem": error.to_string(), "hint": error.hint() }))?;
            }
            streams::talk(&told(&error));
            Ok(Exit::Invalid)
        }
    }
}

fn refused(args: &Args, error: &PackageError) -> Exit {
    streams::talk(&format!("error: `{}`: {error}", args.path.display()));
    Exit::Invalid
}
