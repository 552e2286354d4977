//! `dc-graph nodes`: which nodes there are, and what goes in and out of them.

use std::fmt::Write;
use std::path::Path;

use dc_graph::api::{InputSpec, NodeSpec, Value};
use dc_graph::exec::value_as_json;
use dc_graph::graph::composite_specs;
use serde_json::json;

use dc_graph_nodes::Settings;

use super::exit::Exit;
use super::plugin_args::PluginArgs;
use super::{builtin, streams, values};

/// List the nodes, or show one with its ports, defaults and ranges
#[derive(clap::Args)]
#[command(after_help = "Examples:
  dc-graph nodes
  dc-graph nodes \"Load Image\"
  dc-graph nodes --json")]
pub(crate) struct Args {
    #[command(flatten)]
    plugins: PluginArgs,
    /// The node type to show
    name: Option<String>,
    /// Everything as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// As a Markdown table
    #[arg(long)]
    markdown: bool,
}

/// Lists or shows.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut registry = builtin::registry(&Settings::default())?;
    args.plugins.join(&mut registry, Path::new(""), streams::talk)?;
    let composites = composite_specs();
    let mut specs: Vec<&NodeSpec> = registry.iter().map(|n| n.spec()).chain(&composites).collect();
    if let Some(name) = &args.name {
        let Some(spec) = specs.iter().find(|s| s.type_name.eq_ignore_ascii_case(name)) else {
            let near = nearest(name, specs.iter().map(|s| s.type_name.as_str()));
            let hint = near.map_or("run `dc-graph nodes` for the list".into(), |n| format!("did you mean `{n}`?"));
            streams::talk(&format!("error: there is no node type `{name}`\nhint: {hint}"));
            return Ok(Exit::Invalid);
        };
        specs = vec![*spec];
    }
    // Stable: inside a category by name.
    specs.sort_by(|a, b| a.category.cmp(&b.category));
    if args.json {
        streams::json(&if args.name.is_some() {
            to_json(specs[0])
        } else {
            specs.iter().map(|s| to_json(s)).collect()
        })?;
    } else if args.markdown {
        streams::data(&markdown(&specs))?;
    } else if args.name.is_some() {
        streams::data(&one(specs[0]))?;
    } else {
        streams::data(&table(&specs))?;
    }
    Ok(Exit::Done)
}

/// The name most like `name`, if any is like it.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let scored = names.map(|n| (strsim::jaro_winkler(&name, &n.to_lowercase()), n));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, n)| n)
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first)
}

/// All nodes by category.
fn table(specs: &[&NodeSpec]) -> String {
    let width = specs.iter().map(|s| s.type_name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    let mut category = None;
    for spec in specs {
        if category != Some(&spec.category) {
            let gap = if category.is_some() { "\n" } else { "" };
            let _ = writeln!(text, "{gap}{}", spec.category);
            category = Some(&spec.category);
        }
        let _ = writeln!(text, "  {:width$}  {}", spec.type_name, first_sentence(&spec.description));
    }
    text
}

/// One node in full.
fn one(spec: &NodeSpec) -> String {
    let mut text =
        format!("{} ({}, version {})\n  {}\n", spec.type_name, spec.category, spec.version, spec.description);
    let inputs: Vec<_> = spec.inputs.iter().map(|i| [i.name.clone(), i.ty.to_string(), given(i)]).collect();
    let outputs: Vec<_> = spec.outputs.iter().map(|o| [o.name.clone(), o.ty.to_string(), String::new()]).collect();
    let width = |column: usize| inputs.iter().chain(&outputs).map(|r| r[column].chars().count()).max().unwrap_or(0);
    let (names, types, givens) = (width(0), width(1), width(2));
    let mut list = |title: &str, rows: &[[String; 3]], descriptions: Vec<&str>, givens: usize| {
        if !rows.is_empty() {
            let _ = writeln!(text, "\n{title}");
        }
        for ([name, ty, given], description) in rows.iter().zip(descriptions) {
            let given = if givens == 0 { String::new() } else { format!("  {given:givens$}") };
            let _ = writeln!(text, "  {name:names$}  {ty:types$}{given}  {description}");
        }
    };
    list("inputs", &inputs, spec.inputs.iter().map(|i| i.description.as_str()).collect(), givens);
    list("outputs", &outputs, spec.outputs.iter().map(|o| o.description.as_str()).collect(), 0);
    text
}

/// What a document may give: `required`, `optional`, or the default, with range and choices.
fn given(input: &InputSpec) -> String {
    let mut text = match &input.default {
        Some(Value::Text(t) | Value::Path(t)) => format!("= \"{t}\""),
        Some(value) => format!("= {}", values::to_text(value)),
        None if input.required => "required".into(),
        None => "optional".into(),
    };
    if let Some(range) = &input.range {
        match (range.start().is_finite(), range.end().is_finite()) {
            (true, true) => write!(text, ", {} to {}", range.start(), range.end()),
            (true, false) => write!(text, ", {} or more", range.start()),
            (false, true) => write!(text, ", at most {}", range.end()),
            (false, false) => Ok(()),
        }
        .unwrap_or_default();
    }
    if !input.choices.is_empty() {
        let _ = write!(text, ", one of {}", input.choices.join(" "));
    }
    text
}

/// The table of the README. Inputs that may be left out stand in italics.
fn markdown(specs: &[&NodeSpec]) -> String {
    let mut text = String::from("| node | takes | gives | |\n| --- | --- | --- | --- |\n");
    for spec in specs {
        let takes: Vec<_> =
            spec.inputs.iter().map(|i| if i.required { i.name.clone() } else { format!("*{}*", i.name) }).collect();
        let gives: Vec<_> = spec.outputs.iter().map(|o| o.name.as_str()).collect();
        let about = first_sentence(&spec.description).replace('|', "\\|");
        let _ = writeln!(text, "| **{}** | {} | {} | {about} |", spec.type_name, takes.join(", "), gives.join(", "));
    }
    text
}

fn to_json(spec: &NodeSpec) -> serde_json::Value {
    let inputs = spec.inputs.iter().map(|input| {
        let mut port = json!({
            "name": input.name,
            "type": input.ty.to_string(),
            "description": input.description,
            "required": input.required,
        });
        if let Some(default) = &input.default {
            port["default"] = value_as_json(default);
        }
        if let Some(range) = &input.range {
            // Infinite ends are left out: JSON has no word for them.
            let end = |v: f64| v.is_finite().then_some(v);
            port["minimum"] = json!(end(*range.start()));
            port["maximum"] = json!(end(*range.end()));
        }
        if !input.choices.is_empty() {
            port["choices"] = json!(input.choices);
        }
        port
    });
    let outputs = spec
        .outputs
        .iter()
        .map(|output| json!({ "name": output.name, "type": output.ty.to_string(), "description": output.description }));
    json!({
        "type": spec.type_name,
        "category": spec.category,
        "description": spec.description,
        "version": spec.version,
        "deterministic": spec.deterministic,
        "effect": spec.effect,
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
    })
}
