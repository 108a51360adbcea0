//! The executor: what it works with, and the entry point.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Action, Artifact, Cancel, Reporter};
use sandbox::Launcher;
use store::Store;

use crate::content::{Builtin, Sources};
use crate::graph::Graph;
use crate::outcome::{ExecutionError, Outcome};
use crate::runner::{Runner, SandboxRunner};
use crate::schedule::Schedule;
use crate::worker::Worker;

/// Executes action graphs.
#[derive(Clone)]
pub struct Executor {
    /// Contents and results.
    pub store: Store,
    /// Starts sandboxes.
    pub launcher: Launcher,
    /// Gives the content of source files.
    pub sources: Arc<dyn Sources>,
    /// Functions for actions of kind `Builtin`, by name.
    pub builtins: BTreeMap<Arc<str>, Arc<dyn Builtin>>,
    /// Is told what happens.
    pub reporter: Arc<dyn Reporter>,
    /// Stops the execution.
    pub cancel: Cancel,
    /// How many actions may run at once.
    pub jobs: usize,
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
        let graph = Graph::new(actions, wanted)?;
        let worker = Worker::new(self.clone(), runner, graph);
        Schedule::new(Arc::new(worker)).run(wanted).await
    }
}
