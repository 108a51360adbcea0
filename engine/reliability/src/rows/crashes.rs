//! Row 9: the process ends at a call that persists something: before it, in its midst, or after it.
//!
//! The calls of each step of a scenario are counted once; then the step is run again for each call and each moment, in a
//! process that ends there. What is looked at afterwards is what the next commands find: `check`.

use std::time::Duration;

use crate::attempt::{Attempt, Outcome};
use crate::engine;
use crate::faulty::{Fault, Moment};
use crate::leftovers;
use crate::reference::{self, Reference};
use crate::row::{Row, Tries};
use crate::scenario::Step;
use crate::trials::{Control, Trials};
use crate::workspace::Workspace;

/// The row. All calls are fewer than its full number; as many as there are.
pub const ROW: Row = Row {
    number: 9,
    title: "crash and torn write at every call that persists something",
    tries: Tries { small: 60, full: 20_000 },
    run,
};

/// Faults that one workspace has to go through, one after the other.
const BATCH: usize = 10;
/// A command that takes so long waits for a lock that nobody holds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fault in a step.
#[derive(Debug, Clone, Copy)]
struct Crash {
    step: Step,
    call: u64,
    moment: Moment,
}

fn run(trials: &mut Trials) {
    let reference = match Reference::new(trials) {
        Ok(reference) => reference,
        Err(error) => return trials.unavailable(format!("the reference workspace: {error}")),
    };
    let attempt = Attempt::new(trials.settings().seed, ROW.number, u64::MAX, trials.program().clone());
    let crashes = match crashes(trials, &reference, &attempt) {
        Ok(crashes) => crashes,
        Err(error) => return trials.unavailable(format!("the calls cannot be counted: {error}")),
    };
    let batches: Vec<&[Crash]> =
        crashes.chunk_by(|a, b| a.step == b.step).flat_map(|same| same.chunks(BATCH)).collect();
    let before = trials.tries();
    trials.over(&batches, 1, |attempt, batch| survive(&reference, attempt, batch));
    if trials.settings().only.is_none() {
        trials.add_tries(crashes.len() as u64 - (trials.tries() - before));
    }
    controls(trials, &reference);
}

/// All crashes, or as many of them as are asked for.
fn crashes(trials: &mut Trials, reference: &Reference, attempt: &Attempt) -> Result<Vec<Crash>, String> {
    let mut all = Vec::new();
    let mut dice = fastrand::Rng::with_seed(trials.settings().seed);
    for step in Step::ALL {
        let workspace = reference.workspace(attempt, &format!("{step:?}"));
        step.prepare(reference, &workspace)?;
        let counted = engine::run(&workspace, attempt.folder(), Some(Fault::Count), step.command());
        counted.run.expect(step.code())?;
        let calls = counted.calls.iter().filter(|call| !call.starts_with("Read ")).count() as u64;
        trials.note(format!("{step:?}: {calls} calls ({})", by_operation(&counted.calls)));
        for call in 0..calls {
            for moment in [Moment::Before, Moment::Torn(dice.u64(1..1000)), Moment::After] {
                all.push(Crash { step, call, moment });
            }
        }
    }
    let wanted = usize::try_from(trials.settings().wanted).unwrap_or(usize::MAX);
    if wanted < all.len() {
        dice.shuffle(&mut all);
        all.truncate(wanted);
        all.sort_by_key(|crash| (crash.step, crash.call));
    }
    Ok(all)
}

fn by_operation(calls: &[String]) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    let persisting = calls.iter().filter_map(|call| call.split(' ').next()).filter(|operation| *operation != "Read");
    persisting.for_each(|operation| *counts.entry(operation).or_default() += 1);
    counts.iter().map(|(operation, count)| format!("{operation} {count}")).collect::<Vec<_>>().join(", ")
}

/// Crashes in one step, one after the other, each followed by a look at everything.
fn survive(reference: &Reference, attempt: &mut Attempt, batch: &[Crash]) -> Outcome {
    let mut workspace: Option<Workspace> = None;
    for (number, crash) in batch.iter().enumerate() {
        let place = match workspace.take() {
            Some(workspace) if !crash.step.needs_fresh() => workspace,
            _ => reference.workspace(attempt, &format!("w{number}")),
        };
        crash.step.prepare(reference, &place)?;
        let fault = Fault::Death(crash.call, crash.moment);
        let crashed = engine::run(&place, attempt.folder(), Some(fault), crash.step.command());
        let hit = crashed.calls.first().cloned();
        let said = |message: String| format!("{crash:?} at `{}`: {message}", hit.as_deref().unwrap_or("no call"));
        match (crashed.run.code, &hit) {
            (137, Some(_)) => {}
            // Threads raced, and there were fewer calls this time: the last ones cannot be hit for certain.
            (code, None) if code == crash.step.code() => {}
            (code, _) => {
                return Err(said(format!("the fault was not put in: exit code {code}\n{}", crashed.run.stderr)));
            }
        }
        let closer = attempt.dice.u8(..3) == 0;
        if crash.step == Step::Check {
            // What the crashed check has not come to, the next one removes.
            quick(place.run(&["fsck"])).map_err(said)?;
        }
        check(reference, attempt, &place, crash.step.number(), closer).map_err(said)?;
        workspace = Some(place);
    }
    Ok(())
}

/// What must hold after a crash: nothing that is damaged would be used; the next run of the very same program, with the
/// state that the crashed one left, makes what a clean build makes; so does the real program; nothing waits; a check of
/// the store finds nothing; nothing that nobody needs stays.
fn check(reference: &Reference, attempt: &Attempt, workspace: &Workspace, number: u64, closer: bool) -> Outcome {
    let truth = reference.truth(attempt, number)?;
    if closer {
        let found = quick(workspace.run(&["fsck"]))?;
        let fine = |what: &str| found.stdout.lines().any(|line| line.starts_with(what) && line.ends_with(" 0 damaged"));
        if !fine("contents:") || !fine("trees:") {
            return Err(format!("directly after the crash: {}", found.stdout));
        }
    }
    let again = engine::run(workspace, attempt.folder(), None, &["build", "//..."]);
    quick(again.run)?.expect(0).map_err(|error| format!("the next run: {error}"))?;
    reference::compare(&reference::shown(workspace), &truth).map_err(|error| format!("the next run: {error}"))?;
    quick(workspace.run(&["build", "//..."]))?.expect(0).map_err(|error| format!("the program: {error}"))?;
    reference::compare(&reference::shown(workspace), &truth).map_err(|error| format!("the program: {error}"))?;
    quick(workspace.run(&["fsck"]))?.expect(0).map_err(|error| format!("fsck: {error}"))?;
    quick(workspace.run(&["gc"]))?.expect(0).map_err(|error| format!("gc: {error}"))?;
    leftovers::none(workspace)
}

fn quick(run: crate::workspace::Run) -> Result<crate::workspace::Run, String> {
    if run.time < PATIENCE { Ok(run) } else { Err(format!("a command took {:?}: it waits for a lock", run.time)) }
}

fn controls(trials: &mut Trials, reference: &Reference) {
    trials.control(Control::Positive, "a store that writes in place is noticed", |attempt| {
        let workspace = built(reference, attempt)?;
        leftovers::tear_a_content(&workspace)?;
        noticed(check(reference, attempt, &workspace, 1, true))
    });
    trials.control(Control::Positive, "an output that is not what it should be is noticed", |attempt| {
        let workspace = built(reference, attempt)?;
        let output = workspace.root().join("build-out/written-by-nobody");
        std::fs::write(output, "x").map_err(|error| error.to_string())?;
        noticed(check(reference, attempt, &workspace, 1, false))
    });
    trials.control(Control::Positive, "a temporary file that stays is noticed", |attempt| {
        let workspace = built(reference, attempt)?;
        std::fs::write(workspace.store().join("v1/tmp-x"), "x").map_err(|error| error.to_string())?;
        noticed(check(reference, attempt, &workspace, 1, false))
    });
    trials.control(Control::Negative, "no crash", |attempt| {
        let workspace = built(reference, attempt)?;
        check(reference, attempt, &workspace, 1, true)
    });
}

fn built(reference: &Reference, attempt: &Attempt) -> Result<Workspace, String> {
    let workspace = attempt.workspace("w");
    reference.write(&workspace, 1);
    workspace.run(&["build", "//..."]).expect(0)?;
    Ok(workspace)
}

fn noticed(outcome: Outcome) -> Outcome {
    match outcome {
        Ok(()) => Err("it was not noticed".to_owned()),
        Err(_) => Ok(()),
    }
}
