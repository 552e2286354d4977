//! One node: its inputs, its run, the check of its outputs.

use std::path::Path;

use dc_graph_node_api::{InputSpec, Inputs, LogLevel, NodeError, OutputSpec, Outputs, PortType, RunContext, Value};

use super::action::Action;
use super::context::NodeContext;
use super::demand::Known;
use super::keep::keep;
use super::look_up::{Found, Input, Observed};
use super::run::Run;
use super::{Digests, FileRead};
use crate::graph::{Binding, GraphNode, limit_problem, resolve_path};
use crate::store::Lock;

/// A node whose inputs are known.
pub(super) enum Prepared {
    /// It is to be run.
    ToRun(ToRun),
    /// Another process has run it meanwhile.
    Found(Found),
}

/// All that a node needs to run.
pub(super) struct ToRun {
    inputs: Inputs,
    action: Option<Action>,
    /// Keeps other processes from doing the same at the same time.
    _lock: Option<Lock>,
}

/// Puts a node's inputs together and finds out what its outputs will depend on. `linked` holds the values of its links, in
/// order.
pub(super) fn prepare(
    run: &Run<'_>,
    place: usize,
    linked: Vec<Value>,
    digests: &[Input],
    context: &NodeContext<'_>,
) -> Result<Prepared, NodeError> {
    let node = run.node(place);
    let inputs = inputs(node, linked, &run.options.document_dir)?;
    let late = match node.reads_unknown {
        true => {
            let reads = read_digests(node, &inputs, run.options.digests);
            Some(reads.inspect_err(|_| run.tell_unread(place, &inputs))?)
        }
        false => None,
    };
    let action = if run.tracks { run.action(place, late.as_deref(), digests) } else { None };
    run.note_late_reads(place, late);
    let Some(action) = action else { return Ok(Prepared::ToRun(ToRun { inputs, action: None, _lock: None })) };
    context.set_key(action.key);
    let mut lock = None;
    if let Some(store) = run.options.store.filter(|store| store.is_writable()) {
        let mut waited = false;
        lock = store.lock(&action.key, || {
            if !std::mem::replace(&mut waited, true) {
                context.log(LogLevel::Info, "another process computes this; waiting for it");
            }
            !run.is_stopping()
        });
        if waited {
            context.check_cancelled()?;
        }
        if let Some(found) = run.find_action(place, action.clone()).filter(|found| found.is_held) {
            return Ok(Prepared::Found(found));
        }
    }
    Ok(Prepared::ToRun(ToRun { inputs, action: Some(action), _lock: lock }))
}

/// Runs a node, and keeps what it gave.
pub(super) fn step(
    run: &Run<'_>,
    place: usize,
    prepared: ToRun,
    context: &NodeContext<'_>,
) -> Result<(Vec<Known>, Option<Observed>), NodeError> {
    let ToRun { inputs, action, _lock } = prepared;
    let node = run.node(place);
    let outputs = node.node.run(&inputs, context)?;
    // Values that only this node needed go before it counts as done.
    drop(inputs);
    let values = checked(&node.node.spec().outputs, &outputs)?;
    let known = if run.tracks {
        keep(run, place, action.as_ref(), values, context)
    } else {
        values.into_iter().map(|value| Known { digest: None, kept: None, value: Some(value) }).collect()
    };
    let planned = &run.plan.nodes[place];
    if let Some(cache) = run.options.cache.filter(|_| planned.reusable) {
        cache.put(planned.key, outputs, known.iter().filter_map(|known| known.digest).collect::<Vec<_>>());
    }
    Ok((known, action.map(Action::observed)))
}

/// The files a node reads, now that the names of all are known: they are looked at before the node begins.
pub(super) fn read_digests(node: &GraphNode, inputs: &Inputs, digests: &Digests) -> Result<Vec<FileRead>, NodeError> {
    let paths = node.node.reads(inputs).map_err(|problems| {
        let mut problems = problems.into_iter();
        match problems.next() {
            Some(first) => NodeError::Input { input: first.input, message: first.message, hint: first.hint },
            None => NodeError::failed("its inputs do not suit it"),
        }
    })?;
    let read = |path: std::path::PathBuf| match digests.of(&path) {
        Ok(digest) => Ok(FileRead { path, digest }),
        Err(source) => Err(NodeError::File { path, source }),
    };
    paths.into_iter().map(read).collect()
}

fn inputs(node: &GraphNode, linked: Vec<Value>, document_dir: &Path) -> Result<Inputs, NodeError> {
    partial_inputs(node, linked.into_iter().map(Some).collect(), document_dir)
}

/// A node's inputs as far as they are known: `linked` holds the values of its links, in order, or nothing.
pub(super) fn partial_inputs(
    node: &GraphNode,
    linked: Vec<Option<Value>>,
    document_dir: &Path,
) -> Result<Inputs, NodeError> {
    let folder = node.home.folder.as_deref().unwrap_or(document_dir);
    let mut linked = linked.into_iter();
    let mut inputs = Inputs::default();
    for (spec, binding) in node.node.spec().inputs.iter().zip(&node.bindings) {
        let mut next = |ty: &PortType| {
            let value = linked.next().ok_or_else(|| NodeError::input(&spec.name, "its value got lost"))?;
            let Some(value) = value else { return Ok(None) };
            let value = coerced(spec, value, ty, folder)?;
            within_limits(spec, &value)?;
            Ok::<_, NodeError>(Some(value))
        };
        let value = match binding {
            Binding::Absent => None,
            Binding::Value(value) => Some(value.clone()),
            Binding::Link(_) => next(&spec.ty)?,
            Binding::List(elements) => {
                let PortType::List(of) = &spec.ty else {
                    return Err(NodeError::input(&spec.name, format!("expected `{}`, found a list", spec.ty)));
                };
                let element = |binding: &Binding| match binding {
                    Binding::Value(value) => Ok(Some(value.clone())),
                    Binding::Link(_) => next(of),
                    Binding::Absent | Binding::List(_) => {
                        Err(NodeError::input(&spec.name, "an element of the list is neither a value nor a link"))
                    }
                };
                let elements: Vec<_> = elements.iter().map(element).collect::<Result<_, _>>()?;
                let elements: Option<Vec<_>> = elements.into_iter().collect();
                elements.map(|elements| Value::list((**of).clone(), elements))
            }
        };
        if let Some(value) = value {
            inputs.set(&spec.name, value);
        }
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
    let Some((message, hint)) = limit_problem(spec, value) else { return Ok(()) };
    Err(NodeError::Input { input: spec.name.clone(), message, hint })
}

/// The outputs in the order of the spec, when all are there and what the spec says: nodes may lie.
fn checked(specs: &[OutputSpec], outputs: &Outputs) -> Result<Vec<Value>, NodeError> {
    let lie = |message: String| NodeError::failed(message).with_hint("this is a fault of the node, not of the graph");
    let mut values = Vec::with_capacity(specs.len());
    for spec in specs {
        let Some(value) = outputs.get(&spec.name) else {
            return Err(lie(format!("gave nothing for its output `{}`", spec.name)));
        };
        let found = value.port_type();
        if found == spec.ty && !is_of(value, &spec.ty) {
            return Err(lie(format!("its output `{}` is a `{found}` with elements of another type", spec.name)));
        }
        if found != spec.ty {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dc_graph_node_api::{Node, NodeSpec};

    use super::super::RunError;
    use super::super::testing::{Build, Setup, link, literal};
    use super::*;
    use crate::testing::{TestNode, registry};

    /// A node without inputs that gives these outputs.
    fn giving(ty: PortType, outputs: Outputs) -> Arc<dyn Node> {
        let spec = NodeSpec::new("Give", "test", "Gives.").output("out", ty, "A value.");
        Arc::new(TestNode::new(spec, move |_, _| Ok(outputs.clone())))
    }

    /// A node that takes a value and gives what it looks like.
    fn taking(input: InputSpec) -> Arc<dyn Node> {
        let name = input.name.clone();
        let spec = NodeSpec::new("Take", "test", "Takes.").input(input).output("out", PortType::Text, "The value.");
        Arc::new(TestNode::new(spec, move |i, _| Ok(Outputs::one("out", format!("{:?}", i.get(&name).unwrap())))))
    }

    fn failure(build: &Build) -> (String, Option<String>) {
        match Setup::default().run(&build.0).0 {
            Err(error @ (RunError::NodeFailed { .. } | RunError::NodePanicked { .. })) => {
                (error.to_string(), error.hint().map(Into::into))
            }
            other => panic!("expected the node to fail, found {other:?}"),
        }
    }

    #[test]
    fn failing_nodes_are_named() {
        for (type_name, expected, hint) in [
            ("Fail", "`x` (Fail): no more red", Some("do not use this node")),
            ("Panic", "`x` (Panic) panicked: no more red", None),
            (
                "Lie",
                "`x` (Lie): its output `value` should be `core:number`, but is `core:text`",
                Some("this is a fault of the node, not of the graph"),
            ),
            (
                "Forget",
                "`x` (Forget): gave nothing for its output `value`",
                Some("this is a fault of the node, not of the graph"),
            ),
        ] {
            let mut build = Build::new();
            let node = registry().get(type_name).unwrap().clone();
            let x = build.node("x", node, vec![literal("no more red"), Binding::Absent]);
            build.output("x", x);
            assert_eq!(failure(&build), (expected.into(), hint.map(Into::into)));
        }
    }

    #[test]
    fn lies_are_found() {
        let numbers = |elements: Vec<Value>| Outputs::one("out", Value::list(PortType::Number, elements));
        for (ty, outputs, expected) in [
            (
                PortType::Number,
                Outputs::one("out", 1),
                "its output `out` should be `core:number`, but is `core:integer`",
            ),
            (PortType::Number, Outputs::one("out", f64::NAN), "its output `out` is not a finite number"),
            (
                PortType::Number,
                Outputs::one("out", 1.0).with("more", 2.0),
                "gave an output `more` that it does not declare",
            ),
            (
                PortType::Number.list(),
                numbers(vec![Value::Number(1.0), Value::text("2")]),
                "its output `out` is a `core:list<core:number>` with elements of another type",
            ),
            (
                PortType::Number.list(),
                numbers(vec![Value::Number(f64::INFINITY)]),
                "its output `out` is not a finite number",
            ),
            (
                PortType::native("dc:latents"),
                Outputs::one("out", "x"),
                "its output `out` should be `dc:latents`, but is `core:text`",
            ),
        ] {
            let mut build = Build::new();
            let x = build.node("x", giving(ty, outputs), vec![]);
            build.output("x", x);
            assert_eq!(failure(&build).0, format!("`x` (Give): {expected}"));
        }
    }

    #[test]
    fn linked_values_become_what_the_port_takes() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("cat.png").display().to_string();
        let (number, path) = (PortType::Number, PortType::Path);
        let texts = Value::list(PortType::Text, vec![Value::text("./cat.png")]);
        for (value, to, expected) in [
            (Value::Integer(3), number.clone(), "Number(3.0)".to_owned()),
            (Value::Integer(3), number.clone().list(), "List(Number, [Number(3.0)])".into()),
            (
                Value::list(PortType::Integer, vec![Value::Integer(3)]),
                number.list(),
                "List(Number, [Number(3.0)])".into(),
            ),
            (Value::text("random:tiny"), path.clone(), "Path(\"random:tiny\")".into()),
            (Value::text("./cat.png"), path.clone(), format!("Path({inside:?})")),
            (Value::text("/a/cat.png"), path.clone(), "Path(\"/a/cat.png\")".into()),
            (texts, path.list(), format!("List(Path, [Path({inside:?})])")),
        ] {
            let mut build = Build::new();
            let from = build.node("from", giving(value.port_type(), Outputs::one("out", value)), vec![]);
            let to = build.node("to", taking(InputSpec::required("in", to, "A value.")), vec![link(from)]);
            build.output("to", to);
            let setup = Setup { dir: dir.path().into(), ..Setup::default() };
            let report = setup.run(&build.0).0.unwrap();
            let Value::Text(found) = &report.outputs[0].1 else { panic!("expected a text") };
            assert_eq!(**found, *expected);
        }
    }

    #[test]
    fn linked_values_stay_within_limits() {
        let size = || InputSpec::required("size", PortType::Integer, "A size.").range(8.0..=64.0);
        let sizes = || InputSpec::required("sizes", PortType::Integer.list(), "Sizes.").range(8.0..=64.0);
        let filter = || InputSpec::required("filter", PortType::Text, "How.").choices(&["nearest", "linear"]);
        for (input, value, expected) in [
            (size(), Value::Integer(8), None),
            (size(), Value::Integer(64), None),
            (size(), Value::Integer(65), Some("`size`: must be from 8 to 64, found `65`")),
            (sizes(), Value::Integer(7), Some("`sizes`: must be from 8 to 64, found `7`")),
            (filter(), Value::text("linear"), None),
            (filter(), Value::text("cubic"), Some("`filter`: must be `nearest` or `linear`, found \"cubic\"")),
        ] {
            for as_list in [false, true] {
                let Some(binding) = (match (&input.ty, as_list) {
                    (PortType::List(_), true) => Some((|from| Binding::List(vec![link(from)])) as fn(_) -> _),
                    (_, false) => Some(link as fn(_) -> _),
                    _ => None,
                }) else {
                    continue;
                };
                let mut build = Build::new();
                let from = giving(value.port_type(), Outputs::one("out", value.clone()));
                let from = build.node("from", from, vec![]);
                let to = build.node("to", taking(input.clone()), vec![binding(from)]);
                build.output("to", to);
                match expected {
                    Some(expected) => assert_eq!(failure(&build).0, format!("`to` (Take): {expected}")),
                    None => assert!(Setup::default().run(&build.0).0.is_ok()),
                }
            }
        }
    }

    #[test]
    fn files_named_by_a_link_are_looked_at_before_the_node_runs() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("there.txt"), "hello").unwrap();
        for (name, expected) in [("./there.txt", Ok("hello")), ("./missing.txt", Err("no such file: "))] {
            let registry = registry();
            let mut build = Build::new();
            let text = build.node("text", registry.get("Text").unwrap().clone(), vec![literal(name)]);
            let read = build.node("read", registry.get("Read Text").unwrap().clone(), vec![link(text)]);
            build.0.nodes[read].reads_unknown = true;
            build.output("read", read);
            let setup = Setup { dir: dir.path().into(), ..Setup::default() };
            match (setup.run(&build.0).0, expected) {
                (Ok(report), Ok(expected)) => {
                    let Value::Text(found) = &report.outputs[0].1 else { panic!("expected a text") };
                    assert_eq!(&**found, expected);
                }
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (found, expected) => panic!("expected {expected:?}, found {found:?}"),
            }
        }
    }
}
