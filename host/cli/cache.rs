//! `dc-graph cache inspect`: what a reference cache was built from.

use anyhow::bail;
use dc_graph_nodes::dc_diffusion::checkpoint::{Kind, inspect};

use super::exit::Exit;
use super::model;

/// Look into reference caches
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Inspect(Inspect),
}

/// Tell what a reference cache was built from: digests, placement, timestep, caching prompt, seed
#[derive(clap::Args)]
#[command(after_help = "Example:
  dc-graph cache inspect output/subject.safetensors")]
struct Inspect {
    /// The file that `Save Cache` wrote
    file: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Dispatches.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Command::Inspect(args) = &args.command;
    match inspect(&args.file) {
        Ok(found) if found.kind == Kind::ReferenceCache => model::show(&args.file, args.json),
        Ok(_) => bail!("`{}` is no reference cache; `dc-graph model inspect` tells what it is", args.file),
        Err(error) => bail!("{error}"),
    }
}
