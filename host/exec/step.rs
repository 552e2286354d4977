//! One node: its inputs, its run, the check of its outputs.

use std::path::Path;
use std::sync::PoisonError;

use dc_graph_node_api::{InputSpec, Inputs, NodeError, OutputSpec, Outputs, PortType, RunContext, Value};

use super::FileRead;
use super::run::Run;
use crate::graph::{Binding, GraphNode, resolve_path};

/// Runs a node and gives the value of each output that somebody reads. `linked` holds the values of its links, in order.
pub(super) fn step(
    run: &Run<'_>,
    place: usize,
    linked: Vec<Value>,
    context: &dyn RunContext,
) -> Result<Vec<Option<Value>>, NodeError> {
    let node = run.node(place);
    let inputs = inputs(node, linked, &run.options.document_dir)?;
    if node.reads_unknown {
        let reads = late_reads(run, node, &inputs)?;
        run.late_reads.lock().unwrap_or_else(PoisonError::into_inner).insert(run.plan.nodes[place].node, reads);
    }
    let outputs = node.node.run(&inputs, context)?;
    // Values that only this node needed go before it counts as done.
    drop(inputs);
    let values = checked(&node.node.spec().outputs, &outputs)?;
    let planned = &run.plan.nodes[place];
    if let Some(cache) = run.options.cache.filter(|_| planned.reusable) {
        cache.put(planned.key, outputs);
    }
    let first = run.slots.first(place);
    let wanted = &run.slots.wanted[first..first + values.len()];
    Ok(values.into_iter().zip(wanted).map(|(value, wanted)| (*wanted > 0).then_some(value)).collect())
}

/// The files a node reads, now that all its inputs are known: they are looked at before the node begins.
fn late_reads(run: &Run<'_>, node: &GraphNode, inputs: &Inputs) -> Result<Vec<FileRead>, NodeError> {
    let paths = node.node.reads(inputs).map_err(|problems| {
        let mut problems = problems.into_iter();
        match problems.next() {
            Some(first) => NodeError::Input { input: first.input, message: first.message, hint: first.hint },
            None => NodeError::failed("its inputs do not suit it"),
        }
    })?;
    let read = |path: std::path::PathBuf| match run.options.digests.of(&path) {
        Ok(digest) => Ok(FileRead { path, digest }),
        Err(source) => Err(NodeError::File { path, source }),
    };
    paths.into_iter().map(read).collect()
}

fn inputs(node: &GraphNode, linked: Vec<Value>, document_dir: &Path) -> Result<Inputs, NodeError> {
    let mut linked = linked.into_iter();
    let mut inputs = Inputs::default();
    for (spec, binding) in node.node.spec().inputs.iter().zip(&node.bindings) {
        let mut next = |ty: &PortType| {
            let value = linked.next().ok_or_else(|| NodeError::input(&spec.name, "its value got lost"))?;
            let value = coerced(spec, value, ty, document_dir)?;
            within_limits(spec, &value)?;
            Ok::<_, NodeError>(value)
        };
        let value = match binding {
            Binding::Absent => continue,
            Binding::Value(value) => value.clone(),
            Binding::Link(_) => next(&spec.ty)?,
            Binding::List(elements) => {
                let PortType::List(of) = &spec.ty else {
                    return Err(NodeError::input(&spec.name, format!("expected `{}`, found a list", spec.ty)));
                };
                let element = |binding: &Binding| match binding {
                    Binding::Value(value) => Ok(value.clone()),
                    Binding::Link(_) => next(of),
                    Binding::Absent | Binding::List(_) => {
                        Err(NodeError::input(&spec.name, "an element of the list is neither a value nor a link"))
                    }
                };
                let elements: Vec<_> = elements.iter().map(element).collect::<Result<_, _>>()?;
                Value::list((**of).clone(), elements)
            }
        };
        inputs.set(&spec.name, value);
    }
    Ok(inputs)
}

/// A linked value as the port's type.
fn coerced(spec: &InputSpec, value: Value, ty: &PortType, document_dir: &Path) -> Result<Value, NodeError> {
    let mut innermost = ty;
    while let PortType::List(of) = innermost {
        innermost = of;
    }
    let value = if *innermost == PortType::Path { absolute(value, document_dir) } else { value };
    let found = value.port_type();
    let coerced = value.coerce(ty);
    coerced.ok_or_else(|| NodeError::input(&spec.name, format!("expected `{ty}`, found `{found}`")))
}

/// Texts that become paths count from the document's folder, as those written in it do.
fn absolute(value: Value, document_dir: &Path) -> Value {
    match value {
        Value::Text(text) => Value::Path(resolve_path(document_dir, &text).into()),
        Value::List(of, elements) if *of == PortType::Text => {
            let paths: Vec<_> = elements.iter().map(|element| absolute(element.clone(), document_dir)).collect();
            Value::list(PortType::Path, paths)
        }
        other => other,
    }
}

/// Validation has checked what the document says; what comes through a link is known only now.
fn within_limits(spec: &InputSpec, value: &Value) -> Result<(), NodeError> {
    let number = match value {
        Value::List(_, elements) => return elements.iter().try_for_each(|element| within_limits(spec, element)),
        Value::Text(text) if !spec.choices.is_empty() && spec.choices.iter().all(|choice| **choice != **text) => {
            let choices: Vec<_> = spec.choices.iter().map(|choice| format!("`{choice}`")).collect();
            return Err(NodeError::input(&spec.name, format!("expected {}, found `{text}`", choices.join(" or "))));
        }
        Value::Integer(v) => *v as f64,
        Value::Number(v) => *v,
        _ => return Ok(()),
    };
    match &spec.range {
        Some(range) if !range.contains(&number) => {
            let message = format!("expected a number from {} to {}, found {number}", range.start(), range.end());
            Err(NodeError::input(&spec.name, message))
        }
        _ => Ok(()),
    }
}

/// The outputs in the order of the spec, when all are there and what the spec says: nodes may lie.
fn checked(specs: &[OutputSpec], outputs: &Outputs) -> Result<Vec<Value>, NodeError> {
    let lie = |message: String| NodeError::failed(message).with_hint("this is a fault of the node, not of the graph");
    let mut values = Vec::with_capacity(specs.len());
    for spec in specs {
        let Some(value) = outputs.get(&spec.name) else {
            return Err(lie(format!("gave nothing for its output `{}`", spec.name)));
        };
        if !is_of(value, &spec.ty) {
            let found = value.port_type();
            return Err(lie(format!("its output `{}` should be `{}`, but is `{found}`", spec.name, spec.ty)));
        }
        if !is_finite(value) {
            return Err(lie(format!("its output `{}` is not a finite number", spec.name)));
        }
        values.push(value.clone());
    }
    let declared = |name: &str| specs.iter().any(|spec| spec.name == name);
    if let Some((name, _)) = outputs.iter().find(|(name, _)| !declared(name)) {
        return Err(lie(format!("gave an output `{name}` that it does not declare")));
    }
    Ok(values)
}

fn is_of(value: &Value, ty: &PortType) -> bool {
    match (value, ty) {
        (Value::List(of, elements), PortType::List(ty)) => **of == **ty && elements.iter().all(|e| is_of(e, ty)),
        (value, ty) => value.port_type() == *ty,
    }
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Number(v) => v.is_finite(),
        Value::List(_, elements) => elements.iter().all(is_finite),
        _ => true,
    }
}
