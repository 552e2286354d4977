//! Values as a person reads them.

use std::fmt::Write;

use dc_graph::api::Value;

/// On one line.
pub(crate) fn to_text(value: &Value) -> String {
    match value {
        Value::Boolean(v) => v.to_string(),
        Value::Integer(v) => v.to_string(),
        Value::Number(v) => v.to_string(),
        Value::Text(v) | Value::Path(v) => v.to_string(),
        Value::Image(v) => {
            let kind = match v.channels() {
                1 => "grey",
                3 => "RGB",
                _ => "RGBA",
            };
            format!("image {}x{} {kind}", v.width(), v.height())
        }
        Value::Mask(v) => format!("mask {}x{}", v.width(), v.height()),
        Value::List(_, values) if !values.is_empty() && values.iter().all(is_plain) => {
            values.iter().map(to_text).collect::<Vec<_>>().join(", ")
        }
        Value::List(of, values) => {
            let mut text = format!("{} of {of}", values.len());
            for (index, value) in values.iter().enumerate() {
                let _ = write!(text, "{}{}", if index == 0 { ": " } else { ", " }, to_text(value));
            }
            text
        }
        Value::Native(v) => format!("{} ({})", v.type_name(), v.summary()),
    }
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Image(_) | Value::Mask(_) | Value::List(..) | Value::Native(_))
}
