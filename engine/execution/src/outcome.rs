//! What came of executing a graph.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::{Label, RelPath};

use crate::content::Content;
use crate::failure::Failure;

/// The contents that were made, and what failed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Contents by path: all outputs of the actions that were needed and succeeded, and the wanted sources.
    pub contents: BTreeMap<RelPath, Content>,
    /// What failed, in the order it happened.
    pub failures: Vec<Failure>,
    /// Outputs that were [known](crate::Known), but whose content has left the store. What needs them was not done: their
    /// actions must be given as well.
    pub lost: Vec<RelPath>,
    /// Whether an output was made without a sandbox, now or when its result was kept.
    pub unsandboxed: bool,
    /// How many actions did what.
    pub stats: Stats,
    /// How each output came about.
    pub(crate) records: HashMap<RelPath, Record>,
}

/// How an output came about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub cached: bool,
    pub duration: Duration,
}

/// Counts of actions. Each needed action is in exactly one of `cached`, `ran`, `failed`, `skipped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Results that were in the store.
    pub cached: usize,
    /// Actions that were executed, successfully.
    pub ran: usize,
    /// Those of `ran` that needed no process.
    pub builtin: usize,
    /// Actions that failed.
    pub failed: usize,
    /// Actions that were not tried, since an input failed or the build was stopped.
    pub skipped: usize,
}

/// Why a graph could not be executed at all.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// Actions need each other's outputs.
    #[error("actions depend on each other in a circle: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// Two different actions want to make one path.
    #[error("both {first} and {second} make the output {path}")]
    DuplicateOutput {
        /// The path.
        path: RelPath,
        /// One owner.
        first: Label,
        /// The other.
        second: Label,
    },
    /// No action makes an output that is needed.
    #[error("no action makes {path}, which {needed_by} needs")]
    NoAction {
        /// The path.
        path: RelPath,
        /// Who needs it.
        needed_by: String,
    },
    /// The command was stopped.
    #[error("interrupted")]
    Cancelled,
    /// A task of the engine itself ended unexpectedly.
    #[error("a task of the executor ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

impl Outcome {
    /// Whether the output at `path` came from the store.
    pub fn was_cached(&self, path: &RelPath) -> bool {
        self.records.get(path).is_some_and(|record| record.cached)
    }

    /// How long the action that made `path` ran; zero when it came from the store.
    pub fn duration(&self, path: &RelPath) -> Duration {
        self.records.get(path).map_or(Duration::ZERO, |record| record.duration)
    }
}
