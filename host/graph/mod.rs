//! From the text a person wrote to a graph that cannot be wrong.
//!
//! [`Document::parse`] reads, [`validate`] checks and gives a [`Graph`], [`render`] shows what is wrong. A [`Tree`] is a
//! document that nobody judges: it can be formatted, compared ([`diff`]) and merged ([`merge`]).
//!
//! Documents can include others. Validation lays their nodes out among the rest (`include`, `scope`, `typing`), so that a
//! [`Graph`] is flat; what hangs on values of a run (`open`) is settled when these are known (`unfold`).

mod bind;
#[cfg(test)]
mod comparing_tests;
mod composite;
mod cycles;
mod diagnostic;
mod diff;
mod document;
mod entry;
mod format;
mod include;
mod inputs;
mod json;
mod literal;
mod merge;
mod names;
mod open;
mod paths;
mod render;
mod schema;
mod scope;
mod sweep;
#[cfg(test)]
mod tests;
mod tree;
mod typing;
mod unfold;
mod validate;
mod validated;

pub(crate) use composite::Composite;
pub use composite::composite_specs;
pub use diagnostic::{Diagnostic, Location, Severity};
pub use diff::{Change, ChangeKind, diff, render_changes};
pub use document::{Document, VERSION};
pub(crate) use include::included_key;
pub use inputs::Overrides;
pub(crate) use literal::{limit_problem, to_json as value_to_json};
pub use merge::{Conflict, Merged, merge};
pub use paths::resolve_path;
pub use render::{Source, render, render_json};
pub use schema::schema;
pub use sweep::{Axis, AxisValue, Sweep, range};
pub use tree::Tree;
pub(crate) use unfold::Unsettled;
pub use validate::{Settings, validate};
pub use validated::{Binding, Graph, GraphNode, Home, PortRef};
