//! What a node tells about itself.

use std::ops::RangeInclusive;

use crate::value::{PortType, Value};

/// Where a node runs. Nodes of one named lane run one at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// On the host's threads, beside anything else.
    #[default]
    Host,
    /// On the compute device that the program was started with: one node at a time.
    Device,
}

/// A node type: its name, its ports and how it behaves.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// The name a person reads and writes in a document: `Load Image`.
    pub type_name: String,
    /// A heading for listings: `image`, `text`, `diffusion`.
    pub category: String,
    /// What it does, in sentences. The first one stands in tables.
    pub description: String,
    /// Raised whenever the same inputs give other outputs than before. Part of every content key.
    pub version: u32,
    /// Whether the same inputs always give the same outputs. The results of others are never reused.
    pub deterministic: bool,
    /// Whether running it has a purpose beyond its outputs (it writes files). Such nodes always run.
    pub effect: bool,
    /// Where it runs.
    pub lane: Lane,
    /// Input ports, in the order in which they are listed.
    pub inputs: Vec<InputSpec>,
    /// Output ports, in the order in which they are listed.
    pub outputs: Vec<OutputSpec>,
}

impl NodeSpec {
    /// A deterministic node on the host's threads, version 1, without ports.
    pub fn new(type_name: &str, category: &str, description: &str) -> Self {
        Self {
            type_name: type_name.into(),
            category: category.into(),
            description: description.into(),
            version: 1,
            deterministic: true,
            effect: false,
            lane: Lane::Host,
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Adds an input port.
    pub fn input(mut self, input: InputSpec) -> Self {
        self.inputs.push(input);
        self
    }

    /// Adds an output port.
    pub fn output(mut self, name: &str, ty: PortType, description: &str) -> Self {
        self.outputs.push(OutputSpec { name: name.into(), ty, description: description.into() });
        self
    }

    /// Puts the node on the device's lane.
    pub fn on_device(mut self) -> Self {
        self.lane = Lane::Device;
        self
    }

    /// Marks a node that writes files.
    pub fn with_effect(mut self) -> Self {
        self.effect = true;
        self
    }
}

/// An input port.
#[derive(Clone, Debug)]
pub struct InputSpec {
    /// As written in documents: `num_inference_steps`.
    pub name: String,
    /// What it accepts.
    pub ty: PortType,
    /// What it means, with units and ranges.
    pub description: String,
    /// Whether a document must give it.
    pub required: bool,
    /// What it is when a document does not give it. An optional input without a default is absent.
    pub default: Option<Value>,
    /// Numbers only: smallest and largest allowed value.
    pub range: Option<RangeInclusive<f64>>,
    /// Texts only: the allowed values; empty when any text goes.
    pub choices: Vec<String>,
}

impl InputSpec {
    fn new(name: &str, ty: PortType, description: &str) -> Self {
        Self {
            name: name.into(),
            ty,
            description: description.into(),
            required: false,
            default: None,
            range: None,
            choices: Vec::new(),
        }
    }

    /// An input that a document must give.
    pub fn required(name: &str, ty: PortType, description: &str) -> Self {
        Self { required: true, ..Self::new(name, ty, description) }
    }

    /// An input that may be absent.
    pub fn optional(name: &str, ty: PortType, description: &str) -> Self {
        Self::new(name, ty, description)
    }

    /// An input with a default value; its type is the value's.
    pub fn with_default(name: &str, default: impl Into<Value>, description: &str) -> Self {
        let default = default.into();
        Self { default: Some(default.clone()), ..Self::new(name, default.port_type(), description) }
    }

    /// Limits a number.
    pub fn range(mut self, range: RangeInclusive<f64>) -> Self {
        self.range = Some(range);
        self
    }

    /// Limits a text to a list of words.
    pub fn choices(mut self, choices: &[&str]) -> Self {
        self.choices = choices.iter().map(|c| (*c).into()).collect();
        self
    }
}

/// An output port.
#[derive(Clone, Debug)]
pub struct OutputSpec {
    /// As written in documents: `image` in `portrait.image`.
    pub name: String,
    /// What it gives.
    pub ty: PortType,
    /// What it means.
    pub description: String,
}
