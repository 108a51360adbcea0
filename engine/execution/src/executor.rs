//! The executor: what it works with, and the entry point.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Action, Artifact, Cancel, Reporter};
use sandbox::Launcher;
use store::Store;

use crate::content::{Builtin, Content, Known, Sources};
use crate::graph::Graph;
use crate::outcome::{ExecutionError, Outcome};
use crate::persistent::PersistentWorkers;
use crate::runner::{Runner, SandboxRunner};
use crate::schedule::Schedule;
use crate::worker::Worker;

/// How often a build is tried whose outputs turn out to be damaged: the store then looks closer.
const TRIES: usize = 3;

/// The time limit, in seconds, of actions that declare none, where nobody says another: a process that waits for ever is
/// ended, and hardly one that computes.
pub const ACTION_TIMEOUT: u64 = 3600;

/// Executes action graphs.
#[derive(Clone)]
pub struct Executor {
    /// Contents and results.
    pub store: Store,
    /// Starts sandboxes.
    pub launcher: Launcher,
    /// Gives the content of source files.
    pub sources: Arc<dyn Sources>,
    /// Gives the content of outputs whose actions are not given.
    pub known: Option<Arc<dyn Known>>,
    /// Functions for actions of kind `Builtin`, by name.
    pub builtins: BTreeMap<Arc<str>, Arc<dyn Builtin>>,
    /// Is told what happens.
    pub reporter: Arc<dyn Reporter>,
    /// Stops the execution.
    pub cancel: Cancel,
    /// How many processors actions may use at once: as many actions run, unless they declare more than one.
    pub jobs: usize,
    /// How much memory, in MB, actions that declare some may take at once; `None` for four fifths of what is available.
    pub local_memory: Option<u64>,
    /// Tools that stay from one action to the next.
    pub workers: PersistentWorkers,
    /// The time limit, in seconds, of an action that declares none.
    pub action_timeout: u64,
    /// Whether to go on with what does not depend on a failed action.
    pub keep_going: bool,
    /// Whether to keep the folder of a failed action and to name it.
    pub sandbox_debug: bool,
}

impl Executor {
    /// Makes `wanted`, and for it runs those of `actions` that are needed and whose results are not in the store.
    /// Failed actions are in the outcome; an error means that the graph could not be executed.
    pub async fn execute(&self, actions: &[Arc<Action>], wanted: &[Artifact]) -> Result<Outcome, ExecutionError> {
        let runner = SandboxRunner::new(self.launcher.clone(), Arc::clone(&self.reporter));
        self.execute_with(Arc::new(runner), actions, wanted).await
    }

    /// The same with another runner of processes.
    pub async fn execute_with(
        &self,
        runner: Arc<dyn Runner>,
        actions: &[Arc<Action>],
        wanted: &[Artifact],
    ) -> Result<Outcome, ExecutionError> {
        let mut tries = 1;
        loop {
            let known =
                |artifact: &Artifact| self.known.as_ref().is_some_and(|known| known.content(artifact).is_some());
            let graph = Graph::new(actions, wanted, &known)?;
            let worker = Worker::new(self.clone(), Arc::clone(&runner), graph);
            let outcome = Schedule::new(Arc::new(worker)).run(wanted).await?;
            let contents = wanted.iter().filter_map(|artifact| outcome.contents.get(artifact.path()));
            let (store, contents) = (self.store.clone(), contents.cloned().collect::<Vec<_>>());
            let usable = tokio::task::spawn_blocking(move || are_usable(&store, &contents)).await?;
            if !outcome.lost.is_empty() {
                return Ok(outcome);
            }
            // A part of a build says nothing of the rest.
            if usable && outcome.failures.is_empty() && self.known.is_none() {
                self.store.set_mended();
            }
            if usable || !outcome.failures.is_empty() || tries == TRIES {
                return Ok(outcome);
            }
            tries += 1;
        }
    }
}

/// Whether what was made or found is on disk as it should be. Errors of the file system are for those who use it.
fn are_usable(store: &Store, wanted: &[Content]) -> bool {
    wanted.iter().all(|content| content.is_usable(store).unwrap_or(true))
}
