//! dc-graph: a headless host for node-graph image workflows.
//!
//! # How data flows
//!
//! ```text
//! graph.json ──parse──▶ Document ──validate──▶ Graph ──plan──▶ Plan ──execute──▶ files, outputs
//!                       (can be wrong)  │       (cannot be      (pruned, ordered,      │
//!                                       │        wrong)          a content key each)   │
//!                                       ▼                                              ▼
//!                                  diagnostics                                      events
//! ```
//!
//! Documents can include others; a graph is flat all the same, the nodes of included documents among the rest. Where its
//! shape hangs on values (a list whose elements are gone through, a choice), execution computes these first.
//!
//! One way, each stage a type of its own. Problems of a document are data ([`graph::Diagnostic`]) and are reported all
//! at once before anything expensive runs. Whoever wants to follow a run (the command line, a watcher, a server) listens
//! to the same [`exec::Event`]s.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`graph`] | documents, validation, the validated graph, the JSON Schema |
//! | [`exec`] | plans, content keys, execution, events, cancellation |
//! | [`registry`] | node type to implementation |
//! | [`proof`] | locks, what made a picture, and what differs |
//! | [`store`] | what nodes gave in earlier runs, on disk |
//! | [`plugin`] | node packs |
//! | `watch` | the files a run depended on (feature `watch`) |
//!
//! # Invariants
//! - This library names no tensor, model or device; the built-in nodes join in only at the binary (feature `cli`).
//! - No global state: registry, caches and cancellation are arguments.
//! - A failing, panicking or lying node fails its run, never the process.

pub mod exec;
pub mod graph;
pub mod plugin;
pub mod proof;
pub mod registry;
pub mod store;
#[cfg(test)]
mod testing;
#[cfg(feature = "watch")]
pub mod watch;

pub use dc_graph_node_api as api;
