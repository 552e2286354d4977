//! Sampling: the noise levels of Karras et al. as a node, and a step hook that sharpens latents.
//!
//! The package shows both sides of `sampler-plugin`: an ordinary node that gives numbers to a sampler, and a node that the
//! sampler calls back between its steps.

mod karras;
mod sharpen;

wit_bindgen::generate!({ path: "../../../nodes/api/wit/v0.1", world: "sampler-plugin" });

use dc_graph::node::host::{LogLevel, log};
use dc_graph::node::types::{Buffer, ElementType, Failure, NamedValue, Tensor, Value};
use exports::dc_graph::node::nodes::{self, InputPort, NodeSpec, OutputPort};
use exports::dc_graph::node::step_hooks::{self, StepInfo};

const KARRAS: &str = "Karras Schedule";
const SHARPEN: &str = "Sharpen Latents";

struct Sampling;

export!(Sampling);

impl nodes::Guest for Sampling {
    fn describe() -> Vec<NodeSpec> {
        vec![
            node(
                KARRAS,
                "Noise levels for a sampler, spaced as Karras et al. (2022) do. The last one is 0.",
                vec![
                    InputPort {
                        default_value: Some(Value::Integer(20)),
                        minimum: Some(1.0),
                        maximum: Some(1000.0),
                        ..input("num_inference_steps", "core:integer", "How many steps the sampler takes")
                    },
                    number("sigma_min", 0.0292, (1e-4, 1000.0), "The noise level of the last step but the end"),
                    number("sigma_max", 14.6146, (1e-4, 1000.0), "The noise level that sampling starts from"),
                    number("rho", 7.0, (1.0, 100.0), "1 spaces evenly; larger numbers take more steps at little noise"),
                ],
                OutputPort {
                    name: "sigmas".into(),
                    port_type: "core:list<core:number>".into(),
                    description: "Noise levels from `sigma_max` down to `sigma_min`, then 0: one more than there are steps".into(),
                },
            ),
            node(
                SHARPEN,
                "Sharpens latents a little after each step of a sampler. Gives pictures crisper edges.",
                vec![
                    number("amount", 0.05, (0.0, 2.0), "How much of what a blur would remove is added, at each step"),
                    number("start", 0.4, (0.0, 1.0), "The part of the steps after which it begins"),
                    number("end", 1.0, (0.0, 1.0), "The part of the steps after which it ends"),
                ],
                OutputPort {
                    name: "hook".into(),
                    port_type: "dc:step-hook".into(),
                    description: "To be given to a sampler".into(),
                },
            ),
        ]
    }

    fn run(node: String, inputs: Vec<NamedValue>) -> Result<Vec<NamedValue>, Failure> {
        tell_panics();
        if node != KARRAS {
            return Err(failure(format!("`{node}` is no node that can be run"), None));
        }
        let steps = integer(&inputs, "num_inference_steps")?;
        let (least, most) = (number_of(&inputs, "sigma_min")?, number_of(&inputs, "sigma_max")?);
        if least >= most {
            return Err(failure(format!("expected less than `sigma_max` ({most}), found {least}"), Some("sigma_min")));
        }
        let sigmas = karras::sigmas(steps as usize, least, most, number_of(&inputs, "rho")?);
        Ok(vec![NamedValue { name: "sigmas".into(), value: Value::Numbers(sigmas) }])
    }
}

impl step_hooks::Guest for Sampling {
    fn step(node: String, inputs: Vec<NamedValue>, info: StepInfo, latents: Tensor) -> Result<Tensor, Failure> {
        tell_panics();
        if node != SHARPEN {
            return Err(failure(format!("`{node}` is no step hook"), None));
        }
        let amount = number_of(&inputs, "amount")? as f32;
        let part = f64::from(info.step) / f64::from(info.total);
        if part <= number_of(&inputs, "start")? || part > number_of(&inputs, "end")? {
            return Ok(latents);
        }
        let [_, _, height, width] = latents.shape[..] else {
            return Err(failure(format!("expected latents of 4 dimensions, found {}", latents.shape.len()), None));
        };
        if latents.elements != ElementType::Float32 {
            return Err(failure("expected latents of `float32`".into(), None));
        }
        let bytes = latents.data.read_all();
        let mut numbers: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        for plane in numbers.chunks_exact_mut((height * width) as usize) {
            sharpen::sharpen(plane, height as usize, width as usize, amount);
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        Ok(Tensor { data: Buffer::from_bytes(&bytes), ..latents })
    }
}

/// There is no standard error here: what a panic says goes to the log.
fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| log(LogLevel::Warning, &panic.to_string())));
}

fn node(name: &str, description: &str, inputs: Vec<InputPort>, output: OutputPort) -> NodeSpec {
    NodeSpec {
        type_name: name.into(),
        category: "sampling".into(),
        description: description.into(),
        version: 1,
        deterministic: true,
        effect: false,
        inputs,
        outputs: vec![output],
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

fn number(name: &str, default: f64, (minimum, maximum): (f64, f64), description: &str) -> InputPort {
    InputPort {
        default_value: Some(Value::Number(default)),
        minimum: Some(minimum),
        maximum: Some(maximum),
        ..input(name, "core:number", description)
    }
}

fn failure(message: String, input: Option<&str>) -> Failure {
    Failure { message, input: input.map(str::to_owned), hint: None }
}

/// A number among the inputs. The host has checked them, so that the failure should never be seen; so for the next.
fn number_of(inputs: &[NamedValue], name: &str) -> Result<f64, Failure> {
    match inputs.iter().find(|input| input.name == name).map(|input| &input.value) {
        Some(Value::Number(number)) => Ok(*number),
        _ => Err(failure("is missing or no number".into(), Some(name))),
    }
}

fn integer(inputs: &[NamedValue], name: &str) -> Result<i64, Failure> {
    match inputs.iter().find(|input| input.name == name).map(|input| &input.value) {
        Some(Value::Integer(integer)) => Ok(*integer),
        _ => Err(failure("is missing or no integer".into(), Some(name))),
    }
}
