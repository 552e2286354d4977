//! One run of a sitting: from the graph's text to files, or to what is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use dc_graph::api::Value;
use dc_graph::exec::{CancelToken, Event, PlanError, RunReport, plan};
use dc_graph::graph::{Diagnostic, Source};
use dc_graph::registry::Registry;
use dc_graph::watch::Contents;

use super::command::Session;
use super::notice::Notice;
use crate::cli::many::sweep_of;
use crate::cli::run::{Failure, Means, carry_out_plan, shown};
use crate::cli::values;

/// What came of a run.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    /// The files that it wrote, and those that it found as it would have written them.
    pub(super) files: Vec<PathBuf>,
    /// The graph's inputs as they were, in words.
    pub(super) inputs: Vec<(String, String)>,
}

/// How a run ended.
pub(super) enum Outcome {
    /// It went well.
    Done(RunReport),
    /// The graph cannot be read.
    Unreadable(String),
    /// The graph is invalid.
    Invalid(Vec<Diagnostic>, Box<Source>),
    /// It failed, or was stopped.
    Failed(Failure),
}

/// Runs once. The loop is told what the run depends on before anything expensive begins.
pub(super) fn turn(
    session: &Session<'_>,
    registry: &Registry,
    graph_file: PathBuf,
    cancel: &CancelToken,
    send: &Sender<Notice>,
) -> Ended {
    let mut seen = Contents::default();
    // Before it is read: an edit in between counts as one.
    seen.note_now(&graph_file, &session.digests);
    let ended = |outcome| Ended { outcome, files: Vec::new(), inputs: Vec::new() };
    let stop = |seen: Contents, outcome: Outcome| {
        let _ = send.send(Notice::Depends(seen));
        ended(outcome)
    };
    let opened = match session.args.graph.open() {
        Ok(opened) => opened,
        Err(error) => return stop(seen, Outcome::Unreadable(format!("{error:#}"))),
    };
    opened.included_files().iter().for_each(|file| seen.note_now(file, &session.digests));
    let (graph, warnings) = match opened.check(registry) {
        Ok(checked) => checked,
        Err(problems) => {
            for path in problems.iter().filter_map(|problem| problem.path.as_deref()) {
                seen.note_now(path, &session.digests);
            }
            return stop(seen, Outcome::Invalid(problems, Box::new(opened.source)));
        }
    };
    if sweep_of(&opened, &[], false).is_some() {
        session.telling.warn("the sweep in the document is left to `dc-graph run`; this is a run of its defaults");
    }
    if !warnings.is_empty() {
        session.telling.problems(&warnings, &opened.source);
    }
    let plan = match plan(&graph, &session.digests) {
        Ok(plan) => plan,
        Err(error) => {
            let reads = graph.nodes.node_weights().flat_map(|node| &node.reads);
            reads.for_each(|path| seen.note_now(path, &session.digests));
            if let PlanError::File { path, .. } = &error {
                seen.note_now(path, &session.digests);
            }
            return stop(seen, Outcome::Failed(Failure::new(&error, None)));
        }
    };
    for read in plan.nodes.iter().flat_map(|planned| &planned.reads) {
        seen.note(read.path.clone(), Some(read.digest));
    }
    let _ = send.send(Notice::Depends(seen));
    session.telling.graph(&graph, &plan);
    let means = Means {
        folder: opened.folder(),
        digests: &session.digests,
        cache: Some(&session.cache),
        store: session.store.as_ref(),
        document: opened.file(),
        threads: None,
        cancel,
        locked: None,
    };
    let tell = |event: &Event| {
        if let Event::Reads { path, digest, .. } = event {
            let _ = send.send(Notice::Reads(path.clone(), *digest));
        }
        session.telling.event(event);
    };
    let mut files = Vec::new();
    let result = carry_out_plan(&graph, &plan, &means, &session.args.output, &tell, &mut files);
    let text = |value: &Value| match value {
        Value::Path(path) => shown(Path::new(&**path)),
        value => values::to_text(value),
    };
    let inputs = graph.inputs.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    Ended { outcome: result.map_or_else(Outcome::Failed, Outcome::Done), files, inputs }
}

/// The nodes of a run that ran.
pub(super) fn ran(report: &RunReport) -> Vec<Arc<str>> {
    report.nodes.iter().filter(|node| !node.cached).map(|node| node.node.clone()).collect()
}
