//! `dc-graph plugin list`: which plugins there are.

use std::fmt::Write;

use serde_json::json;

use super::{Searched, host, places, to_json, told};
use crate::cli::exit::Exit;
use crate::cli::streams;
use crate::cli::validate::Format;

/// List the plugins and their nodes
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    searched: Searched,
    /// How the list is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Loads and lists; those that cannot be used are told too.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let places = places()?;
    let host = host(&places)?;
    let (mut plugins, mut problems) = (Vec::new(), Vec::new());
    for folder in args.searched.find(&places) {
        match host.load(&folder) {
            Ok(plugin) => plugins.push(plugin),
            Err(error) => problems.push((folder, error)),
        }
    }
    if args.format == Format::Json {
        let broken = problems.iter().map(|(folder, error)| {
            json!({ "folder": folder.display().to_string(), "problem": error.to_string(), "hint": error.hint() })
        });
        streams::json(&json!({
            "plugins": plugins.iter().map(to_json).collect::<anyhow::Result<Vec<_>>>()?,
            "problems": broken.collect::<Vec<_>>(),
        }))?;
    } else {
        let mut text = String::new();
        let width = plugins.iter().map(|p| p.manifest.plugin.id.len()).max().unwrap_or(0);
        for plugin in &plugins {
            let nodes: Vec<_> = plugin.nodes.iter().map(|node| node.spec().type_name.as_str()).collect();
            let table = &plugin.manifest.plugin;
            let _ = writeln!(text, "{:width$}  {}  {}", table.id, table.version, nodes.join(", "));
        }
        streams::data(&text)?;
        for (_, error) in &problems {
            streams::talk(&told(error));
        }
        if plugins.is_empty() && problems.is_empty() {
            streams::talk(&format!(
                "no plugins; `dc-graph plugin install` puts them into {}",
                places.plugins().display()
            ));
        }
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Failed })
}
