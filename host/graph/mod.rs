//! From the text a person wrote to a graph that cannot be wrong.

mod diagnostic;
mod validated;

pub use diagnostic::{Diagnostic, Location, Severity};
pub use validated::{Binding, Graph, GraphNode, PortRef};
