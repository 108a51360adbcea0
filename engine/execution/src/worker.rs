//! One action: its inputs, its key, the kept result or a new one. Blocking; many run at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use model::{Action, ActionKind, Artifact, ArtifactRoot, Digest, Event, KeyBuilder, Network, RelPath};
use petgraph::graph::NodeIndex;
use store::{KeyLock, StoreError};

use crate::compose;
use crate::content::{Builtin, BuiltinCall, Content, Made, Refused};
use crate::executor::Executor;
use crate::failure::{Failure, FailureKind};
use crate::graph::Graph;
use crate::key;
use crate::memo::{self, ActionResult};
use crate::places::Places;
use crate::process;
use crate::runner::Runner;

/// Ids of actions in events: unique in the process, since a command may execute several graphs.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What all steps of one execution share.
pub(crate) struct Worker {
    pub executor: Executor,
    pub runner: Arc<dyn Runner>,
    pub graph: Graph,
    /// Folders in which processes run.
    pub places: Places,
    /// Contents of outputs made so far and of sources seen so far.
    contents: RwLock<HashMap<RelPath, Content>>,
    /// Actions that are carried out although processes that were stopped are at them: how many such processes.
    taken_over: RwLock<HashMap<NodeIndex, u64>>,
}

/// A successful action.
pub(crate) struct Done {
    pub id: u64,
    pub outputs: Vec<(RelPath, Content)>,
    pub cached: bool,
    pub hermetic: bool,
    pub log: Arc<str>,
    pub duration: Duration,
}

/// What a look-up gave.
pub(crate) enum Found {
    /// A kept result.
    Kept(Done),
    /// None; what is needed to carry the action out.
    Nothing(Prepared),
}

/// An action with the contents it reads.
pub(crate) struct Prepared {
    inputs: BTreeMap<RelPath, Content>,
    /// Its key, if a result is to be kept.
    key: Option<Digest>,
    /// Whether a kept result is to be ignored.
    pub again: bool,
}

/// What came of carrying an action out.
pub(crate) enum Carried {
    /// It is done, here or meanwhile by another process.
    Done(Done),
    /// Another process is at it. The id is the one that the wait has in events.
    Elsewhere(u64),
}

/// Whose an action is among the processes that share the store.
enum Claim {
    /// This process's, until the lock is dropped.
    Own(#[expect(dead_code, reason = "it is held")] KeyLock),
    /// Another's.
    Other,
    /// Nobody minds.
    Free,
}

/// Why an action did not succeed.
pub(crate) enum Stop {
    /// It failed.
    Failure(u64, Box<Failure>),
    /// The content of this input is no longer in the store.
    Lost(RelPath),
    /// The build was stopped before it began or while it ran.
    Cancelled,
}

impl Stop {
    pub(crate) fn failure(failure: Failure) -> Self {
        Self::Failure(Worker::id(), Box::new(failure))
    }

    /// An error of the store about the content of the input at `path`.
    pub(crate) fn store(action: &Action, path: &RelPath, error: StoreError) -> Self {
        if error.is_missing() { Self::Lost(path.clone()) } else { Self::failure(Failure::engine(action, &error)) }
    }
}

impl Worker {
    pub(crate) fn new(executor: Executor, runner: Arc<dyn Runner>, graph: Graph) -> Self {
        Self {
            executor,
            runner,
            graph,
            places: Places::default(),
            contents: RwLock::default(),
            taken_over: RwLock::default(),
        }
    }

    /// An id for events.
    pub(crate) fn id() -> u64 {
        NEXT_ID.fetch_add(1, Ordering::Relaxed)
    }

    /// Looks for the kept result of an action whose dependencies are done. `again` ignores it.
    pub(crate) fn look_up(&self, node: NodeIndex, again: bool) -> Result<Found, Stop> {
        let action = self.graph.action(node);
        let inputs = self.inputs(node)?;
        let builtin = self.builtin(action)?;
        let key = key::of(action, &inputs, builtin.map(|builtin| builtin.version()));
        let kept = is_kept(action) && builtin.is_none_or(|builtin| builtin.cacheable());
        if kept
            && !again
            && let Some(done) = self.remembered(action, &key)?
        {
            return Ok(Found::Kept(done));
        }
        Ok(Found::Nothing(Prepared { inputs, key: kept.then_some(key), again }))
    }

    /// Carries out an action and keeps its result, unless another process is at it. `id` names it in events if it was
    /// waited for before.
    pub(crate) fn carry_out(&self, node: NodeIndex, prepared: &Prepared, id: Option<u64>) -> Result<Carried, Stop> {
        let action = self.graph.action(node);
        let claim = self.claim(node, prepared);
        if matches!(claim, Claim::Other) {
            let waits = || self.report_start(None, action, "another command is at it: ");
            return Ok(Carried::Elsewhere(id.unwrap_or_else(waits)));
        }
        // The other process may have ended between the look-up and the claim.
        if matches!(claim, Claim::Own(_))
            && !prepared.again
            && let Some(key) = &prepared.key
            && let Some(done) = self.remembered(action, key)?
        {
            return Ok(Carried::Done(done));
        }
        let id = self.report_start(id, action, "");
        let started = Instant::now();
        let made = self.make(action, &prepared.inputs, self.builtin(action)?).and_then(|(result, log)| {
            if let Some(key) = &prepared.key {
                let put = memo::put(&self.executor.store, key, &result);
                put.map_err(|error| Stop::failure(Failure::engine(action, &error)))?;
            }
            Ok((result, log))
        });
        let duration = started.elapsed();
        match made {
            Ok((ActionResult { outputs, hermetic, .. }, log)) => {
                Ok(Carried::Done(Done { id, outputs, cached: false, hermetic, log, duration }))
            }
            Err(Stop::Failure(_, failure)) => Err(Stop::Failure(id, Box::new(Failure { duration, ..*failure }))),
            Err(other) => Err(other),
        }
    }

    /// Takes an action for this process, where that is worth it.
    fn claim(&self, node: NodeIndex, prepared: &Prepared) -> Claim {
        let action = self.graph.action(node);
        let Some(key) = self.lock_key(node, prepared) else { return Claim::Free };
        if !matches!(action.kind, ActionKind::Spawn(_) | ActionKind::Builtin { .. }) {
            // Made in less time than a lock takes.
            return Claim::Free;
        }
        match self.executor.store.try_lock(&key) {
            Ok(Some(lock)) => Claim::Own(lock),
            Ok(None) => Claim::Other,
            // A file system without locks: two processes may do the same work, with equal results.
            Err(_) => Claim::Free,
        }
    }

    /// Whether another process is at an action just now.
    pub(crate) fn is_claimed(&self, node: NodeIndex, prepared: &Prepared) -> bool {
        let locked = |key: Digest| matches!(self.executor.store.try_lock(&key), Ok(None));
        self.lock_key(node, prepared).is_some_and(locked)
    }

    /// What is locked by whoever carries an action out. Those who take it over from a stopped process have another lock
    /// than that one, so that one of them does it and not all.
    fn lock_key(&self, node: NodeIndex, prepared: &Prepared) -> Option<Digest> {
        let key = prepared.key?;
        let stopped = self.taken_over.read().unwrap_or_else(PoisonError::into_inner).get(&node).copied();
        Some(stopped.map_or(key, |count| KeyBuilder::new("taken over", 1).digest(&key).number(count).finish()))
    }

    /// Looks whom a wait is for, and says so if it has been `long`. If that process was stopped, it may stay so for ever:
    /// the action is taken over, and `true` returned.
    pub(crate) fn look_at_holder(&self, node: NodeIndex, prepared: &Prepared, long: bool) -> bool {
        let Some(holder) = self.lock_key(node, prepared).and_then(|key| self.executor.store.holder(&key)) else {
            return false;
        };
        let (pid, what) = (holder.pid, describe(self.graph.action(node)));
        let message = match holder.is_stopped {
            false => format!("waiting for process {pid}, which is at it: {what}"),
            true => format!("process {pid} is stopped (`kill -CONT {pid}` lets it go on); done here instead: {what}"),
        };
        if long || holder.is_stopped {
            self.executor.reporter.report(Event::Progress { phase: Arc::from("wait"), message: Arc::from(message) });
        }
        if holder.is_stopped {
            *self.taken_over.write().unwrap_or_else(PoisonError::into_inner).entry(node).or_default() += 1;
        }
        holder.is_stopped
    }

    /// Tells that an action starts.
    fn report_start(&self, id: Option<u64>, action: &Action, before: &str) -> u64 {
        let id = id.unwrap_or_else(Self::id);
        let description = Arc::from(format!("{before}{}", describe(action)));
        self.executor.reporter.report(Event::ActionStarted { id, description });
        id
    }

    /// A kept result. One that is not hermetic counts only where none could be.
    fn remembered(&self, action: &Action, key: &Digest) -> Result<Option<Done>, Stop> {
        let found = memo::get(&self.executor.store, key);
        let found = found.map_err(|error| Stop::failure(Failure::engine(action, &error)))?;
        let usable = found.filter(|result| result.hermetic || !self.runner.is_hermetic());
        let (log, duration) = (Arc::from(""), Duration::ZERO);
        Ok(usable.map(|ActionResult { outputs, hermetic, .. }| Done {
            id: Self::id(),
            outputs,
            cached: true,
            hermetic,
            log,
            duration,
        }))
    }

    fn make(
        &self,
        action: &Action,
        inputs: &BTreeMap<RelPath, Content>,
        builtin: Option<&dyn Builtin>,
    ) -> Result<(ActionResult, Arc<str>), Stop> {
        let store = &self.executor.store;
        let content = match &action.kind {
            ActionKind::Spawn(spawn) => return process::run(self, action, spawn, inputs),
            ActionKind::Builtin { params, .. } => {
                let builtin = builtin.expect("the function was looked up before");
                return match self.call(action, builtin, params, inputs)? {
                    Made::Outputs(outputs) => Ok((in_process(outputs), Arc::from(""))),
                    Made::By(process) => process::run_explained(self, action, &process, inputs),
                };
            }
            ActionKind::Write { content, expansions, executable } => {
                let words = compose::expand(store, action, expansions, inputs)?;
                compose::write(store, &compose::inserted(content, &words), *executable)
                    .map_err(|error| Stop::failure(Failure::engine(action, &error)))?
            }
            ActionKind::Copy { source } => inputs[source.path()].clone(),
            ActionKind::Tree { entries } => {
                self.check_inputs(action, inputs)?;
                compose::tree(store, action, entries, inputs)?
            }
        };
        let [output] = &action.outputs[..] else {
            let message = "an action of this kind makes exactly one output";
            return Err(Stop::failure(Failure::new(action, FailureKind::Builtin, message)));
        };
        let outputs = vec![(output.path().clone(), content)];
        check_outputs(action, &outputs)?;
        Ok((in_process(outputs), Arc::from("")))
    }

    fn call(
        &self,
        action: &Action,
        builtin: &dyn Builtin,
        params: &serde_json::Value,
        inputs: &BTreeMap<RelPath, Content>,
    ) -> Result<Made, Stop> {
        let Executor { store, reporter, cancel, .. } = &self.executor;
        self.check_inputs(action, inputs)?;
        let outputs = &action.outputs[..];
        let call = BuiltinCall { params, inputs, outputs, store, reporter: &**reporter, cancel };
        let trusted = !store.is_damaged();
        let mut made = builtin.run(&call);
        if made.is_err() && trusted && store.is_damaged() && !cancel.is_cancelled() {
            // It may have failed over what was found damaged just now.
            self.check_inputs(action, inputs)?;
            made = builtin.run(&call);
        }
        let made = made.map_err(|Refused { message, log }| {
            if cancel.is_cancelled() {
                return Stop::Cancelled;
            }
            Stop::failure(Failure { log: log.into(), ..Failure::new(action, FailureKind::Builtin, message) })
        })?;
        if let Made::Outputs(outputs) = &made {
            check_outputs(action, outputs)?;
        }
        Ok(made)
    }

    /// Checks that the contents of all inputs are in the store.
    fn check_inputs(&self, action: &Action, inputs: &BTreeMap<RelPath, Content>) -> Result<(), Stop> {
        for (path, content) in inputs {
            if !content.is_in(&self.executor.store).map_err(|error| Stop::store(action, path, error))? {
                return Err(Stop::Lost(path.clone()));
            }
        }
        Ok(())
    }

    /// The function of a built-in action.
    fn builtin(&self, action: &Action) -> Result<Option<&dyn Builtin>, Stop> {
        let ActionKind::Builtin { name, .. } = &action.kind else { return Ok(None) };
        match self.executor.builtins.get(name) {
            Some(builtin) => Ok(Some(&**builtin)),
            None => {
                let message = format!("the engine has no built-in function `{name}`");
                Err(Stop::failure(Failure::new(action, FailureKind::Builtin, message)))
            }
        }
    }

    /// The contents of all inputs of an action.
    fn inputs(&self, node: NodeIndex) -> Result<BTreeMap<RelPath, Content>, Stop> {
        let node = self.graph.node(node);
        let fail = |message| Stop::failure(Failure::new(&node.action, FailureKind::Source, message));
        let content = |artifact: &Artifact| match self.content(artifact) {
            Ok(content) => Ok((artifact.path().clone(), content)),
            Err(message) => Err(fail(message)),
        };
        node.inputs.iter().map(content).collect()
    }

    /// The content of an output that was made or of a source.
    pub(crate) fn content(&self, artifact: &Artifact) -> Result<Content, String> {
        if let Some(content) = self.contents.read().unwrap_or_else(PoisonError::into_inner).get(artifact.path()) {
            return Ok(content.clone());
        }
        if artifact.root() == ArtifactRoot::Output {
            if let Some(content) = self.executor.known.as_ref().and_then(|known| known.content(artifact)) {
                return Ok(content);
            }
            return Err(format!("the output {} was not made", artifact.path()));
        }
        let content = self.executor.sources.content(artifact)?;
        self.add(artifact.path().clone(), content.clone());
        Ok(content)
    }

    /// Whether the content at `path` is neither made here nor a source, but known from before.
    pub(crate) fn is_known(&self, path: &RelPath) -> bool {
        let inputs = self.graph.nodes().flat_map(|node| &self.graph.node(node).inputs);
        let mut artifacts = inputs.filter(|artifact| artifact.path() == path);
        artifacts.next().is_some_and(|artifact| artifact.root() == ArtifactRoot::Output)
    }

    /// Notes a content.
    pub(crate) fn add(&self, path: RelPath, content: Content) {
        self.contents.write().unwrap_or_else(PoisonError::into_inner).insert(path, content);
    }

    /// Forgets a content that was lost.
    pub(crate) fn forget(&self, path: &RelPath) {
        self.contents.write().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

/// Whether a success is kept for all that have the store: not that of a process which saw the machine's network, since its
/// key says nothing of what it was told there. What it made stays in the kept state of the workspace that asked for it.
fn is_kept(action: &Action) -> bool {
    !matches!(&action.kind, ActionKind::Spawn(spawn) if spawn.network == Network::Host)
}

fn in_process(outputs: Vec<(RelPath, Content)>) -> ActionResult {
    ActionResult { outputs, exit_code: 0, log: None, hermetic: true }
}

/// Checks that each declared output was made, as what it was declared, and nothing else.
fn check_outputs(action: &Action, made: &[(RelPath, Content)]) -> Result<(), Stop> {
    let fail = |message| Err(Stop::failure(Failure::new(action, FailureKind::Builtin, message)));
    for output in &action.outputs {
        match made.iter().find(|(path, _)| path == output.path()) {
            None => return fail(format!("the declared output {} was not made", output.path())),
            Some((path, Content::File { .. })) if output.is_tree() => {
                return fail(format!("{path} was declared as a folder, but a file was made"));
            }
            Some((path, Content::Tree(_))) if !output.is_tree() => {
                return fail(format!("{path} was declared as a file, but a folder was made"));
            }
            Some(_) => {}
        }
    }
    match made.iter().find(|(path, _)| !action.outputs.iter().any(|output| output.path() == path)) {
        Some((path, _)) => fail(format!("{path} was made, but is not declared as an output")),
        None => Ok(()),
    }
}

fn describe(action: &Action) -> String {
    match action.progress.is_empty() {
        true => format!("{} {}", action.mnemonic, action.owner.label),
        false => action.progress.to_string(),
    }
}
