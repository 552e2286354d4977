//! What a run tells its listeners. One event per change of state.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dc_graph_node_api::{Image, LogLevel};

use super::Digest;

/// Something happened in a run. Node ids are those of the document.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins; `nodes` will be computed or taken from the cache.
    RunStarted {
        /// How many nodes the plan holds.
        nodes: usize,
    },
    /// More is known of what there is to do: lists have turned out to be so long, branches were chosen.
    RunGrew {
        /// How many nodes the plan holds now.
        nodes: usize,
    },
    /// A node begins.
    Started {
        /// Its id.
        node: Arc<str>,
        /// Its type.
        type_name: Arc<str>,
    },
    /// A node reads a file whose name came through a link, so that no plan told of it.
    Reads {
        /// Its id.
        node: Arc<str>,
        /// The file or folder.
        path: PathBuf,
        /// What it holds; nothing when it cannot be read, and the node fails.
        digest: Option<Digest>,
    },
    /// A node is part of the way.
    Progress {
        /// Its id.
        node: Arc<str>,
        /// Steps done.
        step: u64,
        /// Steps in all.
        total: u64,
    },
    /// A node shows an intermediate picture.
    Preview {
        /// Its id.
        node: Arc<str>,
        /// The picture.
        image: Arc<Image>,
    },
    /// A node says something.
    Log {
        /// Its id.
        node: Arc<str>,
        /// How much it matters.
        level: LogLevel,
        /// What it says.
        message: String,
    },
    /// A node has written a file.
    Wrote {
        /// Its id.
        node: Arc<str>,
        /// The file, whole and in its place.
        path: PathBuf,
    },
    /// A file that a node wrote in an earlier run is still there and the same, so that the node need not run.
    Kept {
        /// Its id.
        node: Arc<str>,
        /// The file.
        path: PathBuf,
    },
    /// A node's outputs were known already: from an earlier run, or from an equal node of this run.
    Cached {
        /// Its id.
        node: Arc<str>,
    },
    /// A node is done.
    Finished {
        /// Its id.
        node: Arc<str>,
        /// How long it ran.
        took: Duration,
    },
    /// A node failed, and the run with it.
    Failed {
        /// Its id.
        node: Arc<str>,
        /// How long it ran.
        took: Duration,
        /// Why.
        message: String,
    },
}
