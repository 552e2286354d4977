//! `dc-graph run`: from a graph to files.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dc_graph::exec::{CancelToken, Digests, Event, RunError, RunOptions, RunReport, execute, plan};
use dc_graph::graph::{Graph, render};
use serde_json::json;

use super::device_args::DeviceArgs;
use super::exit::Exit;
use super::progress::{Mode, Progress};
use super::source::{GraphArgs, OpenedGraph};
use super::validate::{self, Format};
use super::{builtin, signals, streams, values};

/// Run a graph
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph run graphs/personalize.json
  dc-graph run graphs/personalize.json --set prompt=\"a mug on the moon\" --set seed=7 --output pictures
  dc-graph image inspect picture.png --graph | dc-graph run -

Progress and errors go to standard error, the summary to standard output. The first Ctrl-C ends the run in an orderly
way, the second one at once.")]
pub(crate) struct Args {
    #[command(flatten)]
    graph: GraphArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// The folder that files are written to
    #[arg(long, value_name = "DIR", default_value = "output")]
    output: PathBuf,
    /// How the run is shown on standard error [default: bar on a terminal, else plain]
    #[arg(long, value_enum)]
    progress: Option<Mode>,
    /// How the summary is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Validates, plans, executes and tells what came of it.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let progress = Arc::new(Progress::new(Mode::choose(args.progress)));
    let registry = builtin::registry(&args.device.settings())?;
    let opened = match args.graph.open() {
        Ok(opened) => opened,
        Err(error) => return Ok(validate::unreadable(&error)),
    };
    let colour = streams::colour(&std::io::stderr());
    let graph = match opened.check(&registry) {
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
    let cancel = CancelToken::default();
    let told = progress.clone();
    signals::listen(cancel.clone(), move || {
        told.say("interrupted", "stopping; a second Ctrl-C stops at once");
    })?;
    let mut written = Vec::new();
    let result = carry_out(&graph, &opened, &args.output, &cancel, &progress, &mut written);
    progress.finish();
    conclude(args.format, &progress, &result, &written)
}

/// Plans and executes. `written` gets the files in the order of their writing, also when the run fails.
fn carry_out(
    graph: &Graph,
    opened: &OpenedGraph,
    output: &Path,
    cancel: &CancelToken,
    progress: &Progress,
    written: &mut Vec<PathBuf>,
) -> Result<RunReport, Failure> {
    let digests = Digests::default();
    let plan = plan(graph, &digests).map_err(|error| Failure::new(&error, None))?;
    let options = RunOptions::new(output, opened.folder(), &digests);
    let files = Mutex::new(Vec::new());
    let listener = |event: Event| {
        if let Event::Wrote { path, .. } = &event {
            files.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        }
        progress.event(&event);
    };
    let result = execute(graph, &plan, &options, cancel, &listener);
    *written = files.into_inner().unwrap_or_else(PoisonError::into_inner);
    result.map_err(|error| match error {
        RunError::Cancelled => Failure::Interrupted,
        error => Failure::new(&error, error.hint()),
    })
}

/// Why a run came to no end.
enum Failure {
    Interrupted,
    Failed { message: String, hint: Option<String> },
}

impl Failure {
    fn new(error: &impl std::fmt::Display, hint: Option<&str>) -> Self {
        Self::Failed { message: error.to_string(), hint: hint.map(str::to_owned) }
    }
}

/// Writes the summary and says what went wrong.
fn conclude(
    format: Format,
    progress: &Progress,
    result: &Result<RunReport, Failure>,
    written: &[PathBuf],
) -> anyhow::Result<Exit> {
    let files: Vec<String> = written.iter().map(|p| shown(p)).collect();
    let (exit, summary) = match result {
        Ok(report) => {
            if format == Format::Text {
                streams::data(&text(report, &files))?;
            }
            let mut summary = json!({ "status": "done", "files": files });
            if let (Some(all), serde_json::Value::Object(report)) = (summary.as_object_mut(), json!(report)) {
                all.extend(report);
            }
            (Exit::Done, summary)
        }
        Err(Failure::Interrupted) => {
            progress.say("error", "error: interrupted");
            (Exit::Interrupted, json!({ "status": "interrupted", "files": files }))
        }
        Err(Failure::Failed { message, hint }) => {
            let hint_line = hint.as_ref().map_or(String::new(), |h| format!("\nhint: {h}"));
            progress.say("error", &format!("error: {message}{hint_line}"));
            (Exit::Failed, json!({ "status": "failed", "message": message, "hint": hint, "files": files }))
        }
    };
    if format == Format::Json {
        streams::json(&summary)?;
    }
    Ok(exit)
}

/// A path as short as it can be said from here.
fn shown(path: &Path) -> String {
    let current = std::env::current_dir().ok();
    let inside = current.as_deref().and_then(|c| path.strip_prefix(c).ok());
    inside.unwrap_or(path).display().to_string()
}

/// The summary for people: outputs, files, and how long each node took.
fn text(report: &RunReport, files: &[String]) -> String {
    let mut text = String::new();
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    if !report.outputs.is_empty() {
        text += "outputs\n";
        let names = width(&mut report.outputs.iter().map(|(n, _)| n.chars().count()));
        for (name, value) in &report.outputs {
            let _ = writeln!(text, "  {name:names$}  {}", values::to_text(value));
        }
    }
    if !files.is_empty() {
        text += "files\n";
        for file in files {
            let _ = writeln!(text, "  {file}");
        }
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
