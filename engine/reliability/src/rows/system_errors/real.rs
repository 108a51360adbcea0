//! The machine itself refuses: small, full and read-only file systems, and a limit of open files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{Expected, message};
use crate::attempt::{Attempt, Outcome};
use crate::engine;
use crate::reference::Reference;
use crate::scenario::Step;
use crate::workspace::{Run, Workspace};

/// What the machine refuses.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    /// Room in the store.
    Room,
    /// Names in the store.
    Names,
    /// Open files.
    Files,
    /// Any change of the store.
    Changes,
    /// Room where outputs are shown.
    RoomForOutputs,
}

const ALL: [Refusal; 5] = [Refusal::Room, Refusal::Names, Refusal::Files, Refusal::Changes, Refusal::RoomForOutputs];

/// A file system in memory; it goes with the value.
struct Memory(PathBuf);

impl Memory {
    fn mount(at: &Path, options: &str) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "reliability"]).arg(at))?;
        Ok(Self(at.to_owned()))
    }

    fn change(&self, options: &str) -> Result<(), String> {
        run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // What still has a file open there loses the name only.
        _ = run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Whether file systems can be mounted here.
pub fn can_mount() -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    Memory::mount(folder.path(), "size=64k").is_ok()
}

/// A build that the machine refuses something; then it does not any more.
pub fn refused(reference: &Reference, attempt: &mut Attempt) -> Outcome {
    let refusal = ALL[attempt.dice.usize(..ALL.len())];
    let outcome = match refusal {
        Refusal::Room => small_store(reference, attempt, &|dice| format!("size={}k", dice.u64(64..3400))),
        Refusal::Names => small_store(reference, attempt, &|dice| format!("size=64m,nr_inodes={}", dice.u64(12..140))),
        Refusal::Files => few_files(reference, attempt),
        Refusal::Changes => read_only_store(reference, attempt),
        Refusal::RoomForOutputs => full_outputs(reference, attempt),
    };
    outcome.map_err(|error| format!("{refusal:?}: {error}"))
}

fn judge(reference: &Reference, attempt: &Attempt, workspace: &Workspace, failed: Run) -> Outcome {
    let expected = Expected { reference, step: Step::Cold, number: 1 };
    expected.judge(attempt, workspace, failed, &|text| message::is_clear(text, attempt.folder()))
}

fn small_store(
    reference: &Reference,
    attempt: &mut Attempt,
    options: &dyn Fn(&mut fastrand::Rng) -> String,
) -> Outcome {
    for number in 0..10 {
        let workspace = attempt.workspace(&format!("w{number}"));
        reference.write(&workspace, 1);
        let options = options(&mut attempt.dice);
        let memory = Memory::mount(workspace.store(), &options)?;
        let failed = build(&workspace, attempt);
        if failed.code == 0 {
            // It was enough.
            continue;
        }
        memory.change("size=64m,nr_inodes=20000")?;
        return judge(reference, attempt, &workspace, failed).map_err(|error| format!("{options}: {error}"));
    }
    Err("the store was never too small".to_owned())
}

/// By this program as a library, so that what it kept is of use to it afterwards.
fn build(workspace: &Workspace, attempt: &Attempt) -> Run {
    engine::run(workspace, attempt.folder(), None, &["build", "//..."]).run
}

fn few_files(reference: &Reference, attempt: &mut Attempt) -> Outcome {
    for number in 0..10 {
        let workspace = attempt.workspace(&format!("w{number}"));
        reference.write(&workspace, 1);
        // Fewer and fewer, until they do not suffice.
        let limit = attempt.dice.u64(8..60 - 5 * number).to_string();
        let failed = workspace.finish(&["build", "//..."], |command| limited(command, &limit));
        if failed.code == 0 {
            continue;
        }
        return judge(reference, attempt, &workspace, failed).map_err(|error| format!("{limit} files: {error}"));
    }
    Err("there were always enough files".to_owned())
}

/// The command by a shell that sets its limit of open files before.
fn limited(command: &Command, limit: &str) -> Output {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -n $0 && exec \"$@\"", limit]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().expect("a command of a workspace"));
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.output().expect("a shell")
}

fn read_only_store(reference: &Reference, attempt: &mut Attempt) -> Outcome {
    let workspace = attempt.workspace("w");
    reference.write(&workspace, 1);
    let memory = Memory::mount(workspace.store(), "size=64m")?;
    if attempt.dice.bool() {
        build(&workspace, attempt).expect(0)?;
        if attempt.dice.bool() {
            reference.edit(&workspace, 2);
            reference.edit(&workspace, 1);
        }
    }
    memory.change("ro")?;
    let failed = workspace.run(&["build", "//..."]);
    memory.change("rw")?;
    judge(reference, attempt, &workspace, failed)
}

fn full_outputs(reference: &Reference, attempt: &mut Attempt) -> Outcome {
    let workspace = attempt.workspace("w");
    reference.write(&workspace, 1);
    let outputs = workspace.root().join("build-out");
    // Whole pages: fewer than the outputs have files.
    let memory = Memory::mount(&outputs, &format!("size={}k,nr_inodes=1000", 4 * attempt.dice.u64(1..7)))?;
    let failed = build(&workspace, attempt);
    if failed.code == 0 {
        return Err("there was room for all outputs".to_owned());
    }
    memory.change("size=64m")?;
    judge(reference, attempt, &workspace, failed)
}
