//! Events as JSON, one object a line.
//!
//! | `event` | other fields |
//! | --- | --- |
//! | `run_started` | `nodes`: how many nodes the plan holds |
//! | `started` | `node`: its id, `type`: its type |
//! | `reads` | `node`, `path`: a file whose name came through a link |
//! | `progress` | `node`, `step`, `total` |
//! | `preview` | `node`, `width`, `height` |
//! | `log` | `node`, `level`: `info` or `warning`, `message` |
//! | `wrote` | `node`, `path` |
//! | `kept` | `node`, `path` |
//! | `cached` | `node` |
//! | `finished` | `node`, `seconds` |
//! | `failed` | `node`, `seconds`, `message` |
//! | `interrupted`, `error`, `warning` | `message`; said by the program itself |
//!
//! Those of `dc-graph watch` besides, each with a `message`:
//!
//! | `event` | other fields |
//! | --- | --- |
//! | `run` | `run`: its number in this sitting, from 1 |
//! | `problems` | `file`, `diagnostics`: what is wrong with the graph, or with what a plugin says |
//! | `ended` | `run`, `status`: `done`, `invalid`, `failed`, `obsolete` or `interrupted`, `seconds`, `files`, `ran`: node ids, `outputs` |
//! | `waiting` | `files`: how many are watched, `look_every`: seconds, when the system does not tell what changes |
//! | `changed` | `files` |
//! | `unchanged` | `files`: something happened to them, and they hold what they held |
//! | `obsolete` | `run`: it is stopped, because an edit made it obsolete |
//! | `plugins` | `nodes`: how many node types plugins bring now |
//! | `exec` | a line that the command of `--exec` wrote, or how it ended |
//! | `page` | `url` of the preview page |

use dc_graph::api::LogLevel;
use dc_graph::exec::Event;
use serde_json::{Value, json};

/// One event.
pub(crate) fn event(event: &Event) -> Value {
    match event {
        Event::RunStarted { nodes } => json!({ "event": "run_started", "nodes": nodes }),
        Event::RunGrew { nodes } => json!({ "event": "run_grew", "nodes": nodes }),
        Event::Started { node, type_name } => json!({ "event": "started", "node": **node, "type": **type_name }),
        Event::Reads { node, path, .. } => {
            json!({ "event": "reads", "node": **node, "path": path.display().to_string() })
        }
        Event::Progress { node, step, total } => {
            json!({ "event": "progress", "node": **node, "step": step, "total": total })
        }
        Event::Preview { node, image } => {
            json!({ "event": "preview", "node": **node, "width": image.width(), "height": image.height() })
        }
        Event::Log { node, level, message } => {
            let level = match level {
                LogLevel::Info => "info",
                LogLevel::Warning => "warning",
            };
            json!({ "event": "log", "node": **node, "level": level, "message": message })
        }
        Event::Wrote { node, path } => json!({ "event": "wrote", "node": **node, "path": path.display().to_string() }),
        Event::Kept { node, path } => json!({ "event": "kept", "node": **node, "path": path.display().to_string() }),
        Event::Cached { node } => json!({ "event": "cached", "node": **node }),
        Event::Finished { node, took } => {
            json!({ "event": "finished", "node": **node, "seconds": took.as_secs_f64() })
        }
        Event::Failed { node, took, message } => {
            json!({ "event": "failed", "node": **node, "seconds": took.as_secs_f64(), "message": message })
        }
    }
}
