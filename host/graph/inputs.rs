//! The graph's own named inputs: their values in one run.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;

use dc_graph_node_api::{InputSpec, PortType, Value};

use super::document::{Document, Given, InputDeclaration};
use super::json::Json;
use super::literal::{self, Unfit};
use super::names::{self, Suggestions};
use super::paths::relative_to;
use super::validate::Settings;
use super::{Binding, Diagnostic, Location, resolve_path};

/// Values given to the graph's inputs from outside, in place of their defaults. The last one of a name counts.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Vec<(String, Override)>);

#[derive(Clone, Debug)]
enum Override {
    Text(String),
    Json(serde_json::Value),
}

impl Overrides {
    /// Sets an input to what a person typed; the input's type says how to read it.
    pub fn set(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.0.push((name.into(), Override::Text(text.into())));
    }

    /// Sets an input to data, which must be of the input's type as in a document.
    pub fn set_json(&mut self, name: impl Into<String>, value: serde_json::Value) {
        self.0.push((name.into(), Override::Json(value)));
    }
}

/// An input of a graph, or of a graph that it includes, in one run.
pub(super) struct GraphInput<'a> {
    pub(super) name: &'a str,
    pub(super) at: Location,
    /// Absent when the declaration is broken.
    pub(super) ty: Option<&'a PortType>,
    pub(super) state: InputState<'a>,
    /// What its value counts from when it becomes a path.
    pub(super) folder: &'a Path,
    /// Whether the value came from the command line or a caller.
    pub(super) overridden: bool,
    pub(super) used: bool,
}

/// What an input has got.
pub(super) enum InputState<'a> {
    /// Nothing, or something wrong; that has been reported.
    Missing,
    /// A value.
    Known(Value),
    /// What the node says that includes the graph; there is a link in it.
    Linked(&'a Given),
    /// The same, checked.
    Bound(Binding),
}

impl GraphInput<'_> {
    /// The value, if it is known before the run.
    pub(super) fn value(&self) -> Option<&Value> {
        if let InputState::Known(value) = &self.state { Some(value) } else { None }
    }
}

/// A value as a port of type `ty` wants it; nothing when it cannot be that. Texts that become paths count from `folder`.
pub(super) fn for_port(value: Value, ty: &PortType, folder: &Path) -> Option<Value> {
    texts_to_paths(value, ty, &|text| resolve_path(folder, text)).coerce(ty)
}

/// Where a port wants paths, texts become such.
fn texts_to_paths(value: Value, ty: &PortType, resolve: &dyn Fn(&str) -> String) -> Value {
    match (ty, value) {
        (PortType::Path, Value::Text(text)) => Value::Path(resolve(&text).into()),
        (PortType::List(of), Value::List(found, items)) if **of != *found => {
            let items: Vec<_> = items.iter().map(|item| texts_to_paths(item.clone(), of, resolve)).collect();
            let ty = items.first().map_or((*found).clone(), Value::port_type);
            Value::list(ty, items)
        }
        (PortType::List(of), value) if !matches!(value, Value::List(..)) => texts_to_paths(value, of, resolve),
        (_, value) => value,
    }
}

/// Finds the value of every graph input.
pub(super) fn resolve<'a>(
    document: &'a Document,
    settings: &'a Settings,
    suggestions: &mut Suggestions,
    problems: &mut Vec<Diagnostic>,
) -> Vec<GraphInput<'a>> {
    let declared: HashMap<&str, &InputDeclaration> = document.inputs.iter().map(|i| (i.name.as_str(), i)).collect();
    let mut overrides = HashMap::new();
    for (name, value) in &settings.overrides.0 {
        if declared.contains_key(name.as_str()) {
            overrides.insert(name.as_str(), value);
            continue;
        }
        let names = || document.inputs.iter().map(|i| i.name.as_str());
        let hint = suggestions.did_you_mean(name, names()).unwrap_or_else(|| match document.inputs.len() {
            0 => "the graph has no inputs".into(),
            _ => format!("the graph's inputs are {}", names::list(names(), "and")),
        });
        problems.push(Diagnostic::error("unknown-graph-input", format!("the graph has no input `{name}`")).hint(hint));
    }
    document
        .inputs
        .iter()
        .map(|input| {
            let given = overrides.get(input.name.as_str()).copied();
            // The default is checked also when it does not count in this run.
            let default = input.default.as_ref().and_then(|default| {
                let value = evaluate(input, default, &settings.folder, suggestions);
                value.map_err(|(subject, unfit)| problems.push(report(&subject, unfit, true))).ok().flatten()
            });
            let value = match given {
                Some(given) => {
                    let json = match (given, &input.ty) {
                        (Override::Text(text), Some(ty)) => literal::from_text(text, ty, input.at),
                        (Override::Text(text), None) => literal::from_text(text, &PortType::Text, input.at),
                        (Override::Json(value), _) => Json::from_value(value, input.at),
                    };
                    let value = evaluate(input, &json, &settings.current, suggestions);
                    value.map_err(|(subject, unfit)| problems.push(report(&subject, unfit, false))).ok().flatten()
                }
                None => default,
            };
            if given.is_none() && input.default.is_none() && input.ty.is_some() {
                let can_be_written = input.ty.as_ref().is_some_and(literal::can_be_written);
                let hint = match can_be_written {
                    true => format!("give one with `--set {}=...`, or write a `default`", input.name),
                    false => "only a `Graph` or a `For Each` can give one: run a graph that includes this one".into(),
                };
                let message = format!("the graph input `{}` has no value", input.name);
                problems.push(Diagnostic::error("missing-value", message).at(input.at).hint(hint));
            }
            GraphInput {
                name: &input.name,
                at: input.at,
                ty: input.ty.as_ref(),
                state: value.map_or(InputState::Missing, InputState::Known),
                folder: if given.is_some() { &settings.current } else { &settings.folder },
                overridden: given.is_some(),
                used: false,
            }
        })
        .collect()
}

pub(super) type Judged = Result<Option<Value>, (String, Unfit)>;

/// What is written as a value of the input's type and inside its limits; nothing when its type is not known.
pub(super) fn evaluate(input: &InputDeclaration, json: &Json, folder: &Path, suggestions: &mut Suggestions) -> Judged {
    let Some(ty) = &input.ty else { return Ok(None) };
    let subject = format!("the graph input `{}`", input.name);
    let range = input.range();
    let value = literal::literal(json, ty, folder).and_then(|value| {
        literal::check_limits(&value, range.as_ref(), &input.choices, json.at, suggestions)?;
        Ok(value)
    });
    value.map(Some).map_err(|unfit| (subject, unfit))
}

impl InputDeclaration {
    fn range(&self) -> Option<RangeInclusive<f64>> {
        match (self.minimum, self.maximum) {
            (None, None) => None,
            (least, most) => Some(least.unwrap_or(f64::NEG_INFINITY)..=most.unwrap_or(f64::INFINITY)),
        }
    }

    /// The input as a port of the node that includes the graph; nothing when its type is not known.
    pub(super) fn port(&self) -> Option<InputSpec> {
        let mut port = InputSpec::optional(&self.name, self.ty.clone()?, "An input of the graph.");
        (port.range, port.choices) = (self.range(), self.choices.clone());
        Some(port)
    }
}

fn report(subject: &str, unfit: Unfit, in_document: bool) -> Diagnostic {
    let problem = Diagnostic::error(unfit.code, format!("{subject} {}", unfit.message)).hint(unfit.hint);
    // What was typed on the command line has no place in the document.
    if in_document { problem.at(unfit.at) } else { problem }
}

/// The document with the values of this run as defaults.
pub(super) fn with_values(document: &Document, inputs: &[GraphInput<'_>], settings: &Settings) -> serde_json::Value {
    let mut json = document.to_json().clone();
    for input in inputs.iter().filter(|input| input.overridden) {
        let (Some(value), Some(declaration)) = (
            input.value(),
            json.get_mut("inputs").and_then(|i| i.get_mut(input.name)).and_then(serde_json::Value::as_object_mut),
        ) else {
            continue;
        };
        let relative = |path: &str| relative_to(&settings.folder, path);
        declaration.insert("default".into(), literal::to_json(value, &relative));
    }
    json
}
