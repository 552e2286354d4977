//! What a running node sees of the host.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use dc_graph_node_api::{Image, LogLevel, NodeError, RunContext};

use super::provenance::provenance;
use super::run::Run;
use super::{Event, Key};
use crate::store::Store;

/// The host's side of one running node.
pub(super) struct NodeContext<'a> {
    run: &'a Run<'a>,
    place: usize,
    id: Arc<str>,
    began: Instant,
    /// The action key, if the node has one.
    action: OnceLock<Key>,
    /// The step told last, so that each is told once.
    step: Mutex<Option<(u64, u64)>>,
    wrote: Mutex<Vec<PathBuf>>,
    has_checkpoint: AtomicBool,
}

impl<'a> NodeContext<'a> {
    pub(super) fn new(run: &'a Run<'a>, place: usize, id: Arc<str>) -> Self {
        Self {
            run,
            place,
            id,
            began: Instant::now(),
            action: OnceLock::new(),
            step: Mutex::default(),
            wrote: Mutex::default(),
            has_checkpoint: AtomicBool::new(false),
        }
    }

    /// From now on the node is known by this action key.
    pub(super) fn set_key(&self, key: Key) {
        let _ = self.action.set(key);
    }

    /// How long ago the node began.
    pub(super) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The files that the node says it wrote; absolute.
    pub(super) fn wrote_files(&self) -> Vec<PathBuf> {
        self.wrote.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there may be a checkpoint of this node.
    pub(super) fn has_checkpoint(&self) -> bool {
        self.has_checkpoint.load(Ordering::Relaxed)
    }

    fn store(&self) -> Option<(&Store, &Key)> {
        self.run.options.store.zip(self.action.get())
    }
}

impl RunContext for NodeContext<'_> {
    fn is_cancelled(&self) -> bool {
        self.run.is_stopping()
    }

    fn progress(&self, step: u64, total: u64) {
        let told = self.step.lock().unwrap_or_else(PoisonError::into_inner).replace((step, total));
        if told != Some((step, total)) {
            self.run.tell(Event::Progress { node: self.id.clone(), step, total });
        }
    }

    fn preview(&self, image: &Image) {
        self.run.tell(Event::Preview { node: self.id.clone(), image: Arc::new(image.clone()) });
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.run.tell(Event::Log { node: self.id.clone(), level, message: message.into() });
    }

    fn wrote(&self, path: &Path) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        self.wrote.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        self.run.tell(Event::Wrote { node: self.id.clone(), path });
    }

    fn output_dir(&self) -> &Path {
        &self.run.options.output_dir
    }

    fn digest(&self, path: &Path) -> Result<String, NodeError> {
        let digest = self.run.options.digests.of(path);
        digest.map(|digest| digest.to_string()).map_err(|source| NodeError::File { path: path.into(), source })
    }

    fn provenance(&self) -> String {
        let late = self.run.late_reads.lock().unwrap_or_else(PoisonError::into_inner);
        let node = self.run.plan.nodes[self.place].node;
        provenance(self.run.graph, self.run.plan, &late, &self.run.options.document_dir, node)
    }

    fn key(&self) -> [u8; 32] {
        // The action key says the same of what the outputs depend on, and is what results are kept under.
        *self.action.get().unwrap_or(&self.run.plan.nodes[self.place].key).as_bytes()
    }

    fn checkpoint(&self, bytes: &[u8]) {
        if let Some((store, key)) = self.store() {
            self.has_checkpoint.store(true, Ordering::Relaxed);
            store.put_checkpoint(key, bytes);
        }
    }

    fn restore(&self) -> Option<Vec<u8>> {
        let (store, key) = self.store()?;
        let state = store.checkpoint(key);
        self.has_checkpoint.fetch_or(state.is_some(), Ordering::Relaxed);
        state
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use dc_graph_node_api::Pixels;

    use super::super::testing::{Build, Setup, add, binary, link, literal};
    use super::super::{CancelToken, RunError, RunOptions, execute, plan};
    use super::*;
    use crate::graph::Binding;

    fn absent() -> Vec<Binding> {
        vec![Binding::Absent, Binding::Absent]
    }

    #[test]
    fn what_a_node_says_is_heard() {
        let node = binary("Talk", |_, _, context| {
            for step in [0, 1, 1, 2] {
                context.progress(step, 2);
            }
            context.log(LogLevel::Info, "hello");
            context.preview(&Image::new(1, 1, 1, Pixels::U8(vec![0]))?);
            context.wrote(&context.output_dir().join("a.png"));
            Ok(0.0)
        });
        let mut build = Build::new();
        let node = build.node("n", node, absent());
        build.output("n", node);
        let (result, heard) = Setup::default().run(&build.0);
        result.unwrap();
        let expected = [
            "run of 1",
            "started n",
            "progress n 0/2",
            "progress n 1/2",
            "progress n 2/2",
            "log n hello",
            "preview n",
            "wrote n /a.png",
            "finished n",
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn cancelling_stops_within_a_step_and_starts_nothing_more() {
        let setup = Setup::default();
        let token = setup.cancel.clone();
        let node = binary("Long", move |_, _, context| {
            for step in 0..1_000_000 {
                context.progress(step, 1_000_000);
                if step == 3 {
                    token.cancel();
                }
                context.check_cancelled()?;
            }
            Ok(0.0)
        });
        let mut build = Build::new();
        let long = build.node("long", node, absent());
        let next = build.node("next", add(), vec![link(long), Binding::Absent]);
        build.output("next", next);
        let (result, heard) = setup.run(&build.0);
        assert!(matches!(result, Err(RunError::Cancelled)), "{result:?}");
        assert_eq!(heard.last().unwrap(), "progress long 3/1000000", "neither a failure nor another node");
    }

    #[test]
    fn a_node_that_does_not_listen_is_the_last_one() {
        let setup = Setup { threads: 1, ..Setup::default() };
        let token = setup.cancel.clone();
        let mut build = Build::new();
        let deaf = build.node(
            "deaf",
            binary("Deaf", move |_, _, _| {
                token.cancel();
                Ok(1.0)
            }),
            absent(),
        );
        let next = build.node("next", add(), vec![link(deaf), Binding::Absent]);
        build.node("other", add(), vec![literal(1.0), Binding::Absent]);
        build.output("next", next);
        let (result, heard) = setup.run(&build.0);
        assert!(matches!(result, Err(RunError::Cancelled)), "{result:?}");
        assert_eq!(heard, ["run of 2", "started deaf", "finished deaf"]);
        // Asked before the run: nothing begins.
        let (result, heard) = setup.run(&build.0);
        assert!(matches!(result, Err(RunError::Cancelled)), "{result:?}");
        assert_eq!(heard, ["run of 2"]);
    }

    #[test]
    fn cancelling_the_last_node_too_late_changes_nothing() {
        let setup = Setup::default();
        let token = setup.cancel.clone();
        let mut build = Build::new();
        let last = build.node(
            "last",
            binary("Deaf", move |_, _, _| {
                token.cancel();
                Ok(1.0)
            }),
            absent(),
        );
        build.output("last", last);
        assert!(setup.run(&build.0).0.is_ok());
    }

    #[test]
    fn a_failure_stops_the_others() {
        let barrier = Arc::new(Barrier::new(2));
        let (here, there) = (barrier.clone(), barrier);
        let stopped = Arc::new(AtomicUsize::new(0));
        let count = stopped.clone();
        let mut build = Build::new();
        let fail = build.node(
            "fail",
            binary("Fail", move |_, _, _| {
                here.wait();
                Err(NodeError::failed("out of paint"))
            }),
            absent(),
        );
        let patient = build.node(
            "patient",
            binary("Patient", move |_, _, context| {
                there.wait();
                while !context.is_cancelled() {
                    std::thread::yield_now();
                }
                count.fetch_add(1, Ordering::SeqCst);
                context.check_cancelled()?;
                Ok(0.0)
            }),
            absent(),
        );
        let sum = build.node("sum", add(), vec![link(fail), link(patient)]);
        build.output("sum", sum);
        let (result, heard) = Setup::default().run(&build.0);
        assert_eq!(result.unwrap_err().to_string(), "`fail` (Fail): out of paint");
        assert_eq!(stopped.load(Ordering::SeqCst), 1, "the run waits for nodes that it stops");
        let failed: Vec<_> = heard.iter().filter(|line| line.starts_with("failed")).collect();
        assert_eq!(failed, ["failed fail out of paint"], "being stopped is no failure");
    }

    #[test]
    fn stopping_without_being_asked_is_a_failure() {
        let mut build = Build::new();
        let node = build.node("n", binary("Moody", |_, _, _| Err(NodeError::Cancelled)), absent());
        build.output("n", node);
        let error = Setup::default().run(&build.0).0.unwrap_err();
        assert_eq!(error.to_string(), "`n` (Moody): cancelled");
    }

    #[test]
    fn a_listener_that_panics_harms_no_run() {
        let mut build = Build::new();
        let a = build.node("a", add(), absent());
        let b = build.node("b", add(), vec![link(a), link(a)]);
        build.output("b", b);
        let digests = super::super::Digests::default();
        let plan = plan(&build.0, &digests).unwrap();
        let options = RunOptions::new(Path::new("."), Path::new("."), &digests);
        let listener = |_: Event| panic!("not now");
        assert!(execute(&build.0, &plan, &options, &CancelToken::default(), &listener).is_ok());
    }

    #[test]
    fn digests_are_those_of_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let missing = dir.path().join("missing");
        let mut build = Build::new();
        let node = binary("Digest", move |_, _, context| {
            assert_eq!(context.digest(&path)?, blake3::hash(b"abc").to_string());
            assert!(matches!(context.digest(&missing), Err(NodeError::File { .. })));
            Ok(0.0)
        });
        let node = build.node("n", node, absent());
        build.output("n", node);
        Setup::default().run(&build.0).0.unwrap();
    }
}
