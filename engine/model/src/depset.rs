//! Sets shared along the dependency graph: a node holds its own elements and refers to its dependencies' sets.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
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
///
/// A rule may chain hundreds of thousands of them, deeper than a stack is: nothing here recurses over sets.
#[derive(Clone, Default, Serialize, Deserialize)]
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
        let mut seen = HashSet::new();
        let mut open = vec![self];
        while let Some(set) = open.pop() {
            if !set.direct.is_empty() {
                return false;
            }
            open.extend(set.transitive.iter().map(|set| &**set).filter(|set| seen.insert(std::ptr::from_ref(*set))));
        }
        true
    }

    /// The elements without repetition, in the set's order. Linear in the nodes and elements reached.
    pub fn to_list(&self) -> Vec<Data> {
        let mut walk = Walk { nodes: HashSet::new(), elements: HashSet::new(), list: Vec::new() };
        match self.order {
            Order::Default | Order::Postorder => walk.run(self, |set, open| {
                open.push(Step::Elements(set));
                open.extend(set.transitive.iter().rev().map(|set| Step::Set(set)));
            }),
            Order::Preorder => walk.run(self, |set, open| {
                open.extend(set.transitive.iter().rev().map(|set| Step::Set(set)));
                open.push(Step::Elements(set));
            }),
            Order::Topological => {
                walk.run(self, |set, open| {
                    open.push(Step::Reversed(set));
                    open.extend(set.transitive.iter().map(|set| Step::Set(set)));
                });
                walk.list.reverse();
            }
        }
        walk.list
    }

    /// Compares two sets node by node, each pair once; nodes that are shared are equal.
    fn compare(&self, other: &Self) -> Ordering {
        let mut seen = HashSet::new();
        let mut open = vec![(self, other)];
        while let Some((a, b)) = open.pop() {
            if std::ptr::eq(a, b) || !seen.insert((std::ptr::from_ref(a), std::ptr::from_ref(b))) {
                continue;
            }
            let own = a.order.cmp(&b.order).then_with(|| a.direct.cmp(&b.direct));
            let own = own.then_with(|| a.transitive.len().cmp(&b.transitive.len()));
            if own != Ordering::Equal {
                return own;
            }
            open.extend(a.transitive.iter().zip(&b.transitive).rev().map(|(a, b)| (&**a, &**b)));
        }
        Ordering::Equal
    }
}

impl PartialEq for Depset {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl Eq for Depset {}

impl PartialOrd for Depset {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Depset {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other)
    }
}

impl Hash for Depset {
    /// The node's own elements tell most sets apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.order.hash(state);
        self.direct.hash(state);
        self.transitive.len().hash(state);
    }
}

impl fmt::Debug for Depset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.to_list()).finish()
    }
}

impl Drop for Depset {
    /// A chain is taken apart link by link.
    fn drop(&mut self) {
        let mut open = std::mem::take(&mut self.transitive);
        while let Some(set) = open.pop() {
            if let Ok(mut last) = Arc::try_unwrap(set) {
                open.append(&mut last.transitive);
            }
        }
    }
}

/// What a walk still has to do.
enum Step<'a> {
    /// Looks into a set.
    Set(&'a Depset),
    /// Takes its own elements.
    Elements(&'a Depset),
    /// The same, last one first.
    Reversed(&'a Depset),
}

struct Walk {
    nodes: HashSet<*const Depset>,
    elements: HashSet<Data>,
    list: Vec<Data>,
}

impl Walk {
    /// Visits each set once; `plan` pushes what is to be done about it, the first thing last.
    fn run<'a>(&mut self, set: &'a Depset, plan: impl Fn(&'a Depset, &mut Vec<Step<'a>>)) {
        let mut open = vec![Step::Set(set)];
        while let Some(step) = open.pop() {
            match step {
                Step::Set(set) if self.nodes.insert(std::ptr::from_ref(set)) => plan(set, &mut open),
                Step::Set(_) => {}
                Step::Elements(set) => set.direct.iter().for_each(|element| self.push(element)),
                Step::Reversed(set) => set.direct.iter().rev().for_each(|element| self.push(element)),
            }
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
    fn a_chain_deeper_than_a_stack() {
        let chain = |order: Order| (0..300_000).fold(set(order, &["x"], &[]), |below, _| set(order, &["x"], &[&below]));
        for order in [Order::Postorder, Order::Preorder, Order::Topological] {
            let (one, other) = (chain(order), chain(order));
            assert_eq!(list(&one), "x");
            assert!(!one.is_empty() && one == other && format!("{one:?}") == format!("{other:?}"));
        }
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
