//! Running a graph many times, with one cache: what the runs share is computed once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dc_graph::api::{Image, LogLevel};
use dc_graph::exec::{Cache, Event, plan, value_as_json};
use dc_graph::graph::{Axis, Graph, Severity, Sweep, render};
use dc_graph::proof::Lock;
use dc_graph::registry::Registry;
use serde_json::{Value, json};

use super::batch;
use super::cases::{Case, axis, cases, sweep_of};
use super::finished::Finished;
use super::{sheet, table};
use crate::cli::exit::Exit;
use crate::cli::progress::Progress;
use crate::cli::run::{Failure, Means, carry_out};
use crate::cli::source::OpenedGraph;
use crate::cli::streams;
use crate::cli::trace::Recorder;
use crate::cli::validate::{self, Format};

/// Which runs.
#[derive(clap::Args)]
pub(crate) struct ManyArgs {
    /// Run once for each of these values of a graph input: 1..8, 0..1:0.25, a,b,c or a JSON array; several of these make
    /// a grid
    #[arg(long = "sweep", value_name = "NAME=VALUES", value_parser = axis)]
    sweep: Vec<Axis>,
    /// Take the values of all `--sweep` side by side instead of each with each
    #[arg(long, requires = "sweep")]
    zip: bool,
    /// Run once for each row of a file: .csv with the names of graph inputs in the first line, or .jsonl
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    batch: Option<PathBuf>,
    /// Where it is kept which rows of a batch are done, to go on there [default: batch.done.jsonl in the output folder]
    #[arg(long, value_name = "FILE", requires = "batch")]
    resume: Option<PathBuf>,
    /// How many runs of a sweep or batch go on at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
}

/// What came of a run.
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) seconds: f64,
    /// How many nodes ran.
    pub(super) computed: usize,
    pub(super) outputs: Vec<(String, Value)>,
    pub(super) files: Vec<PathBuf>,
    pub(super) message: Option<String>,
    picture: Option<Image>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Done,
    /// It was done before.
    Skipped,
    Failed,
    /// It never began, or was stopped.
    Interrupted,
}

impl Status {
    /// A word for scripts.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "done before",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Outcome {
    fn ended(status: Status, message: Option<String>) -> Self {
        Self { status, seconds: 0.0, computed: 0, outputs: Vec::new(), files: Vec::new(), message, picture: None }
    }
}

/// Where and how the runs go.
pub(crate) struct Place<'a> {
    pub(crate) opened: &'a OpenedGraph,
    pub(crate) registry: &'a Registry,
    pub(crate) output: &'a Path,
    pub(crate) format: Format,
    pub(crate) progress: &'a Progress,
    pub(crate) recorder: Option<&'a Recorder>,
    pub(crate) means: Means<'a>,
}

/// Runs a sweep or a batch, if one is asked for; else nothing happens.
pub(crate) fn run(args: &ManyArgs, place: &Place<'_>) -> anyhow::Result<Option<Exit>> {
    let (cases, sweep) = match &args.batch {
        Some(file) => match batch::rows(file) {
            Ok(rows) => (rows, None),
            Err(error) => return Ok(Some(validate::unreadable(&error))),
        },
        None => {
            let Some(sweep) = sweep_of(place.opened, &args.sweep, args.zip) else { return Ok(None) };
            match cases(&sweep) {
                Ok(cases) => (cases, Some(sweep)),
                Err(message) => {
                    place.progress.say("error", &format!("error: {message}"));
                    return Ok(Some(Exit::Invalid));
                }
            }
        }
    };
    let Some(graphs) = check_all(&cases, place)? else { return Ok(Some(Exit::Invalid)) };
    let finished = match &args.batch {
        Some(_) => {
            let file = args.resume.clone().unwrap_or_else(|| place.output.join("batch.done.jsonl"));
            Some(Finished::open(&file)?)
        }
        None => None,
    };
    let outcomes = run_all(&cases, &graphs, place, finished.as_ref(), usize::from(args.jobs));
    conclude(&cases, &outcomes, sweep.as_ref(), place).map(Some)
}

/// Every case's graph; nothing when one is invalid, which is told. Nothing runs before all are known to be fine.
fn check_all(cases: &[Case], place: &Place<'_>) -> anyhow::Result<Option<Vec<Graph>>> {
    let colour = streams::colour(&std::io::stderr());
    let source = &place.opened.source;
    let mut graphs = Vec::with_capacity(cases.len());
    for case in cases {
        match place.opened.check_with(place.registry, &case.values) {
            Ok((graph, warnings)) => {
                if graphs.is_empty() && !warnings.is_empty() {
                    place.progress.say("warning", &render(&warnings, source, colour));
                }
                graphs.push(graph);
            }
            Err(problems) => {
                let told = render(&problems, source, colour) + &validate::summary(&problems);
                place.progress.say("error", &format!("{}:\n{told}", case.label));
                if place.format == Format::Json {
                    let mut data = validate::to_json(false, &problems, source);
                    data["case"] = case.label.as_str().into();
                    streams::json(&data)?;
                }
                debug_assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
                return Ok(None);
            }
        }
    }
    Ok(Some(graphs))
}

/// The outcome of every case, in order. The first one runs alone, so that the others find what they share with it.
fn run_all(
    cases: &[Case],
    graphs: &[Graph],
    place: &Place<'_>,
    finished: Option<&Finished>,
    jobs: usize,
) -> Vec<Outcome> {
    let cache = Cache::new(cache_bytes());
    let one = |index: usize, alone: bool| {
        let label = format!("[{}/{}] {}", index + 1, cases.len(), cases[index].label);
        place.progress.say("case", &label);
        let outcome = run_one(&cases[index], &graphs[index], place, finished, &cache, if alone { 1 } else { jobs });
        if outcome.status == Status::Failed {
            let message = outcome.message.as_deref().unwrap_or_default();
            place.progress.say("error", &format!("error: {}: {message}", cases[index].label));
        }
        outcome
    };
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    outcomes.resize_with(cases.len(), || None);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(&mut outcomes);
    let take = |alone: bool| {
        let index = next.fetch_add(1, Ordering::SeqCst);
        if index >= cases.len() {
            return false;
        }
        let outcome = if place.means.cancel.is_cancelled() {
            Outcome::ended(Status::Interrupted, None)
        } else {
            one(index, alone)
        };
        done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
        true
    };
    take(true);
    if jobs == 1 {
        while take(true) {}
    } else {
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| while take(false) {});
            }
        });
    }
    let interrupted = || Outcome::ended(Status::Interrupted, None);
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(interrupted)).collect()
}

fn run_one(
    case: &Case,
    graph: &Graph,
    place: &Place<'_>,
    finished: Option<&Finished>,
    cache: &Cache,
    jobs: usize,
) -> Outcome {
    let digest = match finished.map(|finished| (finished, plan(graph, place.means.digests))) {
        None => None,
        Some((_, Err(error))) => return Outcome::ended(Status::Failed, Some(error.to_string())),
        Some((finished, Ok(plan))) => {
            let digest = Lock::of(graph, &plan).digest();
            if let Some(row) = finished.get(&digest) {
                let (seconds, outputs, files) = (row.seconds, row.outputs.clone(), row.files.clone());
                return Outcome { seconds, outputs, files, ..Outcome::ended(Status::Skipped, None) };
            }
            Some((finished, digest))
        }
    };
    let name = case.label.as_str().into();
    let tell = |event: &Event| {
        if let Some(recorder) = place.recorder {
            recorder.record(&name, event);
        }
        // Several runs at once would be mixed up.
        if jobs == 1 || matches!(event, Event::Log { level: LogLevel::Warning, .. }) {
            place.progress.event(event);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let means = Means { cache: Some(cache), threads: Some((threads / jobs).max(1)), ..place.means };
    let mut written = Vec::new();
    let result = carry_out(graph, &means, &place.output.join(&case.folder), &tell, &mut written);
    match result {
        Ok(report) => {
            let outputs: Vec<_> =
                report.outputs.iter().map(|(name, value)| (name.clone(), value_as_json(value))).collect();
            let noted = digest.map(|(finished, digest)| finished.add(digest, report.seconds, &outputs, &written));
            Outcome {
                status: Status::Done,
                seconds: report.seconds,
                computed: report.nodes.iter().filter(|node| !node.cached).count(),
                outputs,
                picture: sheet::picture(&report, &written),
                files: written,
                // The row is done, but the next batch will not know.
                message: noted.and_then(Result::err).map(|error| format!("{error:#}")),
            }
        }
        Err(Failure::Interrupted) => Outcome { files: written, ..Outcome::ended(Status::Interrupted, None) },
        Err(failure) => Outcome { files: written, ..Outcome::ended(Status::Failed, Some(failure.to_string())) },
    }
}

/// Half of the machine's memory, or 4 GiB where the system does not tell.
pub(crate) fn cache_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.map_or(4 << 30, |kib| kib * 1024 / 2)
}

/// Writes table and sheet, and tells what came of it.
fn conclude(cases: &[Case], outcomes: &[Outcome], sweep: Option<&Sweep>, place: &Place<'_>) -> anyhow::Result<Exit> {
    place.progress.finish();
    let kind = if sweep.is_some() { "sweep" } else { "batch" };
    let output = std::path::absolute(place.output)?;
    let table_file = output.join(format!("{kind}.csv"));
    table::write(&table_file, cases, outcomes)?;
    let sheet_file = output.join("sweep.png");
    let pictures: Vec<_> = outcomes.iter().map(|outcome| outcome.picture.clone()).collect();
    let sheet = match sweep.filter(|_| pictures.iter().any(Option::is_some)) {
        Some(sweep) => match sheet::write(&sheet_file, sweep, &pictures, &place.opened.name()) {
            Ok(()) => Some(sheet_file),
            Err(error) => {
                place.progress.say("warning", &format!("warning: no contact sheet: {error:#}"));
                None
            }
        },
        None => None,
    };
    let has = |status| outcomes.iter().any(|outcome| outcome.status == status);
    let (exit, status) = match (has(Status::Interrupted), has(Status::Failed)) {
        (true, _) => (Exit::Interrupted, "interrupted"),
        (_, true) => (Exit::Failed, "failed"),
        _ => (Exit::Done, "done"),
    };
    let files: Vec<PathBuf> = std::iter::once(table_file).chain(sheet).collect();
    let files = table::shown(&files);
    match place.format {
        Format::Json => {
            let cases = table::to_json(cases, outcomes);
            streams::json(&json!({ "status": status, "runs": cases, "table": files[0], "sheet": files.get(1) }))?;
        }
        Format::Text => {
            let mut text = table::to_text(cases, outcomes) + "files\n";
            files.iter().for_each(|file| text += &format!("  {file}\n"));
            streams::data(&text)?;
        }
    }
    if exit == Exit::Interrupted {
        place.progress.say("error", "error: interrupted");
    }
    Ok(exit)
}
