//! What the host offers a node while it runs.

use std::path::Path;

use crate::error::NodeError;
use crate::image::Image;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Worth knowing.
    Info,
    /// Probably not what was meant.
    Warning,
}

/// The host's side of a running node.
pub trait RunContext: Sync {
    /// Whether the run is to stop. Ask at least once per denoiser evaluation.
    fn is_cancelled(&self) -> bool;

    /// Tells how far the node is. `step` counts from 0 to `total`.
    fn progress(&self, step: u64, total: u64);

    /// Shows an intermediate picture.
    fn preview(&self, image: &Image);

    /// Tells the user something.
    fn log(&self, level: LogLevel, message: &str);

    /// Tells that a file has been written, once it is whole and in its place.
    fn wrote(&self, path: &Path) {
        let _ = path;
    }

    /// The folder that relative output paths count from.
    fn output_dir(&self) -> &Path;

    /// Blake3 of a file's contents, or of a folder's file names and contents; remembered while the file is unchanged.
    ///
    /// # Errors
    /// [`NodeError::File`] when it cannot be read.
    fn digest(&self, path: &Path) -> Result<String, NodeError>;

    /// What made the value at this node, as JSON: graph, inputs, digests of the files read. Holds no time and no absolute path.
    fn provenance(&self) -> String;

    /// The node's content key: the same whenever everything that its outputs depend on is. A source of randomness that
    /// can be repeated. All zeros outside a run.
    fn key(&self) -> [u8; 32] {
        [0; 32]
    }

    /// Keeps bytes from which a later run of the same node with the same inputs can go on, in the place of those kept
    /// before. They are forgotten when the node is done. That they could not be kept is no failure.
    fn checkpoint(&self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// What [`Self::checkpoint`] kept last in a run that did not come to its end; whole and unchanged.
    fn restore(&self) -> Option<Vec<u8>> {
        None
    }

    /// [`NodeError::Cancelled`] when the run is to stop.
    ///
    /// # Errors
    /// As said.
    fn check_cancelled(&self) -> Result<(), NodeError> {
        if self.is_cancelled() { Err(NodeError::Cancelled) } else { Ok(()) }
    }
}
