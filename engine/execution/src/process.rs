//! An action that runs a process: prepares its folder, runs it, says what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{Action, Artifact, RelPath, Spawn};
use sandbox::{Command, Exceeded, Limits, Mount, Status, Together};
use store::{Store, StoreError};

use crate::compose;
use crate::content::{Content, Explained};
use crate::failure::{Failure, FailureKind};
use crate::memo::ActionResult;
use crate::mounts;
use crate::outputs;
use crate::persistent::{self, Tool};
use crate::places::{self, Place};
use crate::undeclared;
use crate::unstarted;
use crate::worker::{Stop, Worker};

/// Variables of every process, where the action does not set them itself.
const FIXED: [(&str, &str); 6] = [
    ("HOME", "/tmp"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/bin"),
    ("SOURCE_DATE_EPOCH", "946684800"),
    ("TMPDIR", "/tmp"),
    ("TZ", "UTC"),
];

/// The signal that ends a process which writes too large a file (SIGXFSZ).
const TOO_LARGE: i32 = 25;

/// More of a log than this is not kept in memory.
const LOG_LIMIT: u64 = 8 << 20;

/// All variables that the process sees, and the action's key holds.
pub(crate) fn environment(spawn: &Spawn) -> BTreeMap<&str, &str> {
    let mut env: BTreeMap<&str, &str> = FIXED.into_iter().collect();
    env.extend(spawn.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    env
}

/// How often a process is run that may have failed over what left the store meanwhile.
const TRIES: usize = 5;

/// Runs the process of `action` and collects its outputs.
pub(crate) fn run(
    worker: &Worker,
    action: &Action,
    spawn: &Spawn,
    inputs: &BTreeMap<RelPath, Content>,
) -> Result<(ActionResult, Arc<str>), Stop> {
    if let Some(tool) = Tool::of(worker, spawn, inputs) {
        return persistent::run(worker, action, spawn, inputs, &tool);
    }
    for _ in 1..TRIES {
        let mut used = Vec::new();
        let made = run_once(worker, action, spawn, inputs, &mut used);
        // Whatever it says, it says nothing of the action if its inputs were not whole to the end.
        if worker.executor.cancel.is_cancelled() || !matches!(made, Err(Stop::Failure(..))) || are_whole(worker, &used)
        {
            return made;
        }
    }
    run_once(worker, action, spawn, inputs, &mut Vec::new())
}

/// Runs the process that a built-in function names, with its messages in that function's words.
pub(crate) fn run_explained(
    worker: &Worker,
    action: &Action,
    process: &Explained,
    inputs: &BTreeMap<RelPath, Content>,
) -> Result<(ActionResult, Arc<str>), Stop> {
    let explain = |log: &str| Arc::from((process.explain)(log));
    match run(worker, action, &process.spawn, inputs) {
        Ok((result, log)) => Ok((result, explain(&log))),
        Err(Stop::Failure(id, mut failure)) if matches!(failure.kind, FailureKind::ExitCode(_)) => {
            // The function knows better what its process complains about.
            let guesses = undeclared::hints(worker, action, inputs, &failure.log);
            failure.hints.retain(|hint| !guesses.contains(hint));
            let mut log = failure.log.to_string();
            for spawn in &process.on_failure {
                match run(worker, action, spawn, inputs) {
                    Err(Stop::Failure(_, other)) => log.push_str(&other.log),
                    Err(other) => return Err(other),
                    Ok(_) => {}
                }
            }
            failure.log = explain(&log);
            Err(Stop::Failure(id, failure))
        }
        Err(other) => Err(other),
    }
}

/// A file or folder of the store that a process was given, and which one it was: another one at its place shows that it
/// was lost meanwhile.
struct Given(PathBuf, Option<Identity>);

/// Device, inode and time of birth. The inode alone does not tell: file systems give the next file the one that has just
/// become free, and the next file is often the lost one, made again.
type Identity = (u64, u64, Option<i128>);

/// Whether all of it is as it was given. Everything is looked at, so that nothing is believed to be whole because it was
/// so before.
fn are_whole(worker: &Worker, used: &[Given]) -> bool {
    let is_whole = |Given(path, then): &&Given| worker.executor.store.is_intact(path) && identity(path) == *then;
    used.iter().filter(is_whole).count() == used.len()
}

/// What is at a path; `None` for nothing.
fn identity(path: &Path) -> Option<Identity> {
    host::fs::lstat(path).ok().map(|stat| (stat.device, stat.inode, stat.born))
}

/// Runs it once. `used` holds what it was given of the store.
fn run_once(
    worker: &Worker,
    action: &Action,
    spawn: &Spawn,
    inputs: &BTreeMap<RelPath, Content>,
    used: &mut Vec<Given>,
) -> Result<(ActionResult, Arc<str>), Stop> {
    let engine = |error: StoreError| Stop::failure(Failure::engine(action, &error));
    let mounts = mounts(worker, action, inputs)?;
    let place = worker.places.take(&worker.executor.store, folders(action, &mounts)).map_err(engine)?;
    link_mount_points(worker, &place.work(), &mounts);
    let logs = Logs::new(&place, spawn);
    // The root is among the inputs.
    let find = |artifact: &Artifact| {
        let path = artifact.path();
        inputs[path].on_disk(&worker.executor.store).map_err(|error| Stop::store(action, path, error))
    };
    let mut command = command(spawn, mounts, &place, &logs, &find)?;
    command.argv = argv(worker, action, spawn, inputs)?;
    command.timeout = Some(Duration::from_secs(time_limit(worker, spawn)));
    let given = command.mounts.iter().map(|mount| &mount.source);
    let given = given.chain(&command.root);
    used.extend(given.map(|path| Given(path.clone(), identity(path))));
    let exit = worker.runner.run(&command, &worker.executor.cancel).map_err(|error| {
        let mut failure = Failure::engine(action, &error);
        failure.hints.extend(unstarted::hints(worker, action, spawn, inputs, &error));
        failure.hints.extend(without_sandbox(worker));
        Stop::failure(failure)
    })?;
    let log = logs.read(spawn).map_err(engine)?;
    if exit.status == Status::Cancelled {
        return Err(Stop::Cancelled);
    }
    if exit.status != Status::Code(0) {
        let mut failure = ended_badly(action, spawn, exit.status, time_limit(worker, spawn));
        failure.hints.extend(undeclared::hints(worker, action, inputs, &log));
        failure.hints.extend(unstarted::of_log(worker, &log));
        failure.hints.extend(without_sandbox(worker));
        if host::fs::is_full(place.path()) {
            failure.hints.push(host::remedy::FULL.to_owned());
        }
        failure.log = log;
        if spawn.test {
            failure.left = outputs::left_by_test(worker, action, inputs, &place.work());
        }
        keep_for_debugging(worker, &place, &command, &mut failure);
        return Err(Stop::failure(failure));
    }
    if spawn.test && left_early(spawn, &place.work()) {
        let message = "the test ended with exit code 0 before its runner had finished";
        let mut failure = Failure::new(action, FailureKind::TestFailed, message);
        failure
            .hints
            .push("something in it ends the process, such as `exit(0)`; the cases after that did not run".into());
        failure.log = log;
        failure.left = outputs::left_by_test(worker, action, inputs, &place.work());
        return Err(Stop::failure(failure));
    }
    let collected = outputs::collect(worker, action, spawn, inputs, (&place.work(), &logs.stdout));
    let outputs = collected.map_err(|stop| match stop {
        Stop::Failure(id, mut failure) => {
            failure.log = Arc::clone(&log);
            keep_for_debugging(worker, &place, &command, &mut failure);
            Stop::Failure(id, failure)
        }
        other => other,
    })?;
    worker.places.give_back(place);
    let log_digest = if log.is_empty() { None } else { Some(worker.executor.store.put_bytes(log.as_bytes())) };
    let log_digest = log_digest.transpose().map_err(engine)?;
    let hermetic = worker.runner.is_hermetic();
    Ok((ActionResult { outputs, exit_code: 0, log: log_digest, hermetic }, log))
}

/// The variable that names a file which a test's runner makes at its start and removes at its end. Bazel's name.
const PREMATURE_EXIT: &str = "TEST_PREMATURE_EXIT_FILE";

/// Whether a test's runner began and did not come to its end.
fn left_early(spawn: &Spawn, work: &Path) -> bool {
    let file = spawn.env.get(PREMATURE_EXIT).and_then(|file| file.strip_prefix("/work/"));
    file.and_then(|file| RelPath::new(file).ok()).is_some_and(|file| host::fs::lstat(&work.join(file)).is_ok())
}

/// Finds the content of an input on disk.
type Find<'a> = dyn Fn(&Artifact) -> Result<PathBuf, Stop> + 'a;

/// Where an action's standard output goes, and what it writes for people.
struct Logs {
    stdout: PathBuf,
    log: PathBuf,
}

impl Logs {
    fn new(place: &Place, spawn: &Spawn) -> Self {
        let log = place.at("log");
        // A test's log is one stream; an output of another action must not be mixed with its messages.
        let stdout = if spawn.stdout.is_some() { place.at("stdout") } else { log.clone() };
        let log = if spawn.test { stdout.clone() } else { log };
        Self { stdout, log }
    }

    /// What the process wrote for people.
    fn read(&self, spawn: &Spawn) -> Result<Arc<str>, StoreError> {
        if !host::fs::exists(&self.log) {
            return Ok(Arc::from(""));
        }
        let (bytes, left_out) = host::fs::read_end(&self.log, LOG_LIMIT)?;
        let text = String::from_utf8_lossy(&bytes);
        if left_out == 0 {
            return Ok(Arc::from(text));
        }
        let what = if spawn.test { "test" } else { "action" };
        Ok(Arc::from(format!("[the first {left_out} bytes of this {what}'s log are left out]\n{text}")))
    }
}

/// The folders that an action finds in its working folder: those of its outputs, and those of its inputs, which are
/// mounted in them.
fn folders(action: &Action, mounts: &[Mount]) -> BTreeSet<RelPath> {
    let outputs = action.outputs.iter().map(|output| (output.path(), output.is_tree()));
    let trees: BTreeSet<&RelPath> = mounts.iter().filter(|mount| mount.folder).map(|mount| &mount.target).collect();
    // What is mounted inside of another mount has its place there.
    let nested = |mount: &&Mount| places::above(&mount.target).any(|above| trees.contains(&above));
    let inputs = mounts.iter().filter(|mount| !nested(mount)).map(|mount| (&mount.target, mount.folder));
    let mut folders = BTreeSet::new();
    for (path, folder) in outputs.chain(inputs) {
        match (folder, path.parent()) {
            (true, _) => drop(folders.insert(path.clone())),
            (false, Some(parent)) if !parent.as_str().is_empty() => drop(folders.insert(parent)),
            (false, _) => {}
        }
    }
    folders
}

/// Gives each input file something to be mounted on: a link to itself, since that makes no new file. Where there can be
/// no link, the sandbox makes a file.
fn link_mount_points(worker: &Worker, work: &Path, mounts: &[Mount]) {
    // A folder that is kept is for people to work in, who must not find the store in it.
    if worker.executor.sandbox_debug || !worker.runner.is_hermetic() {
        return;
    }
    for mount in mounts.iter().filter(|mount| !mount.folder) {
        let _ = host::fs::hard_link(&mount.source, &work.join(&mount.target));
    }
}

/// Moves the folder of a failed action out of the scratch space, when that was asked for, and says where it is.
fn keep_for_debugging(worker: &Worker, place: &Place, command: &Command, failure: &mut Failure) {
    if !worker.executor.sandbox_debug {
        return;
    }
    let kept = worker.executor.store.root().join("debug").join(format!("{}-{}", std::process::id(), Worker::id()));
    let moved = host::fs::create_dir_all(kept.parent().unwrap_or(Path::new("/")))
        .and_then(|()| host::fs::rename(place.path(), &kept));
    match moved {
        Ok(()) => {
            failure.hints.push(format!("its folder was kept: {}", kept.join("work").display()));
            match sandbox::keep(command, &kept) {
                Ok(()) => failure.hints.push(format!("enter its sandbox: build debug-sandbox {}", kept.display())),
                Err(error) => failure.hints.push(format!("its sandbox was not kept: {error}")),
            }
        }
        Err(error) => failure.hints.push(format!("its folder could not be kept: {error}")),
    }
    failure.hints.push(format!("its command was: {}", command.argv.join(" ")));
}

/// Where the inputs come from and appear.
fn mounts(worker: &Worker, action: &Action, inputs: &BTreeMap<RelPath, Content>) -> Result<Vec<Mount>, Stop> {
    let store = &worker.executor.store;
    let mut tries = 1;
    loop {
        let mounts = match worker.runner.is_hermetic() {
            true => mounts::of(store, inputs, &action.outputs),
            false => mounts::one_by_one(store, inputs),
        };
        let error = match mounts {
            Ok(mounts) => return Ok(mounts),
            Err(error) => error,
        };
        return Err(match inputs.iter().find(|(_, content)| error.is_missing() && is_lost(content, store)) {
            Some((path, _)) => Stop::Lost(path.clone()),
            None if error.is_missing() && tries < TRIES => {
                // Somebody has put it back.
                tries += 1;
                continue;
            }
            None => Stop::failure(Failure::engine(action, &error)),
        });
    }
}

/// Whether the store cannot give this content, so that it must be made again.
fn is_lost(content: &Content, store: &Store) -> bool {
    content.on_disk(store).is_err_and(|error| error.is_missing())
}

/// Its arguments, with those that stand for files in directories.
fn argv(
    worker: &Worker,
    action: &Action,
    spawn: &Spawn,
    inputs: &BTreeMap<RelPath, Content>,
) -> Result<Vec<String>, Stop> {
    let mut argv = spawn.argv.clone();
    for (at, words) in compose::expand(&worker.executor.store, action, &spawn.expansions, inputs)?.into_iter().rev() {
        argv.splice(at..at, words);
    }
    Ok(argv)
}

/// What the process gets of its folder, its logs and the contents that are no mere mounts.
fn command(spawn: &Spawn, mounts: Vec<Mount>, place: &Place, logs: &Logs, find: &Find<'_>) -> Result<Command, Stop> {
    Ok(Command {
        argv: Vec::new(),
        env: environment(spawn).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        workdir: place.work(),
        root: spawn.root.as_ref().map(find).transpose()?,
        stdin: spawn.stdin.as_ref().map(|artifact| artifact.path().clone()),
        network: spawn.network,
        stdout: logs.stdout.clone(),
        stderr: logs.log.clone(),
        timeout: None,
        limits: Limits { together: together(&spawn.limits), ..Limits::default() },
        mounts,
    })
}

fn together(limits: &model::Limits) -> Together {
    Together {
        memory: limits.memory.map(|megabytes| megabytes << 20),
        cpu_time: limits.cpu_time.map(Duration::from_secs),
        processes: limits.processes,
    }
}

/// The time limit of an action, in seconds.
pub(crate) fn time_limit(worker: &Worker, spawn: &Spawn) -> u64 {
    spawn.timeout.unwrap_or(worker.executor.action_timeout)
}

/// How to give an action more time.
pub(crate) fn more_time(action: &Action, spawn: &Spawn) -> String {
    match spawn.timeout {
        Some(_) => format!("raise its time limit where {} is declared", action.owner.label),
        None => format!(
            "if it needs more: `timeout = SECONDS` where {} is declared, or for all actions that declare no limit: \
             --action_timeout=SECONDS",
            action.owner.label
        ),
    }
}

/// What a failure may have to do with the sandbox that could not be made.
fn without_sandbox(worker: &Worker) -> Option<String> {
    let obstacle = worker.runner.obstacle()?;
    Some(format!(
        "it ran without a sandbox, where files of its tools are not at the paths that they may expect ({}): {}",
        obstacle.reason, obstacle.hint
    ))
}

/// Which limit was reached, what it was, and what to change.
fn over_limit(action: &Action, spawn: &Spawn, exceeded: Exceeded) -> Failure {
    let limits = &spawn.limits;
    let (name, value, message) = match exceeded {
        Exceeded::Memory => ("memory", limits.memory, "were killed: they may use {} MB of memory together"),
        Exceeded::CpuTime => ("cpu_time", limits.cpu_time, "were killed: they may use {} s of processor time together"),
        Exceeded::Processes => ("processes", limits.processes, "could not go on: there may be {} of them at once"),
        Exceeded::Disk => return no_space(action),
    };
    let message = message.replace("{}", &value.unwrap_or(0).to_string());
    let mut failure = Failure::new(action, FailureKind::OverLimit, format!("its processes {message}"));
    failure
        .hints
        .push(format!("raise `{name}` in `limits` where {} is declared, or let it need less", action.mnemonic));
    failure
}

/// The disk was about to be full.
fn no_space(action: &Action) -> Failure {
    let message = "its processes were killed: the disk of the store was about to be full";
    let mut failure = Failure::new(action, FailureKind::OverLimit, message);
    failure.hints.push(format!("let {} write less, if it wrote much; else make room: build gc", action.mnemonic));
    failure
}

fn ended_badly(action: &Action, spawn: &Spawn, status: Status, limit: u64) -> Failure {
    let (kind, message) = match status {
        Status::Code(code) if spawn.test => (FailureKind::TestFailed, format!("the test failed with exit code {code}")),
        Status::Signal(signal) if spawn.test => {
            (FailureKind::TestFailed, format!("the test was ended by signal {signal}"))
        }
        Status::TimedOut if spawn.test => {
            (FailureKind::TestTimedOut, format!("the test took longer than {limit} seconds"))
        }
        Status::Code(code) => (FailureKind::ExitCode(code), format!("the process failed with exit code {code}")),
        Status::Signal(TOO_LARGE) => {
            (FailureKind::OverLimit, "the process wrote a larger file than an action may: 64 GiB".to_owned())
        }
        Status::Signal(signal) => (FailureKind::Signal(signal), format!("the process was ended by signal {signal}")),
        Status::Exceeded(exceeded) => return over_limit(action, spawn, exceeded),
        Status::TimedOut | Status::Cancelled => {
            (FailureKind::TimedOut, format!("the process took longer than {limit} seconds"))
        }
    };
    let mut failure = Failure::new(action, kind, message);
    if kind == FailureKind::TimedOut {
        failure.hints.push(more_time(action, spawn));
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_made_again_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        host::fs::write(&path, b"x").unwrap();
        let first = identity(&path);
        // What happens to a content in the store leaves it the same.
        std::fs::hard_link(&path, &other).unwrap();
        host::fs::seal(&host::fs::open(&path).unwrap(), &path, 0o444, 1).unwrap();
        assert_eq!(identity(&path), first);
        // Most file systems give the new file the inode of the old one.
        [&path, &other].into_iter().for_each(|name| host::fs::remove_file(name).unwrap());
        assert_eq!(identity(&path), None);
        std::thread::sleep(std::time::Duration::from_millis(20));
        host::fs::write(&path, b"x").unwrap();
        assert_ne!(identity(&path), first);
    }
}
