//! What can go wrong in a node.

use std::path::PathBuf;

/// A failed run of one node. The host adds the node's id and type.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The run was cancelled; not a fault.
    #[error("cancelled")]
    Cancelled,
    /// An input has a value the node cannot work with.
    #[error("`{input}`: {message}")]
    Input {
        /// The input port.
        input: String,
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else.
    #[error("{message}")]
    Failed {
        /// What went wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// What it came from.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl NodeError {
    /// A failure told in words.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None, source: None }
    }

    /// A failure that another error caused.
    pub fn caused_by(message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed { message: message.into(), hint: None, source: Some(source.into()) }
    }

    /// A value that does not work.
    pub fn input(input: &str, message: impl Into<String>) -> Self {
        Self::Input { input: input.into(), message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Input { hint, .. } | Self::Failed { hint, .. } => *hint = Some(text.into()),
            Self::Cancelled | Self::File { .. } => {}
        }
        self
    }

    /// What to do about it, if something is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Input { hint, .. } | Self::Failed { hint, .. } => hint.as_deref(),
            Self::Cancelled | Self::File { .. } => None,
        }
    }
}

/// A problem with an input that a node sees before anything runs: a missing file, a folder that is no model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputProblem {
    /// The input port.
    pub input: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl InputProblem {
    /// A problem without a hint.
    pub fn new(input: &str, message: impl Into<String>) -> Self {
        Self { input: input.into(), message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
