//! Row 12: eight commands at once on one store, of which one is stopped and one is killed.
//!
//! They run in two workspaces that share most of their actions, and each builds targets of its own choice. While one
//! command is stopped all others must come to their end, but for what that command alone has: they take over the actions
//! it was at, and if it holds a lock of the store, they say whom they wait for. No time is measured for that: the others
//! must end while the stopped one still is stopped. Afterwards it goes on, or is killed, and what is there must be right.

mod crowd;
mod work;

use nix::sys::signal::Signal;

use crate::attempt::{Attempt, Outcome};
use crate::leavings::state_and_parent;
use crate::packages::{Mirror, Package};
use crate::row::{Row, Tries};
use crate::template::Template;
use crate::trials::{Control, Trials};

use crowd::Crowd;

/// The row.
pub const ROW: Row = Row {
    number: 12,
    title: "8 processes at once, one stopped, one killed",
    tries: Tries { small: 48, full: 400 },
    run,
};

/// Commands at once.
const COMMANDS: u64 = 8;

/// What all tries share.
struct Shared {
    mirror: Mirror,
    template: Template,
}

/// What happens to the stopped command in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    GoesOn,
    Killed,
}

fn run(trials: &mut Trials) {
    let shared = match Shared::new(trials) {
        Ok(shared) => shared,
        Err(message) => return trials.unavailable(message),
    };
    let crowds = usize::try_from(trials.settings().wanted.div_ceil(COMMANDS)).expect("a number of crowds");
    let made = trials.tries();
    trials.over(&vec![(); crowds], 1, |attempt, ()| disturbed(attempt, &shared));
    let made = trials.tries() - made;
    trials.add_tries(made * (COMMANDS - 1));
    trials.note(format!("{made} times {COMMANDS} commands"));
    trials.control(Control::Positive, "a command that is not stopped is waited for", |attempt| {
        waited_for(attempt, &shared)
    });
    trials.control(Control::Positive, "an output is wrong", |attempt| wrong_output(attempt, &shared));
    trials.control(Control::Negative, "nobody is stopped or killed, and each action runs once", |attempt| {
        undisturbed(attempt, &shared)
    });
}

impl Shared {
    fn new(trials: &Trials) -> Result<Self, String> {
        let mirror = Mirror::start(vec![Package::shell()?], std::time::Duration::ZERO);
        let template = Template::filled(trials.program(), |workspace| {
            let (root, store) = (workspace.root().to_owned(), workspace.store().to_owned());
            let workspace = mirror.give_shell(crate::workspace::Workspace::new(root, store, trials.program().clone()));
            workspace.run(&["fetch", "//..."]).expect(0).map(drop)
        })?;
        Ok(Self { mirror, template })
    }
}

fn disturbed(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let end = if attempt.dice.bool() { End::GoesOn } else { End::Killed };
    let mut crowd = Crowd::start(attempt, &shared.mirror, &shared.template, COMMANDS as usize)?;
    let (stopped, killed) = crowd.two(&mut attempt.dice);
    // At any moment, or while it is at an action that others may need.
    let at_work = attempt.dice.u8(0..3) > 0;
    crowd.wait_until_at_work(stopped, at_work, &mut attempt.dice)?;
    crowd.signal(stopped, Signal::SIGSTOP);
    let pid = crowd.pid(stopped);
    wait_until_stopped(pid, || crowd.has_ended(stopped))?;
    let was_stopped = !crowd.has_ended(stopped);
    crowd.wait_until_at_work(killed, at_work, &mut attempt.dice)?;
    crowd.signal(killed, Signal::SIGKILL);
    let others: Vec<usize> = (0..crowd.len()).filter(|n| ![stopped, killed].contains(n)).collect();
    // Nobody needs the stopped one for longer than it takes to see that it is stopped.
    let blocked = crowd.wait_for_ends(&others, pid)?;
    if was_stopped && state_and_parent(pid).map(|(state, _)| state) != Some('T') {
        return Err("the stopped command was not stopped to the end, so that this says nothing".to_owned());
    }
    if let Some((action, count)) = crowd.ran(&others).into_iter().find(|(_, count)| *count > 1) {
        return Err(format!("{action} ran {count} times, apart from the stopped and the killed command"));
    }
    crowd.signal(stopped, if end == End::Killed { Signal::SIGKILL } else { Signal::SIGCONT });
    for n in blocked.into_iter().chain(others) {
        crowd.is_right(n)?;
    }
    if end == End::GoesOn {
        crowd.is_right(stopped).map_err(|message| format!("after it went on: {message}"))?;
    }
    crowd.end();
    crowd.is_whole()
}

fn wait_until_stopped(pid: u32, mut has_ended: impl FnMut() -> bool) -> Outcome {
    let began = std::time::Instant::now();
    while state_and_parent(pid).map(|(state, _)| state) != Some('T') && !has_ended() {
        if began.elapsed() > crate::running::PATIENCE {
            return Err("a command cannot be stopped".to_owned());
        }
        std::thread::sleep(crate::running::LOOK);
    }
    Ok(())
}

/// A command at an action that takes long: others that need it must wait, and the comparison tells that they did.
fn waited_for(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let mut crowd = Crowd::of_slow(attempt, &shared.mirror, &shared.template)?;
    crowd.wait_until_at_work(0, true, &mut attempt.dice)?;
    crowd.join(&["build", ":slow"]);
    let waits = crowd.wait_for_ends_within(&[1], 0, std::time::Duration::from_secs(3));
    crowd.end();
    match waits {
        Err(message) if message.contains("do not end") => Ok(()),
        other => Err(format!("it was not noticed: {other:?}")),
    }
}

fn wrong_output(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let mut crowd = Crowd::start(attempt, &shared.mirror, &shared.template, 1)?;
    crowd.finish(0)?;
    crowd.spoil(0)?;
    match crowd.is_right(0) {
        Err(message) if message.contains("instead of") => Ok(()),
        other => Err(format!("it was not noticed: {other:?}")),
    }
}

fn undisturbed(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let mut crowd = Crowd::start(attempt, &shared.mirror, &shared.template, COMMANDS as usize)?;
    (0..crowd.len()).try_for_each(|n| crowd.is_right(n))?;
    let all: Vec<usize> = (0..crowd.len()).collect();
    match crowd.ran(&all).into_iter().find(|(_, count)| *count > 1) {
        Some((action, count)) => Err(format!("{action} ran {count} times")),
        None => crowd.is_whole(),
    }
}
