//! The target graph: what names what, over all branches of selects.

use std::collections::{HashMap, HashSet};

use model::{Configurable, Diagnostic, Diagnostics, Label, Location, Target};
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use rayon::prelude::*;

use crate::loader::Loader;
use crate::node::Node;
use crate::patterns::{distinct, is_core};

/// Labels and their dependencies, as far as it was asked to grow.
#[derive(Default)]
pub struct TargetGraph {
    graph: DiGraph<Label, ()>,
    index: HashMap<Label, NodeIndex>,
    nodes: HashMap<Label, Node>,
}

impl TargetGraph {
    /// Adds the labels and all they depend on, up to `depth` steps away.
    pub fn grow(&mut self, loader: &Loader, roots: &[Label], depth: Option<usize>) -> Result<(), Diagnostics> {
        let mut visited: HashSet<Label> = HashSet::new();
        let mut frontier: Vec<(Label, Option<Label>)> = roots.iter().map(|label| (label.clone(), None)).collect();
        let mut left = depth;
        while !frontier.is_empty() {
            loader.prefetch(frontier.iter().map(|(label, _)| label));
            let found: Vec<_> = frontier
                .par_iter()
                .map(|(label, from)| match self.nodes.get(label) {
                    Some(node) => Ok(node.clone()),
                    None => loader.node(label).map_err(|errors| loader.named_by(errors, from.as_ref(), label)),
                })
                .collect();
            let mut next = Vec::new();
            let mut wrong = Vec::new();
            for ((label, _), result) in frontier.into_iter().zip(found) {
                match result {
                    Ok(node) => self.add(loader, label, node, left != Some(0), &mut next)?,
                    Err(errors) => wrong.extend(errors.0),
                }
            }
            if !wrong.is_empty() {
                return Err(distinct(wrong));
            }
            if left == Some(0) {
                break;
            }
            left = left.map(|left| left - 1);
            next.retain(|(label, _)| visited.insert(label.clone()));
            frontier = next;
        }
        Ok(())
    }

    fn add(
        &mut self,
        loader: &Loader,
        label: Label,
        node: Node,
        with_edges: bool,
        next: &mut Vec<(Label, Option<Label>)>,
    ) -> Result<(), Diagnostics> {
        let from = self.node_index(&label);
        if with_edges {
            for dependency in dependencies(loader, &node)? {
                let dependency = loader.resolve(&dependency)?;
                let to = self.node_index(&dependency);
                self.graph.update_edge(from, to, ());
                next.push((dependency, Some(label.clone())));
            }
        }
        self.nodes.insert(label, node);
        Ok(())
    }

    fn node_index(&mut self, label: &Label) -> NodeIndex {
        if let Some(index) = self.index.get(label) {
            return *index;
        }
        let index = self.graph.add_node(label.clone());
        self.index.insert(label.clone(), index);
        index
    }

    /// What a label of the graph stands for.
    pub fn node(&self, label: &Label) -> Option<&Node> {
        self.nodes.get(label)
    }

    /// The labels that `label` names, or that name it, sorted.
    pub fn neighbours(&self, label: &Label, direction: Direction) -> Vec<Label> {
        let Some(index) = self.index.get(label) else { return Vec::new() };
        let mut labels: Vec<Label> =
            self.graph.neighbors_directed(*index, direction).map(|index| self.graph[index].clone()).collect();
        labels.sort();
        labels
    }
}

impl Loader {
    /// Errors about a label that names nothing, at the target that named it.
    pub fn named_by(&self, errors: Diagnostics, from: Option<&Label>, label: &Label) -> Diagnostics {
        let Some(from) = from else { return errors };
        let Ok(Node::Target(target, _)) = self.node(from) else { return errors };
        let attribute = attribute_naming(&target, label);
        let place = self.place_of(&target, label);
        let placed = |error| self.placed(error, &target, attribute.as_deref(), place.as_ref());
        Diagnostics(errors.0.into_iter().map(placed).collect())
    }

    fn placed(
        &self,
        error: Diagnostic,
        target: &Target,
        attribute: Option<&str>,
        place: Option<&Location>,
    ) -> Diagnostic {
        if error.location.is_some() {
            return error;
        }
        let note = match attribute {
            Some(attribute) => format!("`{attribute}` of {} names it", target.label),
            None => format!("{} names it", target.label),
        };
        self.locate(error.note(note), place)
    }
}

/// The attribute of the target in which the label stands.
fn attribute_naming(target: &Target, label: &Label) -> Option<String> {
    let names = |value: &Configurable| {
        let mut found = false;
        value.for_each_label(&mut |named| found |= named == label);
        found
    };
    target.attributes.iter().find(|(_, value)| names(value)).map(|(name, _)| name.to_string())
}

/// All labels that a node names, in the order of its attributes.
pub(crate) fn dependencies(loader: &Loader, node: &Node) -> Result<Vec<Label>, Diagnostics> {
    Ok(match node {
        Node::SourceFile(_) => Vec::new(),
        Node::OutputFile { generator, .. } => vec![generator.clone()],
        Node::Target(target, _) if is_core(target, "test_suite") => loader.members_of_suite(target)?,
        Node::Target(target, schema) => {
            let mut labels = Vec::new();
            let outputs: HashSet<&str> = target.outputs.iter().map(|name| &**name).collect();
            for (name, value) in &target.attributes {
                if schema.attributes.get(name).is_some_and(|attribute| attribute.kind.is_label()) || has_select(value) {
                    value.for_each_label(&mut |label| {
                        let own_output = label.package() == target.label.package() && outputs.contains(label.name());
                        if !own_output && label.repository() != "conditions" {
                            labels.push(label.clone());
                        }
                    });
                }
            }
            labels
        }
    })
}

fn has_select(value: &Configurable) -> bool {
    value.plain().is_none()
}

/// A cycle among targets: each names the next, the last names the first.
pub fn cycle_diagnostic(loader: &Loader, cycle: &[(Label, Option<Location>)]) -> Diagnostic {
    let Some((first, location)) = cycle.first() else { return Diagnostic::error("a target depends on itself") };
    let mut diagnostic = Diagnostic::error(format!("{first} depends on itself"));
    for (index, (label, location)) in cycle.iter().enumerate() {
        let next = &cycle[(index + 1) % cycle.len()].0;
        let place = location.as_ref().map(|location| format!("{location}: ")).unwrap_or_default();
        diagnostic = diagnostic.note(format!("{place}{label} depends on {next}"));
    }
    loader.locate(diagnostic, location.as_ref())
}
