//! What a run gives back, and how it fails.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dc_graph_node_api::{NodeError, Value};
use serde::{Serialize, Serializer};
use serde_json::json;

/// A run that went well.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The graph's named outputs, in document order. As JSON: plain values as they are, others by type and size.
    #[serde(serialize_with = "outputs_as_json")]
    pub outputs: Vec<(String, Value)>,
    /// Every planned node, in the order in which they were done.
    pub nodes: Vec<NodeTiming>,
    /// How long the run took.
    pub seconds: f64,
    /// Every file that it depended on, beside the graph itself; absolute.
    #[serde(skip)]
    pub read: Vec<PathBuf>,
}

/// How long a node took.
#[derive(Clone, Debug, Serialize)]
pub struct NodeTiming {
    /// Its id in the document.
    #[serde(serialize_with = "text_as_json")]
    pub node: Arc<str>,
    /// Its type.
    #[serde(rename = "type", serialize_with = "text_as_json")]
    pub type_name: Arc<str>,
    /// How long it ran; 0 when it did not.
    pub seconds: f64,
    /// Whether it did not run, because its outputs were known or nobody needed them.
    pub cached: bool,
}

/// A run that came to no end. The process and the other runs in it go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A node gave an error, or not what it declares.
    #[error("`{node}` ({type_name}): {message}")]
    NodeFailed {
        /// Its id.
        node: String,
        /// Its type.
        type_name: String,
        /// What went wrong, and what that came from.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A node panicked.
    #[error("`{node}` ({type_name}) panicked: {message}")]
    NodePanicked {
        /// Its id.
        node: String,
        /// Its type.
        type_name: String,
        /// What it said.
        message: String,
    },
    /// The system gives no thread to run nodes on.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

impl RunError {
    /// What to do about it, if something is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NodeFailed { hint, .. } => hint.as_deref(),
            Self::Cancelled | Self::NodePanicked { .. } | Self::Thread(_) => None,
        }
    }
}

/// A node's error with everything it came from: `cannot load the model: unet.safetensors: no such file`.
pub(super) fn message_with_sources(error: &NodeError) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Some errors tell their cause themselves.
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = cause.source();
    }
    message
}

fn text_as_json<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn outputs_as_json<S: Serializer>(outputs: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(outputs.iter().map(|(name, value)| (name, value_as_json(value))))
}

/// A value as a script reads it: plain values as they are, others by type and size.
pub fn value_as_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Boolean(v) => json!(v),
        Value::Integer(v) => json!(v),
        Value::Number(v) => json!(v),
        Value::Text(v) | Value::Path(v) => json!(&**v),
        Value::List(_, elements) => elements.iter().map(value_as_json).collect(),
        Value::Image(v) => {
            let [width, height, channels] = [v.width(), v.height(), v.channels().into()];
            json!({ "type": "core:image", "width": width, "height": height, "channels": channels })
        }
        Value::Mask(v) => json!({ "type": "core:mask", "width": v.width(), "height": v.height() }),
        Value::Native(v) => json!({ "type": v.type_name(), "summary": v.summary() }),
    }
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, PortType};

    use super::*;

    #[test]
    fn sources_are_told_once() {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no such file");
        for (error, expected) in [
            (NodeError::failed("out of paint"), "out of paint"),
            (NodeError::input("seed", "too large"), "`seed`: too large"),
            (NodeError::File { path: "a.png".into(), source: missing() }, "a.png: no such file"),
            (NodeError::caused_by("cannot load", missing()), "cannot load: no such file"),
            (
                NodeError::caused_by("cannot load", NodeError::caused_by("bad header", missing())),
                "cannot load: bad header: no such file",
            ),
        ] {
            assert_eq!(message_with_sources(&error), expected);
        }
    }

    #[test]
    fn reports_are_json() {
        let image = Image::new(2, 1, 3, dc_graph_node_api::Pixels::U8(vec![0; 6])).unwrap();
        let report = RunReport {
            outputs: vec![
                ("n".into(), Value::Number(0.5)),
                ("l".into(), Value::list(PortType::Text, vec![Value::text("a")])),
                ("i".into(), image.into()),
            ],
            nodes: vec![NodeTiming { node: "a".into(), type_name: "Number".into(), seconds: 0.25, cached: false }],
            seconds: 1.5,
            read: vec![],
        };
        let expected = json!({
            "outputs": { "n": 0.5, "l": ["a"], "i": { "type": "core:image", "width": 2, "height": 1, "channels": 3 } },
            "nodes": [{ "node": "a", "type": "Number", "seconds": 0.25, "cached": false }],
            "seconds": 1.5,
        });
        assert_eq!(serde_json::to_value(report).unwrap(), expected);
    }
}
