//! Plans, content keys and execution.
//!
//! [`plan`] keeps what the outputs and the effects of a graph need, orders it and gives each node a content [`Key`];
//! [`execute`] computes it, or takes it from a [`Cache`], and tells [`Event`]s on the way.
//!
//! | file | what it does |
//! | --- | --- |
//! | `key` | content keys: two nodes of one key have the same outputs |
//! | `digest` | digests of the files that nodes read, remembered |
//! | `plan` | pruning, order, keys |
//! | `cache` | outputs of earlier runs of this process |
//! | `stages` | runs whose shape hangs on values: what says it first, then the rest |
//! | `run` | what is to be computed in this run, what is known already |
//! | `action` | action keys: what one node depends on, its inputs by content |
//! | `demand` | what is to be run, because it is not known or because somebody needs its values |
//! | `look_up` | what the store knows of a node |
//! | `keep` | what a node gave, for the store |
//! | `wiring` | who reads which value |
//! | `lanes` | the threads of a run: who does what when |
//! | `step` | one node: its inputs, its run, the check of its outputs |
//! | `context` | what a running node sees of the host |
//! | `provenance` | what made a value, as text that a picture carries |
//! | `forecast` | what a run would do, and why |
//! | `memory` | how much memory the process takes |
//! | `report` | what a run gives back, and how it fails |

mod action;
mod cache;
mod cancel;
mod context;
mod demand;
mod digest;
mod event;
mod forecast;
mod keep;
mod key;
mod lanes;
mod look_up;
mod memory;
mod plan;
mod provenance;
mod report;
mod run;
mod stages;
mod step;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wiring;

pub use cache::Cache;
pub use cancel::CancelToken;
pub use digest::{Digest, Digests};
pub use event::Event;
pub use forecast::{Forecast, Outlook, Prospect, Reason, forecast};
pub use key::Key;
pub(crate) use look_up::Observed;
pub use memory::peak_bytes;
pub use plan::{FileRead, Plan, PlanError, PlannedNode, plan};
pub use report::{NodeTiming, RunError, RunReport, value_as_json};
pub use run::RunOptions;
pub use stages::execute;
