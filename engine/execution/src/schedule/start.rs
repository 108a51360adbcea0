//! Starting work: look-ups, actions, and the wait for another process that is at the same action.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::{ActionKind, Resources};
use petgraph::graph::NodeIndex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Ended, Schedule, State};
use crate::admission::Grant;
use crate::durations;
use crate::priority::Order;
use crate::worker::{Carried, Prepared, Stop, Worker};

/// How many actions are looked up in one go, at most.
const CHUNK: usize = 64;
/// How often it is asked whether another process is done with an action.
const ASK: Duration = Duration::from_millis(10);
/// When it is first looked who that process is; then after twice the time, and so on.
const LOOK: Duration = Duration::from_millis(500);
/// From when on a wait is worth a line.
const LONG: Duration = Duration::from_secs(5);

impl Schedule {
    /// Starts a look-up of the first ready actions.
    pub(super) fn look_up(&mut self, tasks: &mut JoinSet<Ended>) {
        let count = (self.ready.len() / self.worker.executor.jobs.max(1)).clamp(1, CHUNK).min(self.ready.len());
        let chunk: Vec<(NodeIndex, bool)> = self.ready.drain(..count).collect();
        for (node, _) in &chunk {
            self.states[node.index()] = State::LookedUp;
            self.order.iter_mut().for_each(|order| order.looks_up(*node));
        }
        let (worker, stop) = (Arc::clone(&self.worker), Arc::clone(&self.stop));
        let permits = Arc::clone(&self.lookups);
        spawn(tasks, permits, move || {
            let look_up = |(node, again)| {
                let found = unless_stopped(&worker, &stop, || worker.look_up(node, again));
                (node, found)
            };
            Ended::LookedUp(chunk.into_iter().map(look_up).collect())
        });
    }

    /// Queues an action without a kept result. What waits for the network takes nothing of the machine meanwhile.
    pub(super) fn enqueue(&mut self, tasks: &mut JoinSet<Ended>, node: NodeIndex, prepared: Prepared) {
        self.states[node.index()] = State::Started;
        if self.waits(node) {
            let permits = Arc::clone(&self.waiting);
            let carry_out = self.carry_out(node, prepared);
            return spawn(tasks, permits, move || carry_out().ended(None));
        }
        let priority = self.order.as_ref().map_or(0, |order| order.of(node));
        let resources = match &self.worker.graph.action(node).kind {
            ActionKind::Spawn(spawn) => spawn.resources,
            _ => Resources::default(),
        };
        self.admission.push(priority, resources, (node, prepared));
    }

    /// Starts as many of the queued actions as fit, the most urgent first.
    pub(super) fn admit(&mut self, tasks: &mut JoinSet<Ended>) {
        if self.order.is_none() && self.admission.is_contended() {
            let open = |node: &NodeIndex| self.states[node.index()] == State::LookedUp;
            let open = self.worker.graph.nodes().filter(open).collect();
            let order = Order::new(&self.worker.graph, &durations::read(&self.durations_file), open);
            self.admission.reorder(|(node, _)| order.of(*node));
            self.order = Some(order);
        }
        let least = self.order.as_ref().map_or(0, Order::least);
        while let Some((grant, (node, prepared))) = self.admission.admit(least) {
            let carry_out = self.carry_out(node, prepared);
            tasks.spawn(blocking(move || carry_out().ended(Some(grant))));
        }
    }

    /// The work of carrying an action out.
    fn carry_out(&self, node: NodeIndex, prepared: Prepared) -> impl FnOnce() -> Attempt + Send + 'static {
        let (worker, stop) = (Arc::clone(&self.worker), Arc::clone(&self.stop));
        let id = self.waited.get(&node).copied();
        move || {
            let result = unless_stopped(&worker, &stop, || worker.carry_out(node, &prepared, id));
            Attempt { node, prepared, result }
        }
    }

    /// Waits until no other process is at the action, or the one that is was stopped; then has it looked up again. Takes
    /// neither a thread nor a job.
    pub(super) fn wait_for_other(&mut self, tasks: &mut JoinSet<Ended>, node: NodeIndex, id: u64, prepared: Prepared) {
        self.waited.insert(node, id);
        let (worker, stop) = (Arc::clone(&self.worker), Arc::clone(&self.stop));
        tasks.spawn(async move {
            let again = prepared.again;
            let (began, mut look) = (Instant::now(), LOOK);
            while !is_stopped(&worker, &stop) && worker.is_claimed(node, &prepared) {
                tokio::time::sleep(ASK).await;
                if began.elapsed() > look {
                    look *= 2;
                    if worker.look_at_holder(node, &prepared, look > LONG) {
                        break;
                    }
                }
            }
            Ended::Free(node, again)
        });
    }

    fn waits(&self, node: NodeIndex) -> bool {
        let ActionKind::Builtin { name, .. } = &self.worker.graph.action(node).kind else { return false };
        self.worker.executor.builtins.get(name).is_some_and(|builtin| builtin.waits())
    }
}

/// What came of carrying an action out.
struct Attempt {
    node: NodeIndex,
    prepared: Prepared,
    result: Result<Carried, Stop>,
}

impl Attempt {
    fn ended(self, grant: Option<Grant>) -> Ended {
        match self.result {
            Ok(Carried::Done(done)) => Ended::CarriedOut(self.node, grant, Ok(done)),
            Ok(Carried::Elsewhere(id)) => Ended::Elsewhere(self.node, grant, id, self.prepared),
            Err(stop) => Ended::CarriedOut(self.node, grant, Err(stop)),
        }
    }
}

/// Runs `work` on a blocking thread as soon as there is a permit.
fn spawn(tasks: &mut JoinSet<Ended>, permits: Arc<Semaphore>, work: impl FnOnce() -> Ended + Send + 'static) {
    tasks.spawn(async move {
        let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
        blocking(work).await
    });
}

async fn blocking(work: impl FnOnce() -> Ended + Send + 'static) -> Ended {
    match tokio::task::spawn_blocking(work).await {
        Ok(ended) => ended,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn is_stopped(worker: &Worker, stop: &AtomicBool) -> bool {
    stop.load(Ordering::SeqCst) || worker.executor.cancel.is_cancelled()
}

/// Does a piece of work, unless the build was stopped; stops it if the work fails and nothing is to follow a failure.
/// This happens before the piece's place is given back, so that nothing else is begun after a failure.
fn unless_stopped<T>(worker: &Worker, stop: &AtomicBool, work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
    if is_stopped(worker, stop) {
        return Err(Stop::Cancelled);
    }
    let result = work();
    if matches!(&result, Err(Stop::Failure(_, failure)) if !failure.is_test_result()) && !worker.executor.keep_going {
        stop.store(true, Ordering::SeqCst);
    }
    result
}
