//! Arguments, and what all runs of a sitting share.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use dc_graph::exec::{Cache, CancelToken, Digests};
use dc_graph::registry::Registry;
use dc_graph::store::Store;
use dc_graph::watch::Watcher;
use serde_json::json;

use super::looking::Looking;
use super::notice::Notice;
use super::page::{Board, serve};
use super::sitting::Sitting;
use super::telling::Telling;
use crate::cli::device_args::DeviceArgs;
use crate::cli::exit::Exit;
use crate::cli::plugin_args::PluginArgs;
use crate::cli::progress::Mode;
use crate::cli::run::{WITHOUT_STORE, shown};
use crate::cli::show::{Choice, Way};
use crate::cli::source::GraphArgs;
use crate::cli::store_args::StoreArgs;
use crate::cli::validate::Format;
use crate::cli::{builtin, many, signals};

/// Run a graph again whenever something that it depends on changes
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph watch graphs/personalize.json
  dc-graph watch graphs/personalize.json --preview
  dc-graph watch graphs/personalize.json --exec 'cp \"$@\" ~/pictures'

Watches what the last run depended on: the graph, pictures, models, plugins. What a run has computed is kept, so that an
edit only runs what follows from it, and models stay on the device. An edit that makes a run obsolete stops it. Problems
are shown, and gone when they are. Ctrl-C leaves.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) graph: GraphArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    pub(super) plugins: PluginArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Keep what runs compute for this sitting alone
    #[arg(long, conflicts_with_all = ["store", "store_limit"])]
    no_store: bool,
    /// The folder that files are written to
    #[arg(long, value_name = "DIR", default_value = "output")]
    pub(super) output: PathBuf,
    /// What to do when something has changed
    #[arg(long, value_enum, default_value = "run")]
    pub(super) on_change: OnChange,
    /// A command for the shell after each run that went well: it gets the written files as arguments (`"$@"`) and, a line
    /// each, in DC_GRAPH_FILES
    #[arg(long, value_name = "CMD")]
    pub(super) exec: Option<String>,
    /// Look at the files every so many seconds instead of waiting for the system to tell; for network drives that are not
    /// recognised as such
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    poll: Option<Duration>,
    /// Pictures of each run on the terminal
    #[arg(long, value_enum, default_value = "auto")]
    show: Choice,
    /// Show graph, nodes, results and problems as a page for browsers on this machine [default port: 7340, or another one if
    /// that is in use]
    #[arg(long, value_name = "PORT", num_args = 0..=1)]
    preview: Option<Option<u16>>,
    /// How runs are shown on standard error [default: bar on a terminal, else plain]
    #[arg(long, value_enum)]
    progress: Option<Mode>,
    /// How the summary of each run is written to standard output; JSON takes one line a run
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What to do when something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnChange {
    /// Wait until somebody presses Enter (`q` and Enter leave)
    Ask,
    /// Run
    Run,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected a number of seconds from 0.01 to 86400".into())
}

/// What all runs of a sitting share.
pub(super) struct Session<'a> {
    pub(super) args: &'a Args,
    /// The nodes without those of plugins.
    pub(super) builtin: Registry,
    pub(super) digests: Digests,
    /// What earlier runs of the sitting computed; models and reference caches stay on the device in it.
    pub(super) cache: Cache,
    pub(super) store: Option<Store>,
    pub(super) telling: Arc<Telling>,
}

/// Watches until somebody leaves.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(graph) = args.graph.path() else {
        bail!("standard input cannot be watched: name the graph's file");
    };
    let graph = std::path::absolute(graph)?;
    let way = Way::choose(args.show, std::io::stderr().is_terminal(), |name| std::env::var_os(name));
    let board = args.preview.is_some().then(|| Arc::new(Board::new(shown(&graph), args.on_change == OnChange::Ask)));
    let telling = Arc::new(Telling::new(Mode::choose(args.progress), args.format, way, board.clone()));
    let builtin = builtin::registry(&args.device.settings())?;
    let store = if args.no_store {
        None
    } else {
        let store = args.store.open(&builtin);
        store.inspect_err(|error| telling.warn(&format!("{error}\n{WITHOUT_STORE}"))).ok()
    };
    let digests = store.as_ref().map(Store::digests).unwrap_or_default();
    let (send, notices) = channel();
    let told = send.clone();
    signals::listen(CancelToken::default(), move || drop(told.send(Notice::Interrupt)))?;
    let told = send.clone();
    let (watcher, watched) = Watcher::new(args.poll, move |names| drop(told.send(Notice::Touched(names))));
    watched.warning.iter().for_each(|warning| telling.warn(warning));
    if let (Some(port), Some(board)) = (args.preview, board) {
        let url = serve(port, board, send.clone()).context("cannot serve the preview page")?;
        telling.note("page", &format!("preview at {url}"), json!({ "url": url }));
    }
    if args.on_change == OnChange::Ask {
        listen_to_keys(send.clone());
    }
    let session = Session { args, builtin, digests, cache: Cache::new(many::cache_bytes()), store, telling };
    let looking = Looking::new(watcher, graph, &session);
    Ok(std::thread::scope(|scope| Sitting::new(&session, looking, scope, send).go(&notices)))
}

/// A line is a wish: to run, or to leave.
fn listen_to_keys(send: Sender<Notice>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let notice = match line.trim() {
                "" | "r" | "run" => Notice::Run,
                "q" | "quit" => Notice::Leave,
                _ => continue,
            };
            if send.send(notice).is_err() {
                return;
            }
        }
    });
}
