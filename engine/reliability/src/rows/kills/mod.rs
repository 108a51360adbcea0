//! Row 8: a command that is killed at any moment loses nothing that was done and leaves nothing to be cleaned by hand.
//!
//! Each try prepares a workspace and a store, starts a command, and kills it at a moment that is uniform over the time
//! that the command takes. A command that ended before is no try and is started again. In half of the tries the process
//! alone is killed, and its sandboxes must die with it; in the other half what it started is killed too. What must hold
//! afterwards stands in `aftermath.rs`.

mod aftermath;
mod command;
mod controls;
mod pool;

use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::attempt::{Attempt, Outcome};
use crate::leavings;
use crate::packages::Mirror;
use crate::registry::Registry;
use crate::row::{Row, Tries};
use crate::running::Running;
use crate::template::Template;
use crate::trials::{Control, Trials};
use crate::workspace::{Run, Workspace};

use aftermath::Aftermath;
use command::Command;

/// The row.
pub const ROW: Row = Row {
    number: 8,
    title: "SIGKILL at random moments of build, gc, fsck, fetch, push",
    tries: Tries { small: 40, full: 1000 },
    run,
};

/// How often a command may end before it is killed.
const STARTS: usize = 100;
/// How many of the times that a command took are kept.
const TIMES: usize = 8;

/// What all tries share.
struct Shared {
    shell: Template,
    /// Has results of several versions of the workspace.
    grown: Template,
    registry: Registry,
    pool: Mirror,
    /// How long each command took lately when it was not killed.
    times: Mutex<Vec<Vec<Duration>>>,
    /// The longest time that processes took to be gone.
    slowest_death: Mutex<Duration>,
}

fn run(trials: &mut Trials) {
    let shared = match Shared::new(trials) {
        Ok(shared) => shared,
        Err(message) => return trials.unavailable(message),
    };
    trials.each(|attempt| {
        let command = Command::of(attempt.index);
        killed(attempt, &shared, command).map_err(|message| format!("{command:?}: {message}"))
    });
    let slowest = *shared.slowest_death.lock().expect("no panic in it");
    trials.note(format!("processes were gone {} ms after the kill at the latest", slowest.as_millis()));
    controls::run(trials, &shared);
    trials.control(Control::Negative, "a command that is not killed", |attempt| {
        let workspace = prepared(attempt, &shared, Command::Cold)?;
        let run = workspace.run(&Command::Cold.arguments()).expect(0)?;
        Aftermath { workspace: &workspace, shared: &shared, command: Command::Cold, killed: &run, pid: 0 }.is_clean()
    });
}

impl Shared {
    fn new(trials: &Trials) -> Result<Self, String> {
        let shell = Template::new(trials.program())?;
        let grown = Template::filled(trials.program(), command::grow)?;
        let times = Mutex::new(vec![vec![Duration::from_millis(150)]; Command::ALL.len()]);
        let slowest_death = Mutex::default();
        Ok(Self { shell, grown, registry: Registry::start()?, pool: pool::start()?, times, slowest_death })
    }

    /// How long the command may take, as far as is known: some more than it usually did, so that its end is reached.
    fn time(&self, command: Command) -> Duration {
        let mut times = self.times.lock().expect("no panic in it")[command as usize].clone();
        times.sort_unstable();
        times[times.len() / 2].mul_f64(1.25)
    }

    fn note_time(&self, command: Command, time: Duration) {
        let times = &mut self.times.lock().expect("no panic in it")[command as usize];
        times.push(time);
        if times.len() > TIMES {
            times.remove(0);
        }
    }
}

/// What a try starts from.
fn prepared(attempt: &Attempt, shared: &Shared, command: Command) -> Result<Workspace, String> {
    let workspace = attempt.workspace("w");
    let workspace = command.environment(workspace, shared);
    command.prepare(&workspace, shared, &mark(attempt))?;
    Ok(workspace)
}

/// A text that is in the arguments of every action of the try.
fn mark(attempt: &Attempt) -> String {
    attempt.folder().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn killed(attempt: &mut Attempt, shared: &Shared, command: Command) -> Outcome {
    let alone = attempt.dice.bool();
    for _ in 0..STARTS {
        let workspace = prepared(attempt, shared, command)?;
        let share = attempt.dice.f64();
        let moment = shared.time(command).mul_f64(share);
        let (run, pid) = run_until(&workspace, &command.arguments(), moment, alone)?;
        if run.code != 128 + Signal::SIGKILL as i32 {
            // A check that found the damage says so.
            let expected = if command == Command::Check { 1 } else { 0 };
            run.expect(expected).map(|run| shared.note_time(command, run.time))?;
            continue;
        }
        let say = |message| {
            let events = run.events.len();
            format!("killed {} after {} ms, {events} events: {message}", how(alone), moment.as_millis())
        };
        let took = leavings::wait_for_death(attempt.program(), &mark(attempt)).map_err(say)?;
        let mut slowest = shared.slowest_death.lock().expect("no panic in it");
        *slowest = took.max(*slowest);
        drop(slowest);
        let aftermath = Aftermath { workspace: &workspace, shared, command, killed: &run, pid };
        return aftermath.check(attempt.dice.bool()).map_err(say);
    }
    Err(format!("it ended before it was killed {STARTS} times"))
}

fn how(alone: bool) -> &'static str {
    if alone { "alone" } else { "with its children" }
}

/// Runs a command and kills it after a time; with the id that it had.
fn run_until(workspace: &Workspace, arguments: &[&str], moment: Duration, alone: bool) -> Result<(Run, u32), String> {
    let mut running = Running::start(workspace, arguments);
    let pid = running.pid();
    std::thread::sleep(moment);
    let children = if alone { Vec::new() } else { leavings::processes() };
    running.signal(Signal::SIGKILL);
    for child in children.iter().filter(|process| process.parent == pid) {
        // It may be gone already.
        let _ = kill(Pid::from_raw(i32::try_from(child.pid).unwrap_or(i32::MAX)), Signal::SIGKILL);
    }
    Ok((running.end()?, pid))
}
