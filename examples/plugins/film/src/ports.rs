//! What the nodes take and give, and how inputs are read.

use crate::dc_graph::node::types::{Failure, Image, NamedValue, Value};
use crate::exports::dc_graph::node::nodes::{InputPort, NodeSpec, OutputPort};

pub const FILM_GRAIN: &str = "Film Grain";
pub const PALETTE_QUANTISE: &str = "Palette Quantise";

pub fn film_grain() -> NodeSpec {
    node(
        FILM_GRAIN,
        "Lays the grain of photographic film over a picture. It is strongest in the midtones and leaves black and white alone.",
        vec![
            image("The picture"),
            number("amount", 0.1, (0.0, 1.0), "Standard deviation of the grain in the midtones, of samples from 0 to 1"),
            number("size", 1.5, (1.0, 16.0), "Size of a grain in pixels"),
            InputPort {
                default_value: Some(Value::Boolean(true)),
                ..input("monochrome", "core:boolean", "Whether all colours get the same grain")
            },
            InputPort {
                default_value: Some(Value::Integer(0)),
                ..input("seed", "core:integer", "Another number gives other grain")
            },
        ],
        vec![output("image", "core:image", "The picture with grain, in the type it came in")],
    )
}

pub fn palette_quantise() -> NodeSpec {
    node(
        PALETTE_QUANTISE,
        "Paints a picture with few colours. They are chosen from the picture by median cut and k-means; alpha stays as it is.",
        vec![
            image("The picture"),
            InputPort {
                default_value: Some(Value::Integer(8)),
                minimum: Some(2.0),
                maximum: Some(256.0),
                ..input("colors", "core:integer", "How many colours at most")
            },
            InputPort {
                default_value: Some(Value::Boolean(false)),
                ..input("dither", "core:boolean", "Whether errors are spread to the neighbours (Floyd and Steinberg)")
            },
        ],
        vec![
            output("image", "core:image", "The picture in these colours"),
            output("palette", "core:list<core:text>", "The colours as `#rrggbb`, the most used first"),
        ],
    )
}

fn node(name: &str, description: &str, inputs: Vec<InputPort>, outputs: Vec<OutputPort>) -> NodeSpec {
    NodeSpec {
        type_name: name.into(),
        category: "image".into(),
        description: description.into(),
        version: 1,
        deterministic: true,
        effect: false,
        inputs,
        outputs,
    }
}

fn input(name: &str, port_type: &str, description: &str) -> InputPort {
    InputPort {
        name: name.into(),
        port_type: port_type.into(),
        description: description.into(),
        required: false,
        default_value: None,
        minimum: None,
        maximum: None,
        choices: Vec::new(),
    }
}

fn image(description: &str) -> InputPort {
    InputPort { required: true, ..input("image", "core:image", description) }
}

fn number(name: &str, default: f64, (minimum, maximum): (f64, f64), description: &str) -> InputPort {
    InputPort {
        default_value: Some(Value::Number(default)),
        minimum: Some(minimum),
        maximum: Some(maximum),
        ..input(name, "core:number", description)
    }
}

fn output(name: &str, port_type: &str, description: &str) -> OutputPort {
    OutputPort { name: name.into(), port_type: port_type.into(), description: description.into() }
}

/// A result on a port.
pub fn give(name: &str, value: Value) -> NamedValue {
    NamedValue { name: name.into(), value }
}

pub fn failure(message: String, input: Option<&str>) -> Failure {
    Failure { message, input: input.map(str::to_owned), hint: None }
}

/// The inputs of one call. The host has checked them against the spec, so that the failures below should never be seen.
pub struct Inputs(pub Vec<NamedValue>);

impl Inputs {
    /// Takes the value of a port out: an image can be moved only once.
    fn take<T>(&mut self, name: &str, pick: impl FnOnce(Value) -> Option<T>) -> Result<T, Failure> {
        let found = self.0.iter().position(|input| input.name == name).map(|at| self.0.swap_remove(at).value);
        found.and_then(pick).ok_or_else(|| failure("is missing or of another type".into(), Some(name)))
    }

    pub fn image(&mut self, name: &str) -> Result<Image, Failure> {
        self.take(name, |value| if let Value::Image(image) = value { Some(image) } else { None })
    }

    pub fn number(&mut self, name: &str) -> Result<f64, Failure> {
        self.take(name, |value| if let Value::Number(number) = value { Some(number) } else { None })
    }

    pub fn integer(&mut self, name: &str) -> Result<i64, Failure> {
        self.take(name, |value| if let Value::Integer(integer) = value { Some(integer) } else { None })
    }

    pub fn boolean(&mut self, name: &str) -> Result<bool, Failure> {
        self.take(name, |value| if let Value::Boolean(boolean) = value { Some(boolean) } else { None })
    }
}
