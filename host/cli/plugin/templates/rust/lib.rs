//! {{node}}: what the node looks like and how it runs.

mod brighten;

wit_bindgen::generate!({ path: "wit", world: "plugin" });

use dc_graph::node::host::{LogLevel, log};
use dc_graph::node::types::{Buffer, ElementType, Failure, Image, NamedValue, Value};
use exports::dc_graph::node::nodes::{Guest, InputPort, NodeSpec, OutputPort};

struct Plugin;

export!(Plugin);

impl Guest for Plugin {
    fn describe() -> Vec<NodeSpec> {
        vec![NodeSpec {
            type_name: "{{node}}".into(),
            category: "image".into(),
            description: "Makes a picture brighter.".into(),
            version: 1,
            deterministic: true,
            effect: false,
            inputs: vec![
                InputPort {
                    name: "image".into(),
                    port_type: "core:image".into(),
                    description: "The picture".into(),
                    required: true,
                    default_value: None,
                    minimum: None,
                    maximum: None,
                    choices: vec![],
                },
                InputPort {
                    name: "amount".into(),
                    port_type: "core:number".into(),
                    description: "What all samples are multiplied by".into(),
                    required: false,
                    default_value: Some(Value::Number(1.2)),
                    minimum: Some(0.0),
                    maximum: Some(10.0),
                    choices: vec![],
                },
            ],
            outputs: vec![OutputPort {
                name: "image".into(),
                port_type: "core:image".into(),
                description: "The brighter picture".into(),
            }],
        }]
    }

    fn run(_node: String, inputs: Vec<NamedValue>) -> Result<Vec<NamedValue>, Failure> {
        // There is no standard error here: what a panic says goes to the log.
        std::panic::set_hook(Box::new(|panic| log(LogLevel::Warning, &panic.to_string())));
        let (mut image, mut amount) = (None, 1.0);
        for input in inputs {
            match input.value {
                Value::Image(value) => image = Some(value),
                Value::Number(value) => amount = value as f32,
                _ => {}
            }
        }
        let Some(image) = image else {
            return Err(Failure { message: "there is no picture".into(), input: Some("image".into()), hint: None });
        };
        let mut data = image.data.read_all();
        match image.elements {
            ElementType::Uint8 => brighten::bytes(&mut data, amount),
            _ => brighten::floats(&mut data, amount),
        }
        let image = Image { data: Buffer::from_bytes(&data), ..image };
        Ok(vec![NamedValue { name: "image".into(), value: Value::Image(image) }])
    }
}
