//! Hints for a process that did not start. The kernel names an error alone; what it is about is found out here.

use std::collections::BTreeMap;

use model::{Action, RelPath, Spawn};
use sandbox::SandboxError;

use crate::content::Content;
use crate::undeclared;
use crate::worker::Worker;

const NOT_FOUND: i32 = 2;
const NO_FORMAT: i32 = 8;
const NOT_PERMITTED: i32 = 13;

/// What to do about a store on a file system from which nothing is run.
const NO_EXECUTION: &str = "the store is on a file system that is mounted `noexec`, from which no program can be run: keep it elsewhere \
    (`--store FOLDER` or BUILD_STORE=FOLDER), or mount that one with `exec`";

/// What to do, beyond what the error says.
pub(crate) fn hints(
    worker: &Worker,
    action: &Action,
    spawn: &Spawn,
    inputs: &BTreeMap<RelPath, Content>,
    error: &SandboxError,
) -> Vec<String> {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let program = spawn.argv.first().map_or("", String::as_str);
    let message = error.to_string();
    match source.and_then(std::io::Error::raw_os_error) {
        Some(NOT_FOUND) if message.contains("which names the ") => vec![format!(
            "{program} is there, but what it is run by is not among what the action sees: give the action a `root` that has it, or \
             run {program} by a program of its `tools`"
        )],
        Some(NOT_FOUND) => undeclared::program(worker, action, spawn, inputs),
        Some(NOT_PERMITTED) if is_without_execution(worker) => vec![NO_EXECUTION.to_owned()],
        Some(NOT_PERMITTED) if RelPath::new(program).is_ok_and(|path| is_plain(inputs.get(&path))) => vec![format!(
            "{program} is a file that cannot be executed: `chmod +x` it, or make it by an action with `is_executable = True`"
        )],
        Some(NO_FORMAT) => vec![format!(
            "{program} has no first line `#!...` that names what it is run by, or was built for another kind of machine"
        )],
        _ => Vec::new(),
    }
}

/// The hint for a log that complains of something that is not run, where that is the store's fault.
pub(crate) fn of_log(worker: &Worker, log: &str) -> Option<String> {
    (log.contains("ermission denied") && is_without_execution(worker)).then(|| NO_EXECUTION.to_owned())
}

fn is_without_execution(worker: &Worker) -> bool {
    host::fs::is_without_execution(worker.executor.store.root())
}

fn is_plain(content: Option<&Content>) -> bool {
    matches!(content, Some(Content::File { executable: false, .. }))
}
