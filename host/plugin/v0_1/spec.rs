//! What a plugin says about its nodes, checked: a spec that lies would be found out only in the middle of a run.

use dc_graph_node_api::{InputSpec, NodeSpec, OutputSpec, PortType, StepHookValue, Tensor, Value};

use super::super::fault::plain;
use super::bindings::dc_graph::node::types;
use super::bindings::exports::dc_graph::node::nodes;

/// Nodes of a plugin, and ports of a node, at most.
const MAX_NODES: usize = 1000;
const MAX_PORTS: usize = 100;
/// Characters of a name, and of a description.
const MAX_NAME: usize = 100;
const MAX_TEXT: usize = 4000;

/// The specs of all nodes of a plugin.
pub(super) fn specs(found: Vec<nodes::NodeSpec>, has_step_hooks: bool) -> Result<Vec<NodeSpec>, String> {
    if found.is_empty() || found.len() > MAX_NODES {
        return Err(format!("it describes {} nodes, expected from 1 to {MAX_NODES}", found.len()));
    }
    let mut specs: Vec<NodeSpec> = Vec::new();
    for node in found {
        let name = plain(&node.type_name, MAX_NAME);
        let spec = spec(node).map_err(|problem| format!("its node `{name}` {problem}"))?;
        if specs.iter().any(|other| other.type_name == spec.type_name) {
            return Err(format!("it describes the node `{name}` twice"));
        }
        if is_step_hook(&spec) && !has_step_hooks {
            return Err(format!("its node `{name}` is a step hook, but it does not export `step-hooks`"));
        }
        specs.push(spec);
    }
    Ok(specs)
}

/// Whether the node is a step hook: the contract says which are.
pub(super) fn is_step_hook(spec: &NodeSpec) -> bool {
    spec.outputs.iter().any(|output| output.ty == PortType::native(StepHookValue::TYPE_NAME))
}

fn spec(node: nodes::NodeSpec) -> Result<NodeSpec, String> {
    let words = |text: &str| text.split(' ').all(|word| !word.is_empty() && word.chars().all(is_in_name));
    if !words(&node.type_name) || node.type_name.chars().count() > MAX_NAME {
        return Err("has a bad name: expected words of letters, digits, `-` and `_`, such as `Film Grain`".into());
    }
    if !words(&node.category) || node.category.chars().count() > MAX_NAME {
        return Err("has a bad category: expected words such as `image`".into());
    }
    text(&node.description)?;
    if node.description.trim().is_empty() {
        return Err("has no description".into());
    }
    let mut spec = NodeSpec::new(&node.type_name, &node.category, &node.description);
    spec.version = node.version;
    spec.deterministic = node.deterministic;
    spec.effect = node.effect;
    if node.inputs.len() > MAX_PORTS || node.outputs.len() > MAX_PORTS {
        return Err(format!("has more than {MAX_PORTS} inputs or outputs"));
    }
    for port in node.inputs {
        let name = port_name(&port.name, spec.inputs.iter().map(|input| input.name.as_str()))?;
        spec.inputs.push(input(port).map_err(|problem| format!("has a bad input `{name}`: {problem}"))?);
    }
    for port in node.outputs {
        let name = port_name(&port.name, spec.outputs.iter().map(|output| output.name.as_str()))?;
        let output = text(&port.description).and_then(|()| port_type(&port.port_type));
        let ty = output.map_err(|problem| format!("has a bad output `{name}`: {problem}"))?;
        spec.outputs.push(OutputSpec { name, ty, description: port.description });
    }
    if is_step_hook(&spec) && spec.outputs.len() > 1 {
        return Err(format!("gives a `{}` and something else", StepHookValue::TYPE_NAME));
    }
    Ok(spec)
}

fn is_in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}

fn text(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        return Err("has a description with control characters or line breaks".into());
    }
    if text.chars().count() > MAX_TEXT {
        return Err(format!("has a description of more than {MAX_TEXT} characters"));
    }
    Ok(())
}

fn port_name<'a>(name: &str, mut others: impl Iterator<Item = &'a str>) -> Result<String, String> {
    let plain_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= MAX_NAME;
    if !plain_name {
        let shown = plain(name, MAX_NAME);
        return Err(format!("has a port `{shown}`: expected a name of `a` to `z`, `0` to `9` and `_`"));
    }
    if others.any(|other| other == name) {
        return Err(format!("has two ports `{name}`"));
    }
    Ok(name.into())
}

fn input(port: nodes::InputPort) -> Result<InputSpec, String> {
    text(&port.description)?;
    let ty = port_type(&port.port_type)?;
    let element = match &ty {
        PortType::List(of) => &**of,
        other => other,
    };
    let mut input = InputSpec::optional(&port.name, ty.clone(), &port.description);
    input.required = port.required;
    if port.minimum.is_some() || port.maximum.is_some() {
        if !matches!(element, PortType::Integer | PortType::Number) {
            return Err(format!("a `{ty}` has no minimum and no maximum"));
        }
        let (least, most) = (port.minimum.unwrap_or(f64::NEG_INFINITY), port.maximum.unwrap_or(f64::INFINITY));
        // Not so with NaN.
        let ordered = least <= most;
        if !ordered {
            return Err(format!("its minimum {least} is above its maximum {most}"));
        }
        input.range = Some(least..=most);
    }
    if !port.choices.is_empty() {
        if *element != PortType::Text {
            return Err(format!("a `{ty}` has no choices"));
        }
        if let Some(bad) = port.choices.iter().find(|c| c.is_empty() || c.chars().any(char::is_control)) {
            return Err(format!("`{}` is no choice", plain(bad, MAX_NAME)));
        }
        input.choices = port.choices;
    }
    if let Some(value) = port.default_value {
        if input.required {
            return Err("it is required and has a default".into());
        }
        let default = default(value)?;
        let found = default.port_type();
        let Some(default) = default.coerce(&ty) else {
            return Err(format!("its default is a `{found}`, expected a `{ty}`"));
        };
        if let Some((problem, _)) = crate::graph::limit_problem(&input, &default) {
            return Err(format!("its default {problem}"));
        }
        input.default = Some(default);
    }
    Ok(input)
}

fn default(value: types::Value) -> Result<Value, String> {
    let number = |v: f64| if v.is_finite() { Ok(Value::Number(v)) } else { Err(format!("its default is {v}")) };
    Ok(match value {
        types::Value::Boolean(v) => v.into(),
        types::Value::Integer(v) => v.into(),
        types::Value::Number(v) => number(v)?,
        types::Value::Text(v) => v.into(),
        types::Value::Path(v) => Value::Path(v.into()),
        types::Value::Booleans(v) => Value::list(PortType::Boolean, v.into_iter().map(Value::from).collect::<Vec<_>>()),
        types::Value::Integers(v) => Value::list(PortType::Integer, v.into_iter().map(Value::from).collect::<Vec<_>>()),
        types::Value::Numbers(v) => {
            Value::list(PortType::Number, v.into_iter().map(number).collect::<Result<Vec<_>, _>>()?)
        }
        types::Value::Texts(v) => Value::list(PortType::Text, v.into_iter().map(Value::from).collect::<Vec<_>>()),
        _ => return Err("its default is neither a boolean, an integer, a number, a text nor a list of these".into()),
    })
}

/// A port type as the contract spells it.
fn port_type(name: &str) -> Result<PortType, String> {
    if let Some(of) = name.strip_prefix("core:list<").and_then(|rest| rest.strip_suffix('>')) {
        return match port_type(of)? {
            PortType::List(_) => Err("lists of lists cannot be given to plugins".into()),
            of => Ok(of.list()),
        };
    }
    Ok(match name {
        "core:boolean" => PortType::Boolean,
        "core:integer" => PortType::Integer,
        "core:number" => PortType::Number,
        "core:text" => PortType::Text,
        "core:path" => PortType::Path,
        "core:image" => PortType::Image,
        "core:mask" => PortType::Mask,
        Tensor::TYPE_NAME => PortType::native(Tensor::TYPE_NAME),
        other => {
            let word = |w: &str| {
                w.starts_with(|c: char| c.is_ascii_lowercase())
                    && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            };
            match other.split_once(':') {
                Some((pack, ty)) if pack != "core" && word(pack) && word(ty) && other.len() <= MAX_NAME => {
                    PortType::Native(other.to_owned().into())
                }
                _ => return Err(format!("there is no port type `{}`", plain(other, MAX_NAME))),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> nodes::InputPort {
        nodes::InputPort {
            name: "a".into(),
            port_type: "core:number".into(),
            description: "A.".into(),
            required: false,
            default_value: None,
            minimum: None,
            maximum: None,
            choices: Vec::new(),
        }
    }

    fn node() -> nodes::NodeSpec {
        nodes::NodeSpec {
            type_name: "Film Grain".into(),
            category: "image".into(),
            description: "Grain.".into(),
            version: 3,
            deterministic: true,
            effect: false,
            inputs: vec![port()],
            outputs: vec![],
        }
    }

    #[test]
    fn good_specs() {
        let mut good = node();
        good.inputs[0].default_value = Some(types::Value::Integer(2));
        good.inputs[0].maximum = Some(2.0);
        let output = |name: &str, ty: &str| nodes::OutputPort {
            name: name.into(),
            port_type: ty.into(),
            description: "B.".into(),
        };
        good.outputs = vec![output("b", "core:list<dc:latents>"), output("c", "core:tensor")];
        let spec = &specs(vec![good], false).unwrap()[0];
        assert_eq!((spec.type_name.as_str(), spec.version), ("Film Grain", 3));
        assert_eq!(spec.inputs[0].range, Some(f64::NEG_INFINITY..=2.0));
        assert!(matches!(spec.inputs[0].default, Some(Value::Number(2.0))), "coerced");
        assert_eq!(spec.outputs[0].ty.to_string(), "core:list<dc:latents>");
        assert_eq!(spec.outputs[1].ty.to_string(), "core:tensor");
    }

    #[test]
    fn lies() {
        let check = |change: fn(&mut nodes::NodeSpec), expected: &str| {
            let mut node = node();
            change(&mut node);
            let problem = specs(vec![node], false).unwrap_err();
            assert!(problem.contains(expected), "{problem:?} should contain {expected:?}");
        };
        check(|n| n.type_name = String::new(), "has a bad name");
        check(|n| n.type_name = "Film\u{1b}[2J".into(), "its node `Film [2J` has a bad name");
        check(|n| n.type_name = "Film  Grain".into(), "has a bad name");
        check(|n| n.type_name = "x".repeat(101), "has a bad name");
        check(|n| n.category = "a/b".into(), "has a bad category");
        check(|n| n.description = " ".into(), "has no description");
        check(|n| n.description = "a\nb".into(), "control characters");
        check(|n| n.inputs = (0..101).map(|_| port()).collect(), "more than 100 inputs");
        check(|n| n.inputs.push(port()), "has two ports `a`");
        check(|n| n.inputs[0].name = "A b".into(), "has a port `A b`");
        check(|n| n.inputs[0].port_type = "image".into(), "has a bad input `a`: there is no port type `image`");
        check(|n| n.inputs[0].port_type = "core:colour".into(), "there is no port type `core:colour`");
        check(|n| n.inputs[0].port_type = "core:list<core:list<core:text>>".into(), "lists of lists");
        check(|n| n.inputs[0].minimum = Some(f64::NAN), "its minimum NaN is above its maximum inf");
        check(
            |n| (n.inputs[0].minimum, n.inputs[0].maximum) = (Some(2.0), Some(1.0)),
            "its minimum 2 is above its maximum 1",
        );
        check(|n| n.inputs[0].choices.push("x".into()), "a `core:number` has no choices");
        check(|n| n.inputs[0].default_value = Some(types::Value::Number(f64::NAN)), "its default is NaN");
        check(
            |n| n.inputs[0].default_value = Some(types::Value::Text("x".into())),
            "its default is a `core:text`, expected a `core:number`",
        );
        check(
            |n| (n.inputs[0].default_value, n.inputs[0].maximum) = (Some(types::Value::Number(3.0)), Some(1.0)),
            "its default must be at most 1",
        );
        check(
            |n| (n.inputs[0].default_value, n.inputs[0].required) = (Some(types::Value::Number(3.0)), true),
            "it is required and has a default",
        );
        check(
            |n| {
                n.outputs.push(nodes::OutputPort {
                    name: "hook".into(),
                    port_type: "dc:step-hook".into(),
                    description: String::new(),
                });
            },
            "is a step hook, but it does not export `step-hooks`",
        );
        assert!(specs(vec![node(), node()], false).unwrap_err().contains("twice"));
        assert!(specs(vec![], false).unwrap_err().contains("describes 0 nodes"));
    }
}
