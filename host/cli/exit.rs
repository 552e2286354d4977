//! How a command ended.

use std::process::ExitCode;

/// What the process tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// The run failed, or a file could not be read or written; or what was asked about is not so: graphs differ, a merge
    /// left conflicts, a file is not in canonical form.
    Failed,
    /// The graph is invalid, or the command was used wrongly; clap uses the same code.
    Invalid,
    /// A signal stopped it.
    Interrupted,
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
