//! Proof that a run is what another one was.
//!
//! A [`Lock`] writes down all that a run depends on; comparing two names what differs. [`Maker`] is what a picture tells
//! about the run that made it.

mod lock;
mod maker;

pub(crate) use lock::depends_on;
pub use lock::{Lock, LockedFile, LockedNode};
pub use maker::{Maker, without_the_rest};
