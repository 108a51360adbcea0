//! The graph of the actions that are needed: edges from the action that makes an artifact to those that read it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::{Action, Artifact, ArtifactRoot, Data, Depset, RelPath};
use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::outcome::ExecutionError;

/// The needed part of an action graph, without circles.
pub(crate) struct Graph {
    nodes: DiGraph<Node, ()>,
    /// Which action makes a path, among all actions given, needed or not.
    makers: HashMap<RelPath, (Arc<Action>, Option<NodeIndex>)>,
}

/// An action with all that it reads, by path.
pub(crate) struct Node {
    pub action: Arc<Action>,
    pub inputs: Vec<Artifact>,
}

impl Graph {
    /// Takes from `actions` what `wanted` needs. Nothing needs to make what is `known`, unless an action given does.
    pub(crate) fn new(
        actions: &[Arc<Action>],
        wanted: &[Artifact],
        known: &dyn Fn(&Artifact) -> bool,
    ) -> Result<Self, ExecutionError> {
        let mut graph = Self { nodes: DiGraph::new(), makers: makers(actions)? };
        let mut open = Vec::new();
        for artifact in wanted.iter().filter(|artifact| artifact.root() == ArtifactRoot::Output) {
            graph.need(artifact, &mut open, || "the command".to_owned())?;
        }
        while let Some(node) = open.pop() {
            let owner = graph.action(node).owner.label.clone();
            for input in graph.nodes[node].inputs.clone() {
                let is_made = graph.makers.contains_key(input.path()) || !known(&input);
                if input.root() == ArtifactRoot::Output && is_made {
                    let maker = graph.need(&input, &mut open, || owner.to_string())?;
                    graph.nodes.update_edge(maker, node, ());
                }
            }
        }
        graph.check_circles()?;
        Ok(graph)
    }

    /// The node of the action that makes `artifact`; a new one goes to `open`.
    fn need(
        &mut self,
        artifact: &Artifact,
        open: &mut Vec<NodeIndex>,
        needed_by: impl Fn() -> String,
    ) -> Result<NodeIndex, ExecutionError> {
        let Some((action, node)) = self.makers.get(artifact.path()) else {
            return Err(ExecutionError::NoAction { path: artifact.path().clone(), needed_by: needed_by() });
        };
        if let Some(node) = node {
            return Ok(*node);
        }
        let action = Arc::clone(action);
        let node = self.nodes.add_node(Node { inputs: inputs(&action), action: Arc::clone(&action) });
        for output in &action.outputs {
            self.makers.insert(output.path().clone(), (Arc::clone(&action), Some(node)));
        }
        open.push(node);
        Ok(node)
    }

    fn check_circles(&self) -> Result<(), ExecutionError> {
        for component in tarjan_scc(&self.nodes) {
            let first = component[0];
            if component.len() > 1 || self.nodes.contains_edge(first, first) {
                return Err(ExecutionError::Cycle(self.circle(&component)));
            }
        }
        Ok(())
    }

    /// One circle inside a strongly connected component, as text, each followed by what it needs.
    fn circle(&self, component: &[NodeIndex]) -> Vec<String> {
        let inside: HashSet<NodeIndex> = component.iter().copied().collect();
        let mut path = vec![component[0]];
        loop {
            let last = path[path.len() - 1];
            let next = self.nodes.neighbors_directed(last, Direction::Incoming).find(|node| inside.contains(node));
            let next = next.expect("in a strongly connected component every node has a predecessor");
            if let Some(start) = path.iter().position(|node| *node == next) {
                path.push(next);
                return path[start..].iter().map(|node| self.describe(*node)).collect();
            }
            path.push(next);
        }
    }

    fn describe(&self, node: NodeIndex) -> String {
        let action = self.action(node);
        let output = action.outputs.first().map(|output| format!(" ({})", output.path())).unwrap_or_default();
        format!("{}{output}", action.owner.label)
    }

    /// How many actions are needed.
    pub(crate) fn len(&self) -> usize {
        self.nodes.node_count()
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        self.nodes.node_indices()
    }

    /// A node.
    pub(crate) fn node(&self, node: NodeIndex) -> &Node {
        &self.nodes[node]
    }

    /// A node's action.
    pub(crate) fn action(&self, node: NodeIndex) -> &Arc<Action> {
        &self.nodes[node].action
    }

    /// The actions it waits for.
    pub(crate) fn dependencies(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> + '_ {
        self.nodes.neighbors_directed(node, Direction::Incoming)
    }

    /// The actions that wait for it.
    pub(crate) fn dependents(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> + '_ {
        self.nodes.neighbors_directed(node, Direction::Outgoing)
    }

    /// The node that makes a path.
    pub(crate) fn maker(&self, path: &RelPath) -> Option<NodeIndex> {
        self.makers.get(path).and_then(|(_, node)| *node)
    }

    /// The output at `path` of any action, needed or not.
    pub(crate) fn output(&self, path: &RelPath) -> Option<&Artifact> {
        self.makers.get(path)?.0.outputs.iter().find(|output| output.path() == path)
    }
}

type Makers = HashMap<RelPath, (Arc<Action>, Option<NodeIndex>)>;

/// Who makes which path. Actions that differ in their owner only count once.
fn makers(actions: &[Arc<Action>]) -> Result<Makers, ExecutionError> {
    let mut makers: Makers = HashMap::new();
    for action in actions {
        for output in &action.outputs {
            match makers.get(output.path()) {
                Some((other, _)) if !do_the_same(other, action) => {
                    return Err(ExecutionError::DuplicateOutput {
                        path: output.path().clone(),
                        first: other.owner.label.clone(),
                        second: action.owner.label.clone(),
                    });
                }
                Some(_) => {}
                None => {
                    makers.insert(output.path().clone(), (Arc::clone(action), None));
                }
            }
        }
    }
    Ok(makers)
}

fn do_the_same(a: &Arc<Action>, b: &Arc<Action>) -> bool {
    let paths = |action: &Action| action.outputs.iter().map(|output| output.path().clone()).collect::<Vec<_>>();
    Arc::ptr_eq(a, b) || (a.kind == b.kind && a.inputs == b.inputs && paths(a) == paths(b))
}

/// All that an action reads, sorted by path, without repetition.
pub(crate) fn inputs(action: &Action) -> Vec<Artifact> {
    let mut inputs = Vec::new();
    flatten(&action.inputs, &mut HashSet::new(), &mut inputs);
    inputs.extend(action.other_inputs().cloned());
    inputs.sort_by(|a, b| a.path().cmp(b.path()));
    inputs.dedup_by(|a, b| a.path() == b.path());
    inputs
}

fn flatten(set: &Depset, seen: &mut HashSet<*const Depset>, artifacts: &mut Vec<Artifact>) {
    let mut open = vec![set];
    while let Some(set) = open.pop() {
        if seen.insert(std::ptr::from_ref(set)) {
            artifacts.extend(set.direct.iter().filter_map(Data::as_file).cloned());
            open.extend(set.transitive.iter().map(|set| &**set));
        }
    }
}
