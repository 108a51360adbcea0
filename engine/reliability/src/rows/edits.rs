//! Row 1: after any sequence of edits, an incremental build gives what a build from nothing gives: the same outputs with
//! the same modes, byte for byte, or the same errors.
//!
//! A sequence goes on in one workspace with one store. After one to four edits it is built, and a second folder with the
//! same files and a store without results is built from nothing, by the same program: what that makes is the truth. In
//! the end the store is checked: no build has changed what it keeps.

mod edit;
mod model;
mod outcome;
mod texts;

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::attempt::{Attempt, Outcome};
use crate::files::{self, Files, Source};
use crate::fresh::{Fresh, Room};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};
use crate::workspace::Workspace;
use model::Model;
use outcome::{Built, Shown};

/// The row.
pub const ROW: Row = Row {
    number: 1,
    title: "random workspaces and edits against a clean build",
    tries: Tries { small: 200, full: 5_000 },
    run,
};

/// Edits in one workspace.
const SEQUENCE: u64 = 25;

/// Longer than file systems take to give a change another time.
const SETTLED: Duration = Duration::from_millis(2200);

/// What the builds of all sequences were, so that a row that compared nothing is noticed.
#[derive(Default)]
struct Counts {
    builds: usize,
    succeeded: usize,
    different: usize,
    outputs: usize,
    /// Builds beside a watcher, and those of them that took its word.
    watched: usize,
    believed: usize,
}

fn run(trials: &mut Trials) {
    let fresh = match Fresh::new(trials.program()) {
        Ok(fresh) => fresh,
        Err(error) => return trials.unavailable(format!("no shell for genrules: {error}")),
    };
    let counts = Mutex::new(Counts::default());
    trials.each_with_steps(SEQUENCE, |attempt| sequence(attempt, &fresh, &counts));
    let Counts { builds, succeeded, different, outputs, watched, believed } =
        counts.into_inner().expect("no panic in it");
    trials.note(format!(
        "{builds} builds compared with clean ones: {succeeded} succeeded with {outputs} outputs in all, {different} made \
         others than the build before"
    ));
    trials.note(format!("{believed} of {watched} builds beside a watcher took its word"));
    trials.control(Control::Positive, "builds succeed and edits are seen in outputs", |_| {
        // Else the row would compare errors with errors, or the same with the same.
        let enough = succeeded * 2 > builds && different * 4 > builds;
        if enough { Ok(()) } else { Err(format!("of {builds} builds {succeeded} succeeded, {different} differed")) }
    });
    for defect in DEFECTS {
        trials.control(Control::Positive, defect.0, |attempt| notices(attempt, &fresh, defect.1));
    }
}

/// A workspace that is edited and built again and again, beside clean ones.
struct Sequence<'a> {
    room: Room<'a>,
    kept: Workspace,
    placed: RefCell<Files>,
}

impl<'a> Sequence<'a> {
    fn new(fresh: &'a Fresh) -> Self {
        let room = fresh.room();
        Self { kept: room.workspace("kept"), room, placed: RefCell::default() }
    }

    fn place(&self, files: &Files) {
        let mut placed = self.placed.borrow_mut();
        files::place(self.kept.root(), &placed, files);
        placed.clone_from(files);
    }

    /// A watcher where builds look for one.
    fn watcher(&self) -> Result<watch::Watcher, String> {
        let root = std::fs::canonicalize(self.kept.root()).map_err(|error| error.to_string())?;
        let folder = self.kept.store().join("v1/watchers");
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let name = watch::socket_name(&root, &host::mounts::view(&root));
        let ignored = Arc::new(|path: &str| path == "build-out");
        watch::Watcher::start(&root, ignored, &folder.join(name)).map_err(|error| error.to_string())
    }

    /// Somebody takes shown outputs away, or puts something else in the place of one.
    fn disturb(&self, dice: &mut fastrand::Rng) -> Option<String> {
        let folder = self.kept.root().join("build-out");
        match dice.u8(..30) {
            0 => {
                let _ = host::fs::remove_tree(&folder);
                Some("removes build-out".to_owned())
            }
            1 | 2 => {
                let shown: Vec<String> =
                    outcome::shown(&folder).into_keys().filter(|path| !path.contains(".tree")).collect();
                let path = shown.get(dice.usize(..shown.len().max(1)))?;
                std::fs::remove_file(folder.join(path)).ok()?;
                if dice.bool() {
                    std::fs::write(folder.join(path), "not made by a build\n").ok()?;
                }
                Some(format!("removes or replaces build-out/{path}"))
            }
            _ => None,
        }
    }

    /// Builds what was placed.
    fn incremental(&self, model: &Model, goes_on: bool) -> Built {
        build(&self.kept, model, goes_on)
    }

    /// Builds these files in a folder and a store of their own.
    fn clean(&self, model: &Model, files: &Files) -> Built {
        let workspace = self.room.workspace("clean");
        files::place(workspace.root(), &Files::new(), files);
        let built = build(&workspace, model, true);
        let _ = host::fs::remove_tree(workspace.store());
        let _ = host::fs::remove_tree(workspace.root());
        built
    }
}

fn build(workspace: &Workspace, model: &Model, goes_on: bool) -> Built {
    let mut arguments = texts::arguments(model);
    arguments.extend(goes_on.then(|| "--keep_going".to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Built::of(workspace, &workspace.run(&arguments))
}

/// What changes in the course of a sequence.
struct Course {
    model: Model,
    /// The last state that could be built.
    good: Option<Model>,
    /// What was shown then.
    last: Shown,
    history: Vec<String>,
    edits: u64,
}

fn sequence(attempt: &mut Attempt, fresh: &Fresh, counts: &Mutex<Counts>) -> Outcome {
    let sequence = Sequence::new(fresh);
    let model = Model::new(&mut attempt.dice);
    let mut course = Course { model, good: None, last: Shown::new(), history: Vec::new(), edits: 0 };
    sequence.place(&texts::files(&course.model));
    let watcher = if attempt.index % 4 == 3 { Some(sequence.watcher()?) } else { None };
    loop {
        let built = compare(&sequence, &mut course, attempt, counts).map_err(|difference| {
            let recent: Vec<&String> = course.history.iter().rev().take(8).collect();
            format!("{difference}\nafter {} edits, the last first: {recent:#?}", course.edits)
        })?;
        if watcher.is_some() && built.succeeded() {
            let mut counts = counts.lock().expect("no panic in it");
            counts.watched += 1;
            // Without its word, each file is looked at, and there are more.
            counts.believed += usize::from(built.looks < 15);
        }
        if course.edits >= SEQUENCE {
            let found = sequence.kept.run(&["fsck"]).expect(0);
            return found.map(drop).map_err(|error| format!("after all edits, fsck: {error}"));
        }
        course.go_on(&mut attempt.dice, built.succeeded());
    }
}

/// Builds the files of the model, both ways.
fn compare(
    sequence: &Sequence<'_>,
    course: &mut Course,
    attempt: &mut Attempt,
    counts: &Mutex<Counts>,
) -> Result<Built, String> {
    let files = texts::files(&course.model);
    sequence.place(&files);
    course.history.extend(sequence.disturb(&mut attempt.dice));
    let before = outcome::shown(&sequence.kept.root().join("build-out"));
    if attempt.index % 4 == 1 && attempt.dice.u8(..4) == 0 {
        // From then on, times are old enough to be trusted.
        std::thread::sleep(SETTLED);
    }
    let goes_on = attempt.dice.bool();
    let built = sequence.incremental(&course.model, goes_on);
    let clean = sequence.clean(&course.model, &files);
    built.compare(&clean, &before, goes_on)?;
    count(counts, &clean, &course.last);
    if clean.succeeded() {
        (course.good, course.last) = (Some(course.model.clone()), clean.shown);
    }
    Ok(built)
}

impl Course {
    /// The next edits. What fails for long tells little: mostly, the last edits are taken back, which is an edit, too.
    fn go_on(&mut self, dice: &mut fastrand::Rng, succeeded: bool) {
        if !succeeded && dice.u8(..10) < 7 {
            self.model = self.good.clone().unwrap_or_else(|| Model::new(dice));
            self.history.push("takes back what failed".to_owned());
            self.edits += 1;
        }
        for _ in 0..dice.u64(1..5).min(SEQUENCE.saturating_sub(self.edits)) {
            self.history.push(edit::edit(&mut self.model, dice));
            self.edits += 1;
        }
    }
}

fn count(counts: &Mutex<Counts>, clean: &Built, last: &Shown) {
    let mut counts = counts.lock().expect("no panic in it");
    counts.builds += 1;
    counts.succeeded += usize::from(clean.succeeded());
    counts.different += usize::from(clean.succeeded() && clean.shown != *last);
    counts.outputs += if clean.succeeded() { clean.shown.len() } else { 0 };
}

/// A change to files that an engine must not overlook.
type Defect = (&'static str, fn(&mut Files));

/// What the comparison notices when the incremental build has not seen it.
const DEFECTS: [Defect; 6] = [
    ("a source that was not seen", |files| set(files, "p/a.txt", Source::text("other\n"))),
    ("a mode that was not seen", |files| set(files, "p/a.txt", Source::File("a\n".to_owned(), true))),
    ("a new file in a glob that was not seen", |files| set(files, "p/new.txt", Source::text("new\n"))),
    ("a removed file in a tree that was not seen", |files| drop(files.remove("p/b.txt"))),
    ("a link elsewhere that was not seen", |files| set(files, "p/l.txt", Source::Link("b.txt".to_owned()))),
    ("a library that was not seen", |files| set(files, "rules/base.star", Source::text("CONSTANT = 7\n"))),
];

fn set(files: &mut Files, path: &str, source: Source) {
    files.insert(path.to_owned(), source);
}

/// Whether a clean build of the changed files is told from an incremental one of the files before.
fn notices(attempt: &mut Attempt, fresh: &Fresh, defect: fn(&mut Files)) -> Outcome {
    let mut model = Model::new(&mut attempt.dice);
    model.packages.fill(None);
    let mut files = texts::files(&model);
    let text = "load(\"//rules:defs.star\", \"tree\")\ntree(name = \"t\", srcs = glob([\"*.txt\"]), text = \"t\")\n";
    set(&mut files, "p/BUILD.star", Source::text(text));
    set(&mut files, "p/a.txt", Source::text("a\n"));
    set(&mut files, "p/b.txt", Source::text("b\n"));
    set(&mut files, "p/l.txt", Source::Link("a.txt".to_owned()));
    let sequence = Sequence::new(fresh);
    sequence.place(&files);
    let built = sequence.incremental(&model, true);
    let same = sequence.clean(&model, &files);
    built.compare(&same, &Shown::new(), true)?;
    defect(&mut files);
    let other = sequence.clean(&model, &files);
    match built.succeeded() && other.succeeded() && built.compare(&other, &Shown::new(), true).is_err() {
        true => Ok(()),
        false => Err(format!("not noticed, or not built: {other:?}")),
    }
}
