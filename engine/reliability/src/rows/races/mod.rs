//! Row 7: a source that is edited while an action reads it leaves no result that belongs to another content.
//!
//! Each action reads the head of its source, sleeps, and reads the rest; what it writes is its source and a last line. So
//! what belongs to a content is known without the engine, and an action that saw an edit would show it. Whatever contents
//! the sources had is put back afterwards, one version after the other: what the store has for it must be right.

mod edit;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::attempt::{Attempt, Outcome};
use crate::leftovers;
use crate::row::{Row, Tries};
use crate::running::{LOOK, Running};
use crate::template::Template;
use crate::trials::{Control, Trials};
use crate::workspace::Workspace;

use edit::{Edit, Source, State};

/// The row.
pub const ROW: Row =
    Row { number: 7, title: "source edited while its action runs", tries: Tries { small: 64, full: 504 }, run };

/// Sources of a workspace; an edit of each is a try.
const SOURCES: usize = 8;
/// How often edits of a workspace may come too late to count.
const ROUNDS: usize = 8;
/// How long an action sleeps between reading the head and the rest, in milliseconds.
const SLEEP: u64 = 60;

fn run(trials: &mut Trials) {
    let template = match Template::new(trials.program()) {
        Ok(template) => template,
        Err(message) => return trials.unavailable(message),
    };
    let batches = trials.settings().wanted.div_ceil(SOURCES as u64);
    let list = vec![(); usize::try_from(batches).expect("a number of workspaces")];
    let made = trials.tries();
    trials.over(&list, 1, |attempt, ()| edited(attempt, &template));
    let batches = trials.tries() - made;
    trials.add_tries(batches * (SOURCES as u64 - 1));
    trials.note(format!("{batches} workspaces with {SOURCES} sources, each edited while its action ran"));
    trials.control(Control::Positive, "the snapshot of a source is edited while its action runs", |attempt| {
        snapshot_edited(attempt, &template)
    });
    trials
        .control(Control::Positive, "a kept output is replaced by another one", |attempt| replaced(attempt, &template));
    trials.control(Control::Negative, "nothing is edited", |attempt| unedited(attempt, &template));
}

/// A workspace whose action `a<n>` reads the source `s<n>`.
fn sources(attempt: &mut Attempt, template: &Template) -> Result<(Workspace, Vec<Source>), String> {
    let workspace = attempt.workspace("w");
    template.copy_to(&workspace)?;
    let rule = |n: usize| {
        let (head, seconds) = (edit::HEAD, SLEEP as f64 / 1000.0);
        let command =
            format!("head -c {head} $< > $@; sleep {seconds}; tail -c +{} $< >> $@; echo made >> $@", head + 1);
        format!("genrule(name = \"a{n}\", srcs = [\"s{n}\"], outs = [\"a{n}.txt\"], cmd = \"{command}\")\n")
    };
    workspace.write("BUILD.star", (0..SOURCES).map(rule).collect::<String>());
    let path = |n: usize| workspace.root().join(format!("s{n}"));
    let sources = (0..SOURCES).map(|n| Source::new(path(n), n, attempt.dice.u8(0..8) == 0)).collect();
    Ok((workspace, sources))
}

fn edited(attempt: &mut Attempt, template: &Template) -> Outcome {
    let (workspace, mut sources) = sources(attempt, template)?;
    if attempt.dice.bool() {
        built(&workspace, &sources)?;
    }
    let mut hit = BTreeSet::new();
    for _ in 0..ROUNDS {
        sources.iter_mut().for_each(Source::renew);
        hit.extend(build_while_editing(attempt, &workspace, &mut sources)?);
        followed(&workspace, &mut sources)?;
        if hit.len() == SOURCES {
            return versions_are_right(&workspace, &mut sources);
        }
    }
    Err(format!("only {} of {SOURCES} sources could be edited while their actions ran", hit.len()))
}

/// Builds, and edits each source while its action runs, some of them also at any other moment. Returns those sources of
/// which an edit lies between the start of the action and its end.
fn build_while_editing(
    attempt: &mut Attempt,
    workspace: &Workspace,
    sources: &mut [Source],
) -> Result<BTreeSet<usize>, String> {
    let mut running = Running::start(workspace, &["build", "-k", "--jobs=4", "//..."]);
    let dice = &mut attempt.dice;
    // Moments after the start of the program, and after that of the action.
    let mut early: Vec<Option<u64>> = sources.iter().map(|_| (dice.u8(0..4) == 0).then(|| dice.u64(0..120))).collect();
    let late: Vec<u64> = sources.iter().map(|_| dice.u64(0..SLEEP)).collect();
    let (mut started, mut hit) = (BTreeMap::new(), BTreeSet::new());
    let began = std::time::Instant::now();
    while !running.has_ended() {
        let events = running.events();
        for (n, source) in sources.iter_mut().enumerate() {
            if early[n].is_some_and(|moment| began.elapsed() > Duration::from_millis(moment)) {
                early[n] = None;
                source.edit(Edit::any(dice), dice);
            }
            if !started.contains_key(&n) && is_started(&events, n) {
                started.insert(n, std::time::Instant::now());
            }
            let due = |at: &std::time::Instant| at.elapsed() > Duration::from_millis(late[n]);
            if !hit.contains(&n) && started.get(&n).is_some_and(due) {
                source.edit(Edit::any(dice), dice);
                // Its end comes after the edit if it is not told yet.
                if !is_finished(&running.events(), n) {
                    hit.insert(n);
                }
                started.insert(n, began + Duration::from_secs(3600));
            }
        }
        std::thread::sleep(LOOK);
    }
    let run = running.end()?;
    match run.code {
        0 | 1 => Ok(hit),
        _ => run.expect(0).map(|_| hit),
    }
}

fn is_started(events: &[Value], n: usize) -> bool {
    let wanted = format!("Generating //:a{n}");
    events.iter().any(|event| event["ActionStarted"]["description"] == wanted.as_str())
}

fn is_finished(events: &[Value], n: usize) -> bool {
    let wanted = format!("//:a{n}");
    events.iter().any(|event| event["ActionFinished"]["label"] == wanted.as_str())
}

/// The next build sees every edit: it fails over what is no file any more, and else makes what belongs to what is there.
fn followed(workspace: &Workspace, sources: &mut [Source]) -> Outcome {
    if sources.iter().any(|source| source.state() == State::NoFile) {
        workspace.run(&["build", "-k", "//..."]).expect(1).map_err(|error| format!("a source is gone: {error}"))?;
        sources.iter_mut().for_each(Source::restore);
    }
    built(workspace, sources)
}

/// Puts every version of every source back, and looks at what is built for it.
fn versions_are_right(workspace: &Workspace, sources: &mut [Source]) -> Outcome {
    let most = sources.iter().map(Source::versions).max().unwrap_or(0);
    for version in 0..most {
        sources.iter_mut().for_each(|source| source.put_back(version));
        built(workspace, sources)?;
    }
    Ok(())
}

/// Builds, and compares each output with its source.
fn built(workspace: &Workspace, sources: &[Source]) -> Outcome {
    workspace.run(&["build", "//..."]).expect(0)?;
    for (n, source) in sources.iter().enumerate() {
        let is = std::fs::read(workspace.root().join(format!("build-out/a{n}.txt")));
        let is = is.map_err(|error| format!("a{n}.txt: {error}"))?;
        let expected = [source.content(), b"made\n".to_vec()].concat();
        if is != expected {
            let (is, expected) = (edit::shown(&is), edit::shown(&expected));
            return Err(format!("a{n}.txt is {is} instead of {expected}; edits of s{n}: {}", source.history()));
        }
    }
    Ok(())
}

/// Without a snapshot an action would see edits; this is what came of it.
fn snapshot_edited(attempt: &mut Attempt, template: &Template) -> Outcome {
    let (workspace, mut sources) = sources(attempt, template)?;
    let (old, new) = (sources[0].content(), sources[0].another());
    let mut running = Running::start(&workspace, &["build", "--jobs=4", "//..."]);
    running.wait_for("the first action", |events| is_started(events, 0))?;
    leftovers::replace_content(&workspace, &old, &new)?;
    running.end()?;
    sources[0].put_back(0);
    noticed(built(&workspace, &sources))
}

fn replaced(attempt: &mut Attempt, template: &Template) -> Outcome {
    let (workspace, sources) = sources(attempt, template)?;
    built(&workspace, &sources)?;
    let made = |content: &[u8]| [content, b"made\n"].concat();
    leftovers::replace_content(&workspace, &made(&sources[0].content()), &made(&sources[0].another()))?;
    noticed(built(&workspace, &sources))
}

fn noticed(compared: Outcome) -> Outcome {
    match compared {
        Err(message) if message.starts_with("a0.txt is") => Ok(()),
        other => Err(format!("the wrong output was not noticed: {other:?}")),
    }
}

fn unedited(attempt: &mut Attempt, template: &Template) -> Outcome {
    let (workspace, sources) = sources(attempt, template)?;
    built(&workspace, &sources)?;
    let again = workspace.run(&["build", "//..."]).expect(0)?;
    if again.actions("Ran") > 0 {
        return Err(format!("{} actions ran again", again.actions("Ran")));
    }
    built(&workspace, &sources)
}
