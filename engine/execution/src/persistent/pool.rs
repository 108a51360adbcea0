//! The persistent workers of a command: which run, which are idle, and whose turn it is.
//!
//! They end with the last executor that shares them, and so with the command.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Cancel, Digest};

use super::process::Process;

/// For so many tools as many workers may be idle as one tool may have: actions of several tools take turns.
const TOOLS: usize = 4;

/// How often a request to stop is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// The persistent workers that an executor may use. Clones share them.
#[derive(Clone)]
pub struct PersistentWorkers(Arc<Pool>);

struct Pool {
    /// How many may run for one tool.
    most: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many run or are about to, by the key of their tool.
    running: HashMap<Digest, usize>,
    /// The longest idle first.
    idle: Vec<(Digest, Process)>,
}

/// The right to use one worker of a tool. Dropping it ends that worker, so that whatever goes wrong leaves none behind.
pub(super) struct Lease {
    pool: Arc<Pool>,
    /// Whose place among the running it holds.
    key: Option<Digest>,
    /// A worker that served before; `None` when one is to be started.
    pub process: Option<Process>,
}

impl PersistentWorkers {
    /// At most so many workers for one tool; with 0, each action is a process of its own.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Pool { most, state: Mutex::default(), freed: Condvar::new() }))
    }

    pub(super) fn are_allowed(&self) -> bool {
        self.0.most > 0
    }

    /// Waits for a worker of a tool; `None` if the engine was asked to stop.
    pub(super) fn take(&self, key: Digest, cancel: &Cancel) -> Option<Lease> {
        let pool = &self.0;
        let mut state = pool.state();
        loop {
            if cancel.is_cancelled() {
                return None;
            }
            // The one that was used last has the most in its caches.
            if let Some(at) = state.idle.iter().rposition(|(other, _)| *other == key) {
                let (_, mut process) = state.idle.remove(at);
                if process.is_ready() {
                    return Some(Lease { pool: Arc::clone(pool), key: Some(key), process: Some(process) });
                }
                state.end(&key);
                continue;
            }
            let running = state.running.entry(key).or_default();
            if *running < pool.most {
                *running += 1;
                return Some(Lease { pool: Arc::clone(pool), key: Some(key), process: None });
            }
            state = pool.freed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Lease {
    /// Gives a worker back to be used again.
    pub(super) fn give_back(mut self) {
        let (Some(process), Some(key)) = (self.process.take(), self.key.take()) else { return };
        let mut state = self.pool.state();
        state.idle.push((key, process));
        let ended = (state.idle.len() > self.pool.most * TOOLS).then(|| state.idle.remove(0));
        if let Some((key, _)) = &ended {
            state.end(key);
        }
        drop(state);
        self.pool.freed.notify_all();
        drop(ended);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // All its processes are dead before another may take its place.
        drop(self.process.take());
        if let Some(key) = &self.key {
            self.pool.state().end(key);
        }
        self.pool.freed.notify_all();
    }
}

impl Pool {
    /// A panic elsewhere leaves the counts whole, since each change is one step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes that a worker is gone.
    fn end(&mut self, key: &Digest) {
        if let Some(running) = self.running.get_mut(key) {
            *running = running.saturating_sub(1);
        }
    }
}
