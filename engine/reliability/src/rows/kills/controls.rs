//! What a worse engine would leave behind is noticed.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::aftermath::{Aftermath, waits_for_nobody};
use super::command::{self, Command};
use super::{Shared, mark, prepared};
use crate::attempt::{Attempt, Outcome};
use crate::leavings;
use crate::leftovers;
use crate::running::Running;
use crate::trials::{Control, Trials};
use crate::workspace::Workspace;

pub fn run(trials: &mut Trials, shared: &Shared) {
    let control = Control::Positive;
    trials.control(control, "a content that was cut short", |attempt| cut_short(attempt, shared));
    trials.control(control, "a result that was changed", |attempt| changed(attempt, shared));
    trials.control(control, "a temporary file that stays", |attempt| file_stays(attempt, shared));
    trials.control(control, "a process that stays", process_stays);
    trials.control(control, "a lock that stays", |attempt| lock_stays(attempt, shared));
    trials.control(control, "a push that stopped half-way", |attempt| half_pushed(attempt, shared));
}

fn noticed<T>(result: Result<T, String>, by: &str) -> Outcome {
    match result {
        Err(message) if message.contains(by) => Ok(()),
        Err(message) => Err(format!("noticed as something else: {message}")),
        Ok(_) => Err("not noticed".to_owned()),
    }
}

/// A workspace after a build that went through.
fn built(attempt: &Attempt, shared: &Shared) -> Result<(Workspace, crate::workspace::Run), String> {
    let workspace = prepared(attempt, shared, Command::Cold)?;
    let run = workspace.run(&Command::Cold.arguments()).expect(0)?;
    Ok((workspace, run))
}

fn cut_short(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let (workspace, run) = built(attempt, shared)?;
    let content = &command::outputs()["a0.txt"];
    let digest = model::Digest::of(content.as_bytes()).to_hex();
    let path = workspace.store().join("v1/blobs").join(&digest[..2]).join(&digest);
    std::fs::write(&path, &content[..content.len() / 2]).map_err(|error| error.to_string())?;
    let aftermath = Aftermath { workspace: &workspace, shared, command: Command::Cold, killed: &run, pid: 0 };
    noticed(aftermath.is_sound(), "not sound")
}

fn changed(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let (workspace, run) = built(attempt, shared)?;
    workspace.remove("build-out");
    workspace.write("build-out/a0.txt", "something else");
    let aftermath = Aftermath { workspace: &workspace, shared, command: Command::Cold, killed: &run, pid: 0 };
    let content = &command::outputs()["a0.txt"];
    leftovers::replace_content(&workspace, content.as_bytes(), content.to_uppercase().as_bytes())?;
    noticed(aftermath.is_right(), "a0.txt is")
}

fn file_stays(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let (workspace, run) = built(attempt, shared)?;
    let aftermath = Aftermath { workspace: &workspace, shared, command: Command::Cold, killed: &run, pid: 0 };
    aftermath.is_clean()?;
    workspace.write(&format!("{}x", host::fs::TEMPORARY), "half of so");
    noticed(aftermath.is_clean(), "left behind")
}

fn process_stays(attempt: &mut Attempt) -> Outcome {
    let mark = mark(attempt);
    let mut process = std::process::Command::new("sh");
    let mut process = process.args(["-c", "sleep 60; true", &mark]).spawn().map_err(|error| error.to_string())?;
    let gone = leavings::wait_for_death_within(attempt.program(), &mark, Duration::from_millis(200));
    let sleep = leavings::processes().into_iter().find(|one| one.parent == process.id());
    process.kill().and_then(|()| process.wait()).map_err(|error| error.to_string())?;
    if let Some(sleep) = sleep {
        let id = nix::unistd::Pid::from_raw(i32::try_from(sleep.pid).unwrap_or(i32::MAX));
        // It may have ended with its parent.
        let _ = nix::sys::signal::kill(id, Signal::SIGKILL);
    }
    noticed(gone, "alive")
}

fn lock_stays(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let workspace = prepared(attempt, shared, Command::Cold)?;
    let mut running = Running::start(&workspace, &Command::Cold.arguments());
    running.wait_for("an action", |events| events.iter().any(|event| event.get("ActionStarted").is_some()))?;
    running.signal(Signal::SIGSTOP);
    let mut next = Running::start(&workspace, &Command::Cold.arguments());
    let waits = |events: &[serde_json::Value]| events.iter().any(|event| event.to_string().contains("another command"));
    next.wait_for("a wait", waits)?;
    running.signal(Signal::SIGKILL);
    noticed(waits_for_nobody(&next.end()?.expect(0)?), "a lock is left")
}

fn half_pushed(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let workspace = prepared(attempt, shared, Command::Push)?;
    let run = workspace.run(&["build", ":image"]).expect(0)?;
    let aftermath = Aftermath { workspace: &workspace, shared, command: Command::Push, killed: &run, pid: 0 };
    noticed(aftermath.is_right(), "manifests/t")
}
