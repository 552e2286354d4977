//! Looking nodes up in the store: what an earlier run gave, and what is known of a node for the next one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dc_graph_node_api::{PortType, Value};

use super::action::{Action, Circumstances};
use super::demand::Known;
use super::run::Run;
use super::step::{partial_inputs, read_digests};
use super::wiring::Slot;
use super::{Digest, Digests, Event, FileRead, NodeTiming};
use crate::graph::{Binding, Graph, GraphNode, PortRef};
use crate::store::{Entry, Ingredient, KeptOutput};

/// What a link brings, as far as it is known.
pub(super) struct Input {
    pub(super) digest: Option<Digest>,
    pub(super) kept: Option<KeptOutput>,
    pub(super) value: Option<Value>,
}

/// A node that the store knows.
pub(super) struct Found {
    pub(super) outputs: Vec<Known>,
    /// The files that it wrote, still as they were.
    pub(super) wrote: Vec<PathBuf>,
    /// Whether the store holds everything that somebody may read.
    pub(super) is_held: bool,
    pub(super) observed: Observed,
}

/// What a run learned of a node.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// Its action key.
    pub(crate) key: super::Key,
    /// What the key was made of.
    pub(crate) ingredients: Vec<Ingredient>,
    /// How long it ran; nothing when it did not.
    pub(crate) seconds: Option<f64>,
}

impl Slot {
    pub(super) fn input(&self) -> Input {
        Input { digest: self.digest, kept: self.kept.clone(), value: self.value.clone() }
    }
}

impl Action {
    pub(super) fn observed(self) -> Observed {
        Observed { key: self.key, ingredients: self.ingredients, seconds: None }
    }
}

impl Run<'_> {
    /// The value of an output that the store holds.
    pub(super) fn fetch(&self, kept: Option<&KeptOutput>) -> Option<Value> {
        self.options.store.zip(kept).and_then(|(store, kept)| store.value(kept))
    }

    /// What the store knows of a node whose inputs are known by content.
    pub(super) fn find(&self, place: usize, inputs: &[Input]) -> Option<Found> {
        let node = self.node(place);
        let late = match node.reads_unknown {
            true => {
                let value = |input: &Input| input.value.clone().or_else(|| self.fetch(input.kept.as_ref()));
                let value = &value;
                let options = self.options;
                Some(late_reads(node, inputs.iter().map(|i| move || value(i)), &options.document_dir, options.digests)?)
            }
            false => None,
        };
        let action = self.action(place, late.as_deref(), inputs)?;
        let found = self.find_action(place, action)?;
        self.note_late_reads(place, late);
        Some(found)
    }

    /// The action of a node whose inputs are known.
    pub(super) fn action(&self, place: usize, late: Option<&[FileRead]>, inputs: &[Input]) -> Option<Action> {
        let planned = &self.plan.nodes[place];
        let circumstances = Circumstances {
            salt: &planned.salt,
            reads: late.unwrap_or(&planned.reads),
            output_dir: &self.options.output_dir,
        };
        let mut digests = inputs.iter().map(|input| input.digest);
        Action::of(self.node(place), &circumstances, |port| Some((digests.next()??, port_name(self.graph, port))))
    }

    /// What the store knows of an action.
    pub(super) fn find_action(&self, place: usize, action: Action) -> Option<Found> {
        let store = self.options.store?;
        let node = self.node(place);
        let entry = store.entry(&action.key).filter(|entry| is_sound(entry, node, self.options.digests))?;
        let mut outputs = Vec::with_capacity(entry.outputs.len());
        let mut is_held = true;
        for (slot, output) in self.slots.all(place).zip(entry.outputs) {
            // What the run itself gives back is fetched now, so that nothing can go wrong at the end.
            let shown = self.shown[slot];
            let value = if shown { store.value(&output) } else { None };
            let held = if shown { value.is_some() } else { store.holds(&output) };
            is_held &= held || self.slots.wanted[slot] == 0;
            outputs.push(Known { digest: Some(output.digest), kept: held.then_some(output), value });
        }
        let wrote = entry.wrote.into_iter().map(|written| written.path).collect();
        Some(Found { outputs, wrote, is_held, observed: action.observed() })
    }

    /// Tells that a node and its twins need not run, and that what it wrote is still there.
    pub(super) fn tell_found(&self, place: usize, wrote: &[PathBuf]) -> Vec<NodeTiming> {
        let (node, _) = self.names(place);
        for path in wrote.iter().filter(|_| !self.told.contains(&node)) {
            self.tell(Event::Kept { node: node.clone(), path: path.clone() });
        }
        let twins = self.twins.get(&place).into_iter().flatten().copied();
        std::iter::once(place).chain(twins).filter_map(|place| self.tell_cached(place)).collect()
    }
}

/// The files that a node reads whose names come through links; nothing when one of the names is not at hand. `values` ask
/// for the value of each link, in order.
pub(super) fn late_reads<F: FnOnce() -> Option<Value>>(
    node: &GraphNode,
    values: impl Iterator<Item = F>,
    document_dir: &Path,
    digests: &Digests,
) -> Option<Vec<FileRead>> {
    let values =
        values.zip(path_links(node)).map(|(value, is_path)| if is_path { value().map(Some) } else { Some(None) });
    let known = partial_inputs(node, values.collect::<Option<_>>()?, document_dir).ok()?;
    read_digests(node, &known, digests).ok()
}

/// An output as a person calls it: `prompt.conditioning`.
pub(super) fn port_name(graph: &Graph, port: PortRef) -> String {
    let node = &graph.nodes[port.node];
    let output = node.node.spec().outputs.get(port.output).map_or("", |output| &output.name);
    format!("{}.{output}", node.id)
}

/// For each link of a node, in order, whether it gives the name of a file.
fn path_links(node: &GraphNode) -> impl Iterator<Item = bool> {
    let inputs = node.node.spec().inputs.iter().zip(&node.bindings);
    inputs.flat_map(|(spec, binding)| {
        let count = match binding {
            Binding::Link(_) => 1,
            Binding::List(elements) => elements.iter().filter(|e| matches!(e, Binding::Link(_))).count(),
            Binding::Absent | Binding::Value(_) => 0,
        };
        let mut innermost = &spec.ty;
        while let PortType::List(of) = innermost {
            innermost = of;
        }
        std::iter::repeat_n(*innermost == PortType::Path, count)
    })
}

/// Whether an entry is of such a node, and what the node wrote is still there. A node with an effect that wrote nothing
/// did something else, which nobody can check.
pub(super) fn is_sound(entry: &Entry, node: &GraphNode, digests: &Digests) -> bool {
    let spec = node.node.spec();
    let names = entry.outputs.iter().map(|output| &output.name);
    let unchanged = |written: &crate::store::Written| digests.of(&written.path).is_ok_and(|now| now == written.digest);
    names.eq(spec.outputs.iter().map(|output| &output.name))
        && (!spec.effect || (!entry.wrote.is_empty() && entry.wrote.iter().all(unchanged)))
}

/// The number inputs of a node: they tell how much there was to do.
pub(super) fn numbers(node: &GraphNode) -> BTreeMap<String, f64> {
    let inputs = node.node.spec().inputs.iter().zip(&node.bindings);
    let number = |value: &Value| match value {
        Value::Integer(v) => Some(*v as f64),
        Value::Number(v) => Some(*v),
        _ => None,
    };
    inputs
        .filter_map(|(spec, binding)| match binding {
            Binding::Value(value) => Some((spec.name.clone(), number(value)?)),
            _ => None,
        })
        .collect()
}
