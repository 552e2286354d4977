//! `dc-graph devices`: what models can run on.

use std::fmt::Write;

use dc_graph_nodes::dc_diffusion::device;
use serde_json::json;

use super::exit::Exit;
use super::streams;

/// List the devices that models can run on
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph devices
  dc-graph run graphs/personalize.json --device wgpu:0 --dtype f16")]
pub(crate) struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Lists. Asks the drivers, but opens no device.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let all = device::list();
    if args.json {
        let entry = |d: &device::DeviceEntry| {
            json!({
                "name": d.name,
                "kind": d.kind.to_string(),
                "description": d.description,
                "usable_by_auto": d.usable_by_auto(),
            })
        };
        streams::json(&all.iter().map(entry).collect())?;
        return Ok(Exit::Done);
    }
    let names = all.iter().map(|d| d.name.chars().count()).max().unwrap_or(0);
    let kinds = all.iter().map(|d| d.kind.to_string().chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for entry in &all {
        let note = if entry.usable_by_auto() { "" } else { "; never taken by `auto`" };
        let kind = entry.kind.to_string();
        let _ = writeln!(text, "{:names$}  {kind:kinds$}  {}{note}", entry.name, entry.description);
    }
    streams::data(&text)?;
    Ok(Exit::Done)
}
