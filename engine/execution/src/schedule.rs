//! The order of things: starts actions as their inputs are done, and notes what came of them.
//!
//! One task owns the state. First, results are looked up, many actions to a thread at a time since that is short work;
//! what is not found is carried out on blocking threads, as much at once as [`crate::admission`] lets. What another
//! process is doing just now is waited for, and its result is taken.

mod lost;
mod start;
mod tests;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use model::{Action, ActionKind, ActionOutcome, Artifact, ArtifactRoot, Event};
use petgraph::graph::NodeIndex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::admission::{Admission, Grant};
use crate::durations::{self, Durations};
use crate::failure::Failure;
use crate::outcome::{ExecutionError, Outcome, Record};
use crate::priority::Order;
use crate::worker::{Done, Found, Prepared, Stop, Worker};

/// How many built-in functions may wait for the network at once.
const WAITING: usize = 16;

/// Where an action stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// For so many others.
    Waiting(usize),
    /// Its kept result is looked for.
    LookedUp,
    Started,
    Done,
    Failed,
}

/// One execution.
pub(crate) struct Schedule {
    worker: Arc<Worker>,
    states: Vec<State>,
    /// Nodes to be started; `true` ignores a kept result.
    ready: VecDeque<(NodeIndex, bool)>,
    tries: Vec<usize>,
    lookups: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    admission: Admission<(NodeIndex, Prepared)>,
    /// Known as soon as something has to wait for its turn.
    order: Option<Order>,
    durations: Durations,
    durations_file: PathBuf,
    /// Actions that another process was at, with their ids in events.
    waited: HashMap<NodeIndex, u64>,
    /// Set by the first failure without `keep_going`.
    stop: Arc<AtomicBool>,
    outcome: Outcome,
}

/// What a task brings back.
enum Ended {
    LookedUp(Vec<(NodeIndex, Result<Found, Stop>)>),
    CarriedOut(NodeIndex, Option<Grant>, Result<Done, Stop>),
    /// Another process is at it.
    Elsewhere(NodeIndex, Option<Grant>, u64, Prepared),
    /// It no longer is. `true` ignores a kept result.
    Free(NodeIndex, bool),
}

impl Schedule {
    pub(crate) fn new(worker: Arc<Worker>) -> Self {
        let nodes: Vec<NodeIndex> = worker.graph.nodes().collect();
        let states: Vec<State> =
            nodes.iter().map(|node| State::Waiting(worker.graph.dependencies(*node).count())).collect();
        let free = nodes.iter().filter(|node| states[node.index()] == State::Waiting(0));
        Self {
            ready: free.map(|node| (*node, false)).collect(),
            tries: vec![0; nodes.len()],
            states,
            lookups: Arc::new(Semaphore::new(worker.executor.jobs.max(1))),
            waiting: Arc::new(Semaphore::new(WAITING)),
            admission: Admission::new(worker.executor.jobs, worker.executor.local_memory),
            order: None,
            durations: Durations::default(),
            durations_file: durations::file(&worker.executor.store),
            waited: HashMap::new(),
            stop: Arc::default(),
            outcome: Outcome::default(),
            worker,
        }
    }

    /// Runs everything to its end.
    pub(crate) async fn run(mut self, wanted: &[Artifact]) -> Result<Outcome, ExecutionError> {
        self.report(Event::ActionsPlanned { total: self.worker.graph.len() });
        let mut tasks = JoinSet::new();
        loop {
            while !self.ready.is_empty() {
                self.look_up(&mut tasks);
            }
            self.admit(&mut tasks);
            match tasks.join_next().await {
                Some(ended) => self.end(ended?, &mut tasks),
                None => break,
            }
        }
        // They only order the next build's work: what cannot be written is guessed then.
        let _ = self.durations.keep(&self.durations_file);
        if self.worker.executor.cancel.is_cancelled() {
            return Err(ExecutionError::Cancelled);
        }
        self.skip_rest();
        self.add_sources(wanted).await?;
        Ok(self.outcome)
    }

    fn end(&mut self, ended: Ended, tasks: &mut JoinSet<Ended>) {
        match ended {
            Ended::CarriedOut(node, grant, result) => {
                self.release(grant);
                match result {
                    Ok(done) => self.succeed(node, done),
                    Err(stop) => self.stopped(node, stop),
                }
            }
            Ended::Elsewhere(node, grant, id, prepared) => {
                self.release(grant);
                self.wait_for_other(tasks, node, id, prepared);
            }
            Ended::Free(node, again) => self.ready.push_back((node, again)),
            Ended::LookedUp(found) => {
                for (node, found) in found {
                    self.order.iter_mut().for_each(|order| order.looked_up(node));
                    match found {
                        Ok(Found::Kept(done)) => self.succeed(node, done),
                        Ok(Found::Nothing(prepared)) => self.enqueue(tasks, node, prepared),
                        Err(stop) => self.stopped(node, stop),
                    }
                }
            }
        }
    }

    fn release(&mut self, grant: Option<Grant>) {
        if let Some(grant) = grant {
            self.admission.release(grant);
        }
    }

    fn stopped(&mut self, node: NodeIndex, stop: Stop) {
        match stop {
            Stop::Failure(id, failure) => self.fail(node, id, *failure),
            Stop::Lost(path) => self.restore(node, &path),
            Stop::Cancelled => self.states[node.index()] = State::Waiting(0),
        }
    }

    fn succeed(&mut self, node: NodeIndex, done: Done) {
        let worker = Arc::clone(&self.worker);
        let action = worker.graph.action(node);
        let stats = &mut self.outcome.stats;
        if done.cached {
            stats.cached += 1;
        } else {
            stats.ran += 1;
            stats.builtin += usize::from(!matches!(action.kind, ActionKind::Spawn(_)));
            self.durations.note(action, done.duration);
        }
        self.outcome.unsandboxed |= !done.hermetic;
        let passed = tests::passed(&worker, action, &done);
        for (path, content) in done.outputs {
            let record = Record { cached: done.cached, duration: done.duration };
            self.outcome.records.insert(path.clone(), record);
            self.outcome.contents.insert(path.clone(), content.clone());
            worker.add(path, content);
        }
        let outcome = if done.cached { ActionOutcome::Cached } else { ActionOutcome::Ran };
        let id = self.waited.remove(&node).unwrap_or(done.id);
        self.report(finished(id, action, outcome, done.log, done.duration));
        passed.into_iter().for_each(|event| self.report(event));
        self.states[node.index()] = State::Done;
        for dependent in worker.graph.dependents(node) {
            if let State::Waiting(count) = &mut self.states[dependent.index()] {
                *count -= 1;
                if *count == 0 {
                    self.ready.push_back((dependent, false));
                }
            }
        }
    }

    fn fail(&mut self, node: NodeIndex, id: u64, failure: Failure) {
        self.states[node.index()] = State::Failed;
        self.outcome.stats.failed += 1;
        let log = Arc::from(failure.report());
        let action = Arc::clone(self.worker.graph.action(node));
        let id = self.waited.remove(&node).unwrap_or(id);
        self.report(finished(id, &action, ActionOutcome::Failed, Arc::clone(&log), failure.duration));
        tests::failed(&action, failure.kind, log, failure.duration).into_iter().for_each(|event| self.report(event));
        self.outcome.failures.push(failure);
    }

    fn skip_rest(&mut self) {
        let worker = Arc::clone(&self.worker);
        for node in worker.graph.nodes() {
            if matches!(self.states[node.index()], State::Waiting(_)) {
                self.outcome.stats.skipped += 1;
                let action = worker.graph.action(node);
                let outcome = ActionOutcome::Skipped;
                let id = self.waited.remove(&node).unwrap_or_else(Worker::id);
                self.report(finished(id, action, outcome, Arc::from(""), Duration::ZERO));
                tests::skipped(action).into_iter().for_each(|event| self.report(event));
            }
        }
    }

    /// Adds the contents of wanted source files.
    async fn add_sources(&mut self, wanted: &[Artifact]) -> Result<(), ExecutionError> {
        let sources: Vec<Artifact> =
            wanted.iter().filter(|artifact| artifact.root() == ArtifactRoot::Source).cloned().collect();
        let worker = Arc::clone(&self.worker);
        let read =
            move || sources.into_iter().map(|artifact| (worker.content(&artifact), artifact)).collect::<Vec<_>>();
        for (content, artifact) in tokio::task::spawn_blocking(read).await? {
            match content {
                Ok(content) => drop(self.outcome.contents.insert(artifact.path().clone(), content)),
                Err(message) => self.outcome.failures.push(Failure::of_source(&artifact, message)),
            }
        }
        Ok(())
    }

    fn report(&self, event: Event) {
        self.worker.executor.reporter.report(event);
    }
}

fn finished(id: u64, action: &Action, outcome: ActionOutcome, log: Arc<str>, duration: Duration) -> Event {
    let (label, mnemonic) = (action.owner.label.clone(), Arc::clone(&action.mnemonic));
    Event::ActionFinished { id, label, mnemonic, test: tests::is_test(action), outcome, log, duration }
}
