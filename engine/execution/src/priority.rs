//! Which action first: the one with the longest way to the end of the graph, so that no long chain is left for last.

use std::collections::{BTreeSet, HashMap};

use petgraph::graph::NodeIndex;

use crate::durations::Identity;
use crate::graph::Graph;

/// The order in which the actions of one execution are to start.
pub(crate) struct Order {
    priorities: Vec<u64>,
    /// What is being looked up just now: it may turn out to be the most urgent.
    open: BTreeSet<(u64, NodeIndex)>,
}

impl Order {
    /// The order of a graph of which some nodes are being looked up.
    pub(crate) fn new(graph: &Graph, durations: &HashMap<Identity, u32>, open: Vec<NodeIndex>) -> Self {
        let mut order = Self { priorities: of(graph, durations), open: BTreeSet::new() };
        open.into_iter().for_each(|node| order.looks_up(node));
        order
    }

    /// The priority of a node.
    pub(crate) fn of(&self, node: NodeIndex) -> u64 {
        self.priorities[node.index()]
    }

    /// A node's look-up begins.
    pub(crate) fn looks_up(&mut self, node: NodeIndex) {
        self.open.insert((self.of(node), node));
    }

    /// A node's look-up has ended.
    pub(crate) fn looked_up(&mut self, node: NodeIndex) {
        self.open.remove(&(self.of(node), node));
    }

    /// The priority below which nothing is to start: a look-up is short, and what follows on a chain that was just
    /// worked at would else find its place taken every time.
    pub(crate) fn least(&self) -> u64 {
        self.open.last().map_or(0, |(priority, _)| *priority)
    }
}

/// The milliseconds from the start of each node to the end of the last one that needs it, by index; at least 1 a node.
/// A node without a known duration is taken to be as long as the median of those that have one.
fn of(graph: &Graph, durations: &HashMap<Identity, u32>) -> Vec<u64> {
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
