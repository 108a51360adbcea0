//! The action graph on the rows: who makes what, and which actions must be looked at because something changed below.

use crate::codec::Reader;
use crate::state::{State, Table};

const NONE: u32 = u32::MAX;

/// The edges of all actions, read from their rows once.
#[derive(Debug)]
pub struct ActionGraph {
    /// By action: its inputs' depset, other inputs, outputs. A row that is no action has no outputs.
    actions: Vec<Edges>,
    /// By artifact: the action that makes it.
    makers: Vec<u32>,
}

#[derive(Debug, Default)]
struct Edges {
    inputs: u32,
    others: Vec<u32>,
    outputs: Vec<u32>,
}

/// What is to be done for some artifacts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Actions whose outputs may no longer be what they would make, dependencies first.
    pub actions: Vec<u32>,
    /// How many actions the artifacts need in all.
    pub needed: u32,
    /// Actions of which the same is true, but that the artifacts do not need.
    pub others: Vec<u32>,
}

/// What a walk found out about an action or a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    Open,
    Fresh,
    Stale,
}

#[derive(Clone, Copy)]
enum Node {
    Action(u32),
    Set(u32),
}

impl ActionGraph {
    /// Reads all rows. `None` if two actions make one artifact, or one lies inside of another.
    pub fn read(state: &State) -> Option<Self> {
        let mut actions = Vec::with_capacity(state.len(Table::Actions) as usize);
        let mut makers = vec![NONE; state.len(Table::Artifacts) as usize];
        for id in 0..state.len(Table::Actions) {
            let row = state.row(Table::Actions, id);
            if row.is_empty() {
                actions.push(Edges::default());
                continue;
            }
            let mut row = Reader::new(row);
            row.id()?;
            let edges = Edges { inputs: row.id()?, others: row.ids()?, outputs: row.ids()? };
            for output in &edges.outputs {
                let maker = makers.get_mut(*output as usize)?;
                if *maker != NONE {
                    return None;
                }
                *maker = id;
            }
            actions.push(edges);
        }
        Some(Self { actions, makers })
    }

    /// Whether an output lies inside of another.
    pub fn has_nested_outputs(&self, state: &State) -> bool {
        let outputs = (0..self.makers.len() as u32).filter(|id| self.makers[*id as usize] != NONE);
        let mut paths: Vec<&str> = outputs.filter_map(|id| state.artifact_path(id).map(|(path, _)| path)).collect();
        paths.sort_unstable_by(|a, b| a.bytes().map(order).cmp(b.bytes().map(order)));
        paths.windows(2).any(|pair| pair[1].strip_prefix(pair[0]).is_some_and(|rest| rest.starts_with('/')))
    }

    /// The action that makes an artifact.
    pub fn maker(&self, artifact: u32) -> Option<u32> {
        self.makers.get(artifact as usize).copied().filter(|maker| *maker != NONE)
    }

    /// The outputs of an action.
    pub fn outputs(&self, action: u32) -> &[u32] {
        self.actions.get(action as usize).map_or(&[], |edges| &edges.outputs)
    }

    /// What must be done to have `wanted`, when the sources for which `changed` holds are not what they were. `None` if
    /// actions need each other.
    pub fn stale(&self, state: &State, wanted: &[u32], changed: &dyn Fn(u32) -> bool) -> Option<Stale> {
        let mut walk = Walk {
            graph: self,
            state,
            changed,
            actions: vec![Seen::Not; self.actions.len()],
            sets: vec![Seen::Not; state.len(Table::Depsets) as usize],
            stale: Stale::default(),
        };
        let roots = wanted.iter().filter_map(|artifact| self.maker(*artifact));
        walk.run(roots.map(Node::Action).collect())?;
        let mut stale = std::mem::take(&mut walk.stale);
        let all = (0..self.actions.len() as u32).filter(|action| !self.outputs(*action).is_empty());
        walk.run(all.map(Node::Action).collect())?;
        stale.others = walk.stale.actions;
        Some(stale)
    }
}

/// `/` before everything else, so that what lies in a folder follows the folder.
fn order(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

struct Walk<'a> {
    graph: &'a ActionGraph,
    state: &'a State,
    changed: &'a dyn Fn(u32) -> bool,
    actions: Vec<Seen>,
    sets: Vec<Seen>,
    stale: Stale,
}

impl Walk<'_> {
    fn run(&mut self, mut open: Vec<Node>) -> Option<()> {
        let mut children = Vec::new();
        while let Some(node) = open.last().copied() {
            match self.seen(node)? {
                Seen::Fresh | Seen::Stale => _ = open.pop(),
                Seen::Not => {
                    *self.seen_mut(node)? = Seen::Open;
                    children.clear();
                    self.visit(node, &mut |child, _| _ = child.map(|child| children.push(child)))?;
                    for child in &children {
                        match self.seen(*child)? {
                            Seen::Not => open.push(*child),
                            Seen::Open => return None,
                            Seen::Fresh | Seen::Stale => {}
                        }
                    }
                }
                Seen::Open => {
                    open.pop();
                    let stale = self.is_stale(node)?;
                    *self.seen_mut(node)? = if stale { Seen::Stale } else { Seen::Fresh };
                    if let Node::Action(id) = node {
                        self.stale.needed += 1;
                        if stale {
                            self.stale.actions.push(id);
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// Calls `each` with what a node leads to: another node, or whether a source changed.
    fn visit(&self, node: Node, each: &mut dyn FnMut(Option<Node>, bool)) -> Option<()> {
        let mut artifact = |id: u32| match self.graph.maker(id) {
            Some(maker) => each(Some(Node::Action(maker)), false),
            None => each(None, (self.changed)(id)),
        };
        match node {
            Node::Action(id) => {
                let edges = self.graph.actions.get(id as usize)?;
                edges.others.iter().for_each(|id| artifact(*id));
                each(Some(Node::Set(edges.inputs)), false);
            }
            Node::Set(id) => {
                let parts = self.state.depset_parts(id, &mut artifact)?;
                parts.into_iter().for_each(|part| each(Some(Node::Set(part)), false));
            }
        }
        Some(())
    }

    fn is_stale(&self, node: Node) -> Option<bool> {
        let mut stale = matches!(node, Node::Action(id) if !self.state.is_valid(id));
        self.visit(node, &mut |child, changed| {
            stale |= changed || child.is_some_and(|child| self.seen(child) == Some(Seen::Stale));
        })?;
        Some(stale)
    }

    fn seen(&self, node: Node) -> Option<Seen> {
        match node {
            Node::Action(id) => self.actions.get(id as usize).copied(),
            Node::Set(id) => self.sets.get(id as usize).copied(),
        }
    }

    fn seen_mut(&mut self, node: Node) -> Option<&mut Seen> {
        match node {
            Node::Action(id) => self.actions.get_mut(id as usize),
            Node::Set(id) => self.sets.get_mut(id as usize),
        }
    }
}
