//! What threads tell the loop.

use std::path::PathBuf;

use dc_graph::exec::Digest;
use dc_graph::registry::Registry;
use dc_graph::watch::Contents;

use super::turn::Ended;

/// Something that the loop has to know.
pub(super) enum Notice {
    /// Something happened to these names.
    Touched(Vec<PathBuf>),
    /// What the run depends on, as far as that is known before its nodes run.
    Depends(Contents),
    /// The run also depends on this.
    Reads(PathBuf, Option<Digest>),
    /// The run is over.
    Ended(Box<Ended>),
    /// Plugins have been loaded anew, or why not.
    Loaded(Result<Registry, String>),
    /// Somebody wants a run.
    Run,
    /// Somebody wants no run to go on.
    Stop,
    /// Somebody wants to go.
    Leave,
    /// Somebody wants to go, and calls that an interruption.
    Interrupt,
}
