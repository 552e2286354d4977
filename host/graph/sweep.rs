//! A sweep: the same graph for several values of some inputs.
//!
//! ```json
//! "sweep": { "axes": { "seed": "1..8", "guidance_scale": [5, 7.5] }, "zip": false }
//! ```
//!
//! Every value of an axis meets every value of the others; with `zip` the first meets the first, the second the second.

use std::path::Path;

use dc_graph_node_api::PortType;
use serde_json::Value;

use super::document::Document;
use super::inputs::evaluate;
use super::json::{Json, Kind, Member, shorten};
use super::names::{self, Suggestions};
use super::validate::Settings;
use super::{Diagnostic, Location, Overrides, resolve_path};

/// Most runs of one sweep.
const MOST_CASES: usize = 10_000;

/// Values for some inputs of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// What varies.
    pub axes: Vec<Axis>,
    /// Whether the axes go side by side, instead of each value of one meeting each of the others.
    pub zip: bool,
}

/// An input and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The name of the input.
    pub name: String,
    /// Its values, at least one.
    pub values: Vec<AxisValue>,
}

/// A value of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum AxisValue {
    /// As a person types it; the input's type says how to read it.
    Text(String),
    /// As data.
    Json(Value),
}

impl AxisValue {
    /// Gives an input this value.
    pub fn set(&self, name: &str, overrides: &mut Overrides) {
        match self {
            Self::Text(text) => overrides.set(name, text),
            Self::Json(value) => overrides.set_json(name, value.clone()),
        }
    }

    /// For people.
    pub fn label(&self) -> String {
        match self {
            Self::Text(text) | Self::Json(Value::String(text)) => text.clone(),
            Self::Json(value) => value.to_string(),
        }
    }
}

impl Sweep {
    /// The runs: for each the index of the value of every axis. The last axis changes fastest.
    ///
    /// # Errors
    /// When the axes do not fit together or give too many runs.
    pub fn cases(&self) -> Result<Vec<Vec<usize>>, String> {
        let lengths: Vec<usize> = self.axes.iter().map(|axis| axis.values.len()).collect();
        if self.zip {
            let first = lengths.first().copied().unwrap_or(0);
            if let Some(at) = lengths.iter().position(|length| *length != first) {
                return Err(format!(
                    "axes side by side need as many values each: `{}` has {first}, `{}` has {}",
                    self.axes[0].name, self.axes[at].name, lengths[at]
                ));
            }
            return Ok((0..first).map(|i| vec![i; lengths.len()]).collect());
        }
        let count = lengths.iter().try_fold(1_usize, |all, length| all.checked_mul(*length));
        let Some(count) = count.filter(|count| *count <= MOST_CASES) else {
            return Err(format!("the sweep has more than {MOST_CASES} runs"));
        };
        let mut cases = Vec::with_capacity(count);
        for mut number in 0..count {
            let mut case = vec![0; lengths.len()];
            for (place, length) in case.iter_mut().zip(&lengths).rev() {
                (*place, number) = (number % length, number / length);
            }
            cases.push(case);
        }
        Ok(cases)
    }
}

/// The numbers of a range as they are written: `1..8` (both ends count), `0..1:0.25` with a step. Nothing when the text
/// is no range.
///
/// # Errors
/// When it has no numbers, or too many.
pub fn range(text: &str) -> Option<Result<Vec<String>, String>> {
    let (first, rest) = text.split_once("..")?;
    let (last, step) = rest.split_once(':').unwrap_or((rest, "1"));
    let parts = [first.trim(), last.trim(), step.trim()];
    let numbers: Vec<f64> = parts.iter().filter_map(|part| part.parse().ok()).filter(|n: &f64| n.is_finite()).collect();
    let [first, last, step] = numbers[..] else { return None };
    if step <= 0.0 || last < first {
        return Some(Err(format!("the range `{text}` holds no numbers: write `FIRST..LAST` or `FIRST..LAST:STEP`")));
    }
    // Half a step of grace for what binary fractions lose.
    let count = ((last - first) / step + 1e-9).floor() + 1.0;
    if count > MOST_CASES as f64 {
        return Some(Err(format!("the range `{text}` holds more than {MOST_CASES} numbers")));
    }
    let decimals = parts.iter().map(|part| part.split_once('.').map_or(0, |(_, d)| d.len())).max().unwrap_or(0);
    Some(Ok((0..count as usize).map(|i| format!("{:.decimals$}", first + i as f64 * step)).collect()))
}

/// A sweep as a document writes it.
pub(super) struct SweepDeclaration {
    at: Location,
    axes: Vec<AxisDeclaration>,
    zip: bool,
}

struct AxisDeclaration {
    name: String,
    at: Location,
    values: Vec<Json>,
}

/// Reads the member `sweep` of a document.
pub(super) fn read(Member { at, value, .. }: Member, problems: &mut Vec<Diagnostic>) -> Option<SweepDeclaration> {
    let mut wrong = |what: &str, expected: &str, found: &Json| {
        let message = format!("{what} must be {expected}, found {}", found.describe());
        problems.push(Diagnostic::error("wrong-kind", message).at(found.at));
    };
    let Kind::Object(members) = value.kind else {
        wrong("`sweep`", "an object `{ }`", &value);
        return None;
    };
    let mut sweep = SweepDeclaration { at, axes: Vec::new(), zip: false };
    let mut unknown = Vec::new();
    for Member { key, at, value } in members {
        match (key.as_str(), value.kind) {
            ("zip", Kind::Boolean(zip)) => sweep.zip = zip,
            ("zip", kind) => wrong("`zip`", "`true` or `false`", &Json { at: value.at, kind }),
            ("axes", Kind::Object(axes)) => {
                for Member { key: name, at, value } in axes {
                    match axis(&value) {
                        Some(Ok(values)) => sweep.axes.push(AxisDeclaration { name, at, values }),
                        Some(Err(message)) => unknown.push(Diagnostic::error("bad-sweep", message).at(value.at)),
                        None => {
                            let what = format!("the sweep over `{}`", shorten(&name));
                            wrong(&what, "an array of values or a range such as \"1..8\"", &value);
                        }
                    }
                }
            }
            ("axes", kind) => wrong("`axes`", "an object `{ }`", &Json { at: value.at, kind }),
            _ => {
                let hint = "the keys are `axes` and `zip`".to_owned();
                let message = format!("unknown key `{}` in `sweep`", shorten(&key));
                unknown.push(Diagnostic::error("unknown-key", message).at(at).hint(hint));
            }
        }
    }
    problems.extend(unknown);
    Some(sweep)
}

fn axis(json: &Json) -> Option<Result<Vec<Json>, String>> {
    match &json.kind {
        Kind::Array(values) if values.is_empty() => Some(Err("a sweep needs at least one value".into())),
        Kind::Array(values) => Some(Ok(values.clone())),
        Kind::Text(text) => range(text).map(|numbers| {
            Ok(numbers?.into_iter().map(|number| Json { at: json.at, kind: Kind::Number(number) }).collect())
        }),
        _ => None,
    }
}

/// Checks the sweep of a document as the defaults of its inputs are checked.
pub(super) fn check(
    document: &Document,
    settings: &Settings,
    suggestions: &mut Suggestions,
    problems: &mut Vec<Diagnostic>,
) {
    let Some(sweep) = &document.sweep else { return };
    for axis in &sweep.axes {
        let Some(input) = document.inputs.iter().find(|input| input.name == axis.name) else {
            let all = || document.inputs.iter().map(|input| input.name.as_str());
            let hint = suggestions.did_you_mean(&axis.name, all()).unwrap_or_else(|| match document.inputs.len() {
                0 => "the graph has no inputs".into(),
                _ => format!("the graph's inputs are {}", names::list(all(), "and")),
            });
            let message = format!("the graph has no input `{}` to sweep over", shorten(&axis.name));
            problems.push(Diagnostic::error("unknown-graph-input", message).at(axis.at).hint(hint));
            continue;
        };
        for value in &axis.values {
            if let Err((subject, unfit)) = evaluate(input, value, &settings.folder, suggestions) {
                let message = format!("{subject} {}", unfit.message);
                problems.push(Diagnostic::error(unfit.code, message).at(value.at).hint(unfit.hint));
            }
        }
    }
    if sweep.axes.is_empty() {
        let hint = r#"write which inputs take which values: "axes": { "seed": "1..4" }"#.to_owned();
        problems.push(Diagnostic::error("bad-sweep", "the sweep has no axes").at(sweep.at).hint(hint));
    } else if let Err(message) = declared(document, sweep, &settings.folder).cases() {
        problems.push(Diagnostic::error("bad-sweep", message).at(sweep.at));
    }
}

fn declared(document: &Document, sweep: &SweepDeclaration, folder: &Path) -> Sweep {
    let axis = |axis: &AxisDeclaration| {
        let input = document.inputs.iter().find(|input| input.name == axis.name);
        let is_path = input.is_some_and(|input| input.ty == Some(PortType::Path));
        let value = |json: &Json| match &json.kind {
            // What comes from outside counts from elsewhere.
            Kind::Text(path) if is_path => AxisValue::Json(resolve_path(folder, path).into()),
            _ => AxisValue::Json(json.to_value()),
        };
        Axis { name: axis.name.clone(), values: axis.values.iter().map(value).collect() }
    };
    Sweep { axes: sweep.axes.iter().map(axis).collect(), zip: sweep.zip }
}

impl Document {
    /// The sweep that the document asks for. Paths in it count from `folder`.
    pub fn sweep(&self, folder: &Path) -> Option<Sweep> {
        self.sweep.as_ref().map(|sweep| declared(self, sweep, folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("1..4", Some(Ok("1 2 3 4"))),
            ("-1..1", Some(Ok("-1 0 1"))),
            ("0..1:0.25", Some(Ok("0.00 0.25 0.50 0.75 1.00"))),
            ("0..0.3:0.1", Some(Ok("0.0 0.1 0.2 0.3"))),
            ("1..10:4", Some(Ok("1 5 9"))),
            ("7..7", Some(Ok("7"))),
            ("4..1", Some(Err("holds no numbers"))),
            ("1..4:0", Some(Err("holds no numbers"))),
            ("1..4:-1", Some(Err("holds no numbers"))),
            ("0..1:0.000001", Some(Err("more than 10000"))),
            ("a cat..a dog", None),
            ("..", None),
            ("5", None),
        ] {
            match (range(text), expected) {
                (None, None) => {}
                (Some(Ok(found)), Some(Ok(expected))) => assert_eq!(found.join(" "), expected, "{text}"),
                (Some(Err(found)), Some(Err(part))) => assert!(found.contains(part), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn cases_are_all_pairs_or_side_by_side() {
        let axis = |name: &str, count: usize| Axis {
            name: name.into(),
            values: (0..count).map(|i| AxisValue::Text(i.to_string())).collect(),
        };
        let grid = Sweep { axes: vec![axis("a", 2), axis("b", 3)], zip: false };
        assert_eq!(grid.cases().unwrap(), [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        let side = Sweep { axes: vec![axis("a", 3), axis("b", 3)], zip: true };
        assert_eq!(side.cases().unwrap(), [[0, 0], [1, 1], [2, 2]]);
        assert!(Sweep { zip: true, ..grid }.cases().unwrap_err().contains("`a` has 2, `b` has 3"));
        let huge = Sweep { axes: (0..9).map(|i| axis(&i.to_string(), 1000)).collect(), zip: false };
        assert!(huge.cases().unwrap_err().contains("more than 10000"));
    }
}
