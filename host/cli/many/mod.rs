//! One graph, many runs: sweeps and batches.

mod batch;
mod cases;
mod csv;
mod finished;
mod runs;
mod sheet;
mod table;

pub(crate) use cases::sweep_of;
pub(crate) use runs::{ManyArgs, Place, cache_bytes, run};
