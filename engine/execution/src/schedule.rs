//! The order of things: starts actions as their inputs are done, and notes what came of them.
//!
//! One task owns the state. First, results are looked up, many actions to a thread at a time since that is short work;
//! what is not found is carried out on blocking threads, as many at once as there are jobs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Action, ActionKind, ActionOutcome, Artifact, ArtifactRoot, Event, RelPath};
use petgraph::graph::NodeIndex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::failure::{Failure, FailureKind};
use crate::outcome::{ExecutionError, Outcome, Record};
use crate::worker::{Done, Found, Prepared, Stop, Worker};

/// How many built-in functions may wait for the network at once.
const WAITING: usize = 16;
/// How often an action is tried again because an input was lost from the store.
const TRIES: usize = 3;
/// How many actions are looked up in one go, at most.
const CHUNK: usize = 64;

/// Where an action stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// For so many others.
    Waiting(usize),
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
    jobs: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Set by the first failure without `keep_going`.
    stop: Arc<AtomicBool>,
    outcome: Outcome,
}

/// What a task brings back.
enum Ended {
    LookedUp(Vec<(NodeIndex, Result<Found, Stop>)>),
    CarriedOut(NodeIndex, Result<Done, Stop>),
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
            jobs: Arc::new(Semaphore::new(worker.executor.jobs.max(1))),
            waiting: Arc::new(Semaphore::new(WAITING)),
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
            match tasks.join_next().await {
                Some(ended) => self.end(ended?, &mut tasks),
                None => break,
            }
        }
        if self.worker.executor.cancel.is_cancelled() {
            return Err(ExecutionError::Cancelled);
        }
        self.skip_rest();
        self.add_sources(wanted).await?;
        Ok(self.outcome)
    }

    /// Starts a look-up of the first ready actions.
    fn look_up(&mut self, tasks: &mut JoinSet<Ended>) {
        let count = (self.ready.len() / self.worker.executor.jobs.max(1)).clamp(1, CHUNK).min(self.ready.len());
        let chunk: Vec<(NodeIndex, bool)> = self.ready.drain(..count).collect();
        chunk.iter().for_each(|(node, _)| self.states[node.index()] = State::Started);
        let (worker, stop) = (Arc::clone(&self.worker), Arc::clone(&self.stop));
        self.spawn(tasks, &self.lookups, move || {
            let look_up = |(node, again)| {
                let found = unless_stopped(&worker, &stop, || worker.look_up(node, again));
                (node, found)
            };
            Ended::LookedUp(chunk.into_iter().map(look_up).collect())
        });
    }

    /// Starts to carry out an action.
    fn carry_out(&self, tasks: &mut JoinSet<Ended>, node: NodeIndex, prepared: Prepared) {
        let (worker, stop) = (Arc::clone(&self.worker), Arc::clone(&self.stop));
        let permits = if self.waits(node) { &self.waiting } else { &self.jobs };
        self.spawn(tasks, permits, move || {
            let made = unless_stopped(&worker, &stop, || worker.carry_out(node, &prepared));
            Ended::CarriedOut(node, made)
        });
    }

    /// Runs `work` on a blocking thread as soon as there is a permit.
    fn spawn(
        &self,
        tasks: &mut JoinSet<Ended>,
        permits: &Arc<Semaphore>,
        work: impl FnOnce() -> Ended + Send + 'static,
    ) {
        let permits = Arc::clone(permits);
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
            match tokio::task::spawn_blocking(work).await {
                Ok(ended) => ended,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        });
    }

    fn waits(&self, node: NodeIndex) -> bool {
        let ActionKind::Builtin { name, .. } = &self.worker.graph.action(node).kind else { return false };
        self.worker.executor.builtins.get(name).is_some_and(|builtin| builtin.waits())
    }

    fn end(&mut self, ended: Ended, tasks: &mut JoinSet<Ended>) {
        match ended {
            Ended::CarriedOut(node, Ok(done)) => self.succeed(node, done),
            Ended::CarriedOut(node, Err(stop)) => self.stopped(node, stop),
            Ended::LookedUp(found) => {
                for (node, found) in found {
                    match found {
                        Ok(Found::Kept(done)) => self.succeed(node, done),
                        Ok(Found::Nothing(prepared)) => self.carry_out(tasks, node, prepared),
                        Err(stop) => self.stopped(node, stop),
                    }
                }
            }
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
        }
        for (path, content) in done.outputs {
            let record = Record { cached: done.cached, duration: done.duration };
            self.outcome.records.insert(path.clone(), record);
            self.outcome.contents.insert(path.clone(), content.clone());
            worker.add(path, content);
        }
        let outcome = if done.cached { ActionOutcome::Cached } else { ActionOutcome::Ran };
        self.report(finished(done.id, action, outcome, done.log, done.duration));
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
        self.report(finished(id, &action, ActionOutcome::Failed, log, failure.duration));
        self.outcome.failures.push(failure);
    }

    /// The input at `path` is gone from the store: makes it again, then tries the action again.
    fn restore(&mut self, node: NodeIndex, path: &RelPath) {
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

    fn skip_rest(&mut self) {
        let worker = Arc::clone(&self.worker);
        for node in worker.graph.nodes() {
            if matches!(self.states[node.index()], State::Waiting(_)) {
                self.outcome.stats.skipped += 1;
                let action = worker.graph.action(node);
                let outcome = ActionOutcome::Skipped;
                self.report(finished(Worker::id(), action, outcome, Arc::from(""), Duration::ZERO));
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

/// Does a piece of work, unless the build was stopped; stops it if the work fails and nothing is to follow a failure.
/// This happens before the piece's permit is given back, so that nothing else is begun after a failure.
fn unless_stopped<T>(worker: &Worker, stop: &AtomicBool, work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
    if stop.load(Ordering::SeqCst) || worker.executor.cancel.is_cancelled() {
        return Err(Stop::Cancelled);
    }
    let result = work();
    if matches!(&result, Err(Stop::Failure(_, failure)) if !failure.is_test_result()) && !worker.executor.keep_going {
        stop.store(true, Ordering::SeqCst);
    }
    result
}

fn finished(id: u64, action: &Action, outcome: ActionOutcome, log: Arc<str>, duration: Duration) -> Event {
    let (label, mnemonic) = (action.owner.label.clone(), Arc::clone(&action.mnemonic));
    Event::ActionFinished { id, label, mnemonic, outcome, log, duration }
}
