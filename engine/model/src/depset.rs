//! Sets shared along the dependency graph: a node holds its own elements and refers to its dependencies' sets.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::Data;

/// The order in which [`Depset::to_list`] yields elements, with Bazel's meanings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Order {
    /// Any order; here as `Postorder`.
    #[default]
    Default,
    /// Dependencies first.
    Postorder,
    /// The node first.
    Preorder,
    /// Every element before what it depends on.
    Topological,
}

/// An immutable set of data elements with shared structure.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Depset {
    /// The order of the flattened list.
    pub order: Order,
    /// This node's own elements.
    pub direct: Vec<Data>,
    /// The sets it includes.
    pub transitive: Vec<Arc<Depset>>,
}

impl Depset {
    /// A set of its own elements only.
    pub fn of(direct: Vec<Data>) -> Self {
        Self { order: Order::Default, direct, transitive: Vec::new() }
    }

    /// Whether the set has no element at all.
    pub fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.transitive.iter().all(|set| set.is_empty())
    }

    /// The elements without repetition, in the set's order. Linear in the nodes and elements reached.
    pub fn to_list(&self) -> Vec<Data> {
        let mut walk = Walk { nodes: HashSet::new(), elements: HashSet::new(), list: Vec::new() };
        match self.order {
            Order::Default | Order::Postorder => walk.postorder(self),
            Order::Preorder => walk.preorder(self),
            Order::Topological => {
                walk.reversed(self);
                walk.list.reverse();
            }
        }
        walk.list
    }
}

struct Walk {
    nodes: HashSet<*const Depset>,
    elements: HashSet<Data>,
    list: Vec<Data>,
}

impl Walk {
    fn postorder(&mut self, set: &Depset) {
        if self.nodes.insert(std::ptr::from_ref(set)) {
            set.transitive.iter().for_each(|set| self.postorder(set));
            set.direct.iter().for_each(|element| self.push(element));
        }
    }

    fn preorder(&mut self, set: &Depset) {
        if self.nodes.insert(std::ptr::from_ref(set)) {
            set.direct.iter().for_each(|element| self.push(element));
            set.transitive.iter().for_each(|set| self.preorder(set));
        }
    }

    fn reversed(&mut self, set: &Depset) {
        if self.nodes.insert(std::ptr::from_ref(set)) {
            set.transitive.iter().rev().for_each(|set| self.reversed(set));
            set.direct.iter().rev().for_each(|element| self.push(element));
        }
    }

    fn push(&mut self, element: &Data) {
        if self.elements.insert(element.clone()) {
            self.list.push(element.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(order: Order, direct: &[&str], transitive: &[&Arc<Depset>]) -> Arc<Depset> {
        let direct = direct.iter().map(|text| Data::text(text)).collect();
        Arc::new(Depset { order, direct, transitive: transitive.iter().map(|set| Arc::clone(set)).collect() })
    }

    fn list(set: &Depset) -> String {
        let texts: Vec<String> = set.to_list().iter().map(|data| data.as_str().unwrap().to_owned()).collect();
        texts.join(" ")
    }

    #[test]
    fn a_diamond_in_each_order() {
        for (order, expected) in
            [(Order::Postorder, "d b c a"), (Order::Preorder, "a b d c"), (Order::Topological, "a b c d")]
        {
            let d = set(order, &["d"], &[]);
            let b = set(order, &["b"], &[&d]);
            let c = set(order, &["c"], &[&d]);
            assert_eq!(list(&set(order, &["a"], &[&b, &c])), expected);
        }
    }
}
