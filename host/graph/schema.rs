//! A JSON Schema of documents, from the registry: editors complete node types, ports, ranges and choices with it.
//!
//! Draft 7, which editors know best, and `if`/`then` for each node type, which they resolve while a node is being
//! written. `enumDescriptions` and `defaultSnippets` are VS Code's; others pass over them.

use dc_graph_node_api::{InputSpec, NodeSpec, PortType};
use serde_json::{Map, Value, json};

use super::literal::to_json;
use super::{Composite, VERSION, composite_specs};
use crate::registry::Registry;

/// The schema of documents whose nodes are those of `registry`. The same registry always gives the same text.
pub fn schema(registry: &Registry) -> Value {
    let composites = composite_specs();
    let mut specs: Vec<&NodeSpec> = registry.iter().map(|node| node.spec()).chain(&composites).collect();
    specs.sort_by(|a, b| a.type_name.cmp(&b.type_name));
    let names: Vec<&str> = specs.iter().map(|spec| spec.type_name.as_str()).collect();
    let descriptions: Vec<&str> = specs.iter().map(|spec| spec.description.as_str()).collect();
    let mut definitions = Map::new();
    definitions.insert("link".into(), link());
    definitions.insert("input".into(), input_reference());
    definitions.insert("graphInput".into(), graph_input());
    definitions.insert("value".into(), value());
    definitions.extend(specs.iter().map(|spec| (spec.type_name.clone(), inputs(spec))));
    let ports: Vec<Value> = specs
        .iter()
        .map(|spec| {
            let mut then = json!({ "properties": { "inputs": { "$ref": reference(&spec.type_name) } } });
            let composite = Composite::of(&spec.type_name);
            let keys = [
                ("path", matches!(composite, Some(Composite::Graph | Composite::ForEach))),
                ("each", composite == Some(Composite::ForEach)),
                ("inputs", spec.inputs.iter().any(|input| input.required)),
            ];
            let required: Vec<&str> = keys.iter().filter(|(_, needed)| *needed).map(|(key, _)| *key).collect();
            if !required.is_empty() {
                then["required"] = json!(required);
            }
            json!({ "if": { "properties": { "type": { "const": spec.type_name } }, "required": ["type"] }, "then": then })
        })
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "dc-graph document",
        "type": "object",
        "additionalProperties": false,
        "required": ["version", "name", "nodes"],
        "properties": {
            "$schema": { "type": "string", "description": "Where this schema is, for editors." },
            "version": { "const": VERSION, "description": "The version of the format." },
            "name": { "type": "string", "description": "A name for people." },
            "description": { "type": "string", "description": "What the graph does." },
            "inputs": {
                "type": "object",
                "description": "What can be set from outside: `--set name=value`.",
                "propertyNames": name(),
                "additionalProperties": { "$ref": "#/definitions/graphInput" },
            },
            "sweep": sweep(),
            "nodes": {
                "type": "object",
                "description": "The nodes by id.",
                "propertyNames": name(),
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["type"],
                    "properties": {
                        "type": { "description": "The node type.", "enum": names, "enumDescriptions": descriptions },
                        "label": { "type": "string", "description": "A remark for people." },
                        "path": {
                            "type": "string",
                            "minLength": 1,
                            "description": "Of a `Graph` and a `For Each`: the file of the graph that it includes.",
                        },
                        "each": {
                            "description": "Of a `For Each`: the inputs of the included graph that get one element at a time.",
                            "anyOf": [
                                { "type": "string" },
                                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                            ],
                        },
                        "inputs": { "type": "object", "description": "Values and links by input port." },
                    },
                    "allOf": ports,
                },
            },
            "outputs": {
                "type": "object",
                "description": "What a run gives: `node.port` by name.",
                "propertyNames": name(),
                "additionalProperties": { "anyOf": [port_name(), { "$ref": "#/definitions/link" }] },
            },
            "graphs": {
                "type": "object",
                "description": "Graphs that `path` names, by path: they go before files.",
                "additionalProperties": { "$ref": "#" },
            },
        },
        "definitions": definitions,
    })
}

/// What the inputs of an included graph can be given: what they accept is not this schema's to know.
fn value() -> Value {
    let one = [
        json!({ "type": ["string", "number", "boolean"] }),
        json!({ "$ref": "#/definitions/link" }),
        json!({ "$ref": "#/definitions/input" }),
    ];
    let list = json!({ "type": "array", "items": { "$ref": "#/definitions/value" } });
    json!({ "anyOf": one.into_iter().chain([list]).collect::<Vec<_>>() })
}

fn reference(definition: &str) -> String {
    // A JSON pointer inside a URI fragment.
    let escaped = definition.replace('~', "~0").replace('/', "~1").replace('%', "%25").replace(' ', "%20");
    format!("#/definitions/{escaped}")
}

/// Letters, digits, `-` and `_`, said so that every regular expression engine understands it.
fn name() -> Value {
    json!({ "pattern": "^[^-_.\\s][^.\\s]*$" })
}

fn port_name() -> Value {
    json!({ "type": "string", "pattern": "^[^.\\s]+\\.[^.\\s]+$", "description": "An output port: `node.port`." })
}

fn link() -> Value {
    json!({
        "type": "object",
        "description": "A link to the output port of another node.",
        "additionalProperties": false,
        "required": ["from"],
        "properties": { "from": port_name() },
        "defaultSnippets": [{ "label": "link", "body": { "from": "$1" } }],
    })
}

fn input_reference() -> Value {
    json!({
        "type": "object",
        "description": "The value of a graph input.",
        "additionalProperties": false,
        "required": ["input"],
        "properties": { "input": { "type": "string", "description": "The name of the graph input." } },
        "defaultSnippets": [{ "label": "graph input", "body": { "input": "$1" } }],
    })
}

fn graph_input() -> Value {
    let types = ["boolean", "integer", "number", "text", "path", "image", "mask"];
    json!({
        "type": "object",
        "description": "A graph input. Without a default it must be set for every run.",
        "additionalProperties": false,
        "required": ["type"],
        "properties": {
            "type": {
                "description": "What it is.",
                "anyOf": [
                    { "enum": types },
                    {
                        "type": "string",
                        "pattern": "^((core:)?(list<.+>|boolean|integer|number|text|path|image|mask)|[^:\\s]+:[^:\\s]+)$",
                    },
                ],
            },
            "default": { "description": "Its value unless it is set." },
            "description": { "type": "string", "description": "What it means." },
            "minimum": { "type": "number", "description": "The smallest allowed number." },
            "maximum": { "type": "number", "description": "The largest allowed number." },
            "choices": { "type": "array", "items": { "type": "string" }, "description": "The allowed texts." },
        },
    })
}

fn sweep() -> Value {
    json!({
        "type": "object",
        "description": "Runs the graph for several values of its inputs.",
        "additionalProperties": false,
        "required": ["axes"],
        "properties": {
            "axes": {
                "type": "object",
                "description": "The values by graph input: an array, or a range such as \"1..8\" or \"0..1:0.25\".",
                "propertyNames": name(),
                "additionalProperties": {
                    "anyOf": [
                        { "type": "array", "items": {} },
                        { "type": "string", "pattern": "^\\s*-?[0-9.]+\\s*\\.\\.\\s*-?[0-9.]+\\s*(:\\s*[0-9.]+\\s*)?$" },
                    ],
                },
            },
            "zip": {
                "type": "boolean",
                "description": "Whether the axes go side by side, instead of each value meeting each of the others.",
                "default": false,
            },
        },
    })
}

fn inputs(spec: &NodeSpec) -> Value {
    let properties: Map<String, Value> = spec.inputs.iter().map(|input| (input.name.clone(), port(input))).collect();
    let required: Vec<&str> = spec.inputs.iter().filter(|i| i.required).map(|i| i.name.as_str()).collect();
    let others = match Composite::of(&spec.type_name) {
        Some(_) => json!({ "$ref": "#/definitions/value" }),
        None => json!(false),
    };
    json!({
        "type": "object",
        "description": spec.description,
        "additionalProperties": others,
        "required": required,
        "properties": properties,
    })
}

fn port(input: &InputSpec) -> Value {
    let mut kinds: Vec<Value> = literal(input, &input.ty).into_iter().collect();
    kinds.push(json!({ "$ref": "#/definitions/link" }));
    kinds.push(json!({ "$ref": "#/definitions/input" }));
    if let PortType::List(of) = &input.ty {
        let mut elements: Vec<Value> = literal(input, of).into_iter().collect();
        elements.push(json!({ "$ref": "#/definitions/link" }));
        elements.push(json!({ "$ref": "#/definitions/input" }));
        kinds.push(json!({ "type": "array", "items": { "anyOf": elements } }));
    }
    let mut schema = json!({ "description": format!("{} ({})", input.description, input.ty), "anyOf": kinds });
    if let Some(default) = &input.default {
        let default = to_json(default, &str::to_owned);
        if !default.is_null() {
            schema["default"] = default;
        }
    }
    schema
}

/// What can be written for a type; nothing when it can only be linked. One value stands for a list of one.
fn literal(input: &InputSpec, ty: &PortType) -> Option<Value> {
    let mut schema = match ty {
        PortType::Boolean => json!({ "type": "boolean" }),
        PortType::Integer => json!({ "type": "integer" }),
        PortType::Number => json!({ "type": "number" }),
        PortType::Text if !input.choices.is_empty() => json!({ "enum": input.choices }),
        PortType::Text => json!({ "type": "string" }),
        PortType::Path => json!({ "type": "string", "minLength": 1 }),
        PortType::List(of) => return literal(input, of),
        PortType::Image | PortType::Mask | PortType::Native(_) => return None,
    };
    if let (PortType::Integer | PortType::Number, Some(range)) = (ty, &input.range) {
        for (key, limit) in [("minimum", *range.start()), ("maximum", *range.end())] {
            if limit.is_finite() {
                schema[key] = json!(limit);
            }
        }
    }
    Some(schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// As much of draft 7 as [`schema`] uses, without patterns.
    fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
        let all = |key: &str, test: &dyn Fn(&Value) -> bool| schema[key].as_array().is_none_or(|s| s.iter().all(test));
        let fits = |s: &Value| accepts(root, s, value);
        if let Some(pointer) = schema["$ref"].as_str() {
            let pointer = pointer.trim_start_matches('#').replace("%20", " ");
            return fits(root.pointer(&pointer).unwrap_or_else(|| panic!("{pointer} is not there")));
        }
        let of_type = match schema["type"].as_str() {
            None => true,
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("number") => value.is_number(),
            Some("integer") => value.is_i64(),
            Some(other) => panic!("type {other}"),
        };
        let in_range = value.as_f64().is_none_or(|number| {
            schema["minimum"].as_f64().is_none_or(|m| m <= number)
                && schema["maximum"].as_f64().is_none_or(|m| number <= m)
        });
        let members = value.as_object().is_none_or(|members| {
            members.iter().all(|(key, member)| match (&schema["properties"][key], &schema["additionalProperties"]) {
                (Value::Null, Value::Null) => true,
                (Value::Null, Value::Bool(allowed)) => *allowed,
                (Value::Null, other) => accepts(root, other, member),
                (property, _) => accepts(root, property, member),
            }) && all("required", &|key| members.contains_key(key.as_str().unwrap()))
        });
        let items = value.as_array().is_none_or(|items| {
            schema["items"].is_null() || items.iter().all(|item| accepts(root, &schema["items"], item))
        });
        of_type
            && in_range
            && members
            && items
            && (schema["const"].is_null() || schema["const"] == *value)
            && schema["enum"].as_array().is_none_or(|e| e.contains(value))
            && schema["anyOf"].as_array().is_none_or(|any| any.iter().any(fits))
            && all("allOf", &fits)
            && (schema["if"].is_null() || !fits(&schema["if"]) || fits(&schema["then"]))
    }

    fn check(nodes: &Value, expected: bool) {
        let schema = schema(&testing::registry());
        let document = json!({
            "$schema": "graph.schema.json", "version": 1, "name": "test",
            "inputs": { "width": { "type": "integer", "default": 64, "minimum": 8 } },
            "nodes": nodes, "outputs": { "a": "a.image", "b": { "from": "b.image" } },
        });
        assert_eq!(accepts(&schema, &schema, &document), expected, "{nodes}");
    }

    #[test]
    fn knows_what_documents_may_say() {
        check(&json!({}), true);
        check(&json!({ "a": { "type": "Image Source" } }), true);
        check(&json!({ "a": { "type": "Image Sorce" } }), false);
        check(&json!({ "a": { "type": "Image Source", "comment": "" } }), false);
        check(&json!({ "a": { "type": "Resize" } }), false);
        check(
            &json!({ "a": { "type": "Sum", "inputs": { "numbers": [1, { "from": "b.sum" }, { "input": "c" }] } } }),
            true,
        );
        check(&json!({ "a": { "type": "Sum", "inputs": { "numbers": 1.5 } } }), true);
        check(&json!({ "a": { "type": "Sum", "inputs": { "numbers": ["1"] } } }), false);
        for (port, value, expected) in [
            ("width", json!(64), true),
            ("width", json!(16.9), false),
            ("width", json!(7), false),
            ("width", json!({ "input": "width" }), true),
            ("width", json!({ "from": "b.width" }), true),
            ("width", json!({ "form": "b.width" }), false),
            ("widht", json!(64), false),
            ("filter", json!("linear"), true),
            ("filter", json!("cubic"), false),
            ("keep_aspect", json!("true"), false),
        ] {
            let mut inputs = json!({ "image": { "from": "b.image" } });
            inputs[port] = value;
            check(&json!({ "a": { "type": "Resize", "label": "small", "inputs": inputs } }), expected);
        }
        check(&json!({ "a": { "type": "Resize", "inputs": { "image": "cat.png" } } }), false);
    }

    #[test]
    fn tells_defaults_and_types() {
        let schema = schema(&testing::registry());
        let steps = &schema["definitions"]["Sample"]["properties"]["num_inference_steps"];
        assert_eq!(steps["default"], json!(30));
        assert_eq!(steps["description"], json!("Steps. (core:integer)"));
        assert_eq!(steps["anyOf"][0], json!({ "type": "integer", "minimum": 1.0, "maximum": 1000.0 }));
        assert_eq!(schema.to_string(), self::schema(&testing::registry()).to_string());
    }
}
