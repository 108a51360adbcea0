//! Row 11: files that the engine keeps are changed behind its back: bits, length, zeros, exchanged files, lost files.
//!
//! After each damage a build goes one of three ways: nothing else has changed; the kept state is gone, so that all
//! results are looked up; commands have changed, so that actions read what is damaged. It must end well, with what a
//! clean build makes, and a second check of the store finds nothing.
//!
//! What the engine promises differs by what can be seen, and `Damage::is_hidden` says which is which. Damage to what has
//! a checksum (logs, tables) and any damage that changes the time, the mode or the length of a content is found by the build
//! itself. Where a build looks at nothing but the top of a shown tree, and where time and length stayed as they were, it
//! is `build fsck` that finds it, and the next build that repairs it.

use crate::attempt::{Attempt, Outcome};
use crate::engine;
use crate::reference::{self, Reference};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};
use crate::workspace::Workspace;

mod kept;
mod wound;

use kept::{Class, Kept};
use wound::{Kind, Wound};

/// The row.
pub const ROW: Row = Row {
    number: 11,
    title: "bit flips, truncation, swapped files in store, tables, state, locks, outputs",
    tries: Tries { small: 120, full: 2000 },
    run,
};

/// Wounds that one workspace has to go through, one after the other.
const BATCH: u64 = 10;

/// What the build after a damage looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing else has changed.
    Unchanged,
    /// The kept state of the request is gone.
    Forgotten,
    /// Commands have changed.
    Changed,
}

const WAYS: [Way; 3] = [Way::Unchanged, Way::Forgotten, Way::Changed];

fn run(trials: &mut Trials) {
    let reference = match Reference::new(trials) {
        Ok(reference) => reference,
        Err(error) => return trials.unavailable(format!("the reference workspace: {error}")),
    };
    let wanted = trials.settings().wanted;
    let batches: Vec<u64> = (0..wanted.div_ceil(BATCH)).map(|n| BATCH.min(wanted - n * BATCH)).collect();
    let before = trials.tries();
    trials.over(&batches, 1, |attempt, count| wounds(&reference, attempt, *count));
    if trials.settings().only.is_none() {
        trials.add_tries(wanted - (trials.tries() - before));
    }
    controls(trials, &reference);
}

/// A workspace that is wounded again and again.
fn wounds(reference: &Reference, attempt: &mut Attempt, count: u64) -> Outcome {
    let workspace = attempt.workspace("w");
    reference.write(&workspace, 1);
    for number in 0..count {
        build(&workspace, attempt).map_err(|error| format!("before wound {number}: {error}"))?;
        let way = WAYS[attempt.dice.usize(..WAYS.len())];
        let wound = Wound::choose(&Kept::of(&workspace), &mut attempt.dice)?;
        let said = |error: String| format!("wound {number}, {way:?}, {wound:?}: {error}");
        wound.inflict(&mut attempt.dice).map_err(said)?;
        go(reference, &workspace, way, number);
        heals(reference, attempt, &workspace, way, &wound).map_err(said)?;
    }
    Ok(())
}

/// Brings the workspace to where the build goes this way.
fn go(reference: &Reference, workspace: &Workspace, way: Way, number: u64) {
    match way {
        Way::Unchanged => {}
        Way::Forgotten => _ = std::fs::remove_dir_all(workspace.store().join("v1/requests")),
        Way::Changed => reference.change_commands(workspace, number + 1),
    }
}

fn build(workspace: &Workspace, attempt: &Attempt) -> Result<crate::workspace::Run, String> {
    engine::run(workspace, attempt.folder(), None, &["build", "//..."]).run.expect(0)
}

/// The build after the damage, and what follows.
fn heals(reference: &Reference, attempt: &Attempt, workspace: &Workspace, way: Way, wound: &Wound) -> Outcome {
    let truth = reference.truth(attempt, 1)?;
    if is_hidden(wound, way) {
        let found = workspace.run(&["fsck"]);
        if found.code != 1 {
            return Err(format!("fsck does not find it: exit code {}\n{}{}", found.code, found.stdout, found.stderr));
        }
    }
    build(workspace, attempt).map_err(|error| format!("the build: {error}"))?;
    let mut shown = reference::shown(workspace);
    let mut expected = truth.clone();
    if way == Way::Changed {
        // What this build did not make again is only looked at by a check of the store.
        for path in wound.shown_at() {
            shown.retain(|shown, _| !shown.starts_with(path));
            expected.retain(|shown, _| !shown.starts_with(path));
        }
    }
    reference::compare(&shown, &expected).map_err(|error| format!("the build used it: {error}"))?;
    workspace.run(&["fsck"]);
    build(workspace, attempt).map_err(|error| format!("the build after fsck: {error}"))?;
    reference::compare(&reference::shown(workspace), &truth).map_err(|error| format!("after fsck: {error}"))?;
    workspace.run(&["fsck"]).expect(0).map(drop).map_err(|error| format!("the second fsck: {error}"))
}

/// Whether only a check of the store can find the damage before this build uses it.
fn is_hidden(wound: &Wound, way: Way) -> bool {
    let in_place = matches!(wound.kind, Kind::Flip | Kind::Zero | Kind::Cut | Kind::Empty | Kind::Grow);
    match wound.class {
        // A shown tree is a link to the folder of the store.
        Class::Output if wound.is_in_shown_tree() && way == Way::Unchanged => true,
        // The same bytes by another name: a content may be shown as a part of a tree, which is not looked at whole.
        Class::Content if in_place && !wound.shown_at().is_empty() && way == Way::Unchanged => true,
        Class::Content | Class::Output => wound.is_silent(),
        Class::TreeFolder => wound.is_silent() || (way == Way::Unchanged && !wound.shown_at().is_empty()),
        _ => false,
    }
}

fn controls(trials: &mut Trials, reference: &Reference) {
    trials.control(Control::Positive, "a hidden change does harm when nobody checks", |attempt| {
        let workspace = attempt.workspace("w");
        reference.write(&workspace, 1);
        build(&workspace, attempt)?;
        let path = workspace.root().join("build-out/upper.txt");
        let wound =
            Wound { class: Class::Output, kind: Kind::Flip, silent: true, path, other: None, shown: Vec::new() };
        wound.inflict(&mut attempt.dice)?;
        reference.change_commands(&workspace, 1);
        build(&workspace, attempt)?;
        let truth = reference.truth(attempt, 1)?;
        match reference::compare(&reference::shown(&workspace), &truth) {
            Err(error) if error.contains("twice.txt") || error.contains("upper.txt") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    trials.control(Control::Positive, "damage that nothing finds is noticed", |attempt| {
        let workspace = attempt.workspace("w");
        reference.write(&workspace, 1);
        build(&workspace, attempt)?;
        let path = workspace.root().join("build-out/upper.txt");
        let wound =
            Wound { class: Class::Output, kind: Kind::Flip, silent: true, path, other: None, shown: Vec::new() };
        wound.inflict(&mut attempt.dice)?;
        // As if it could be seen.
        let visible = Wound { silent: false, ..wound };
        match heals(reference, attempt, &workspace, Way::Unchanged, &visible) {
            Err(error) if error.contains("the build used it") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    trials.control(Control::Negative, "no damage", |attempt| {
        let workspace = attempt.workspace("w");
        reference.write(&workspace, 1);
        build(&workspace, attempt)?;
        let truth = reference.truth(attempt, 1)?;
        for way in WAYS {
            go(reference, &workspace, way, 1);
            build(&workspace, attempt)?;
            reference::compare(&reference::shown(&workspace), &truth)?;
            workspace.run(&["fsck"]).expect(0)?;
        }
        Ok(())
    });
}
