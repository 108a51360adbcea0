//! Which action first: the one with the longest way to the end of the graph, so that no long chain is left for last.

use std::collections::HashMap;

use crate::durations::Identity;
use crate::graph::Graph;

/// The milliseconds from the start of each node to the end of the last one that needs it, by index; at least 1 a node.
/// A node without a known duration is taken to be as long as the median of those that have one.
pub(crate) fn of(graph: &Graph, durations: &HashMap<Identity, u32>) -> Vec<u64> {
    let known: Vec<Option<u32>> =
        graph.nodes().map(|node| durations.get(&Identity::of(graph.action(node))).copied()).collect();
    let median = median(known.iter().flatten().copied().collect());
    let own = |index: usize| u64::from(known[index].unwrap_or(median).max(1));
    let mut priorities = vec![0; known.len()];
    // From the ends backwards: a node's way is known when those of all that need it are.
    let mut open: Vec<usize> = graph.nodes().map(|node| graph.dependents(node).count()).collect();
    let mut ends: Vec<_> = graph.nodes().filter(|node| open[node.index()] == 0).collect();
    while let Some(node) = ends.pop() {
        let after = graph.dependents(node).map(|dependent| priorities[dependent.index()]).max().unwrap_or(0);
        priorities[node.index()] = own(node.index()) + after;
        for dependency in graph.dependencies(node) {
            open[dependency.index()] -= 1;
            if open[dependency.index()] == 0 {
                ends.push(dependency);
            }
        }
    }
    priorities
}

fn median(mut values: Vec<u32>) -> u32 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(1)
}
