//! An input that was there is gone from the store, or turned out damaged: what makes it is run again.

use std::sync::Arc;

use model::{ActionKind, RelPath};
use petgraph::graph::NodeIndex;

use super::{Schedule, State};
use crate::failure::{Failure, FailureKind};
use crate::worker::Worker;

/// How often an action is tried again because an input was lost from the store. An end must be, since the store may be on a
/// disk that keeps nothing.
const TRIES: usize = 20;

impl Schedule {
    /// The input at `path` is gone from the store: makes it again, then tries the action again.
    pub(super) fn restore(&mut self, node: NodeIndex, path: &RelPath) {
        self.tries[node.index()] += 1;
        if self.tries[node.index()] > TRIES {
            let message = format!("its input {path} is lost from the store again and again");
            let failure = Failure::new(self.worker.graph.action(node), FailureKind::Engine, message);
            return self.fail(node, Worker::id(), failure);
        }
        self.worker.forget(path);
        let Some(maker) = self.worker.graph.maker(path) else {
            if self.worker.is_known(path) {
                self.outcome.lost.push(path.clone());
                self.states[node.index()] = State::Waiting(0);
                return;
            }
            self.ready.push_back((node, false));
            return;
        };
        if self.states[maker.index()] == State::Done {
            self.uncount(maker);
            self.states[maker.index()] = State::Started;
            let worker = Arc::clone(&self.worker);
            worker.graph.dependents(maker).for_each(|dependent| self.wait_again(dependent));
            self.ready.push_back((maker, true));
        }
        self.states[node.index()] = State::Waiting(0);
        self.wait_again(node);
    }

    /// Counts anew what an action that was not begun waits for.
    fn wait_again(&mut self, node: NodeIndex) {
        if let State::Waiting(_) = self.states[node.index()] {
            let open = |other: &NodeIndex| self.states[other.index()] != State::Done;
            let count = self.worker.graph.dependencies(node).filter(open).count();
            self.states[node.index()] = State::Waiting(count);
            self.ready.retain(|(ready, _)| *ready != node);
            if count == 0 {
                self.ready.push_back((node, false));
            }
        }
    }

    /// Takes back what was counted for an action that is run again, so that each is counted once.
    fn uncount(&mut self, node: NodeIndex) {
        let action = self.worker.graph.action(node);
        let cached = action.outputs.first().is_some_and(|output| self.outcome.was_cached(output.path()));
        let stats = &mut self.outcome.stats;
        if cached {
            stats.cached -= 1;
        } else {
            stats.ran -= 1;
            stats.builtin -= usize::from(!matches!(action.kind, ActionKind::Spawn(_)));
        }
    }
}
