//! Circles of links.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// A circle: its nodes in the order in which values would flow, the first one the first in the document.
pub(super) struct Cycle<At> {
    pub(super) nodes: Vec<usize>,
    /// Where the first node takes from the last.
    pub(super) at: At,
}

/// A shortest circle through the first node of every knot, in document order. Linear, and without recursion:
/// petgraph's `tarjan_scc` recurses, its `kosaraju_scc` does not.
pub(super) fn find_cycles<At: Copy>(links: &DiGraph<(), At>) -> Vec<Cycle<At>> {
    let mut cycles = Vec::new();
    let mut knot_of = vec![usize::MAX; links.node_count()];
    let mut came_from: Vec<Option<NodeIndex>> = vec![None; links.node_count()];
    for (knot, members) in kosaraju_scc(links).into_iter().enumerate() {
        members.iter().for_each(|node| knot_of[node.index()] = knot);
        let Some(&first) = members.iter().min() else { continue };
        if members.len() == 1 && links.find_edge(first, first).is_none() {
            continue;
        }
        // Breadth first inside the knot, from `first` until a node that links back to it.
        let mut queue = vec![first];
        let mut next = 0;
        'search: while let Some(&node) = queue.get(next) {
            next += 1;
            for reader in links.neighbors(node) {
                if reader == first {
                    let at = links.find_edge(node, first).map(|edge| links[edge]);
                    cycles.extend(at.map(|at| Cycle { nodes: path(node, first, &came_from), at }));
                    break 'search;
                }
                if knot_of[reader.index()] == knot && came_from[reader.index()].is_none() {
                    came_from[reader.index()] = Some(node);
                    queue.push(reader);
                }
            }
        }
    }
    cycles.sort_by_key(|cycle| cycle.nodes[0]);
    cycles
}

fn path(last: NodeIndex, first: NodeIndex, came_from: &[Option<NodeIndex>]) -> Vec<usize> {
    let mut nodes = vec![last.index()];
    let mut node = last;
    while node != first {
        let Some(before) = came_from[node.index()] else { break };
        nodes.push(before.index());
        node = before;
    }
    nodes.reverse();
    nodes
}

#[cfg(test)]
mod tests {
    use super::super::Location;
    use super::*;

    fn check(nodes: usize, links: &[(u32, u32)], expected: &[&[usize]]) {
        let mut graph = DiGraph::new();
        for _ in 0..nodes {
            graph.add_node(());
        }
        for (line, (from, to)) in links.iter().enumerate() {
            graph.add_edge((*from).into(), (*to).into(), Location { line, column: 1 });
        }
        let found = find_cycles(&graph);
        assert_eq!(found.iter().map(|c| c.nodes.as_slice()).collect::<Vec<_>>(), expected, "{links:?}");
        for cycle in found {
            let (from, to) = links[cycle.at.line];
            assert_eq!((from as usize, to as usize), (*cycle.nodes.last().unwrap(), cycle.nodes[0]));
        }
    }

    #[test]
    fn every_knot_gives_one_cycle() {
        check(3, &[(0, 1), (1, 2), (0, 2)], &[]);
        check(1, &[(0, 0)], &[&[0]]);
        check(3, &[(0, 1), (1, 2), (2, 0)], &[&[0, 1, 2]]);
        check(4, &[(0, 1), (1, 2), (2, 0), (1, 0), (3, 0)], &[&[0, 1]]);
        check(5, &[(3, 2), (2, 3), (0, 1), (1, 0), (1, 2), (4, 4)], &[&[0, 1], &[2, 3], &[4]]);
    }

    #[test]
    fn a_long_circle_needs_no_deep_stack() {
        let count = 100_000;
        let links: Vec<_> = (0..count).map(|i| (i, (i + 1) % count)).collect();
        check(count as usize, &links, &[&(0..count as usize).collect::<Vec<_>>()]);
    }
}
