//! Standard output is data, standard error is talk.

use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use serde_json::Value;

/// Writes data. A reader that has gone away (`| head`) has seen what it wanted: no failure.
pub(crate) fn data(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Writes data as indented JSON.
pub(crate) fn json(value: &Value) -> anyhow::Result<()> {
    data(&format!("{value:#}\n"))
}

/// Says something, as a line of its own. That nobody listens is no reason to stop.
pub(crate) fn talk(text: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "{}", text.trim_end_matches('\n'));
}

/// Whether text for a stream may be coloured (<https://no-color.org>).
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR")
}
