//! `dc-graph validate`: everything that is wrong with a graph, without running it.

use std::io::stdout;

use dc_graph::graph::{Diagnostic, Severity, Source, render, render_json};
use serde_json::{Value, json};

use dc_graph_nodes::Settings;

use super::exit::Exit;
use super::plugin_args::PluginArgs;
use super::source::GraphArgs;
use super::{builtin, streams};

/// Check a graph and list every problem at once
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph validate graphs/personalize.json
  dc-graph validate graphs/personalize.json --set num_inference_steps=20 --format json")]
pub(crate) struct Args {
    #[command(flatten)]
    graph: GraphArgs,
    #[command(flatten)]
    plugins: PluginArgs,
    /// How the result is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For scripts
    Json,
}

/// Checks. What is wrong is the data that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut registry = builtin::registry(&Settings::default())?;
    let opened = match args.graph.open() {
        Ok(opened) => opened,
        Err(error) => return Ok(unreadable(&error)),
    };
    args.plugins.join(&mut registry, opened.folder(), streams::talk)?;
    let (graph, diagnostics) = match opened.check(&registry) {
        Ok((graph, warnings)) => (Some(graph), warnings),
        Err(problems) => (None, problems),
    };
    match args.format {
        Format::Json => streams::json(&to_json(graph.is_some(), &diagnostics, &opened.source))?,
        Format::Text => {
            let mut text = render(&diagnostics, &opened.source, streams::colour(&stdout()));
            text += &match &graph {
                Some(graph) => format!("valid: {} nodes\n", graph.size()),
                None => summary(&diagnostics),
            };
            streams::data(&text)?;
        }
    }
    Ok(if graph.is_some() { Exit::Done } else { Exit::Invalid })
}

/// Says that there is no graph to look at.
pub(crate) fn unreadable(error: &anyhow::Error) -> Exit {
    streams::talk(&format!("error: {error:#}"));
    Exit::Invalid
}

/// The last line after the problems of an invalid graph.
pub(crate) fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    format!("invalid: {errors} {}\n", if errors == 1 { "error" } else { "errors" })
}

/// The problems as data.
pub(crate) fn to_json(valid: bool, diagnostics: &[Diagnostic], source: &Source) -> Value {
    let mut all = json!({ "status": if valid { "valid" } else { "invalid" } });
    if let (Some(all), Value::Object(rest)) = (all.as_object_mut(), render_json(diagnostics, source)) {
        all.extend(rest);
    }
    all
}
