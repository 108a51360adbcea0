//! What a command may leave behind when it is killed: processes, mounts, control groups, temporary files.
//!
//! Namespaces are not looked for by themselves: nothing but a process or a mount keeps one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::program::Program;
use crate::running::LOOK;
use crate::workspace::Workspace;

/// How long processes that were killed may take to be gone, on a busy machine.
const DEATH: Duration = Duration::from_secs(20);

/// A process, by id and command line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its arguments, with spaces between them.
    pub command: String,
}

/// All processes of the machine that are alive.
pub fn processes() -> Vec<Process> {
    let ids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    ids.filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn process(pid: u32) -> Option<Process> {
    let (state, parent) = state_and_parent(pid)?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    (state != 'Z' && state != 'X').then_some(Process { pid, parent, command })
}

/// A process's state, as ps shows it, and its parent.
pub fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Processes of sandboxes whose engine is gone, and all that have the text in their arguments.
fn orphans(program: &Program, text: &str) -> BTreeSet<Process> {
    let all = processes();
    let is_engine = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program.path());
    let is_orphan = |process: &&Process| {
        process.command.contains(text)
            || (process.command.contains("--sandbox-init") && is_engine(process.pid) && !is_engine(process.parent))
    };
    all.iter().filter(is_orphan).cloned().collect()
}

/// Waits until no process of a killed engine is left; how long that took. Its actions have the text in their arguments.
pub fn wait_for_death(program: &Program, text: &str) -> Result<Duration, String> {
    wait_for_death_within(program, text, DEATH)
}

/// The same with another patience.
pub fn wait_for_death_within(program: &Program, text: &str, patience: Duration) -> Result<Duration, String> {
    let began = Instant::now();
    let mut first = orphans(program, text);
    while !first.is_empty() {
        if began.elapsed() > patience {
            return Err(format!(
                "processes of the killed command are alive after {} ms: {first:?}",
                patience.as_millis()
            ));
        }
        std::thread::sleep(LOOK);
        // Those of other tries come and go.
        let now = orphans(program, text);
        first.retain(|process| now.contains(process));
    }
    Ok(began.elapsed())
}

/// Mounts below a folder.
pub fn mounts(folder: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folder = folder.to_string_lossy();
    table.lines().filter(|line| line.contains(&*folder)).map(str::to_owned).collect()
}

/// Control groups that a process of the engine made.
pub fn groups(pid: u32) -> Vec<PathBuf> {
    let prefix = format!("build-{pid}-");
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                found.push(entry.path());
            }
            open.push(entry.path());
        }
    }
    found
}

/// Temporary files of a workspace and its store.
pub fn temporary_files(workspace: &Workspace) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![workspace.store().to_owned(), workspace.root().to_owned()];
    while let Some(folder) = open.pop() {
        let scratch = folder.ends_with("v1/tmp");
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if scratch || name.to_string_lossy().starts_with(host::fs::TEMPORARY) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
        }
    }
    found
}
