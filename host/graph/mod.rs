//! From the text a person wrote to a graph that cannot be wrong.
//!
//! [`Document::parse`] reads, [`validate`] checks and gives a [`Graph`], [`render`] shows what is wrong.

mod bind;
mod cycles;
mod diagnostic;
mod document;
mod inputs;
mod json;
mod literal;
mod names;
mod paths;
mod render;
mod schema;
#[cfg(test)]
mod tests;
mod validate;
mod validated;

pub use diagnostic::{Diagnostic, Location, Severity};
pub use document::{Document, VERSION};
pub use inputs::Overrides;
pub(crate) use literal::limit_problem;
pub use paths::resolve_path;
pub use render::{Source, render, render_json};
pub use schema::schema;
pub use validate::{Settings, validate};
pub use validated::{Binding, Graph, GraphNode, PortRef};
