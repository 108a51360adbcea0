//! Row 10: no room, no inodes, no quota, too few open files, a disk that does not answer, a read-only store.
//!
//! Two kinds of tries. A call of a command fails by the hook of `host`, once or from then on (`Fault::Failure`), so that
//! every place is reached. And the machine really refuses: a small file system as the store, few inodes, a limit of open
//! files, a read-only mount, no room where outputs are shown (`real.rs`).
//!
//! In each the command says what, where and what to type (`message.rs`), or goes on and is right; and when the fault is
//! over, the next run does only what is missing.

use std::collections::{BTreeMap, BTreeSet};

use host::faults::Operation;

use crate::attempt::{Attempt, Outcome};
use crate::engine;
use crate::faulty::{Errno, Fault, Span};
use crate::leftovers;
use crate::reference::{self, Reference};
use crate::row::{Row, Tries};
use crate::scenario::Step;
use crate::trials::{Control, Trials};
use crate::workspace::{Run, Workspace};

mod message;
mod real;

/// The row.
pub const ROW: Row = Row {
    number: 10,
    title: "ENOSPC, out of inodes, EMFILE, EIO, quota, read-only store",
    tries: Tries { small: 50, full: 500 },
    run,
};

/// Of so many tries one is with a real fault.
const REAL: u64 = 3;

/// The operations of each step, in order.
type Calls = BTreeMap<Step, Vec<Operation>>;

fn run(trials: &mut Trials) {
    let ready = Reference::new(trials).and_then(|reference| Ok((count(trials, &reference)?, reference)));
    let (calls, reference) = match ready {
        Ok(ready) => ready,
        Err(error) => return trials.unavailable(format!("the reference workspace: {error}")),
    };
    let mounts = real::can_mount();
    if !mounts {
        trials.unavailable("small and read-only file systems: mounting takes root");
    }
    trials.each(|attempt| match attempt.index % REAL {
        0 if mounts => real::refused(&reference, attempt),
        _ => injected(&reference, &calls, attempt),
    });
    controls(trials, &reference);
}

/// What calls each step makes.
fn count(trials: &Trials, reference: &Reference) -> Result<Calls, String> {
    let attempt = Attempt::new(trials.settings().seed, ROW.number, u64::MAX, trials.program().clone());
    let mut all = Calls::new();
    for step in Step::ALL {
        let workspace = reference.workspace(&attempt, &format!("{step:?}"));
        step.prepare(reference, &workspace)?;
        let counted = engine::run(&workspace, attempt.folder(), Some(Fault::Count), step.command());
        counted.run.expect(step.code())?;
        all.insert(step, counted.calls.iter().filter_map(|line| operation(line)).collect());
    }
    Ok(all)
}

fn operation(line: &str) -> Option<Operation> {
    use Operation as O;
    let all = [
        O::Create,
        O::Write,
        O::Truncate,
        O::Rename,
        O::Link,
        O::Remove,
        O::MakeFolder,
        O::SetAttributes,
        O::Sync,
        O::Read,
    ];
    let name = line.split(' ').next()?;
    all.into_iter().find(|operation| format!("{operation:?}") == name)
}

/// A call of a step fails.
fn injected(reference: &Reference, calls: &Calls, attempt: &mut Attempt) -> Outcome {
    let step = Step::ALL[attempt.dice.usize(..Step::ALL.len())];
    let errno = Errno::ALL[attempt.dice.usize(..Errno::ALL.len())];
    let span = if attempt.dice.bool() { Span::Once } else { Span::Always };
    let count = calls[&step].iter().filter(|operation| errno.concerns(**operation)).count() as u64;
    let mut call = attempt.dice.u64(..count.max(1));
    let workspace = reference.workspace(attempt, "w");
    let (fault, failed) = loop {
        step.prepare(reference, &workspace)?;
        let fault = Fault::Failure(call, errno, span);
        let failed = engine::run(&workspace, attempt.folder(), Some(fault), step.command());
        if !failed.calls.is_empty() {
            break (fault, failed);
        }
        // There were fewer calls this time.
        if call == 0 {
            return Err(format!("{step:?} {fault:?}: no call was hit\n{}", failed.run.stderr));
        }
        call /= 2;
    };
    let context = format!("{step:?} {fault:?} at `{}`", failed.calls[0]);
    let said = |message: String| format!("{context}: {message}");
    let expected = Expected { reference, step, number: step.number() };
    expected.judge(attempt, &workspace, failed.run, &|text| message::is_clear(text, attempt.folder())).map_err(said)
}

/// What must come of a command that met a fault.
struct Expected<'a> {
    reference: &'a Reference,
    step: Step,
    number: u64,
}

impl Expected<'_> {
    /// Looks at the command that met the fault, and at those that follow when it is over.
    fn judge(
        &self,
        attempt: &Attempt,
        workspace: &Workspace,
        failed: Run,
        is_clear: &dyn Fn(&str) -> Outcome,
    ) -> Outcome {
        let truth = self.reference.truth(attempt, self.number)?;
        let made = ran(&failed);
        match failed.code {
            0 if self.step.shows() => {
                let shown = reference::compare(&reference::shown(workspace), &truth);
                shown.map_err(|error| format!("exit code 0, but {error}\n{}", failed.stderr))?;
            }
            0 => {}
            1 if failed.stderr.is_empty() && self.step == Step::Check => {}
            1 | 36 => is_clear(&failed.stderr)?,
            code => return Err(format!("exit code {code}\n{}", failed.stderr)),
        }
        if failed.stderr.contains("panicked") {
            return Err(format!("a panic\n{}", failed.stderr));
        }
        self.recovers(attempt, workspace, &truth, &made)
    }

    /// When the fault is over, everything is as if it had never been.
    fn recovers(
        &self,
        attempt: &Attempt,
        workspace: &Workspace,
        truth: &reference::Shown,
        made: &BTreeSet<String>,
    ) -> Outcome {
        let found = workspace.run(&["fsck"]);
        let fine = |what: &str| found.stdout.lines().any(|line| line.starts_with(what) && line.ends_with(" 0 damaged"));
        if self.step != Step::Check && !(fine("contents:") && fine("trees:")) {
            return Err(format!("the store is not valid: {}{}", found.stdout, found.stderr));
        }
        let again = engine::run(workspace, attempt.folder(), None, &["build", "//..."]).run;
        let again = again.expect(0).map_err(|error| format!("after the fault: {error}"))?;
        let twice: Vec<String> = ran(&again).intersection(made).cloned().collect();
        if self.step != Step::Collect && self.step != Step::Check && !twice.is_empty() {
            return Err(format!("work was lost: {twice:?} ran again"));
        }
        reference::compare(&reference::shown(workspace), truth).map_err(|error| format!("after the fault: {error}"))?;
        workspace.run(&["build", "//..."]).expect(0).map_err(|error| format!("the program: {error}"))?;
        reference::compare(&reference::shown(workspace), truth).map_err(|error| format!("the program: {error}"))?;
        workspace.run(&["fsck"]).expect(0).map_err(|error| format!("fsck: {error}"))?;
        workspace.run(&["gc"]).expect(0).map_err(|error| format!("gc: {error}"))?;
        leftovers::none(workspace)
    }
}

/// The actions that ran: label and kind.
fn ran(run: &Run) -> BTreeSet<String> {
    let ended = run.events.iter().filter_map(|event| event.get("ActionFinished"));
    let ran = ended.filter(|event| event["outcome"] == "Ran");
    ran.map(|event| format!("{} {}", event["label"], event["mnemonic"])).collect()
}

fn controls(trials: &mut Trials, reference: &Reference) {
    trials.control(Control::Positive, "an unclear message is noticed", |attempt| {
        for text in ["error: something failed\n", "error: cannot write /x/y: No space left on device\n"] {
            if message::is_clear(text, attempt.folder()).is_ok() {
                return Err(format!("{text:?} passes"));
            }
        }
        Ok(())
    });
    trials.control(Control::Positive, "lost work is noticed", |attempt| {
        let (workspace, run) = built(reference, attempt)?;
        let forget = |folder: &str| std::fs::remove_dir_all(workspace.store().join("v1").join(folder));
        forget("results").and_then(|()| forget("requests")).map_err(|error| error.to_string())?;
        let expected = Expected { reference, step: Step::Cold, number: 1 };
        noticed("work was lost", expected.judge(attempt, &workspace, run, &|_| Ok(())))
    });
    trials.control(Control::Positive, "a damaged store is noticed", |attempt| {
        let (workspace, run) = built(reference, attempt)?;
        leftovers::tear_a_content(&workspace)?;
        let expected = Expected { reference, step: Step::Cold, number: 1 };
        noticed("not valid", expected.judge(attempt, &workspace, run, &|_| Ok(())))
    });
    trials.control(Control::Negative, "no fault", |attempt| {
        let (workspace, run) = built(reference, attempt)?;
        let expected = Expected { reference, step: Step::Cold, number: 1 };
        expected.judge(attempt, &workspace, run, &|_| Err("there was no fault".to_owned()))
    });
}

fn built(reference: &Reference, attempt: &Attempt) -> Result<(Workspace, Run), String> {
    let workspace = attempt.workspace("w");
    reference.write(&workspace, 1);
    let run = engine::run(&workspace, attempt.folder(), None, &["build", "//..."]).run.expect(0)?;
    Ok((workspace, run))
}

fn noticed(by: &str, outcome: Outcome) -> Outcome {
    match outcome {
        Ok(()) => Err("it was not noticed".to_owned()),
        Err(error) if error.contains(by) => Ok(()),
        Err(error) => Err(format!("something else was noticed: {error}")),
    }
}
