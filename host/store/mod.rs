//! The store: what nodes gave in earlier runs of any process, on disk and addressed by content.
//!
//! ```text
//! action key ──▶ entry: a digest for each output ──▶ blobs
//! ```
//!
//! An action key covers what one node's outputs depend on: its type, version, code and parameters, and the *contents* of
//! its inputs. So an ancestor that is computed again and gives the same bytes changes nothing after it. Models are not
//! kept; their digest is derived from the key of the node that loads them, and they are loaded when a node that needs them
//! has to run.
//!
//! | file | what it does |
//! | --- | --- |
//! | `open` | [`Store`]: where it is, which format it has, whether it can be written |
//! | `entry` | entries: what a node gave, by action key |
//! | `blob` | contents by digest, and checkpoints by action key |
//! | `value` | values as bytes and back |
//! | `file` | files that appear whole or not at all, and tell when they are damaged |
//! | `lock` | two processes that need the same node compute it once |
//! | `room` | the bound on size; statistics, verification |
//! | `history` | what the nodes of a graph depended on when they ran last, for saying what changed |
//! | `timing` | how long node types took on this machine |
//! | `paths` | digests of files, remembered |
//!
//! # Invariants
//! - Everything is written beside its place and then renamed, and everything read is checked against a Blake3 digest. So
//!   nothing is synchronised to disk: after a power failure a torn file counts as damaged and its node runs again.
//! - No fault of the store fails a run: what cannot be read is computed, what cannot be written is not kept, and one
//!   warning says so.
//! - A store of a newer format is neither read nor changed.

mod blob;
mod entry;
mod file;
mod history;
mod lock;
mod open;
mod paths;
mod room;
mod timing;
mod value;

pub use entry::{Entry, Kept, KeptOutput, Written};
pub use history::{Ingredient, LastNode, LastRun, Origin};
pub use lock::Lock;
pub use open::{Store, StoreError, default_location};
pub use room::{Damage, Freed, Stats};
pub use timing::{Observation, Timings};
pub(crate) use value::{decode, encode};
