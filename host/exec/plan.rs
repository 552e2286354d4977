//! What a run of a graph has to look at, in which order, and the content key of each node.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, DfsPostOrder, Reversed};

use super::key::{Dangling, Keys};
use super::{Digest, Digests, Key};
use crate::graph::{Graph, GraphNode, PortRef};

/// The nodes that the outputs and the effects of a graph need, each after its ancestors, else in document order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The nodes in order.
    pub nodes: Vec<PlannedNode>,
    /// Where each node of the graph stands in `nodes`; [`ABSENT`] for those that nothing needs.
    position: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

/// One node of a [`Plan`].
#[derive(Clone, Debug)]
pub struct PlannedNode {
    /// The node in the graph.
    pub node: NodeIndex,
    /// Its content key.
    pub key: Key,
    /// Whether the key means the same in every run. If not, neither it nor an ancestor says beforehand what it depends on.
    pub reusable: bool,
    /// The place in the plan of the first node with the same key, if that is another one: computed once for both.
    pub same_as: Option<usize>,
    /// The files it reads, as far as they are known before the run.
    pub reads: Vec<FileRead>,
    /// What else its outputs depend on, see [`Node::key_salt`](dc_graph_node_api::Node::key_salt).
    pub salt: String,
}

/// A file or folder that a node reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub digest: Digest,
}

/// A graph that cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A file that a node reads cannot be read.
    #[error("`{node}` cannot read {}: {source}", path.display())]
    File {
        /// The node's id.
        node: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A node panicked while it was asked what it depends on.
    #[error("`{node}` ({type_name}) panicked: {message}")]
    Panicked {
        /// The node's id.
        node: String,
        /// The node's type.
        type_name: String,
        /// What it said.
        message: String,
    },
    /// The graph was not validated: a cycle, a link without an edge, or a link to an output that is not there.
    #[error("`{node}` has a link that the graph's edges do not show")]
    Inconsistent {
        /// The node's id.
        node: String,
    },
}

/// Prunes, orders and keys a graph. Takes time in proportion to its nodes and links, and to the files read.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(graph: &Graph, digests: &Digests) -> Result<Plan, PlanError> {
    let effects = graph.nodes.node_indices().filter(|node| graph.nodes[*node].has_effect());
    let plan = plan_for(graph, digests, graph.outputs.iter().map(|(_, port)| port.node).chain(effects))?;
    // Every link of a node was looked up while its key was made; those of the graph's outputs were not.
    for (name, port) in &graph.outputs {
        let known = plan.position(port.node).is_some() && output_name(&graph.nodes, *port).is_some();
        if !known {
            return Err(PlanError::Inconsistent { node: name.clone() });
        }
    }
    Ok(plan)
}

/// Plans what some nodes of a graph need.
pub(super) fn plan_for(
    graph: &Graph,
    digests: &Digests,
    roots: impl Iterator<Item = NodeIndex>,
) -> Result<Plan, PlanError> {
    let order = order(graph, roots);
    let mut plan = Plan { nodes: Vec::with_capacity(order.len()), position: vec![ABSENT; graph.nodes.node_count()] };
    let mut keys = Keys::default();
    let mut first: HashMap<Key, usize> = HashMap::with_capacity(order.len());
    for (place, index) in order.into_iter().enumerate() {
        let node = &graph.nodes[index];
        let reads = read_digests(node, digests)?;
        let (key, reusable, salt) = node_key(graph, &plan, index, &reads, &mut keys)?;
        let earlier = *first.entry(key).or_insert(place);
        let same_as = (earlier != place).then_some(earlier);
        plan.position[index.index()] = place as u32;
        plan.nodes.push(PlannedNode { node: index, key, reusable, same_as, reads, salt });
    }
    Ok(plan)
}

impl Plan {
    /// Every file that the graph is known to read before it runs.
    pub fn reads(&self) -> impl Iterator<Item = &Path> {
        self.nodes.iter().flat_map(|planned| &planned.reads).map(|read| read.path.as_path())
    }

    /// Where a node of the graph stands in [`Self::nodes`]; nothing when no output needs it.
    pub fn position(&self, node: NodeIndex) -> Option<usize> {
        self.position.get(node.index()).filter(|place| **place != ABSENT).map(|place| *place as usize)
    }
}

/// The needed nodes in an order in which each comes after its ancestors. A document that is in such an order keeps it.
fn order(graph: &Graph, roots: impl Iterator<Item = NodeIndex>) -> Vec<NodeIndex> {
    let backwards = Reversed(&graph.nodes);
    let mut needed = Dfs::empty(backwards);
    for root in roots.filter(|i| i.index() < graph.nodes.node_count()) {
        needed.move_to(root);
        while needed.next(backwards).is_some() {}
    }
    let mut order = Vec::new();
    let mut walk = DfsPostOrder::empty(backwards);
    for index in graph.nodes.node_indices().filter(|i| needed.discovered.contains(i.index())) {
        walk.move_to(index);
        while let Some(index) = walk.next(backwards) {
            order.push(index);
        }
    }
    order
}

fn read_digests(node: &GraphNode, digests: &Digests) -> Result<Vec<FileRead>, PlanError> {
    let read = |path: &PathBuf| match digests.of(path) {
        Ok(digest) => Ok(FileRead { path: path.clone(), digest }),
        Err(source) => Err(PlanError::File { node: node.id.clone(), path: path.clone(), source }),
    };
    node.reads.iter().map(read).collect()
}

/// A node's key, whether it means the same in every run, and its salt.
///
/// What a node with an effect gives depends on more than its inputs (where it writes, what is there already), so it is
/// never taken for another one, nor is what follows from it.
fn node_key(
    graph: &Graph,
    plan: &Plan,
    index: NodeIndex,
    reads: &[FileRead],
    keys: &mut Keys,
) -> Result<(Key, bool, String), PlanError> {
    let node = &graph.nodes[index];
    let spec = node.node.spec();
    let salt = catch_unwind(AssertUnwindSafe(|| node.node.key_salt())).map_err(|panic| PlanError::Panicked {
        node: node.id.clone(),
        type_name: spec.type_name.clone(),
        message: panic_message(&*panic),
    })?;
    let ancestor = |port: PortRef| {
        let key = plan.nodes[plan.position(port.node)?].key;
        Some((key, output_name(&graph.nodes, port)?))
    };
    let key = keys.key(node, &salt, reads, ancestor);
    let key = key.map_err(|Dangling| PlanError::Inconsistent { node: node.id.clone() })?;
    let repeatable = spec.deterministic && !spec.effect && !node.reads_unknown;
    let known_ancestors =
        node.links().all(|port| plan.position(port.node).is_some_and(|place| plan.nodes[place].reusable));
    Ok(match key.filter(|_| repeatable) {
        Some(key) => (key, known_ancestors, salt),
        None => (Keys::unique(index.index()), false, salt),
    })
}

fn output_name(nodes: &DiGraph<GraphNode, ()>, port: PortRef) -> Option<&str> {
    Some(&nodes.node_weight(port.node)?.node.spec().outputs.get(port.output)?.name)
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dc_graph_node_api::{Inputs, Node, NodeError, NodeSpec, Outputs, RunContext};

    use super::super::testing::{Build, add, binary, binary_spec, link, literal};
    use super::*;
    use crate::graph::Binding;
    use crate::testing::TestNode;

    fn zero(spec: NodeSpec) -> Arc<dyn Node> {
        Arc::new(TestNode::new(spec, |_, _| Ok(Outputs::one("out", 0.0))))
    }

    fn ids(graph: &Graph) -> Vec<String> {
        let plan = plan(graph, &Digests::default()).unwrap();
        plan.nodes.iter().map(|planned| graph.nodes[planned.node].id.clone()).collect()
    }

    #[test]
    fn keeps_what_outputs_and_effects_need() {
        let effect = zero(binary_spec("Effect").with_effect());
        let mut build = Build::new();
        let a = build.node("a", add(), vec![literal(1.0), Binding::Absent]);
        let _unused = build.node("unused", add(), vec![link(a), Binding::Absent]);
        let b = build.node("b", add(), vec![literal(2.0), Binding::Absent]);
        build.node("effect", effect, vec![link(b), Binding::Absent]);
        let c = build.node("c", add(), vec![literal(3.0), link(a)]);
        let _loner = build.node("loner", add(), vec![literal(3.0), Binding::Absent]);
        assert_eq!(ids(&build.0), ["b", "effect"]);
        build.output("c", c);
        assert_eq!(ids(&build.0), ["a", "b", "effect", "c"]);
        let plan = plan(&build.0, &Digests::default()).unwrap();
        assert_eq!((plan.position(c), plan.position(_unused)), (Some(3), None));
    }

    /// A chain whose nodes stand in the document in the given order.
    fn chain(order: &[usize]) -> Build {
        let mut build = Build::new();
        let mut index = vec![NodeIndex::end(); order.len()];
        for id in order {
            index[*id] = build.node(&id.to_string(), add(), vec![literal(*id as f64), Binding::Absent]);
        }
        for pair in index.windows(2) {
            build.0.nodes[pair[1]].bindings[1] = link(pair[0]);
            build.0.nodes.add_edge(pair[0], pair[1], ());
        }
        build.output("end", index[order.len() - 1]);
        build
    }

    #[test]
    fn ancestors_come_first_whatever_the_document_says() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            assert_eq!(ids(&chain(&order).0), ["0", "1", "2", "3"], "{order:?}");
        }
        let backwards: Vec<_> = (0..100_000).rev().collect();
        assert_eq!(ids(&chain(&backwards).0).len(), 100_000);
    }

    #[test]
    fn graphs_that_were_not_validated_are_refused() {
        let mut build = Build::new();
        let a = build.node("a", add(), vec![literal(1.0), Binding::Absent]);
        let b = build.node("b", add(), vec![link(a), Binding::Absent]);
        build.output("b", b);
        let refused = |graph: &Graph| matches!(plan(graph, &Digests::default()), Err(PlanError::Inconsistent { .. }));
        assert!(!refused(&build.0));
        build.0.nodes[a].bindings[1] = link(b);
        build.0.nodes.add_edge(b, a, ());
        assert!(refused(&build.0), "a cycle");
        build.0.nodes.clear_edges();
        assert!(refused(&build.0), "links without edges");
        build.0.nodes[a].bindings[1] = Binding::Absent;
        build.0.nodes.add_edge(a, b, ());
        assert!(!refused(&build.0));
        build.0.nodes[b].bindings[0] = Binding::Link(PortRef { node: a, output: 1 });
        assert!(refused(&build.0), "an output that is not there");
        build.0.nodes[b].bindings[0] = link(a);
        build.0.outputs[0].1.output = 7;
        assert!(refused(&build.0), "an output of the graph that is not there");
    }

    #[test]
    fn a_file_that_cannot_be_read_names_node_and_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut build = Build::new();
        let a = build.node("a", add(), vec![Binding::Absent, Binding::Absent]);
        build.0.nodes[a].reads.push(folder.path().join("cat.png"));
        build.output("a", a);
        let error = plan(&build.0, &Digests::default()).unwrap_err().to_string();
        assert!(error.starts_with("`a` cannot read ") && error.contains("cat.png: "), "{error}");
    }

    #[test]
    fn a_panic_while_planning_is_an_error() {
        struct Rude(NodeSpec);
        impl Node for Rude {
            fn spec(&self) -> &NodeSpec {
                &self.0
            }
            fn key_salt(&self) -> String {
                panic!("no salt today")
            }
            fn run(&self, _: &Inputs, _: &dyn RunContext) -> Result<Outputs, NodeError> {
                Ok(Outputs::default())
            }
        }
        let mut build = Build::new();
        build.node("rude", Arc::new(Rude(NodeSpec::new("Rude", "test", "Rude.").with_effect())), vec![]);
        let error = plan(&build.0, &Digests::default()).unwrap_err();
        assert_eq!(error.to_string(), "`rude` (Rude) panicked: no salt today");
    }

    #[test]
    fn equal_nodes_are_found_unless_they_differ_by_chance_or_have_an_effect() {
        let mut chance_spec = binary_spec("Chance");
        chance_spec.deterministic = false;
        let chance = zero(chance_spec);
        let effect = zero(binary_spec("Effect").with_effect());
        let step = binary("Step", |a, _, _| Ok(a));
        let absent = || vec![Binding::Absent, Binding::Absent];
        let mut build = Build::new();
        for name in ["a", "b"] {
            let one = build.node(&format!("{name} one"), step.clone(), vec![literal(1.0), Binding::Absent]);
            let two = build.node(&format!("{name} two"), step.clone(), vec![link(one), Binding::Absent]);
            let chance = build.node(&format!("{name} chance"), chance.clone(), absent());
            let after = build.node(&format!("{name} after"), step.clone(), vec![link(chance), Binding::Absent]);
            let twin = build.node(&format!("{name} twin"), step.clone(), vec![link(chance), Binding::Absent]);
            build.node(&format!("{name} effect"), effect.clone(), vec![link(two), Binding::Absent]);
            build.output(name, after);
            build.output(name, twin);
        }
        let plan = plan(&build.0, &Digests::default()).unwrap();
        let same: Vec<_> = plan
            .nodes
            .iter()
            .filter_map(|planned| Some((planned.node, plan.nodes[planned.same_as?].node)))
            .map(|(node, same)| format!("{} = {}", build.0.nodes[node].id, build.0.nodes[same].id))
            .collect();
        assert_eq!(same, ["a twin = a after", "b one = a one", "b two = a two", "b twin = b after"]);
    }
}
