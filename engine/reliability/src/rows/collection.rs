//! Row 13: builds go through while garbage is collected in a loop and files of the store are lost at random.
//!
//! The store is too small for the results of a few edits, so that collections always have something to remove, and a
//! saboteur removes files of contents and trees, the shell's too, which is fetched again then. Sources and outputs are
//! known without the engine. After all that a collection, alone, must bring the store below the size that was asked for.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;

use crate::attempt::{Attempt, Outcome};
use crate::leftovers;
use crate::packages::{Mirror, Package};
use crate::row::{Row, Tries};
use crate::template::Template;
use crate::trials::{Control, Trials};
use crate::workspace::{Run, Workspace};

/// The row.
pub const ROW: Row = Row {
    number: 13,
    title: "gc in a loop, blobs lost at random, while building",
    tries: Tries { small: 24, full: 300 },
    run,
};

/// Builds of a try, each after an edit.
const BUILDS: u64 = 4;
const SOURCES: usize = 4;
/// Actions that read a source.
const WIDTH: usize = 8;
/// The size of a source, and so about that of an output.
const SIZE: usize = 40_000;
/// What the store may hold: less than the shell and the outputs of two versions.
const ROOM: u64 = 2_600_000;

/// What all tries share, and what happened to them.
struct Shared {
    mirror: Mirror,
    template: Template,
    lost: AtomicUsize,
    collections: AtomicUsize,
    collected: AtomicUsize,
}

fn run(trials: &mut Trials) {
    let shared = match Shared::new(trials) {
        Ok(shared) => shared,
        Err(message) => return trials.unavailable(message),
    };
    let count = usize::try_from(trials.settings().wanted.div_ceil(BUILDS)).expect("a number of tries");
    let made = trials.tries();
    trials.over(&vec![(); count], 1, |attempt, ()| builds(attempt, &shared));
    let made = trials.tries() - made;
    trials.add_tries(made * (BUILDS - 1));
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let (lost, collections, collected) = (count(&shared.lost), count(&shared.collections), count(&shared.collected));
    trials.note(format!("{lost} files lost; {collections} collections, {collected} of which removed something"));
    trials.control(Control::Positive, "what is lost cannot be made again", |attempt| unrepairable(attempt, &shared));
    trials.control(Control::Positive, "a content is replaced by another one", |attempt| replaced(attempt, &shared));
    trials.control(Control::Positive, "a collection that keeps everything", |attempt| kept(attempt, &shared));
    trials.control(Control::Negative, "nothing is lost or collected", |attempt| {
        let (workspace, mut sources) = prepared(attempt, &shared)?;
        (0..BUILDS).try_for_each(|_| {
            sources.edit(&workspace, &mut attempt.dice);
            sources.built(&workspace)
        })
    });
}

impl Shared {
    fn new(trials: &Trials) -> Result<Self, String> {
        let mirror = Mirror::start(vec![Package::shell()?], Duration::ZERO);
        let template = Template::filled(trials.program(), |workspace| {
            let workspace = Workspace::new(workspace.root().into(), workspace.store().into(), trials.program().clone());
            let workspace = mirror.give_shell(workspace);
            Sources::new().built(&workspace)
        })?;
        let (lost, collections, collected) = Default::default();
        Ok(Self { mirror, template, lost, collections, collected })
    }
}

fn prepared(attempt: &Attempt, shared: &Shared) -> Result<(Workspace, Sources), String> {
    let workspace = shared.mirror.give_shell(attempt.workspace("w"));
    shared.template.copy_to(&workspace)?;
    let sources = Sources::new();
    sources.built(&workspace)?;
    Ok((workspace, sources))
}

fn builds(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let (workspace, mut sources) = prepared(attempt, shared)?;
    let (ended, lost, collected) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let mut dice = attempt.dice.fork();
    std::thread::scope(|scope| {
        let collections = scope.spawn(|| collect(&workspace, &ended, shared, &collected));
        let losses = scope.spawn(|| lose(&workspace, &ended, &mut dice, &lost));
        let built = (0..BUILDS).try_for_each(|_| {
            sources.edit(&workspace, &mut attempt.dice);
            // As often as not there is time for losses between the edit and the build.
            std::thread::sleep(Duration::from_millis(attempt.dice.u64(0..30)));
            sources.built(&workspace)
        });
        ended.store(true, Ordering::SeqCst);
        losses.join().map_err(|_| "the saboteur panicked".to_owned())?;
        collections.join().map_err(|_| "the collector panicked".to_owned())??;
        built
    })?;
    shared.lost.fetch_add(lost.load(Ordering::SeqCst), Ordering::Relaxed);
    shared.collected.fetch_add(collected.load(Ordering::SeqCst), Ordering::Relaxed);
    if lost.load(Ordering::SeqCst) == 0 {
        return Err("nothing was lost, so that this says nothing".to_owned());
    }
    fits(&workspace, &workspace.run(&["gc", "--max_size", &ROOM.to_string()]).expect(0)?)?;
    // It makes again what is needed and was lost last; then the store is whole.
    sources.built(&workspace)?;
    workspace.run(&["fsck"]);
    workspace.run(&["fsck"]).expect(0)?;
    sources.built(&workspace)
}

/// Collects garbage until the end; none may fail.
fn collect(workspace: &Workspace, ended: &AtomicBool, shared: &Shared, collected: &AtomicUsize) -> Outcome {
    while !ended.load(Ordering::SeqCst) {
        let run = workspace.run(&["gc", "--max_size", &ROOM.to_string()]).expect(0)?;
        shared.collections.fetch_add(1, Ordering::Relaxed);
        collected.fetch_add(
            usize::from(!format!("{}{}", run.stdout, run.stderr).contains("freed 0 bytes")),
            Ordering::SeqCst,
        );
    }
    Ok(())
}

/// Removes files of contents and of trees until the end.
fn lose(workspace: &Workspace, ended: &AtomicBool, dice: &mut Rng, lost: &AtomicUsize) {
    while !ended.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(dice.u64(10..120)));
        let kind = if dice.u8(0..4) == 0 { "trees" } else { "blobs" };
        let files = files(&workspace.store().join("v1").join(kind));
        if !files.is_empty() {
            let removed = std::fs::remove_file(&files[dice.usize(0..files.len())]);
            lost.fetch_add(usize::from(removed.is_ok()), Ordering::SeqCst);
        }
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

/// Whether contents take no more than was asked for after a collection that nobody disturbed.
fn fits(workspace: &Workspace, collection: &Run) -> Outcome {
    // A file takes whole blocks, once for all its names.
    let stats = files(workspace.store()).into_iter().filter_map(|path| std::fs::symlink_metadata(path).ok());
    let sizes: BTreeMap<u64, u64> = stats.map(|stat| (stat.ino(), stat.blocks() * 512)).collect();
    let size: u64 = sizes.values().sum();
    // Beside contents a store has logs, kept states and links.
    let others: u64 =
        ["results", "requests"].iter().map(|folder| size_of(&workspace.store().join("v1").join(folder))).sum();
    if size.saturating_sub(others) > ROOM {
        return Err(format!("the store has {size} bytes, {others} of them in logs, instead of {ROOM}: {collection:?}"));
    }
    Ok(())
}

fn size_of(folder: &Path) -> u64 {
    let stats = files(folder).into_iter().filter_map(|path| std::fs::symlink_metadata(path).ok());
    stats.map(|stat| stat.blocks() * 512).sum()
}

/// The versions that sources have now.
struct Sources([u32; SOURCES]);

impl Sources {
    fn new() -> Self {
        Self([0; SOURCES])
    }

    fn content(&self, n: usize) -> String {
        let line = format!("source {n} version {}\n", self.0[n]);
        line.repeat(SIZE / line.len())
    }

    fn output(&self, n: usize) -> String {
        format!("{}a{n}\n", self.content(n % SOURCES))
    }

    /// Changes one or two of them to a version that may have been there before.
    fn edit(&mut self, workspace: &Workspace, dice: &mut Rng) {
        for _ in 0..dice.usize(1..3) {
            self.0[dice.usize(0..SOURCES)] = dice.u32(0..4);
        }
        self.write(workspace);
    }

    fn write(&self, workspace: &Workspace) {
        (0..SOURCES).for_each(|n| workspace.write(&format!("s{n}"), self.content(n)));
    }

    /// Builds, and compares all outputs.
    fn built(&self, workspace: &Workspace) -> Outcome {
        let rule = |n: usize| {
            let source = n % SOURCES;
            format!(
                "genrule(name = \"a{n}\", srcs = [\"s{source}\"], outs = [\"a{n}.txt\"], cmd = \"cat $< > $@; echo a{n} >> $@\")\n"
            )
        };
        let pair = |n: usize| {
            let srcs = format!("\":a{n}\", \":a{}\"", n + 1);
            format!(
                "genrule(name = \"b{n}\", srcs = [{srcs}], outs = [\"b{n}.txt\"], cmd = \"cat $(SRCS) | wc -c > $@\")\n"
            )
        };
        workspace.write("BUILD.star", (0..WIDTH).map(rule).chain((0..WIDTH - 1).map(pair)).collect::<String>());
        self.write(workspace);
        workspace.run(&["build", "//..."]).expect(0)?;
        let same = |name: String, expected: String| match workspace.read(&format!("build-out/{name}"))? {
            is if is == expected => Ok(()),
            is => Err(format!("{name} is {:?} instead of {:?}", head(&is), head(&expected))),
        };
        (0..WIDTH).try_for_each(|n| same(format!("a{n}.txt"), self.output(n)))?;
        let length = |n: usize| format!("{}\n", self.output(n).len() + self.output(n + 1).len());
        (0..WIDTH - 1).try_for_each(|n| same(format!("b{n}.txt"), length(n)))
    }
}

fn head(text: &str) -> &str {
    text.get(..40).unwrap_or(text)
}

fn noticed(result: Outcome, by: &str) -> Outcome {
    match result {
        Err(message) if message.contains(by) => Ok(()),
        other => Err(format!("not noticed: {other:?}")),
    }
}

/// Losses matter: without the mirror a lost shell ends the build.
fn unrepairable(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let (workspace, mut sources) = prepared(attempt, shared)?;
    let workspace = workspace.with_env("BUILD_DEBIAN_ENDPOINT", "http://127.0.0.1:9");
    files(&workspace.store().join("v1/blobs")).iter().chain(&files(&workspace.store().join("v1/trees"))).for_each(
        |path| {
            // It goes with its other name.
            let _ = std::fs::remove_file(path);
        },
    );
    sources.edit(&workspace, &mut attempt.dice);
    sources.0[0] = 99;
    noticed(sources.built(&workspace), "exit code")
}

fn replaced(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let (workspace, sources) = prepared(attempt, shared)?;
    let output = sources.output(0);
    leftovers::replace_content(&workspace, output.as_bytes(), output.to_uppercase().as_bytes())?;
    noticed(sources.built(&workspace), "a0.txt is")
}

fn kept(attempt: &mut Attempt, shared: &Shared) -> Outcome {
    let (workspace, mut sources) = prepared(attempt, shared)?;
    for _ in 0..8 {
        sources.edit(&workspace, &mut attempt.dice);
        sources.built(&workspace)?;
    }
    noticed(fits(&workspace, &workspace.run(&["gc", "--max_size=1G"]).expect(0)?), "bytes")
}
