//! What a run would do, and why: the same decisions as those of a run, without running anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::action::{Action, Circumstances};
use super::look_up::{is_sound, late_reads, numbers, port_name};
use super::wiring::{Slots, source};
use super::{Digest, Digests, Plan};
use crate::graph::{Graph, GraphNode, PortRef};
use crate::store::{Entry, Ingredient, KeptOutput, LastRun, Origin, Store};

/// What a run would do.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The nodes in the order of the plan.
    pub nodes: Vec<Prospect>,
    /// The most that the values between the nodes would take at one time, in bytes; not what nodes need while they run.
    pub values_bytes: u64,
    /// The most memory that the process had in the last run of this graph, in bytes, as far as the system told.
    pub last_peak_bytes: Option<u64>,
}

/// What would become of a node.
#[derive(Clone, Debug, Serialize)]
pub struct Prospect {
    /// Its id.
    pub node: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// What it would do.
    pub outlook: Outlook,
    /// Why.
    pub reasons: Vec<Reason>,
    /// How long it would take, from runs on this machine; nothing when it never ran here.
    pub seconds: Option<f64>,
}

/// What a node would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// Nothing: what it gives is known.
    Known,
    /// It would run.
    Runs,
    /// It would run unless those before it give the same as ever.
    MayRun,
    /// What it gives is known but not kept, and somebody needs it.
    Loads,
    /// The same, if those that may run do.
    MayLoad,
}

/// Why a node would run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Reason {
    /// It has not run in this graph before.
    New,
    /// Something that it depends on is another one than in the last run.
    Changed {
        /// What kind of thing.
        what: Origin,
        /// The input, or empty.
        #[serde(skip_serializing_if = "String::is_empty")]
        name: String,
        /// What it was; nothing when it was not there.
        before: Option<String>,
        /// What it is; nothing when it is not there any more.
        now: Option<String>,
    },
    /// What an input gets is not known before these have run.
    After {
        /// Their ids.
        nodes: Vec<String>,
    },
    /// These need what it gives.
    NeededBy {
        /// Their ids.
        nodes: Vec<String>,
    },
    /// A file that it wrote is gone or has changed.
    FileChanged {
        /// Where it was.
        path: PathBuf,
    },
    /// It is the same work as this node's, which runs.
    SameAs {
        /// Its id.
        node: String,
    },
    /// It gives something else every time, or does something that cannot be checked.
    Always,
    /// The store does not have it any more.
    Forgotten,
}

/// What is known of a node of the plan.
struct Sight {
    digests: Vec<Option<Digest>>,
    /// What the store holds of its outputs.
    held: Vec<Option<KeptOutput>>,
    sizes: Vec<u64>,
}

/// Looks ahead. `document` is the graph's file, by which the store knows its last run. Where the shape of the graph hangs
/// on values that the store knows, what follows from them is looked at, too.
pub fn forecast(
    graph: &Graph,
    plan: &Plan,
    digests: &Digests,
    store: &Store,
    (output_dir, document_dir, document): (&Path, &Path, Option<&Path>),
) -> Forecast {
    let last = document.and_then(|document| store.last_run(document));
    let folders = (output_dir, document_dir);
    let mut grown: Option<(Graph, Plan)> = None;
    loop {
        let (graph, plan) = grown.as_ref().map_or((graph, plan), |(graph, plan)| (graph, plan));
        let (mut nodes, sights) = look_ahead(graph, plan, digests, store, folders, last.as_ref());
        if let Some(next) = settled(graph, plan, digests, store, document_dir, &sights) {
            grown = Some(next);
            continue;
        }
        demand(graph, plan, &mut nodes, &sights);
        let values_bytes = values_bytes(graph, plan, &nodes, &sights);
        let last_peak_bytes = last.map(|last: LastRun| last.peak_bytes).filter(|bytes| *bytes > 0);
        return Forecast { nodes, values_bytes, last_peak_bytes };
    }
}

/// The graph with what is settled by values that the store knows; nothing when there are none.
fn settled(
    graph: &Graph,
    plan: &Plan,
    digests: &Digests,
    store: &Store,
    document_dir: &Path,
    sights: &[Sight],
) -> Option<(Graph, Plan)> {
    let known = graph.questions().into_iter().filter_map(|port| {
        plan.position(port.node)?;
        let kept = sights[source(plan, port)].held.get(port.output)?.as_ref()?;
        Some((port, store.value(kept)?))
    });
    let known: HashMap<PortRef, dc_graph_node_api::Value> = known.collect();
    let mut next = graph.clone();
    // What the values do not suit is left open; a run tells why.
    next.settle(document_dir, &|port| known.get(&port).cloned()).ok()?;
    let is_new = next.open.len() != graph.open.len() || next.nodes.node_count() != graph.nodes.node_count();
    let plan = super::plan::plan(&next, digests).ok().filter(|_| is_new)?;
    Some((next, plan))
}

/// What would become of each node, going by what comes before it.
fn look_ahead(
    graph: &Graph,
    plan: &Plan,
    digests: &Digests,
    store: &Store,
    (output_dir, document_dir): (&Path, &Path),
    last: Option<&LastRun>,
) -> (Vec<Prospect>, Vec<Sight>) {
    let timings = store.timings();
    let mut nodes: Vec<Prospect> = Vec::with_capacity(plan.nodes.len());
    let mut sights: Vec<Sight> = Vec::with_capacity(plan.nodes.len());
    for planned in &plan.nodes {
        let node = &graph.nodes[planned.node];
        if let Some(first) = planned.same_as {
            let twin = nodes[first].clone();
            let reasons = match twin.outlook {
                Outlook::Known => Vec::new(),
                _ => vec![Reason::SameAs { node: twin.node }],
            };
            nodes.push(Prospect { node: node.id.clone(), outlook: Outlook::Known, reasons, ..twin });
            sights.push(Sight { digests: Vec::new(), held: Vec::new(), sizes: Vec::new() });
            continue;
        }
        let see = |port: PortRef| {
            let sight = &sights[source(plan, port)];
            (sight.digests[port.output], sight.held[port.output].clone())
        };
        let late = node.reads_unknown.then(|| {
            let values = node.links().map(|port| move || see(port).1.and_then(|kept| store.value(&kept)));
            late_reads(node, values, document_dir, digests)
        });
        let unknown_reads = matches!(late, Some(None));
        let late = late.flatten();
        let circumstances =
            Circumstances { salt: &planned.salt, reads: late.as_deref().unwrap_or(&planned.reads), output_dir };
        let before = last.and_then(|last| last.nodes.get(&node.id));
        let action = match unknown_reads {
            true => None,
            false => Action::of(node, &circumstances, |port| Some((see(port).0?, port_name(graph, port)))),
        };
        let entry = action.as_ref().and_then(|action| store.entry(&action.key));
        let sound = entry.as_ref().filter(|entry| is_sound(entry, node, digests));
        let (outlook, reasons) = match (&action, sound) {
            (Some(_), Some(_)) => (Outlook::Known, Vec::new()),
            (Some(action), None) => (
                Outlook::Runs,
                reasons(node, &action.ingredients, entry.as_ref(), before.map(|b| &*b.ingredients), digests),
            ),
            (None, _) => {
                let mut named = HashSet::new();
                let open = node.links().filter(|port| see(*port).0.is_none() && named.insert(port.node));
                let after: Vec<String> = open.map(|port| graph.nodes[port.node].id.clone()).collect();
                if after.is_empty() {
                    (Outlook::Runs, vec![Reason::Always])
                } else {
                    let nothing = blake3::hash(b"");
                    let partial = Action::of(node, &circumstances, |port| Some((nothing, port_name(graph, port))));
                    let known = partial.map_or_else(Vec::new, |action| action.ingredients);
                    let mut reasons = before.map_or_else(Vec::new, |b| changes(&known, &b.ingredients));
                    reasons.retain(|reason| !matches!(reason, Reason::Changed { what: Origin::Link, .. }));
                    reasons.push(Reason::After { nodes: after });
                    (Outlook::MayRun, reasons)
                }
            }
        };
        let was = || store.entry(&super::Key::from_bytes(*Digest::from_hex(&before?.key).ok()?.as_bytes()));
        let of_size = sound.cloned().or_else(was);
        let count = node.node.spec().outputs.len();
        sights.push(Sight {
            digests: (0..count).map(|n| Some(sound?.outputs[n].digest)).collect(),
            held: (0..count).map(|n| sound.map(|e| e.outputs[n].clone()).filter(|o| store.holds(o))).collect(),
            sizes: (0..count)
                .map(|n| of_size.as_ref().map_or(0, |e| e.outputs.get(n).map_or(0, |o| o.size_bytes)))
                .collect(),
        });
        nodes.push(Prospect {
            node: node.id.clone(),
            type_name: node.node.spec().type_name.clone(),
            outlook,
            reasons,
            seconds: timings.estimate(&node.node.spec().type_name, &planned.salt, &numbers(node)),
        });
    }
    (nodes, sights)
}

/// Why a node that the store does not know would run.
fn reasons(
    node: &GraphNode,
    now: &[Ingredient],
    entry: Option<&Entry>,
    before: Option<&[Ingredient]>,
    digests: &Digests,
) -> Vec<Reason> {
    if let Some(entry) = entry {
        let changed = entry.wrote.iter().filter(|w| digests.of(&w.path).ok() != Some(w.digest));
        return changed.map(|written| Reason::FileChanged { path: written.path.clone() }).collect();
    }
    let Some(before) = before else { return vec![Reason::New] };
    let changes = changes(now, before);
    match changes.is_empty() {
        true if node.node.spec().effect => vec![Reason::Always],
        true => vec![Reason::Forgotten],
        false => changes,
    }
}

/// What differs between two lists of ingredients.
fn changes(now: &[Ingredient], before: &[Ingredient]) -> Vec<Reason> {
    fn by_name(all: &[Ingredient]) -> BTreeMap<(u8, &str), &Ingredient> {
        // A value may come from the document now and from a node before.
        let kind = |origin| if origin == Origin::Link { Origin::Parameter as u8 } else { origin as u8 };
        all.iter().map(|i| ((kind(i.origin), i.name.as_str()), i)).collect()
    }
    let (now, before) = (by_name(now), by_name(before));
    let names: std::collections::BTreeSet<_> = now.keys().chain(before.keys()).collect();
    let change = |name: &&(u8, &str)| {
        let (now, before) = (now.get(*name), before.get(*name));
        let differs = now.map(|i| i.digest) != before.map(|i| i.digest);
        let what = now.or(before)?.origin;
        let shown = |i: Option<&&Ingredient>| i.map(|i| i.shown.clone());
        differs.then(|| Reason::Changed { what, name: name.1.into(), before: shown(before), now: shown(now) })
    };
    names.iter().filter_map(change).collect()
}

/// What is known but not held has to be made again for those that run.
fn demand(graph: &Graph, plan: &Plan, nodes: &mut [Prospect], sights: &[Sight]) {
    for place in (0..nodes.len()).rev() {
        let runs = match nodes[place].outlook {
            _ if plan.nodes[place].same_as.is_some() => continue,
            Outlook::Known => continue,
            Outlook::Runs | Outlook::Loads => true,
            Outlook::MayRun | Outlook::MayLoad => false,
        };
        let reader = nodes[place].node.clone();
        for port in graph.nodes[plan.nodes[place].node].links() {
            let from = source(plan, port);
            if sights[from].digests[port.output].is_none() || sights[from].held[port.output].is_some() {
                continue;
            }
            let needed = &mut nodes[from];
            match (needed.outlook, runs) {
                (Outlook::Known | Outlook::MayLoad, true) => needed.outlook = Outlook::Loads,
                (Outlook::Known, false) => needed.outlook = Outlook::MayLoad,
                _ => {}
            }
            match needed.reasons.last_mut() {
                Some(Reason::NeededBy { nodes }) if nodes.contains(&reader) => {}
                Some(Reason::NeededBy { nodes }) => nodes.insert(0, reader.clone()),
                _ => needed.reasons.push(Reason::NeededBy { nodes: vec![reader.clone()] }),
            }
        }
    }
}

/// The most that is alive at one time when the nodes that run do so in order: a value lives from its node to its last
/// reader.
fn values_bytes(graph: &Graph, plan: &Plan, nodes: &[Prospect], sights: &[Sight]) -> u64 {
    let slots = Slots::new(graph, plan);
    let mut last_reader = vec![None; slots.wanted.len()];
    let runs: Vec<bool> = nodes.iter().map(|node| node.outlook != Outlook::Known).collect();
    for (place, planned) in plan.nodes.iter().enumerate().filter(|(place, _)| runs[*place]) {
        graph.nodes[planned.node].links().for_each(|port| last_reader[slots.of(plan, port)] = Some(place));
    }
    let (mut alive, mut most) = (0_u64, 0_u64);
    let mut ending: BTreeMap<usize, u64> = BTreeMap::new();
    let mut begun = vec![false; last_reader.len()];
    for (place, planned) in plan.nodes.iter().enumerate().filter(|(place, _)| runs[*place]) {
        let read =
            graph.nodes[planned.node].links().map(|port| (slots.of(plan, port), source(plan, port), port.output));
        let made = slots.all(place).enumerate().map(|(output, slot)| (slot, place, output));
        for (slot, from, output) in read.chain(made) {
            if let Some(end) = last_reader[slot].filter(|_| !std::mem::replace(&mut begun[slot], true)) {
                let size = sights[from].sizes.get(output).copied().unwrap_or_default();
                alive += size;
                *ending.entry(end).or_default() += size;
            }
        }
        most = most.max(alive);
        alive -= ending.remove(&place).unwrap_or_default();
    }
    most
}

impl Forecast {
    /// How long the nodes that run would take together, in seconds: at least, at most, and for how many nothing is known.
    pub fn seconds(&self) -> (f64, f64, usize) {
        let of = |outlooks: &[Outlook]| self.nodes.iter().filter(|n| outlooks.contains(&n.outlook)).collect::<Vec<_>>();
        // The sum of nothing is minus nothing, which no one wants to read.
        let sum = |nodes: &[&Prospect]| nodes.iter().filter_map(|n| n.seconds).fold(0.0, |sum, n| sum + n);
        let (sure, perhaps) = (of(&[Outlook::Runs, Outlook::Loads]), of(&[Outlook::MayRun, Outlook::MayLoad]));
        let unknown = sure.iter().chain(&perhaps).filter(|n| n.seconds.is_none()).count();
        (sum(&sure), sum(&sure) + sum(&perhaps), unknown)
    }
}
