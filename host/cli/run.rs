//! `dc-graph run`: from a graph to files.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use dc_graph::api::Value;
use dc_graph::exec::{Cache, CancelToken, Digests, Event, Plan, RunError, RunOptions, RunReport, execute, plan};
use dc_graph::graph::{Graph, render};
use dc_graph::proof::Lock;
use dc_graph::store::Store;
use serde_json::json;

use super::device_args::DeviceArgs;
use super::exit::Exit;
use super::plugin_args::PluginArgs;
use super::progress::{Mode, Progress};
use super::source::GraphArgs;
use super::store_args::StoreArgs;
use super::trace::{self, Recorder, Timing};
use super::validate::{self, Format};
use super::{builtin, files, lock, many, signals, streams, values};

/// Run a graph
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph run graphs/personalize.json
  dc-graph run graphs/personalize.json --set prompt=\"a mug on the moon\" --set seed=7 --output pictures
  dc-graph run graphs/text_to_image.json --sweep seed=1..4 --sweep prompt=\"a cat\",\"a dog\"
  dc-graph run graphs/personalize.json --batch rows.csv --output pictures
  dc-graph image inspect picture.png --graph | dc-graph run -

What nodes compute is kept in a store, so that another run of the same graph repeats nothing, and one that was killed goes
on where it was. Progress and errors go to standard error, the summary to standard output. The first Ctrl-C ends the run
in an orderly way, the second one at once.")]
pub(crate) struct Args {
    #[command(flatten)]
    graph: GraphArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    plugins: PluginArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Compute everything, and keep nothing
    #[arg(long, conflicts_with_all = ["store", "store_limit"])]
    no_store: bool,
    /// The folder that files are written to
    #[arg(long, value_name = "DIR", default_value = "output")]
    output: PathBuf,
    /// How the run is shown on standard error [default: bar on a terminal, else plain]
    #[arg(long, value_enum)]
    progress: Option<Mode>,
    /// How the summary is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Refuse to run anything else than what `GRAPH.lock` says; `dc-graph lock` writes it
    #[arg(long, conflicts_with_all = ["sweep", "batch"])]
    locked: bool,
    #[command(flatten)]
    many: many::ManyArgs,
    /// Write when what happened, as a trace for chrome://tracing or ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Tell time, steps and memory of each node, those first that took longest
    #[arg(long)]
    timings: bool,
}

/// A store that cannot be used is no reason not to run.
pub(crate) const WITHOUT_STORE: &str = "this run computes everything and keeps nothing";

/// Validates, plans, executes and tells what came of it.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let progress = Arc::new(Progress::new(Mode::choose(args.progress)));
    let mut registry = builtin::registry(&args.device.settings())?;
    let opened = match args.graph.open() {
        Ok(opened) => opened,
        Err(error) => return Ok(validate::unreadable(&error)),
    };
    let warn = |text: &str| progress.say("warning", text);
    args.plugins.settle(&opened.node_types(), opened.folder(), progress.is_for_people(), warn)?;
    args.plugins.join(&mut registry, opened.folder(), warn)?;
    let locked = match args.graph.path().filter(|_| args.locked) {
        Some(graph) => Some((lock::read(&lock::file_of(graph))?, lock::file_of(graph))),
        None if args.locked => bail!("a graph from standard input has no lock: save it first"),
        None => None,
    };
    let cancel = CancelToken::default();
    let told = progress.clone();
    signals::listen(cancel.clone(), move || {
        told.say("interrupted", "stopping; a second Ctrl-C stops at once");
    })?;
    let recorder = (args.timings || args.trace.is_some()).then(Recorder::new);
    let store = if args.no_store {
        None
    } else {
        let store = args.store.open(&registry);
        store.inspect_err(|error| progress.say("warning", &format!("warning: {error}\n{WITHOUT_STORE}"))).ok()
    };
    let digests = store.as_ref().map(Store::digests).unwrap_or_default();
    let means = Means {
        folder: opened.folder(),
        digests: &digests,
        cache: None,
        store: store.as_ref(),
        document: opened.file(),
        threads: None,
        cancel: &cancel,
        locked: locked.as_ref().map(|(lock, file)| (lock, file.as_path())),
    };
    let place = many::Place {
        opened: &opened,
        registry: &registry,
        output: &args.output,
        format: args.format,
        progress: &progress,
        recorder: recorder.as_ref(),
        means,
    };
    let exit = match many::run(&args.many, &place)? {
        Some(exit) => exit,
        None => one(args, &place)?,
    };
    for warning in store.iter().flat_map(Store::take_warnings) {
        progress.say("warning", &format!("warning: {warning}"));
    }
    if let (Some(recorder), Some(file)) = (&recorder, &args.trace) {
        files::write(file, format!("{}\n", recorder.chrome()).as_bytes())?;
    }
    Ok(exit)
}

/// Runs the graph once.
fn one(args: &Args, place: &many::Place<'_>) -> anyhow::Result<Exit> {
    let many::Place { opened, registry, progress, recorder, .. } = place;
    let colour = streams::colour(&std::io::stderr());
    let graph = match opened.check(registry) {
        Ok((graph, warnings)) => {
            if !warnings.is_empty() {
                progress.say("warning", &render(&warnings, &opened.source, colour));
            }
            graph
        }
        Err(problems) => {
            let told = render(&problems, &opened.source, colour);
            progress.say("error", &(told + &validate::summary(&problems)));
            if args.format == Format::Json {
                streams::json(&validate::to_json(false, &problems, &opened.source))?;
            }
            return Ok(Exit::Invalid);
        }
    };
    let tell = |event: &Event| {
        if let Some(recorder) = recorder {
            recorder.record(&"".into(), event);
        }
        progress.event(event);
    };
    let mut written = Vec::new();
    let result = carry_out(&graph, &place.means, &args.output, &tell, &mut written);
    progress.finish();
    let timings = recorder.filter(|_| args.timings).map(Recorder::timings);
    conclude(args.format, progress, &result, &written, timings.as_deref())
}

/// What all runs of a command share.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    /// What relative paths in the document count from.
    pub(crate) folder: &'a Path,
    pub(crate) digests: &'a Digests,
    /// What earlier runs of this process computed.
    pub(crate) cache: Option<&'a Cache>,
    /// What earlier runs of any process computed.
    pub(crate) store: Option<&'a Store>,
    /// The graph's file, by which the store knows its last run.
    pub(crate) document: Option<&'a Path>,
    /// How many nodes may run at the same time; as many as there are cores unless it is said.
    pub(crate) threads: Option<usize>,
    pub(crate) cancel: &'a CancelToken,
    /// What the run has to be, and the file that says so.
    pub(crate) locked: Option<(&'a Lock, &'a Path)>,
}

/// Plans and executes. `written` gets the files, also when the run fails, and those that an earlier run wrote and this one
/// found unchanged; by name, for nodes write side by side.
pub(crate) fn carry_out(
    graph: &Graph,
    means: &Means<'_>,
    output: &Path,
    tell: &(dyn Fn(&Event) + Sync),
    written: &mut Vec<PathBuf>,
) -> Result<RunReport, Failure> {
    let plan = plan(graph, means.digests).map_err(|error| Failure::new(&error, None))?;
    carry_out_plan(graph, &plan, means, output, tell, written)
}

/// The same for who has a plan already.
pub(crate) fn carry_out_plan(
    graph: &Graph,
    plan: &Plan,
    means: &Means<'_>,
    output: &Path,
    tell: &(dyn Fn(&Event) + Sync),
    written: &mut Vec<PathBuf>,
) -> Result<RunReport, Failure> {
    if let Some((lock, file)) = means.locked {
        let differences = lock.differences(&Lock::of(graph, plan));
        if !differences.is_empty() {
            return Err(Failure::Refused { lock: file.into(), differences });
        }
    }
    let mut options = RunOptions::new(output, means.folder, means.digests);
    options.cache = means.cache;
    options.store = means.store;
    options.document = means.document.map(Path::to_path_buf);
    options.threads = means.threads.unwrap_or(options.threads);
    let files = Mutex::new(Vec::new());
    let listener = |event: Event| {
        if let Event::Wrote { path, .. } | Event::Kept { path, .. } = &event {
            files.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        }
        tell(&event);
    };
    let result = execute(graph, plan, &options, means.cancel, &listener);
    *written = files.into_inner().unwrap_or_else(PoisonError::into_inner);
    written.sort();
    result.map_err(|error| match error {
        RunError::Cancelled => Failure::Interrupted,
        error => Failure::new(&error, error.hint()),
    })
}

/// Why a run came to no end.
pub(crate) enum Failure {
    /// Somebody stopped it.
    Interrupted,
    /// It is not what is locked, and did not begin.
    Refused { lock: PathBuf, differences: Vec<String> },
    /// A node failed, or planning.
    Failed { message: String, hint: Option<String> },
}

impl Failure {
    pub(crate) fn new(error: &impl std::fmt::Display, hint: Option<&str>) -> Self {
        Self::Failed { message: error.to_string(), hint: hint.map(str::to_owned) }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::Refused { lock, differences } => {
                write!(f, "this run is not what `{}` says", lock.display())?;
                differences.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
            Self::Failed { message, hint } => {
                f.write_str(message)?;
                hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
            }
        }
    }
}

/// Writes the summary and says what went wrong.
fn conclude(
    format: Format,
    progress: &Progress,
    result: &Result<RunReport, Failure>,
    written: &[PathBuf],
    timings: Option<&[Timing]>,
) -> anyhow::Result<Exit> {
    let files: Vec<String> = written.iter().map(|p| shown(p)).collect();
    let (exit, summary) = match result {
        Ok(report) => {
            if format == Format::Text {
                streams::data(&text(report, &files, timings))?;
            }
            let mut summary = json!({ "status": "done", "files": files });
            if let (Some(all), serde_json::Value::Object(report)) = (summary.as_object_mut(), json!(report)) {
                all.extend(report);
                all.extend(timings.map(|timings| ("timings".to_owned(), json!(timings))));
            }
            (Exit::Done, summary)
        }
        Err(Failure::Interrupted) => {
            progress.say("error", "error: interrupted");
            (Exit::Interrupted, json!({ "status": "interrupted", "files": files }))
        }
        Err(refused @ Failure::Refused { differences, .. }) => {
            let hint = "hint: undo that, or lock what is there now with `dc-graph lock`";
            progress.say("error", &format!("error: {refused}\n{hint}"));
            (Exit::Invalid, json!({ "status": "refused", "differences": differences, "files": files }))
        }
        Err(failed @ Failure::Failed { message, hint }) => {
            progress.say("error", &format!("error: {failed}"));
            (Exit::Failed, json!({ "status": "failed", "message": message, "hint": hint, "files": files }))
        }
    };
    if format == Format::Json {
        streams::json(&summary)?;
    }
    Ok(exit)
}

/// A path as short as it can be said from here.
pub(crate) fn shown(path: &Path) -> String {
    let current = std::env::current_dir().ok();
    let inside = current.as_deref().and_then(|c| path.strip_prefix(c).ok());
    inside.unwrap_or(path).display().to_string()
}

/// The summary for people: outputs, files, and how long each node took.
fn text(report: &RunReport, files: &[String], timings: Option<&[Timing]>) -> String {
    let mut text = String::new();
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    if !report.outputs.is_empty() {
        text += "outputs\n";
        text += &outputs(report.outputs.iter());
    }
    if !files.is_empty() {
        text += "files\n";
        for file in files {
            let _ = writeln!(text, "  {file}");
        }
    }
    if let Some(timings) = timings {
        let _ = write!(text, "timings\n{}", indented(&trace::table(timings)));
        return text;
    }
    text += "seconds\n";
    let labels: Vec<String> = report.nodes.iter().map(|n| format!("{} ({})", n.node, n.type_name)).collect();
    let column = width(&mut labels.iter().map(|l| l.chars().count()));
    for (node, label) in report.nodes.iter().zip(&labels) {
        let note = if node.cached { "  known already" } else { "" };
        let _ = writeln!(text, "  {label:column$}  {:8.3}{note}", node.seconds);
    }
    let _ = writeln!(text, "  {:column$}  {:8.3}", "in all", report.seconds);
    text
}

/// Outputs, a line each.
pub(crate) fn outputs<'a>(outputs: impl Iterator<Item = &'a (String, Value)> + Clone) -> String {
    let names = outputs.clone().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    outputs.map(|(name, value)| format!("  {name:names$}  {}\n", values::to_text(value))).collect()
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}\n")).collect()
}
