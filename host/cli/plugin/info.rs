//! `dc-graph plugin info`: everything about one plugin.

use std::fmt::Write;

use dc_graph::plugin::LoadedPlugin;

use super::{Searched, host, places, to_json, told};
use crate::cli::exit::Exit;
use crate::cli::streams;
use crate::cli::validate::Format;

/// Tell everything about a plugin: nodes, digest, what it asks for, what was granted, limits
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its id or its folder
    plugin: String,
    #[command(flatten)]
    searched: Searched,
    /// How it is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Loads and tells.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let places = places()?;
    let folder = args.searched.one(&places, &args.plugin)?;
    match host(&places)?.load(&folder) {
        Ok(plugin) if args.format == Format::Json => streams::json(&to_json(&plugin)?)?,
        Ok(plugin) => streams::data(&text(&plugin))?,
        Err(error) => {
            streams::talk(&told(&error));
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Done)
}

fn text(plugin: &LoadedPlugin) -> String {
    let table = &plugin.manifest.plugin;
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key:16}  {value}");
    };
    line("id", &table.id);
    line("name", &table.name);
    line("version", &table.version);
    line("license", &table.license);
    line("description", &table.description);
    line("authors", &table.authors.join(", "));
    line("folder", &plugin.folder.display().to_string());
    if let Some(wasm) = &plugin.manifest.wasm {
        line("blake3", &wasm.blake3);
    }
    for (name, value) in plugin.limits.named() {
        line(name, &value.to_string());
    }
    let granted = &plugin.granted;
    for (capability, asked) in &table.capabilities {
        let hosts: Vec<_> = asked.hosts.iter().map(String::as_str).collect();
        let hosts = if hosts.is_empty() { String::new() } else { format!(" ({})", hosts.join(", ")) };
        line("asks for", &format!("{capability}{hosts}: {}", asked.reason));
    }
    for (what, folder) in [("may read", &granted.read_folder), ("may write", &granted.write_folder)] {
        if let Some(folder) = folder {
            line(what, &folder.display().to_string());
        }
    }
    if granted.clock {
        line("may look at", "the clock");
    }
    for host in &granted.http {
        line("may ask", host);
    }
    for node in &plugin.nodes {
        line("node", &format!("{}: {}", node.spec().type_name, node.spec().description));
    }
    text
}
