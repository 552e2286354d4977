//! What people and scripts hear of a sitting.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use console::Term;
use dc_graph::api::{self, Image};
use dc_graph::exec::{Event, Plan, RunReport};
use dc_graph::graph::{Diagnostic, Graph, Severity, Source, render, render_json};
use serde_json::{Value, json};

use super::page::{Board, MAX_PICTURES, Picture};
use super::turn::{Ended, Outcome, ran};
use crate::cli::progress::{Mode, Progress};
use crate::cli::run::{self, Failure, shown};
use crate::cli::show::{self, Way};
use crate::cli::validate::Format;
use crate::cli::{streams, validate, values};

/// The most pictures of a run that a terminal shows.
const MAX_SHOWN: usize = 8;

/// Standard error and standard output of a sitting. Speaks from any thread.
pub(super) struct Telling {
    pub(super) mode: Mode,
    format: Format,
    /// Bars are drawn anew for each run.
    progress: Mutex<Arc<Progress>>,
    /// How pictures are shown on the terminal.
    way: Option<Way>,
    /// What the preview page shows.
    board: Option<Arc<Board>>,
}

impl Telling {
    /// Nothing is said yet.
    pub(super) fn new(mode: Mode, format: Format, way: Option<Way>, board: Option<Arc<Board>>) -> Self {
        Self { mode, format, progress: Mutex::new(Arc::new(Progress::new(mode))), way, board }
    }

    fn progress(&self) -> Arc<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An event of a run.
    pub(super) fn event(&self, event: &Event) {
        self.progress().event(event);
        self.board.iter().for_each(|board| board.event(event));
    }

    /// The graph that runs.
    pub(super) fn graph(&self, graph: &Graph, plan: &Plan) {
        self.board.iter().for_each(|board| board.graph(graph, plan));
    }

    /// Says something: a word and data for scripts, a text for people.
    pub(super) fn note(&self, kind: &str, text: &str, fields: Value) {
        self.board.iter().for_each(|board| board.note(kind, text, &fields));
        self.progress().note(kind, text, fields);
    }

    /// Says something that is not as it should be.
    pub(super) fn warn(&self, text: &str) {
        self.note("warning", &format!("warning: {text}"), json!({}));
    }

    /// A run begins.
    pub(super) fn begin(&self, run: u64) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Progress::new(self.mode));
        self.note("run", &format!("run {run}"), json!({ "run": run }));
    }

    /// What is wrong with a graph, or not quite right.
    pub(super) fn problems(&self, problems: &[Diagnostic], source: &Source) {
        let mut text = render(problems, source, streams::colour(&std::io::stderr()));
        let wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
        if wrong {
            text += &validate::summary(problems);
        }
        self.note(if wrong { "problems" } else { "warning" }, &text, render_json(problems, source));
    }

    /// Files hold something else.
    pub(super) fn changed(&self, files: &[PathBuf], what_now: &str) {
        let names = names(files);
        self.note("changed", &format!("changed: {}{what_now}", names.join(", ")), json!({ "files": names }));
    }

    /// Something happened to files that hold what they held.
    pub(super) fn unchanged(&self, files: &[PathBuf]) {
        let names = names(files);
        self.note("unchanged", &format!("touched, but the same: {}", names.join(", ")), json!({ "files": names }));
    }

    /// Nothing is to be done.
    pub(super) fn waiting(&self, files: usize, look_every: Option<Duration>) {
        let seconds = look_every.map(|every| every.as_secs_f64());
        let how = seconds.map_or(String::new(), |seconds| format!(", looking every {seconds} s"));
        let many = if files == 1 { "file" } else { "files" };
        let fields = json!({ "files": files, "look_every": seconds });
        self.note("waiting", &format!("watching {files} {many}{how}; Ctrl-C leaves"), fields);
    }

    /// A run is over. `obsolete` when an edit stopped it.
    pub(super) fn ended(&self, run: u64, ended: &Ended, obsolete: bool, seconds: f64) {
        self.progress().finish();
        let files = names(&ended.files);
        let mut summary = json!({ "run": run, "status": "done", "seconds": seconds, "files": files });
        let mut ran_nodes = Vec::new();
        let status = match &ended.outcome {
            Outcome::Done(report) => {
                ran_nodes = ran(report);
                if let (Some(all), Value::Object(report)) = (summary.as_object_mut(), json!(report)) {
                    all.extend(report);
                }
                "done"
            }
            Outcome::Unreadable(message) => {
                self.note("problems", &format!("error: {message}"), json!({ "diagnostics": [] }));
                summary["message"] = json!(message);
                "invalid"
            }
            Outcome::Invalid(problems, source) => {
                self.problems(problems, source);
                summary["diagnostics"] = json!(problems);
                let messages: Vec<&str> = problems.iter().map(|problem| &*problem.message).collect();
                summary["message"] = json!(messages.join("; "));
                "invalid"
            }
            Outcome::Failed(Failure::Interrupted) => {
                if obsolete {
                    "obsolete"
                } else {
                    "interrupted"
                }
            }
            Outcome::Failed(failure) => {
                self.note("error", &format!("error: {failure}"), json!({}));
                summary["message"] = json!(failure.to_string());
                "failed"
            }
        };
        summary["status"] = json!(status);
        let ran: Vec<&str> = ran_nodes.iter().map(|node| &**node).collect();
        let data = match (self.format, &ended.outcome) {
            (Format::Json, _) => format!("{summary}\n"),
            (Format::Text, Outcome::Done(report)) => {
                let mut text =
                    format!("run {run}: {} of {} nodes ran, {seconds:.2} s\n", ran.len(), report.nodes.len());
                text += &run::outputs(news(report, &ended.files));
                text.extend(files.iter().map(|file| format!("  {file}\n")));
                text
            }
            (Format::Text, _) => String::new(),
        };
        if let Err(error) = streams::data(&data) {
            self.warn(&format!("{error:#}"));
        }
        if matches!(ended.outcome, Outcome::Done(_)) {
            self.show(&ended.files);
        }
        self.remember(run, ended, &summary, ran.len());
        let fields = json!({ "run": run, "status": status, "seconds": seconds, "files": files, "ran": ran, "outputs": summary["outputs"] });
        self.note("ended", "", fields);
    }

    /// The pictures of a run on the terminal.
    fn show(&self, files: &[PathBuf]) {
        let Some(way) = self.way else { return };
        let pictures = files.iter().filter(|file| Picture::is_picture(file)).take(MAX_SHOWN);
        let pictures: Vec<Image> = pictures.filter_map(|file| dc_graph_nodes::read_picture(file).ok()).collect();
        let columns = Term::stderr().size_checked().map_or(80, |(_, columns)| u32::from(columns));
        let text = show::text(&pictures, way, columns);
        if !text.is_empty() {
            streams::talk(&text);
        }
    }

    /// A run for the page's history.
    fn remember(&self, run: u64, ended: &Ended, summary: &Value, ran: usize) {
        let Some(board) = &self.board else { return };
        let mut pictures: Vec<_> = ended.files.iter().filter_map(|file| Picture::read(file)).collect();
        let mut outputs = Vec::new();
        let mut nodes = 0;
        if let Outcome::Done(report) = &ended.outcome {
            nodes = report.nodes.len();
            for (name, value) in news(report, &ended.files) {
                outputs.push((name, values::to_text(value)));
                if pictures.is_empty() {
                    pictures.extend(Picture::of_value(name, value));
                }
            }
        }
        pictures.truncate(MAX_PICTURES);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let entry = json!({
            "run": run,
            "status": summary["status"],
            "seconds": summary["seconds"],
            "ended": now.as_millis() as u64,
            "files": summary["files"],
            "message": summary["message"],
            "inputs": ended.inputs,
            "outputs": outputs,
            "nodes": nodes,
            "ran": ran,
        });
        board.remember(entry, pictures);
    }
}

/// The outputs that tell more than the names of the files, which are told anyway.
fn news<'a>(report: &'a RunReport, files: &'a [PathBuf]) -> impl Iterator<Item = &'a (String, api::Value)> + Clone {
    report.outputs.iter().filter(|(_, value)| !names_files(value, files))
}

fn names_files(value: &api::Value, files: &[PathBuf]) -> bool {
    match value {
        api::Value::Text(name) | api::Value::Path(name) => files.iter().any(|file| file == Path::new(&**name)),
        api::Value::List(_, values) => !values.is_empty() && values.iter().all(|value| names_files(value, files)),
        _ => false,
    }
}

fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| shown(file)).collect()
}
