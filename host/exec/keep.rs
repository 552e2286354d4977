//! Keeping what a node gave: in the store, by its action key.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use dc_graph_node_api::{LogLevel, RunContext, Value};

use super::Digest;
use super::action::Action;
use super::context::NodeContext;
use super::demand::Known;
use super::run::Run;
use crate::store::{Entry, KeptOutput, Written, encode};

/// The digests of a node's outputs, in the order of its spec; and the store's entry for it, when the node has an action.
pub(super) fn keep(
    run: &Run<'_>,
    place: usize,
    action: Option<&Action>,
    values: Vec<Value>,
    context: &NodeContext<'_>,
) -> Vec<Known> {
    let spec = run.node(place).node.spec();
    let mut outputs = Vec::with_capacity(values.len());
    let mut blobs = Vec::new();
    for (output, value) in spec.outputs.iter().zip(&values) {
        let bytes = encode(value).unwrap_or_else(|error| {
            context.log(LogLevel::Warning, &format!("`{}` is not kept: {error}", output.name));
            None
        });
        outputs.push(match bytes {
            Some(bytes) => {
                let (kept, blob) = KeptOutput::of_bytes(&output.name, value, bytes);
                blobs.extend(blob.map(|blob| (kept.digest, blob)));
                kept
            }
            None => {
                let digest = action.map_or_else(unlike_any_other, |action| action.derived(&output.name));
                KeptOutput::unkept(&output.name, value, digest)
            }
        });
    }
    let stored = run.options.store.zip(action).is_some_and(|(store, action)| {
        let wrote = context.wrote_files();
        let digest = |path: &PathBuf| run.options.digests.of(path).map(|digest| Written { path: path.clone(), digest });
        let Ok(wrote) = wrote.iter().map(digest).collect::<Result<Vec<_>, _>>() else { return false };
        let entry = Entry { outputs: outputs.clone(), wrote, seconds: context.seconds() };
        // What a node with an effect did, besides writing files, cannot be seen: it is done again every time.
        let kept = (!spec.effect || !entry.wrote.is_empty()) && store.put_entry(&action.key, &entry, &blobs);
        if context.has_checkpoint() {
            store.forget_checkpoint(&action.key);
        }
        kept
    });
    let known = outputs.into_iter().zip(values).map(|(output, value)| {
        let digest = Some(output.digest);
        let held = stored && output.kept != crate::store::Kept::No;
        Known { digest, kept: held.then_some(output), value: Some(value) }
    });
    known.collect()
}

/// The digest of a value that cannot be looked into and is never the same again.
fn unlike_any_other() -> Digest {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let text = format!("{} {} {}", std::process::id(), now.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed));
    blake3::hash(text.as_bytes())
}
