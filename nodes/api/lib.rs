//! The contract between the dc-graph host and its nodes.
//!
//! A node pack depends on this package alone. The host depends on it too, and on no node pack.
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`value`] | [`Value`]: what travels along an edge, and [`PortType`]: what a port accepts |
//! | [`image`] | [`Image`] and [`Mask`]: plain pixels, no codecs |
//! | [`spec`] | [`NodeSpec`]: what a node tells about itself (ports, defaults, ranges, choices) |
//! | [`tensor`] | [`Tensor`]: plain numbers, no device |
//! | [`node`] | [`Node`]: the trait; [`Inputs`] and [`Outputs`] |
//! | [`step_hook`] | [`StepHook`]: what changes latents between the steps of a sampler |
//! | [`context`] | [`RunContext`]: progress, previews, cancellation, files, provenance |
//! | [`portable`] | [`Portable`]: opaque values taken apart, and [`Decoders`] that put them together again |
//! | [`error`] | [`NodeError`] and [`InputProblem`] |
//!
//! # Invariants
//! - The host gives `run` every declared input, coerced, defaulted and inside its range; a missing optional input is absent.
//! - A node gives back every declared output, of the declared type; the host checks it.
//! - A deterministic node gives the same outputs for the same inputs, the same [`Node::key_salt`] and the same contents of the files that [`Node::reads`] names.

pub mod context;
pub mod error;
pub mod image;
pub mod node;
pub mod portable;
pub mod spec;
pub mod step_hook;
pub mod tensor;
pub mod value;

pub use context::{LogLevel, RunContext};
pub use error::{InputProblem, NodeError};
pub use image::{Image, Mask, Pixels};
pub use node::{Inputs, Node, Origin, Outputs};
pub use portable::{Decode, Decoders, Portable};
pub use spec::{InputSpec, Lane, NodeSpec, OutputSpec};
pub use step_hook::{HookStep, StepHook, StepHookValue};
pub use tensor::{ElementType, Tensor};
pub use value::{NativeObject, NativeValue, PortType, Value};
