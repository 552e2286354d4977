//! Bars on a terminal: one for the run, one for each node that tells how far it is.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dc_graph::api::LogLevel;
use dc_graph::exec::Event;
use dc_graph_nodes::dc_diffusion::device::compiled_kernels;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::cli::streams;

/// Shows a run as bars.
pub(crate) struct Bars {
    screen: MultiProgress,
    run: ProgressBar,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What runs now, in the order of beginning.
    running: Vec<Arc<str>>,
    bars: HashMap<Arc<str>, ProgressBar>,
}

impl Bars {
    /// Nothing is drawn before the first event.
    pub(super) fn new() -> Self {
        let screen = MultiProgress::new();
        let run =
            ProgressBar::no_length().with_style(style("{spinner} {elapsed} {pos}/{len} nodes{kernels} {wide_msg}"));
        Self { screen, run, state: Mutex::default() }
    }

    /// Shows an event.
    pub(super) fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::RunStarted { nodes } => {
                self.run.set_length(*nodes as u64);
                // One of several runs begins anew.
                self.run.set_position(0);
                self.screen.add(self.run.clone());
                self.run.enable_steady_tick(Duration::from_millis(120));
            }
            Event::RunGrew { nodes } => self.run.set_length(*nodes as u64),
            Event::Started { node, .. } => {
                state.running.push(node.clone());
                self.run.set_message(state.running.join(", "));
            }
            // One step is no bar's worth.
            Event::Progress { total: ..=1, .. } | Event::Preview { .. } | Event::Reads { .. } => {}
            Event::Progress { node, step, total } => {
                let bar = state.bars.entry(node.clone()).or_insert_with(|| {
                    let bar = ProgressBar::new(*total).with_prefix(node.to_string());
                    let template = "  {prefix} {bar:30} {pos}/{len}, {rate}, {eta} left";
                    self.screen.insert_before(&self.run, bar.with_style(style(template)))
                });
                bar.set_length(*total);
                bar.set_position(*step);
            }
            Event::Log { node, level: LogLevel::Info, message } => self.print(&format!("{node}: {message}")),
            Event::Log { node, level: LogLevel::Warning, message } => {
                self.print(&format!("warning: `{node}`: {message}"));
            }
            Event::Wrote { path, .. } => self.print(&format!("wrote {}", path.display())),
            Event::Kept { path, .. } => self.print(&format!("{} is still there", path.display())),
            Event::Cached { node } | Event::Finished { node, .. } | Event::Failed { node, .. } => {
                state.running.retain(|n| n != node);
                if let Some(bar) = state.bars.remove(node) {
                    bar.finish_and_clear();
                    self.screen.remove(&bar);
                }
                self.run.inc(1);
                self.run.set_message(state.running.join(", "));
            }
        }
    }

    /// A line above the bars.
    pub(super) fn print(&self, line: &str) {
        self.screen.suspend(|| streams::talk(line));
    }

    /// Takes all bars away.
    pub(super) fn clear(&self) {
        self.run.finish_and_clear();
        let _ = self.screen.clear();
    }
}

fn style(template: &'static str) -> ProgressStyle {
    let rate = |state: &ProgressState, to: &mut dyn Write| {
        let _ = write!(to, "{:.2} steps/s", state.per_sec());
    };
    // Read anew whenever a bar is drawn, so that a first step on a GPU is seen to go on.
    let kernels = |_: &ProgressState, to: &mut dyn Write| {
        let _ = match compiled_kernels() {
            0 => Ok(()),
            count => write!(to, ", {count} GPU kernels compiled"),
        };
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", rate).with_key("kernels", kernels)
}
