//! `dc-graph store`: what runs have kept.

use dc_graph_nodes::Settings;
use serde_json::{Value, json};

use super::exit::Exit;
use super::store_args::{StoreArgs, shown, size};
use super::validate::Format;
use super::{builtin, streams};

/// Look after what runs have kept: outputs of nodes, so that no run repeats what another one did
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph store stats
  dc-graph store gc --to 5GB
  dc-graph store verify --format json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    store: StoreArgs,
    /// How the result is written to standard output
    #[arg(long, value_enum, default_value = "text", global = true)]
    format: Format,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Tell where the store is, what it holds and how large it may grow
    Stats,
    /// Make room: what was not used for longest goes first
    Gc {
        /// How much may stay [default: the store's limit]
        #[arg(long, value_name = "SIZE", value_parser = size)]
        to: Option<u64>,
    },
    /// Read everything, and take away what is damaged: it is computed again when it is needed
    Verify,
    /// Take everything away
    Clear,
}

/// Dispatches. Damage is a failure.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.store.open(&builtin::registry(&Settings::default())?)?;
    let (exit, text, data) = match &args.command {
        Command::Stats => {
            let stats = store.stats();
            let root = store.root().display().to_string();
            let text = format!(
                "folder       {root}\nnodes        {}\nvalues       {}\nunfinished   {}\nsize         {} of {}\n",
                stats.entries,
                stats.blobs,
                stats.checkpoints,
                shown(stats.bytes),
                shown(store.limit())
            );
            let data = json!({
                "folder": root,
                "entries": stats.entries,
                "blobs": stats.blobs,
                "checkpoints": stats.checkpoints,
                "bytes": stats.bytes,
                "limit_bytes": store.limit(),
            });
            (Exit::Done, text, data)
        }
        Command::Gc { to } => freed(store.shrink(to.unwrap_or(store.limit()))),
        Command::Clear => freed(store.clear()),
        Command::Verify => {
            let damage = store.verify();
            let paths: Vec<_> = damage.damaged.iter().map(|path| path.display().to_string()).collect();
            let mut text = format!("{} files read, {} damaged and taken away\n", damage.checked, paths.len());
            paths.iter().for_each(|path| text += &format!("  {path}\n"));
            let exit = if paths.is_empty() { Exit::Done } else { Exit::Failed };
            (exit, text, json!({ "checked": damage.checked, "damaged": paths }))
        }
    };
    for warning in store.take_warnings() {
        streams::talk(&format!("warning: {warning}"));
    }
    match args.format {
        Format::Text => streams::data(&text)?,
        Format::Json => streams::json(&data)?,
    }
    Ok(exit)
}

fn freed(freed: dc_graph::store::Freed) -> (Exit, String, Value) {
    let text = format!("{} files taken away, {} freed\n", freed.files, shown(freed.bytes));
    (Exit::Done, text, json!({ "files": freed.files, "bytes": freed.bytes }))
}
