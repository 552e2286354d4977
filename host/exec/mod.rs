//! Plans, content keys and execution.

mod event;

pub use event::Event;
