//! Values written in a document or on the command line, as values of a port's type.

use std::ops::RangeInclusive;
use std::path::Path;

use dc_graph_node_api::{InputSpec, PortType, Value};

use super::json::{self, Json, Kind};
use super::names::{self, Suggestions};
use super::{Location, resolve_path};

/// Why a value is not what a port wants. The message goes on after the port's name: `expects .., found ..`.
pub(super) struct Unfit {
    pub(super) code: &'static str,
    pub(super) at: Location,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What is written, as a value of type `ty`. Relative paths count from `folder`.
pub(super) fn literal(json: &Json, ty: &PortType, folder: &Path) -> Result<Value, Unfit> {
    let unfit = |hint: Option<String>| Unfit {
        code: "wrong-kind",
        at: json.at,
        message: format!("expects `{ty}`, found {}", json.describe()),
        hint,
    };
    match (ty, &json.kind) {
        (PortType::List(of), Kind::Array(items)) => {
            let values: Result<Vec<_>, _> = items.iter().map(|item| literal(item, of, folder)).collect();
            Ok(Value::list((**of).clone(), values?))
        }
        (PortType::List(of), _) => Ok(Value::list((**of).clone(), vec![literal(json, of, folder)?])),
        (PortType::Boolean, Kind::Boolean(b)) => Ok(Value::Boolean(*b)),
        (PortType::Boolean, Kind::Text(t)) if t == "true" || t == "false" => Err(unfit(Some(without_quotes(t)))),
        (PortType::Boolean, _) => Err(unfit(Some("write `true` or `false`".into()))),
        (PortType::Integer, Kind::Number(text)) => {
            text.parse().map(Value::Integer).map_err(|_| unfit(Some(whole_number(text))))
        }
        (PortType::Number, Kind::Number(text)) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Number(number)),
            _ => Err(unfit(None)),
        },
        (PortType::Integer | PortType::Number, Kind::Text(text)) if text.parse::<f64>().is_ok() => {
            Err(unfit(Some(without_quotes(text))))
        }
        (PortType::Text, Kind::Text(text)) => Ok(Value::text(text.as_str())),
        (PortType::Text, Kind::Number(text)) => Err(unfit(Some(format!("write \"{text}\" with quotes")))),
        (PortType::Path, Kind::Text(text)) if text.is_empty() => {
            Err(Unfit { message: format!("expects `{ty}`, found an empty text"), ..unfit(None) })
        }
        (PortType::Path, Kind::Text(text)) => Ok(Value::Path(resolve_path(folder, text).into())),
        (PortType::Image | PortType::Mask | PortType::Native(_), _) => {
            Err(unfit(Some("it can only come from another node: {\"from\": \"node.port\"}".into())))
        }
        _ => Err(unfit(None)),
    }
}

/// Whether values of a type can be written in a document; others come from nodes alone.
pub(super) fn can_be_written(ty: &PortType) -> bool {
    match ty {
        PortType::List(of) => can_be_written(of),
        PortType::Image | PortType::Mask | PortType::Native(_) => false,
        _ => true,
    }
}

/// A text of the command line as JSON: what is no JSON of the type's kind stays a text, for [`literal`] to judge.
pub(super) fn from_text(text: &str, ty: &PortType, at: Location) -> Json {
    let as_text = Json { at, kind: Kind::Text(text.into()) };
    match ty {
        PortType::Text | PortType::Path => as_text,
        PortType::List(of) if !text.trim_start().starts_with('[') => from_text(text, of, at),
        _ => json::read(text.trim()).map_or(as_text, |(json, _)| json),
    }
}

/// A value as JSON; only those that can be written have one.
pub(crate) fn to_json(value: &Value, path: &dyn Fn(&str) -> String) -> serde_json::Value {
    match value {
        Value::Boolean(b) => (*b).into(),
        Value::Integer(i) => (*i).into(),
        Value::Number(n) => (*n).into(),
        Value::Text(t) => (&**t).into(),
        Value::Path(p) => path(p).into(),
        Value::List(_, items) => items.iter().map(|item| to_json(item, path)).collect(),
        Value::Image(_) | Value::Mask(_) | Value::Native(_) => serde_json::Value::Null,
    }
}

/// Checks numbers against a range and texts against a list of words, inside lists too.
pub(super) fn check_limits(
    value: &Value,
    range: Option<&RangeInclusive<f64>>,
    choices: &[String],
    at: Location,
    suggestions: &mut Suggestions,
) -> Result<(), Unfit> {
    let number = match value {
        Value::Integer(i) => Some((*i as f64, i.to_string())),
        Value::Number(n) => Some((*n, n.to_string())),
        _ => None,
    };
    match (value, number, range) {
        (Value::List(_, items), ..) => {
            items.iter().try_for_each(|item| check_limits(item, range, choices, at, suggestions))
        }
        (_, Some((number, text)), Some(range)) if !range.contains(&number) => Err(Unfit {
            code: "out-of-range",
            at,
            message: format!("must be {}, found `{text}`", describe_range(range)),
            hint: None,
        }),
        (Value::Text(text), ..) if !choices.is_empty() && !choices.iter().any(|c| **c == **text) => Err(Unfit {
            code: "not-a-choice",
            at,
            message: format!(
                "must be {}, found \"{}\"",
                names::list(choices.iter().map(String::as_str), "or"),
                json::shorten(text)
            ),
            hint: suggestions.did_you_mean(text, choices.iter().map(String::as_str)),
        }),
        _ => Ok(()),
    }
}

/// What keeps a value out of a port whose type it has, and what to do about it: the words for a document's literals serve
/// for values that come through links, too.
pub(crate) fn limit_problem(spec: &InputSpec, value: &Value) -> Option<(String, Option<String>)> {
    let nowhere = Location { line: 0, column: 0 };
    let checked = check_limits(value, spec.range.as_ref(), &spec.choices, nowhere, &mut Suggestions::default());
    checked.err().map(|unfit| (unfit.message, unfit.hint))
}

/// `from 1 to 1000`
pub(crate) fn describe_range(range: &RangeInclusive<f64>) -> String {
    let (least, most) = (range.start(), range.end());
    match (least.is_finite(), most.is_finite()) {
        (true, true) => format!("from {least} to {most}"),
        (true, false) => format!("at least {least}"),
        (false, true) => format!("at most {most}"),
        (false, false) => "any number".into(),
    }
}

fn without_quotes(text: &str) -> String {
    format!("write `{}` without quotes", json::shorten(text))
}

fn whole_number(text: &str) -> String {
    match text.parse::<f64>() {
        // 2^53: all whole numbers up to it are exact.
        Ok(n) if n.abs() < 9_007_199_254_740_992.0 && n.fract() == 0.0 => format!("write `{n}`"),
        Ok(n) if n.abs() < 9_007_199_254_740_992.0 => {
            format!("write a whole number: `{}` or `{}`", n.floor(), n.ceil())
        }
        _ => "integers have 64 bits: at most 9223372036854775807".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Location = Location { line: 1, column: 1 };

    #[test]
    fn texts_of_the_command_line_become_values() {
        let words = PortType::Text.list();
        for (text, ty, expected) in [
            ("16", PortType::Integer, Ok("16")),
            (" 16 ", PortType::Integer, Ok("16")),
            ("-3", PortType::Integer, Ok("-3")),
            ("16.9", PortType::Integer, Err("expects `core:integer`, found `16.9`")),
            ("16.0", PortType::Integer, Err("expects `core:integer`, found `16.0`")),
            ("18446744073709551616", PortType::Integer, Err("expects `core:integer`, found `18446744073709551616`")),
            ("many", PortType::Integer, Err("expects `core:integer`, found the text \"many\"")),
            ("7.5", PortType::Number, Ok("7.5")),
            ("7", PortType::Number, Ok("7.0")),
            ("true", PortType::Boolean, Ok("true")),
            ("yes", PortType::Boolean, Err("expects `core:boolean`, found the text \"yes\"")),
            ("true", PortType::Text, Ok("\"true\"")),
            ("", PortType::Text, Ok("\"\"")),
            ("", PortType::Path, Err("expects `core:path`, found an empty text")),
            ("a/b.png", PortType::Path, Ok("\"/folder/a/b.png\"")),
            ("[\"a\", \"b\"]", words.clone(), Ok("[\"a\",\"b\"]")),
            ("a", words.clone(), Ok("[\"a\"]")),
            ("[1]", words, Err("expects `core:text`, found `1`")),
        ] {
            let found = literal(&from_text(text, &ty, HERE), &ty, Path::new("/folder"));
            let found = found.as_ref().map(|v| to_json(v, &str::to_owned).to_string());
            assert_eq!(found.as_deref().map_err(|u| u.message.as_str()), expected, "{text} as {ty}");
        }
    }

    #[test]
    fn ranges_read_well() {
        for (range, expected) in [
            (1.0..=1000.0, "from 1 to 1000"),
            (0.5..=f64::INFINITY, "at least 0.5"),
            (f64::NEG_INFINITY..=0.0, "at most 0"),
        ] {
            assert_eq!(describe_range(&range), expected);
        }
    }
}
