//! Row 2: which actions run is what a simple model says: exactly those that the store has no result for. None is missing,
//! none superfluous; after going back to an earlier state, and when nothing changed, none at all.
//!
//! The model computes contents from the texts and remembers every action that ever ran with what it read. So it knows of
//! early cut-off: an action whose inputs come out equal does not run, however they were made.

mod model;
mod operation;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::attempt::{Attempt, Outcome};
use crate::files::{self, Files};
use crate::fresh::{Fresh, Room};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};
use crate::workspace::Workspace;
use model::Model;
use operation::Action;

/// The row.
pub const ROW: Row = Row {
    number: 2,
    title: "executed actions against a model; cut-off, revert, no-op",
    tries: Tries { small: 300, full: 5_000 },
    run,
};

/// Builds in one workspace.
const SEQUENCE: u64 = 25;

/// What the builds of all sequences were.
#[derive(Default)]
struct Counts {
    ran: AtomicUsize,
    failed: AtomicUsize,
    cut_off: AtomicUsize,
    reverts: AtomicUsize,
    no_ops: AtomicUsize,
}

/// How the model tells whether an action has run before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// By what is done and the contents it reads.
    Right,
    /// Wrong: by how its inputs were made, so that equal ones do not cut off.
    WithoutCutOff,
    /// Wrong: only what the last build needed is remembered.
    Forgetful,
    /// Wrong: modes of inputs are overlooked.
    WithoutModes,
    /// Right, but the program under test is not shown one of the edits.
    UnseenEdit,
}

fn run(trials: &mut Trials) {
    let fresh = match Fresh::new(trials.program()) {
        Ok(fresh) => fresh,
        Err(error) => return trials.unavailable(format!("no shell for genrules: {error}")),
    };
    let counts = Counts::default();
    trials.each_with_steps(SEQUENCE, |attempt| sequence(attempt, &fresh, Rule::Right, &counts));
    let [ran, failed, cut_off, reverts, no_ops] =
        [&counts.ran, &counts.failed, &counts.cut_off, &counts.reverts, &counts.no_ops]
            .map(|count| count.load(Ordering::Relaxed));
    trials.note(format!(
        "{ran} actions ran and {failed} failed as foretold; {cut_off} did not since the changed actions before them made the same; {reverts} \
         states were gone back to, {no_ops} builds followed no edit"
    ));
    trials.control(Control::Positive, "all kinds of builds occurred", |_| {
        let all = ran > 0 && failed > 0 && cut_off > 0 && reverts > 0 && no_ops > 0;
        if all {
            Ok(())
        } else {
            Err(format!("{ran} ran, {failed} failed, {cut_off} cut off, {reverts} reverts, {no_ops} no-ops"))
        }
    });
    for (name, rule) in [
        ("a model without early cut-off is refuted", Rule::WithoutCutOff),
        ("a model that forgets older results is refuted", Rule::Forgetful),
        ("a model that overlooks modes is refuted", Rule::WithoutModes),
        ("an edit that was not seen is noticed", Rule::UnseenEdit),
    ] {
        trials.control(Control::Positive, name, |attempt| refuted(attempt, &fresh, rule));
    }
}

fn refuted(attempt: &mut Attempt, fresh: &Fresh, rule: Rule) -> Outcome {
    for _ in 0..8 {
        match sequence(attempt, fresh, rule, &Counts::default()) {
            Ok(()) => {}
            // Not for another reason, such as an error of the program.
            Err(error) if error.starts_with(OTHERS_RAN) => return Ok(()),
            // What was not seen may have been a way back to what had run before: then nothing else runs, and the outputs
            // are not what they should be. Or a target is asked for that the program does not know.
            Err(error) if rule == Rule::UnseenEdit && build_of(&error) >= Some(SEQUENCE / 2) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Err("eight sequences were as it foretold".to_owned())
}

/// The build that a message is about.
fn build_of(message: &str) -> Option<u64> {
    message.rsplit_once(BUILD)?.1.split(',').next()?.parse().ok()
}

/// What comes before the number of a build in a message about it.
const BUILD: &str = "\nbuild ";

/// How the message about a difference begins.
const OTHERS_RAN: &str = "these actions ran";

/// All results that the store should have.
struct Memory {
    rule: Rule,
    known: HashSet<String>,
}

/// Labels and mnemonics of actions, sorted.
type Named = Vec<(String, String)>;

/// What the model says of one build.
struct Foretold {
    /// The actions that run, and make what they should.
    runs: Named,
    /// Those that fail; those that would read what they make are skipped.
    fails: Named,
    /// How many do not run though an action before them did.
    cut_off: usize,
    /// The keys of all needed actions that have results then.
    keys: HashSet<String>,
}

impl Memory {
    fn foretell(&self, actions: &[Action]) -> Foretold {
        // By path of an output: how it was made, and whether that ran now; none if it is not made.
        let mut made: BTreeMap<&str, Option<(String, bool)>> = BTreeMap::new();
        let mut foretold = Foretold { runs: Vec::new(), fails: Vec::new(), cut_off: 0, keys: HashSet::new() };
        for action in actions {
            let before: Vec<_> = action.inputs.iter().filter_map(|(path, ..)| made.get(path.as_str())).collect();
            let (name, key) = ((action.label.clone(), action.mnemonic.to_owned()), self.key(action, &made));
            let state = match () {
                () if before.contains(&&None) => None,
                () if action.fails => {
                    foretold.fails.push(name);
                    None
                }
                () if self.known.contains(&key) => {
                    foretold.cut_off += usize::from(before.into_iter().flatten().any(|(_, ran)| *ran));
                    Some((key, false))
                }
                () => {
                    foretold.runs.push(name);
                    Some((key, true))
                }
            };
            foretold.keys.extend(state.iter().map(|(key, _)| key.clone()));
            action.outputs.iter().for_each(|(path, ..)| drop(made.insert(path, state.clone())));
        }
        foretold.runs.sort();
        foretold.fails.sort();
        foretold
    }

    fn key(&self, action: &Action, made: &BTreeMap<&str, Option<(String, bool)>>) -> String {
        let mut inputs: Vec<(&str, bool, &str)> = Vec::new();
        for (path, executable, content) in &action.inputs {
            let executable = *executable && self.rule != Rule::WithoutModes;
            let history = made.get(path.as_str()).and_then(Option::as_ref).filter(|_| self.rule == Rule::WithoutCutOff);
            inputs.push((path, executable, history.map_or(content, |(key, _)| key)));
        }
        inputs.sort_unstable();
        let outputs: Vec<&str> = action.outputs.iter().map(|(path, ..)| path.as_str()).collect();
        ::model::Digest::of(format!("{} {inputs:?} {outputs:?}", action.definition).as_bytes()).to_hex()
    }

    fn remember(&mut self, keys: HashSet<String>) {
        if self.rule == Rule::Forgetful {
            self.known.clear();
        }
        self.known.extend(keys);
    }
}

/// What comes before a build.
enum Before {
    Edits,
    Nothing,
    Revert,
    /// The same state, seen from a folder of another name.
    Elsewhere,
}

fn sequence(attempt: &mut Attempt, fresh: &Fresh, rule: Rule, counts: &Counts) -> Outcome {
    let dice = &mut attempt.dice;
    let room = fresh.room();
    let workspace = room.workspace("w");
    let mut memory = Memory { rule, known: HashSet::new() };
    let mut model = Model::new(dice);
    let (mut placed, mut states, mut history) = (Files::new(), Vec::new(), Vec::new());
    for step in 0..SEQUENCE {
        let before = match dice.u8(..10) {
            0 if step > 0 => Before::Nothing,
            1 if step > 0 => Before::Revert,
            2 if step > 0 => Before::Elsewhere,
            _ => Before::Edits,
        };
        history.push(prepare(&before, &mut model, &states, dice));
        let files = model.files();
        if !(rule == Rule::UnseenEdit && step == SEQUENCE / 2) {
            files::place(workspace.root(), &placed, &files);
            placed = files.clone();
        }
        let actions = model.actions();
        let foretold = memory.foretell(&actions);
        let ran = match before {
            Before::Elsewhere => elsewhere(&room, &workspace, &files, &model, &actions),
            _ => build(&workspace, &model, &actions),
        };
        let explain = |error: String| format!("{error}{BUILD}{step}, after, the last last: {history:#?}");
        let Built { ran, failed, wrong } = ran.map_err(explain)?;
        if (&ran, &failed) != (&foretold.runs, &foretold.fails) {
            let Foretold { runs, fails, .. } = foretold;
            let message = format!("{OTHERS_RAN}: {ran:?}, failed: {failed:?}\ninstead of: {runs:?}, failed: {fails:?}");
            return Err(explain(message));
        }
        if !matches!(before, Before::Edits) && !ran.is_empty() && rule == Rule::Right {
            return Err(explain(format!("nothing is new, but these actions ran: {ran:?}")));
        }
        wrong.map_or(Ok(()), |wrong| Err(explain(wrong)))?;
        counts.add(&before, &foretold);
        memory.remember(foretold.keys);
        states.push(model.clone());
    }
    Ok(())
}

/// Brings the model to its next state; says how.
fn prepare(before: &Before, model: &mut Model, states: &[Model], dice: &mut fastrand::Rng) -> String {
    match before {
        Before::Nothing => "nothing".to_owned(),
        Before::Elsewhere => "another folder".to_owned(),
        Before::Revert => {
            let state = dice.usize(..states.len());
            *model = states[state].clone();
            format!("back to build {state}")
        }
        Before::Edits => (0..dice.usize(1..3)).map(|_| model.edit(dice) + "; ").collect(),
    }
}

/// What a build did.
struct Built {
    ran: Named,
    failed: Named,
    /// The first output that does not hold what the model says.
    wrong: Option<String>,
}

fn build(workspace: &Workspace, model: &Model, actions: &[Action]) -> Result<Built, String> {
    let arguments = model.arguments();
    let run = workspace.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let named = |outcome: &str| {
        let ended = run.events.iter().filter_map(|event| event.get("ActionFinished"));
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let ended = ended.filter(|event| event["outcome"] == outcome);
        let mut named: Named = ended.map(|event| (text(&event["label"]), text(&event["mnemonic"]))).collect();
        named.sort();
        named
    };
    let (ran, failed) = (named("Ran"), named("Failed"));
    run.expect(i32::from(!failed.is_empty()))?;
    // Only outputs of requested targets are shown, if all of them were made; the last action's always are.
    let requested = |action: &&Action| arguments.last().is_some_and(|only| *only == "//..." || *only == action.label);
    for (path, _, content) in actions.iter().filter(requested).flat_map(|action| &action.outputs) {
        let shown = operation::shown_at(path);
        let found = if failed.is_empty() { workspace.read(&format!("build-out/{shown}"))? } else { content.clone() };
        if found != *content {
            let wrong = Some(format!("{shown} holds {found:?} instead of {content:?}"));
            return Ok(Built { ran, failed, wrong });
        }
    }
    Ok(Built { ran, failed, wrong: None })
}

/// The same in another folder with the same store.
fn elsewhere(
    room: &Room<'_>,
    workspace: &Workspace,
    files: &Files,
    model: &Model,
    actions: &[Action],
) -> Result<Built, String> {
    let other = room.beside("elsewhere/deeper", workspace);
    files::place(other.root(), &Files::new(), files);
    let ran = build(&other, model, actions);
    let _ = std::fs::remove_dir_all(other.root());
    ran
}

impl Counts {
    fn add(&self, before: &Before, foretold: &Foretold) {
        self.ran.fetch_add(foretold.runs.len(), Ordering::Relaxed);
        self.failed.fetch_add(foretold.fails.len(), Ordering::Relaxed);
        self.cut_off.fetch_add(foretold.cut_off, Ordering::Relaxed);
        let count = match before {
            Before::Revert => &self.reverts,
            Before::Nothing => &self.no_ops,
            Before::Edits | Before::Elsewhere => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
