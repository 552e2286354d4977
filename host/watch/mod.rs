//! Watching the files that a run depended on.
//!
//! ```text
//! paths ──places──▶ folders ──system──▶ "something happened" ──settle──▶ look at the contents ──▶ what really changed
//!                             or clock
//! ```
//!
//! The system only says that something happened to a name. What counts is what the files hold: a file that is touched,
//! replaced by itself, or away for a moment is unchanged.
//!
//! | file | what it does |
//! | --- | --- |
//! | `places` | the names on the way to a path, links included: those whose change can change what it means |
//! | `mounts` | which folders lie on other machines, whose changes the system does not tell |
//! | `watcher` | the system's word that something happened, or the need to look by oneself |
//! | `settle` | when it is time to look, and when to believe what is seen |
//! | `contents` | what files held, and what they hold now |

mod contents;
mod mounts;
mod places;
mod settle;
mod watcher;

pub use contents::{Change, ChangeKind, Contents};
pub use settle::{Settle, Verdict};
pub use watcher::{Watched, Watcher};
