//! What has happened so far: counts, what runs now, what is on its way. Changed by events and by nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use model::{ActionOutcome, Event, TestStatus};

/// The sum of all events.
pub struct State {
    pub started: Instant,
    pub loaded: usize,
    pub analysed: usize,
    pub planned: Option<usize>,
    pub cached: usize,
    pub ran: usize,
    pub failed: usize,
    pub skipped: usize,
    pub running: BTreeMap<u64, Running>,
    pub transfers: BTreeMap<u64, Transfer>,
    pub tests: BTreeMap<(u8, bool), usize>,
    /// Whether the user asked to stop: what fails from then on was stopped.
    pub stopping: bool,
}

/// An action that runs.
pub struct Running {
    pub description: Arc<str>,
    pub since: Instant,
}

/// A download or an upload.
pub struct Transfer {
    pub what: Arc<str>,
    pub total: Option<u64>,
    pub done: u64,
    pub since: Instant,
    pub ended: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            loaded: 0,
            analysed: 0,
            planned: None,
            cached: 0,
            ran: 0,
            failed: 0,
            skipped: 0,
            running: BTreeMap::new(),
            transfers: BTreeMap::new(),
            tests: BTreeMap::new(),
            stopping: false,
        }
    }
}

impl State {
    /// Takes an event in. A transfer that ended stays until it was spoken of.
    pub fn take(&mut self, event: &Event) {
        let now = Instant::now();
        match event {
            Event::PackageLoaded { loaded } => self.loaded = self.loaded.max(*loaded),
            Event::TargetAnalysed { analysed } => self.analysed = self.analysed.max(*analysed),
            Event::ActionsUnchanged { count } => {
                self.cached += count;
                self.planned = Some(self.planned.unwrap_or(0) + count);
            }
            Event::ActionsPlanned { total } => self.planned = Some(self.planned.unwrap_or(0) + total),
            Event::ActionStarted { id, description } => {
                self.running.insert(*id, Running { description: Arc::clone(description), since: now });
            }
            Event::ActionFinished { id, outcome, .. } => {
                self.running.remove(id);
                *match outcome {
                    ActionOutcome::Cached => &mut self.cached,
                    ActionOutcome::Ran => &mut self.ran,
                    ActionOutcome::Failed => &mut self.failed,
                    ActionOutcome::Skipped => &mut self.skipped,
                } += 1;
            }
            Event::TransferStarted { id, what, total } => {
                let what = Arc::clone(what);
                self.transfers.insert(*id, Transfer { what, total: *total, done: 0, since: now, ended: false });
            }
            Event::TransferProgress { id, done } => {
                if let Some(transfer) = self.transfers.get_mut(id) {
                    transfer.done = *done;
                }
            }
            Event::TransferFinished { id } => {
                if let Some(transfer) = self.transfers.get_mut(id) {
                    transfer.ended = true;
                }
            }
            Event::TestFinished { status, cached, .. } => {
                *self.tests.entry((rank(*status), *cached)).or_default() += 1;
            }
            Event::Diagnosed(_) | Event::Progress { .. } | Event::Refreshed { .. } => {}
        }
    }

    /// How many actions are done with.
    pub fn done(&self) -> usize {
        self.cached + self.ran + self.failed + self.skipped
    }

    /// Whether nothing is under way any more.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
            && self.transfers.is_empty()
            && self.planned.is_some_and(|planned| self.done() >= planned)
    }

    /// Tests with a status: all, and those of them whose result was in the store.
    pub fn tests_with(&self, status: TestStatus) -> (usize, usize) {
        let count = |cached| self.tests.get(&(rank(status), cached)).copied().unwrap_or(0);
        (count(false) + count(true), count(true))
    }
}

fn rank(status: TestStatus) -> u8 {
    match status {
        TestStatus::Passed => 0,
        TestStatus::Failed => 1,
        TestStatus::TimedOut => 2,
        TestStatus::NotBuilt => 3,
    }
}
