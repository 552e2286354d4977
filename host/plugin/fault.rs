//! What went wrong in a call, said so that a person knows which plugin it was, and where in it.

use std::fmt::Write;

use dc_graph_node_api::NodeError;
use wasmtime::{Trap, WasmBacktrace};

/// Frames of a guest's backtrace that are told.
const MAX_FRAMES: usize = 12;

/// Why the host ended a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("was cancelled")]
    Cancelled,
    #[error("took longer than {0} seconds and was stopped")]
    Time(u32),
    #[error("needs more than {0} MiB of memory")]
    Memory(u32),
    #[error("needs a table of more than {0} elements")]
    TableElements(u32),
    #[error("has the host hold more than {0} MiB for it")]
    Buffers(u32),
    #[error("holds more than {0} handles")]
    Handles(usize),
    #[error("{0}")]
    Misuse(String),
}

impl Stop {
    fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Time(_) => Some("seconds"),
            Self::Memory(_) => Some("memory-mib"),
            Self::TableElements(_) => Some("table-elements"),
            Self::Buffers(_) => Some("buffers-mib"),
            Self::Cancelled | Self::Handles(_) | Self::Misuse(_) => None,
        }
    }
}

/// What went wrong, without the plugin's name.
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) cancelled: bool,
}

impl Fault {
    pub(super) fn new(error: &wasmtime::Error) -> Self {
        let trace = error.downcast_ref::<WasmBacktrace>().map(backtrace).unwrap_or_default();
        let root = plain(&error.root_cause().to_string(), 2000);
        let limit =
            |name: &str| format!("if it needs that much, raise `{name}` in the `[limits]` of its `plugin.toml`");
        let (message, hint) = if let Some(stop) = error.downcast_ref::<Stop>() {
            (plain(&stop.to_string(), 2000), stop.limit().map(limit))
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            let text = trap.to_string();
            let hint = (*trap == Trap::StackOverflow).then(|| limit("stack-kib"));
            (format!("trapped: {}", text.strip_prefix("wasm trap: ").unwrap_or(&text)), hint)
        } else if let Some(name) = root.strip_prefix("unknown import: `").and_then(|rest| rest.split('`').next()) {
            let hint = "plugins reach files, time and HTTP only through `dc-graph:node`, as far as they are granted";
            (format!("called `{name}`, which is not granted to plugins"), Some(hint.into()))
        } else if root.contains("fuel allocated for hostcalls") {
            ("hands over more at once than it may".into(), Some(limit("transfer-mib")))
        } else if let Some(what) = root.strip_prefix("resource limit exceeded: ") {
            (format!("needs too much: {what}"), Some("the limits are in the `[limits]` of its `plugin.toml`".into()))
        } else {
            (format!("broke the contract: {root}"), None)
        };
        let cancelled = matches!(error.downcast_ref(), Some(Stop::Cancelled));
        Self { message: message + &trace, hint, cancelled }
    }

    /// What the system refuses to the host.
    pub(super) fn of_host(problem: &str) -> Self {
        Self { message: format!("cannot be called: {problem}"), hint: None, cancelled: false }
    }

    /// As the error of a node of `plugin`, which is its id and version.
    pub(super) fn into_node_error(self, plugin: &str) -> NodeError {
        if self.cancelled {
            return NodeError::Cancelled;
        }
        let error = NodeError::failed(format!("plugin {plugin} {}", self.message));
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// The guest's own functions, innermost first, a line each.
fn backtrace(trace: &WasmBacktrace) -> String {
    let mut text = String::new();
    for frame in trace.frames().iter().take(MAX_FRAMES) {
        let name = plain(frame.func_name().unwrap_or("a function without a name"), 200);
        let _ = write!(text, "\n  in {name}");
        if let Some(offset) = frame.module_offset() {
            let _ = write!(text, " (0x{offset:x})");
        }
    }
    if trace.frames().len() > MAX_FRAMES {
        let _ = write!(text, "\n  and {} more", trace.frames().len() - MAX_FRAMES);
    }
    text
}

/// Text from a plugin as it may be shown: without control characters, which a terminal might obey, and not endless.
pub(super) fn plain(text: &str, most: usize) -> String {
    let mut shown: String =
        text.chars().take(most).map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_plugins_is_harmless() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc", 100), "a [2Jb \nc");
        assert_eq!(plain("äbc", 2), "äb…");
    }
}
