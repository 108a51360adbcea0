//! The order of evaluation: levels of units, each depending on lower levels only; or the cycle that forbids one.

use std::collections::{HashMap, VecDeque};

use loading::{Loader, Node, cycle_diagnostic};
use model::{Diagnostics, Label, Location};
use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use crate::discover::Discovery;

/// The units by level, in the order of discovery within a level.
pub(crate) fn levels(loader: &Loader, discovery: &Discovery<'_>) -> Result<Vec<Vec<usize>>, Diagnostics> {
    let mut graph: DiGraph<usize, ()> = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..discovery.units.len()).map(|unit| graph.add_node(unit)).collect();
    for (from, unit) in discovery.units.iter().enumerate() {
        for edge in &unit.edges {
            // The same edge twice changes nothing, and looking for it takes longer than having it.
            graph.add_edge(nodes[from], nodes[discovery.index[&edge.to]], ());
        }
    }
    let Ok(order) = toposort(&graph, None) else { return Err(cycles(loader, discovery, &graph)) };
    let mut level = vec![0_usize; nodes.len()];
    for node in order.into_iter().rev() {
        let below = graph.neighbors(node).map(|dependency| level[dependency.index()] + 1).max();
        level[node.index()] = below.unwrap_or(0);
    }
    let count = level.iter().max().map_or(0, |highest| highest + 1);
    let mut levels = vec![Vec::new(); count];
    for (unit, level) in level.into_iter().enumerate() {
        levels[level].push(unit);
    }
    Ok(levels)
}

/// One shortest cycle for each group of targets that depend on each other.
fn cycles(loader: &Loader, discovery: &Discovery<'_>, graph: &DiGraph<usize, ()>) -> Diagnostics {
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
    Diagnostics(diagnostics)
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
