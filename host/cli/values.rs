//! Values as a person or a script reads them.

use std::fmt::Write;

use dc_graph::api::Value;
use serde_json::json;

/// As data. Pictures and opaque values are described, not written out.
pub(crate) fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Boolean(v) => json!(v),
        Value::Integer(v) => json!(v),
        Value::Number(v) => json!(v),
        Value::Text(v) | Value::Path(v) => json!(**v),
        Value::Image(v) => {
            json!({ "type": "core:image", "width": v.width(), "height": v.height(), "channels": v.channels() })
        }
        Value::Mask(v) => json!({ "type": "core:mask", "width": v.width(), "height": v.height() }),
        Value::List(_, values) => values.iter().map(to_json).collect(),
        Value::Native(v) => json!({ "type": v.type_name(), "summary": v.summary() }),
    }
}

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
