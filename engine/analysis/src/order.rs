//! The order of evaluation: levels of units, each depending on lower levels only; or the cycle that forbids one.

use std::collections::{HashMap, HashSet, VecDeque};

use loading::{Loader, Node, cycle_diagnostic};
use model::{Diagnostic, Label, Location};
use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use crate::discover::Discovery;

/// The units by level, in the order of discovery within a level; units of cycles are in none.
pub(crate) struct Levels {
    pub(crate) levels: Vec<Vec<usize>>,
    pub(crate) cycles: Vec<Diagnostic>,
}

/// The order in which units are evaluated. Dependencies that have no unit are left out.
pub(crate) fn levels(loader: &Loader, discovery: &Discovery<'_>) -> Levels {
    let mut graph: DiGraph<usize, ()> = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..discovery.units.len()).map(|unit| graph.add_node(unit)).collect();
    for (from, unit) in discovery.units.iter().enumerate() {
        for to in unit.edges.iter().filter_map(|edge| discovery.index.get(&edge.to)) {
            // The same edge twice changes nothing, and looking for it takes longer than having it.
            graph.add_edge(nodes[from], nodes[*to], ());
        }
    }
    let mut found = Vec::new();
    let order = toposort(&graph, None).unwrap_or_else(|_| {
        found = cycles(loader, discovery, &graph);
        let groups = tarjan_scc(&graph).into_iter();
        let cyclic: HashSet<NodeIndex> =
            groups.filter(|group| group.len() > 1 || graph.contains_edge(group[0], group[0])).flatten().collect();
        graph.retain_edges(|graph, edge| {
            graph.edge_endpoints(edge).is_none_or(|(from, to)| !cyclic.contains(&from) && !cyclic.contains(&to))
        });
        let order = toposort(&graph, None).unwrap_or_default();
        order.into_iter().filter(|node| !cyclic.contains(node)).collect()
    });
    let mut level = vec![0_usize; nodes.len()];
    let mut levels: Vec<Vec<usize>> = Vec::new();
    for node in order.iter().rev() {
        let below = graph.neighbors(*node).map(|dependency| level[dependency.index()] + 1).max();
        level[node.index()] = below.unwrap_or(0);
    }
    let mut units: Vec<usize> = order.iter().map(|node| node.index()).collect();
    units.sort_unstable();
    for unit in units {
        if levels.len() <= level[unit] {
            levels.resize(level[unit] + 1, Vec::new());
        }
        levels[level[unit]].push(unit);
    }
    Levels { levels, cycles: found }
}

/// One shortest cycle for each group of targets that depend on each other.
fn cycles(loader: &Loader, discovery: &Discovery<'_>, graph: &DiGraph<usize, ()>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for group in tarjan_scc(graph) {
        let start = group.iter().copied().min_by_key(|node| &discovery.units[node.index()].key);
        let Some(start) = start else { continue };
        if group.len() == 1 && !graph.contains_edge(start, start) {
            continue;
        }
        let path: Vec<&Label> =
            cycle_through(graph, start).into_iter().map(|node| &discovery.units[node.index()].key.label).collect();
        let path: Vec<(Label, Option<Location>)> = path
            .iter()
            .enumerate()
            .map(|(index, label)| ((*label).clone(), place(loader, label, path[(index + 1) % path.len()])))
            .collect();
        diagnostics.push(cycle_diagnostic(loader, &path));
    }
    diagnostics.sort_by(|a, b| a.message.cmp(&b.message));
    diagnostics
}

/// Where a target of a cycle names the next.
fn place(loader: &Loader, label: &Label, next: &Label) -> Option<Location> {
    match loader.node(label) {
        Ok(Node::Target(target, _)) => loader.place_of(&target, next),
        _ => None,
    }
}

fn cycle_through(graph: &DiGraph<usize, ()>, start: NodeIndex) -> Vec<NodeIndex> {
    let mut before: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in graph.neighbors(node) {
            if next == start {
                let mut path = vec![node];
                while let Some(previous) = path.last().filter(|last| **last != start).and_then(|last| before.get(last))
                {
                    path.push(*previous);
                }
                path.reverse();
                return path;
            }
            before.entry(next).or_insert_with(|| {
                queue.push_back(next);
                node
            });
        }
    }
    vec![start]
}
