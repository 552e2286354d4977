//! `dc-graph plan`: what a run would do, and why.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use dc_graph::exec::{Forecast, Outlook, Prospect, Reason, forecast, plan};
use dc_graph::graph::render;
use dc_graph::store::Origin;
use serde_json::json;

use super::device_args::DeviceArgs;
use super::exit::Exit;
use super::plugin_args::PluginArgs;
use super::source::GraphArgs;
use super::store_args::{StoreArgs, shown};
use super::validate::{self, Format};
use super::{builtin, streams};

/// Tell what a run would do, and why, without running anything
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph plan graphs/personalize.json
  dc-graph plan graphs/personalize.json --set prompt=\"a mug on the moon\" --format json

What runs, why, and for how long, going by earlier runs on this machine. A node that `may run` does so unless those before
it give the same as ever.")]
pub(crate) struct Args {
    #[command(flatten)]
    graph: GraphArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    plugins: PluginArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// The folder that files would be written to
    #[arg(long, value_name = "DIR", default_value = "output")]
    output: PathBuf,
    /// How the result is written to standard output
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Validates and looks ahead. Missing files and models are problems of the graph.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut registry = builtin::registry(&args.device.settings())?;
    let opened = match args.graph.open() {
        Ok(opened) => opened,
        Err(error) => return Ok(validate::unreadable(&error)),
    };
    args.plugins.join(&mut registry, opened.folder(), streams::talk)?;
    let (graph, diagnostics) = match opened.check(&registry) {
        Ok(valid) => valid,
        Err(problems) => {
            match args.format {
                Format::Json => streams::json(&validate::to_json(false, &problems, &opened.source))?,
                Format::Text => {
                    let colour = streams::colour(&std::io::stdout());
                    streams::data(&(render(&problems, &opened.source, colour) + &validate::summary(&problems)))?;
                }
            }
            return Ok(Exit::Invalid);
        }
    };
    let store = args.store.open(&registry)?;
    let digests = store.digests();
    let plan = plan(&graph, &digests)?;
    let output = std::path::absolute(&args.output)?;
    let forecast = forecast(&graph, &plan, &digests, &store, (&output, opened.folder(), opened.file()));
    store.put_digests(&digests);
    for warning in store.take_warnings() {
        streams::talk(&format!("warning: {warning}"));
    }
    match args.format {
        Format::Text => {
            if !diagnostics.is_empty() {
                streams::talk(&render(&diagnostics, &opened.source, streams::colour(&std::io::stderr())));
            }
            streams::data(&text(&forecast))?;
        }
        Format::Json => {
            let (least, most, unknown) = forecast.seconds();
            let mut all = validate::to_json(true, &diagnostics, &opened.source);
            all["nodes"] = json!(forecast.nodes);
            all["seconds"] = json!({ "at_least": least, "at_most": most, "unknown_nodes": unknown });
            all["memory"] = json!({
                "values_bytes": forecast.values_bytes,
                "last_run_peak_bytes": forecast.last_peak_bytes,
            });
            streams::json(&all)?;
        }
    }
    Ok(Exit::Done)
}

fn text(forecast: &Forecast) -> String {
    let mut text = String::new();
    let labels: Vec<_> = forecast.nodes.iter().map(|n| format!("{} ({})", n.node, n.type_name)).collect();
    let column = labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
    for (node, label) in forecast.nodes.iter().zip(&labels) {
        let seconds = match node.seconds.filter(|_| node.outlook != Outlook::Known) {
            Some(seconds) => format!("{seconds:8.3} s"),
            None => " ".repeat(10),
        };
        let line = format!(
            "{label:column$}  {:9} {seconds}  {}",
            word(node),
            node.reasons.iter().map(reason).collect::<Vec<_>>().join("; ")
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    forecast.nodes.iter().for_each(|node| *counts.entry(word(node)).or_default() += 1);
    let counts: Vec<_> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let (least, most, unknown) = forecast.seconds();
    let _ = writeln!(text, "{} nodes: {}", forecast.nodes.len(), counts.join(", "));
    let _ = match most > least {
        true => write!(text, "time: {least:.2} to {most:.2} s"),
        false => write!(text, "time: {least:.2} s"),
    };
    if unknown > 0 {
        let _ = write!(text, ", and {unknown} nodes of types that have not run here yet");
    }
    let _ = write!(text, "\nmemory: {} for values between nodes", shown(forecast.values_bytes));
    if let Some(bytes) = forecast.last_peak_bytes {
        let _ = write!(text, "; {} in all in the last run", shown(bytes));
    }
    text + "\n"
}

fn word(node: &Prospect) -> &'static str {
    match node.outlook {
        Outlook::Known => "known",
        Outlook::Runs => "runs",
        Outlook::MayRun => "may run",
        Outlook::Loads => "loads",
        Outlook::MayLoad => "may load",
    }
}

fn reason(reason: &Reason) -> String {
    let list = |nodes: &[String]| nodes.iter().map(|node| format!("`{node}`")).collect::<Vec<_>>().join(", ");
    match reason {
        Reason::New => "has not run in this graph before".into(),
        Reason::Changed { what, name, before, now } => changed(*what, name, before.as_deref(), now.as_deref()),
        Reason::After { nodes } => format!("after {}", list(nodes)),
        Reason::NeededBy { nodes } => format!("for {}", list(nodes)),
        Reason::FileChanged { path } => format!("{} is gone or another one", path.display()),
        Reason::SameAs { node } => format!("the same as `{node}`"),
        Reason::Always => "runs every time".into(),
        Reason::Forgotten => "the store does not have it any more".into(),
    }
}

fn changed(what: Origin, name: &str, before: Option<&str>, now: Option<&str>) -> String {
    let what = match what {
        Origin::Type => "node type".to_owned(),
        Origin::Program => "program".into(),
        Origin::Device => "device".into(),
        Origin::Output => "output folder".into(),
        Origin::Parameter | Origin::File | Origin::Link => format!("`{name}`"),
    };
    match (before, now) {
        (Some(before), Some(now)) if before == now => format!("{what}: the contents of {now} changed"),
        (Some(before), Some(now)) => format!("{what}: {before} → {now}"),
        (None, Some(now)) => format!("{what}: {now}, which was not there"),
        (before, None) => format!("{what}: {} is not there any more", before.unwrap_or("it")),
    }
}
