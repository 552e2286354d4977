//! Problems of a document, as data.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Source;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Probably not what was meant; the graph runs.
    Warning,
    /// The graph cannot run.
    Error,
}

/// Where in the document. Lines and columns count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Location {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable word for scripts: `unknown-type`.
    pub code: &'static str,
    /// The included document that it is about; nothing for the document itself.
    #[serde(skip_serializing_if = "Option::is_none", rename = "file", serialize_with = "name")]
    pub source: Option<Arc<Source>>,
    /// What is wrong: lower case, no full stop, names in backticks, expected and found.
    pub message: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The node it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The port it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// The file or folder it is about, which may not be there: when that changes, the problem may be gone.
    #[serde(skip)]
    pub path: Option<PathBuf>,
}

fn name<S: Serializer>(source: &Option<Arc<Source>>, serializer: S) -> Result<S::Ok, S::Error> {
    source.as_ref().map(|source| source.name()).serialize(serializer)
}

impl Diagnostic {
    /// A problem that keeps the graph from running.
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            source: None,
            message: message.into(),
            location: None,
            node: None,
            port: None,
            hints: Vec::new(),
            path: None,
        }
    }

    /// A problem that does not.
    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Says where.
    pub(crate) fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// Says which node.
    pub(crate) fn node(mut self, id: &str) -> Self {
        self.node = Some(id.into());
        self
    }

    /// Says which port.
    pub(crate) fn port(mut self, name: &str) -> Self {
        self.port = Some(name.into());
        self
    }

    /// Says which file or folder.
    pub(crate) fn path(mut self, path: impl Into<Option<PathBuf>>) -> Self {
        self.path = path.into();
        self
    }

    /// Says what to do; nothing is added for `None`.
    pub(crate) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hints.extend(hint.into());
        self
    }
}
