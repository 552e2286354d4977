//! The choice between the ways to show a run.

use std::io::IsTerminal;

use dc_graph::exec::Event;

use super::bars::Bars;
use super::json;
use super::plain::Plain;
use crate::cli::streams;

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Bars with steps per second and remaining time; needs a terminal
    Bar,
    /// Lines
    Plain,
    /// One JSON object a line
    Json,
    /// Nothing but warnings and errors
    None,
}

impl Mode {
    /// Bars where they can be drawn, lines elsewhere.
    pub(crate) fn choose(asked: Option<Self>) -> Self {
        let can_draw = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        match asked {
            None | Some(Self::Bar) if can_draw => Self::Bar,
            None | Some(Self::Bar) => Self::Plain,
            Some(other) => other,
        }
    }
}

/// Shows a run. Listens from any thread.
pub(crate) enum Progress {
    /// See [`Mode::Bar`].
    Bar(Bars),
    /// See [`Mode::Plain`].
    Plain(Plain),
    /// See [`Mode::Json`].
    Json,
    /// See [`Mode::None`].
    None,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new(mode: Mode) -> Self {
        match mode {
            Mode::Bar => Self::Bar(Bars::new()),
            Mode::Plain => Self::Plain(Plain::default()),
            Mode::Json => Self::Json,
            Mode::None => Self::None,
        }
    }

    /// Shows an event.
    pub(crate) fn event(&self, event: &Event) {
        match self {
            Self::Bar(bars) => bars.event(event),
            Self::Plain(plain) => plain.event(event),
            Self::Json => streams::talk(&json::event(event).to_string()),
            Self::None => {
                if let Event::Log { node, level: dc_graph::api::LogLevel::Warning, message } = event {
                    streams::talk(&format!("warning: `{node}`: {message}"));
                }
            }
        }
    }

    /// Says something that is no event of the run. `kind` is a word for scripts.
    pub(crate) fn say(&self, kind: &str, text: &str) {
        match self {
            Self::Bar(bars) => bars.print(text),
            Self::Json => streams::talk(&serde_json::json!({ "event": kind, "message": text }).to_string()),
            Self::Plain(_) | Self::None => streams::talk(text),
        }
    }

    /// The same with more for scripts: the fields of an object. People read the text alone, if there is any.
    pub(crate) fn note(&self, kind: &str, text: &str, fields: serde_json::Value) {
        match self {
            Self::Json => {
                let mut event = serde_json::json!({ "event": kind, "message": text });
                if let (Some(event), serde_json::Value::Object(fields)) = (event.as_object_mut(), fields) {
                    event.extend(fields);
                }
                streams::talk(&event.to_string());
            }
            Self::None | Self::Bar(_) | Self::Plain(_) if text.is_empty() => {}
            Self::None if !matches!(kind, "warning" | "problems" | "error" | "exec" | "page") => {}
            _ => self.say(kind, text),
        }
    }

    /// Whether somebody may be there to answer a question.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self, Self::Bar(_) | Self::Plain(_))
    }

    /// Takes away what should not stay on the screen.
    pub(crate) fn finish(&self) {
        if let Self::Bar(bars) = self {
            bars.clear();
        }
    }
}
