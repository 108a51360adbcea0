//! Persistent workers: a tool that starts slowly stays and works on one action after another, as with Bazel.
//!
//! An action says so by `execution_requirements`. Its arguments before the flag files start the worker, together with
//! `--persistent_worker`; the flag files are its request. The result has the ordinary key of the action, and no mark of
//! who made it: the protocol demands that the tool's answer depends on the request alone, so that it makes what its
//! process would make. Who doubts that compares with `--noworkers`.
//!
//! A worker is killed when it does not keep to the protocol, when its time is over and when the command ends. Its action
//! then fails, and is not tried again, because a tool that fails now and then shall be seen. Actions with limits, those
//! that use standard streams or the machine's network, and all where there is no sandbox, run as a process each.

mod pool;
mod process;
mod protocol;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Action, Digest, KeyBuilder, Limits, Network, RelPath, Spawn};
use sandbox::{Launcher, Patience, Status, Unanswered};

pub use pool::PersistentWorkers;
use process::{Process, StartError};
use protocol::{RequestError, WorkResponse};

use crate::content::Content;
use crate::failure::{Failure, FailureKind};
use crate::key;
use crate::memo::ActionResult;
use crate::process::{more_time, time_limit};
use crate::worker::{Stop, Worker};
use crate::{mounts, outputs, undeclared, unstarted};

/// Raised whenever a worker is started in another way; workers live shorter than that, but keys have a version.
const VERSION: u32 = 1;

/// The tool of an action: what its worker is started with.
pub(crate) struct Tool<'a> {
    launcher: &'a Launcher,
    argv: Vec<String>,
    flag_files: Vec<String>,
    env: Vec<(String, String)>,
    root: Option<Content>,
    /// Its files, which are there for its whole life.
    inputs: BTreeMap<RelPath, Content>,
}

impl<'a> Tool<'a> {
    /// The tool of an action that shall go to a worker.
    pub(crate) fn of(worker: &'a Worker, spawn: &Spawn, inputs: &BTreeMap<RelPath, Content>) -> Option<Self> {
        let (tools, launcher) = (spawn.worker_tools.as_ref()?, worker.runner.launcher()?);
        // Words that stand for files in directories are known only for one action.
        let streams = spawn.stdin.is_some() || spawn.stdout.is_some() || spawn.test || !spawn.expansions.is_empty();
        let is_usual = spawn.network == Network::Loopback && spawn.limits == Limits::default() && !streams;
        if !is_usual || !worker.executor.workers.are_allowed() {
            return None;
        }
        let content = |path: &RelPath| inputs.get(path).map(|content| (path.clone(), content.clone()));
        let own: BTreeMap<_, _> = tools.iter().filter_map(|tool| content(tool.path())).collect();
        let covers = |(path, content): (&RelPath, &Content)| {
            let above = |tool: &RelPath| tool != path && tool.strip_prefix(path.as_str()).is_some();
            matches!(content, Content::Tree(_)) && !own.contains_key(path) && own.keys().any(above)
        };
        if inputs.iter().any(covers) {
            // The inputs of a request would hide the tool.
            return None;
        }
        let (flag_files, argv): (Vec<_>, Vec<_>) =
            spawn.argv.iter().cloned().partition(|argument| model::flag_file(argument).is_some());
        let env = crate::process::environment(spawn);
        Some(Self {
            launcher,
            argv,
            flag_files,
            env: env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            root: spawn.root.as_ref().and_then(|root| inputs.get(root.path())).cloned(),
            inputs: own
                .into_iter()
                .filter(|(path, _)| spawn.root.as_ref().is_none_or(|root| root.path() != path))
                .collect(),
        })
    }

    /// Actions with equal keys can have the same worker.
    fn key(&self) -> Digest {
        let mut key = KeyBuilder::new("persistent worker", VERSION);
        key.sequence(self.argv.len());
        self.argv.iter().for_each(|argument| _ = key.text(argument));
        key.sequence(self.env.len());
        self.env.iter().for_each(|(name, value)| _ = key.text(name).text(value));
        key.sequence(usize::from(self.root.is_some()));
        self.root.iter().for_each(|root| key::add_content(&mut key, root));
        key.sequence(self.inputs.len());
        for (path, content) in &self.inputs {
            key::add_content(key.text(path.as_str()), content);
        }
        key.finish()
    }
}

/// One request, with all that is needed to say what came of it.
struct Request<'a> {
    worker: &'a Worker,
    action: &'a Action,
    spawn: &'a Spawn,
    inputs: &'a BTreeMap<RelPath, Content>,
    deadline: Option<Instant>,
}

/// Has a worker carry out an action, and collects its outputs.
pub(crate) fn run(
    worker: &Worker,
    action: &Action,
    spawn: &Spawn,
    inputs: &BTreeMap<RelPath, Content>,
    tool: &Tool<'_>,
) -> Result<(ActionResult, Arc<str>), Stop> {
    let deadline = Some(Instant::now() + Duration::from_secs(time_limit(worker, spawn)));
    let request = Request { worker, action, spawn, inputs, deadline };
    let line = protocol::request(&worker.executor.store, inputs, &tool.flag_files).map_err(|error| match error {
        RequestError::Wrong(message) => Stop::failure(Failure::new(action, FailureKind::Worker, message)),
        RequestError::Store(path, error) => Stop::store(action, &path, error),
    })?;
    let lease = worker.executor.workers.take(tool.key(), &worker.executor.cancel);
    let mut lease = lease.ok_or(Stop::Cancelled)?;
    let process = match &mut lease.process {
        Some(process) => process,
        none => none.insert(request.start(tool)?),
    };
    // Dropping the lease of a worker that was not given back kills it.
    let answer = request.ask(process, tool, &line)?;
    let result = request.conclude(process, answer);
    if process.clear().is_ok() {
        lease.give_back();
    }
    result
}

/// What a worker answered, and from where on its messages belong to that.
struct Answer {
    response: WorkResponse,
    log_start: u64,
}

impl Request<'_> {
    fn start(&self, tool: &Tool<'_>) -> Result<Process, Stop> {
        Process::start(tool.launcher, &self.worker.executor.store, tool).map_err(|error| match error {
            StartError::Store(error) => self.store_error(&error),
            StartError::Sandbox(error) => Stop::failure(Failure::engine(self.action, &error)),
        })
    }

    /// Has the worker work. After an error it must not be used again.
    fn ask(&self, process: &mut Process, tool: &Tool<'_>, line: &[u8]) -> Result<Answer, Stop> {
        let mounts = self.mounts(tool)?;
        let folders = self.output_folders();
        let log_start = process.log_size();
        let patience = Patience { deadline: self.deadline, cancel: &self.worker.executor.cancel };
        let answer = process.ask(&folders, &mounts, line, &patience);
        let answer = answer.map_err(|error| self.unanswered(process, error, log_start))?;
        let response = protocol::response(&answer);
        let wrong =
            |message| self.broke(FailureKind::Worker, format!("the persistent worker {message}"), process, log_start);
        Ok(Answer { response: response.map_err(wrong)?, log_start })
    }

    /// What came of the action. The worker has done its part.
    fn conclude(&self, process: &Process, answer: Answer) -> Result<(ActionResult, Arc<str>), Stop> {
        let Answer { response: WorkResponse { exit_code, output, .. }, log_start } = answer;
        if exit_code != 0 {
            let message = format!("the persistent worker answered with exit code {exit_code}");
            let mut failure = Failure::new(self.action, FailureKind::ExitCode(exit_code), message);
            failure.hints = undeclared::hints(self.worker, self.action, self.inputs, &output);
            failure.log = Arc::from(format!("{output}{}", process.log_since(log_start)));
            return Err(Stop::failure(failure));
        }
        let log: Arc<str> = Arc::from(output);
        let outputs = self.take(process, &log)?;
        let store = &self.worker.executor.store;
        let log_digest = if log.is_empty() { None } else { Some(store.put_bytes(log.as_bytes())) };
        let log_digest = log_digest.transpose().map_err(|error| self.store_error(&error))?;
        Ok((ActionResult { outputs, exit_code, log: log_digest, hermetic: true }, log))
    }

    /// The inputs of this request alone.
    fn mounts(&self, tool: &Tool<'_>) -> Result<Vec<sandbox::Mount>, Stop> {
        let own = |path: &RelPath| tool.inputs.contains_key(path);
        let rest = self.inputs.iter().filter(|(path, _)| !own(path));
        let rest = rest.map(|(path, content)| (path.clone(), content.clone())).collect();
        // No folder that holds a part of the tool may be hidden by one that is mounted as a whole.
        let mut kept_open = self.action.outputs.clone();
        kept_open.extend(self.spawn.worker_tools.iter().flatten().cloned());
        let mounts = mounts::of(&self.worker.executor.store, &rest, &kept_open);
        mounts.map_err(|error| self.store_error(&error))
    }

    /// The folders in which it finds a place for its outputs.
    fn output_folders(&self) -> Vec<RelPath> {
        let outputs = self.action.outputs.iter();
        let folders = outputs.filter_map(|output| match output.is_tree() {
            true => Some(output.path().clone()),
            false => output.path().parent().filter(|parent| !parent.as_str().is_empty()),
        });
        folders.collect()
    }

    fn take(&self, process: &Process, log: &Arc<str>) -> Result<Vec<(RelPath, Content)>, Stop> {
        let folder = process.take_outputs(self.inputs).map_err(|error| self.store_error(&error))?;
        let collected = outputs::collect(self.worker, self.action, self.spawn, self.inputs, (&folder, &folder));
        collected.map_err(|stop| match stop {
            Stop::Failure(id, mut failure) => {
                failure.log = Arc::clone(log);
                Stop::Failure(id, failure)
            }
            other => other,
        })
    }

    /// An error of the store: over an input that was lost, or another.
    fn store_error(&self, error: &store::StoreError) -> Stop {
        let store = &self.worker.executor.store;
        let is_lost = |content: &Content| content.on_disk(store).is_err_and(|error| error.is_missing());
        match self.inputs.iter().find(|(_, content)| error.is_missing() && is_lost(content)) {
            Some((path, _)) => Stop::Lost(path.clone()),
            None => Stop::failure(Failure::engine(self.action, error)),
        }
    }

    fn unanswered(&self, process: &Process, error: Unanswered, log_start: u64) -> Stop {
        let limit = time_limit(self.worker, self.spawn);
        let (kind, message) = match error {
            Unanswered::Cancelled => return Stop::Cancelled,
            Unanswered::Failed(error) => {
                let mut failure = Failure::engine(self.action, &error);
                failure.hints.extend(unstarted::hints(self.worker, self.action, self.spawn, self.inputs, &error));
                return Stop::failure(failure);
            }
            Unanswered::TimedOut => (FailureKind::TimedOut, format!("took longer than {limit} seconds and was killed")),
            Unanswered::Unasked => (FailureKind::Worker, "wrote to standard output before it was asked".to_owned()),
            Unanswered::Moved => (FailureKind::Worker, "removed or moved an input of its request".to_owned()),
            Unanswered::TooLong => (FailureKind::Worker, "wrote very much without a line end".to_owned()),
            Unanswered::Ended(Status::Signal(signal)) => {
                (FailureKind::Signal(signal), format!("was ended by signal {signal} without an answer"))
            }
            Unanswered::Ended(Status::Code(code)) => {
                (FailureKind::ExitCode(code), format!("ended with exit code {code} without an answer"))
            }
            Unanswered::Ended(_) => (FailureKind::Worker, "ended without an answer".to_owned()),
        };
        self.broke(kind, format!("the persistent worker {message}"), process, log_start)
    }

    /// A worker that did not keep to the protocol.
    fn broke(&self, kind: FailureKind, message: String, process: &Process, log_start: u64) -> Stop {
        let mut failure = Failure::new(self.action, kind, message);
        let is_late = kind == FailureKind::TimedOut;
        failure.log = Arc::from(process.log_since(log_start));
        failure.hints = undeclared::hints(self.worker, self.action, self.inputs, &failure.log);
        if is_late {
            failure.hints.push(more_time(self.action, self.spawn));
        }
        if !process.said().is_empty() {
            failure.hints.push(format!("it wrote to standard output: {}", protocol::shown(process.said())));
        }
        let process_each = "run the tool as a process for each action, to see whether it fails there too: --noworkers";
        failure.hints.push(process_each.to_owned());
        Stop::failure(failure)
    }
}
