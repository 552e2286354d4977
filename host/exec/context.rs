//! What a running node sees of the host.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dc_graph_node_api::{Image, LogLevel, NodeError, RunContext};

use super::Event;
use super::provenance::provenance;
use super::run::Run;

/// The host's side of one running node.
pub(super) struct NodeContext<'a> {
    run: &'a Run<'a>,
    place: usize,
    id: Arc<str>,
    /// The step told last, so that each is told once.
    step: Mutex<Option<(u64, u64)>>,
}

impl<'a> NodeContext<'a> {
    pub(super) fn new(run: &'a Run<'a>, place: usize, id: Arc<str>) -> Self {
        Self { run, place, id, step: Mutex::default() }
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
        self.run.tell(Event::Wrote { node: self.id.clone(), path: path.into() });
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
}
