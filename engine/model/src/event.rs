//! What happens during a command. Events flow one way, to one reporter.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::label::Label;

/// Something that happened. Ids are unique within a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A package was loaded.
    PackageLoaded {
        /// How many so far.
        loaded: usize,
    },
    /// A target was analysed.
    TargetAnalysed {
        /// How many so far.
        analysed: usize,
    },
    /// The number of actions that may have to run is known.
    ActionsPlanned {
        /// How many.
        total: usize,
    },
    /// So many of the planned actions need not be looked at: nothing that they depend on has changed.
    ActionsUnchanged {
        /// How many.
        count: usize,
    },
    /// What it took to know what a command needs done.
    Refreshed {
        /// Files and folders of the workspace that were looked at.
        stats: usize,
        /// Those of them that were read.
        reads: usize,
        /// BUILD.star files that were evaluated.
        packages: usize,
        /// Targets whose rules ran.
        targets: usize,
        /// Bytes written to the state that is kept for the next command.
        written: u64,
    },
    /// A process or built-in function starts. Actions found in the store emit `ActionFinished` only.
    ActionStarted {
        /// Its id.
        id: u64,
        /// What it does, for people.
        description: Arc<str>,
    },
    /// An action is done.
    ActionFinished {
        /// Its id.
        id: u64,
        /// The target it belongs to.
        label: Label,
        /// Its mnemonic.
        mnemonic: Arc<str>,
        /// Whether it runs a test, whose own event says more.
        test: bool,
        /// How it ended.
        outcome: ActionOutcome,
        /// What it wrote to standard output and standard error.
        log: Arc<str>,
        /// Wall time; zero when it did not run.
        duration: Duration,
    },
    /// A download or upload begins.
    TransferStarted {
        /// Its id.
        id: u64,
        /// What is moved.
        what: Arc<str>,
        /// Bytes, when known.
        total: Option<u64>,
    },
    /// Bytes moved so far.
    TransferProgress {
        /// Its id.
        id: u64,
        /// Bytes so far.
        done: u64,
    },
    /// It ended, well or not.
    TransferFinished {
        /// Its id.
        id: u64,
    },
    /// A test has a result. Told when it ends, not when all have.
    TestFinished {
        /// The test.
        label: Label,
        /// Its result.
        status: TestStatus,
        /// Whether the result came from the store.
        cached: bool,
        /// Its log; of one that did not pass, also why.
        log: Arc<str>,
        /// Wall time.
        duration: Duration,
    },
    /// An error or a warning that does not end the command at once.
    Diagnosed(Diagnostic),
    /// A step of a rollout, a line for people.
    Progress {
        /// Which part speaks: `push`, `plan`, `apply`, `wait`, `smoke`, `prune`, `local`.
        phase: Arc<str>,
        /// The line.
        message: Arc<str>,
    },
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionOutcome {
    /// Its result was in the store.
    Cached,
    /// It ran.
    Ran,
    /// It failed.
    Failed,
    /// It was not tried, since an input failed or the command was stopped.
    Skipped,
}

/// The result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TestStatus {
    /// It exited with 0.
    Passed,
    /// It exited otherwise.
    Failed,
    /// It took longer than its limit.
    TimedOut,
    /// It or an input could not be built.
    NotBuilt,
}

/// Takes events. Called from many threads; must not block for long.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn report(&self, event: Event);
}

/// Drops all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReporter;

impl Reporter for NoReporter {
    fn report(&self, _event: Event) {}
}
