//! Row 14: no edit is overlooked, whatever file times and the clock say.
//!
//! The times of files are set to what they were, to the past and to the future; sizes stay. The machine's clock stays as
//! it is, since others live by it: the program under test is given one that jumps between its commands and within them.

mod site;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::attempt::{Attempt, Outcome};
use crate::fresh::{Fresh, Room};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};
use crate::workspace::{Run, Workspace};
use site::{FAULTS, Site};

/// The row.
pub const ROW: Row = Row {
    number: 14,
    title: "clock jumps; same-size same-mtime edits; mtime in the future",
    tries: Tries { small: 288, full: 576 },
    run,
};

/// Edits of one workspace: one of each kind, in a package of its own.
const BATCH: u64 = FAULTS.len() as u64;

/// Longer than file systems take to give a change another time.
const SETTLED: Duration = Duration::from_millis(2200);

/// Seconds by which the clock of a command is wrong, one after the other.
type Jumps = &'static [i64];

const DAY: i64 = 86_400;
const RIGHT: Jumps = &[0];

/// What time it is for the builds before and after the edits, and what else is special about them.
struct World {
    name: &'static str,
    before: Jumps,
    after: Jumps,
    special: Special,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    Nothing,
    /// A watcher lives beside them.
    Watched,
    /// Each is of a request that was never made before: then the store's index of sources is what is known of files.
    Anew,
}

const WORLDS: [World; 9] = [
    World { name: "right", before: RIGHT, after: RIGHT, special: Special::Nothing },
    World { name: "watched", before: RIGHT, after: RIGHT, special: Special::Watched },
    World { name: "anew", before: RIGHT, after: RIGHT, special: Special::Anew },
    World { name: "was ahead, anew", before: &[DAY], after: RIGHT, special: Special::Anew },
    World { name: "goes forwards", before: RIGHT, after: &[DAY], special: Special::Nothing },
    World { name: "goes backwards", before: RIGHT, after: &[-DAY], special: Special::Nothing },
    World { name: "was ahead", before: &[DAY], after: RIGHT, special: Special::Nothing },
    World { name: "was years behind", before: &[-3650 * DAY], after: RIGHT, special: Special::Nothing },
    World {
        name: "jumps all the time",
        before: &[0, DAY, -DAY, 7],
        after: &[-3, 3650 * DAY, 0, -DAY],
        special: Special::Nothing,
    },
];

/// What tries share.
struct Means {
    fresh: Fresh,
    /// Builds beside a watcher, and how many of them took its word.
    watched: AtomicUsize,
    believed: AtomicUsize,
    /// Stores in which an index of sources was asked.
    indexed: AtomicUsize,
    /// Edits that were made while a build ran.
    raced: AtomicUsize,
    /// The library with the clock that jumps.
    clock: Option<PathBuf>,
}

fn run(trials: &mut Trials) {
    let fresh = match Fresh::new(trials.program()) {
        Ok(fresh) => fresh,
        Err(error) => return trials.unavailable(format!("no shell for genrules: {error}")),
    };
    let folder = tempfile::Builder::new().prefix("reliability-").tempdir().expect("a temporary folder can be made");
    let clock = compile(folder.path()).map_err(|error| trials.unavailable(format!("clocks that jump: {error}"))).ok();
    let [watched, believed, indexed, raced] = [0; 4].map(AtomicUsize::new);
    let means = Means { fresh, clock, watched, believed, indexed, raced };
    trials.each_with_steps(BATCH, |attempt| batch(attempt, &means, true));
    let [watched, believed, indexed, raced] =
        [&means.watched, &means.believed, &means.indexed, &means.raced].map(|count| count.load(Ordering::Relaxed));
    let seen = format!(
        "{believed} of {watched} builds beside a watcher took its word; {indexed} stores had an index of sources; {raced} \
         more edits were made while a build ran"
    );
    trials.note(seen.clone());
    trials.control(Control::Positive, "watchers and indices are believed, and edits fall into builds", |_| {
        // A watcher that a busy machine keeps from answering in time is done without.
        if believed * 8 > watched && indexed > 0 && raced > 0 { Ok(()) } else { Err(seen.clone()) }
    });
    trials.control(Control::Positive, "an output of before the edits is noticed", |attempt| {
        match batch(attempt, &means, false) {
            Err(error) if error.contains(STALE) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    trials.control(Control::Negative, "new times of equal files run nothing", |attempt| touched(attempt, &means));
}

impl Means {
    /// Counts a build beside a watcher: without its word, each file and folder of a package is looked at, a dozen.
    fn note(&self, run: &Run) {
        // The first build knows of nothing to look at.
        let looks = run.events.iter().find_map(|event| event.get("Refreshed")?["stats"].as_u64()).unwrap_or(0);
        self.watched.fetch_add(usize::from(looks > 0), Ordering::Relaxed);
        self.believed.fetch_add(usize::from((1..4 * BATCH).contains(&looks)), Ordering::Relaxed);
    }
}

/// Compiles the clock that jumps.
fn compile(folder: &Path) -> Result<PathBuf, String> {
    let (source, library) = (folder.join("jump.c"), folder.join("jump.so"));
    std::fs::write(&source, include_str!("clock/jump.c")).map_err(|error| error.to_string())?;
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    let output = command.output().map_err(|error| format!("cc: {error}"))?;
    if output.status.success() { Ok(library) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// How the message about an output of before an edit begins.
const STALE: &str = "stale after";

/// Workspaces with their packages.
struct Scene<'a> {
    workspace: Workspace,
    sites: Vec<Site>,
    means: &'a Means,
    /// How many builds of a new request were made; none where requests are made again.
    requests: Option<AtomicUsize>,
    /// Whether a watcher lives beside it.
    watched: bool,
    #[expect(dead_code, reason = "its folder goes with it")]
    room: Room<'a>,
}

impl<'a> Scene<'a> {
    fn new(attempt: &mut Attempt, means: &'a Means, special: Special) -> Self {
        let room = means.fresh.room();
        let workspace = room.workspace("w");
        let outside = workspace.root().with_extension("outside");
        let sites = (0..FAULTS.len()).map(|place| {
            let site = Site::new(workspace.root().join(format!("p{place}")), &outside, &mut attempt.dice);
            FAULTS[place].prepare(&site);
            site
        });
        let requests = (special == Special::Anew).then(AtomicUsize::default);
        Self { sites: sites.collect(), workspace, means, requests, watched: special == Special::Watched, room }
    }

    /// Builds all by a clock. An error unless the clock was looked at.
    fn build(&self, jumps: Jumps) -> Result<Run, String> {
        let mark = self.workspace.root().with_extension("mark");
        let number = self.requests.as_ref().map_or(0, |requests| requests.fetch_add(1, Ordering::Relaxed));
        let run = self.workspace.finish(&["build", &format!("--define=request={number}"), "//..."], |command| {
            if jumps != RIGHT
                && let Some(clock) = &self.means.clock
            {
                let jumps: Vec<String> = jumps.iter().map(i64::to_string).collect();
                command.env("LD_PRELOAD", clock).env("CLOCK_JUMPS", jumps.join(",")).env("CLOCK_MARK", &mark);
            }
            command.output().expect("the program starts")
        });
        let run = run.expect(0)?;
        if self.watched {
            self.means.note(&run);
        }
        if jumps != RIGHT && self.means.clock.is_some() && std::fs::remove_file(&mark).is_err() {
            return Err("the program did not look at the clock that jumps".to_owned());
        }
        Ok(run)
    }

    /// Whether all outputs are those of the files as they are.
    fn check(&self, world: &World) -> Outcome {
        for (place, site) in self.sites.iter().enumerate() {
            let (found, expected) = (self.workspace.read(&format!("build-out/p{place}/o.txt"))?, site.expected());
            if found != expected {
                let (fault, world) = (site.last, world.name);
                return Err(format!("{STALE} `{fault}`, clock `{world}`: {found:?} instead of {expected:?}"));
            }
        }
        Ok(())
    }
}

fn batch(attempt: &mut Attempt, means: &Means, builds: bool) -> Outcome {
    let number = usize::try_from(attempt.index % (2 * WORLDS.len() as u64)).expect("it is small");
    let (world, settled) = (&WORLDS[number / 2], number.is_multiple_of(2));
    let mut scene = Scene::new(attempt, means, world.special);
    let watcher = if scene.watched { Some(Watcher::start(&scene.workspace)?) } else { None };
    scene.build(world.before)?;
    if settled {
        // The second build notes that the times are old enough to be trusted.
        std::thread::sleep(SETTLED);
        scene.build(world.before)?;
    }
    scene.check(world)?;
    let index = std::fs::metadata(scene.workspace.store().join("v1/sources"));
    means.indexed.fetch_add(usize::from(index.is_ok_and(|index| index.len() > 0)), Ordering::Relaxed);
    for (fault, site) in FAULTS.iter().zip(&mut scene.sites) {
        fault.inject(site, &mut attempt.dice)?;
    }
    if builds {
        scene.build(world.after)?;
    }
    scene.check(world)?;
    // Right after the build: in the same step of the file system's clock, where it has steps.
    for _ in 0..3 {
        scene.sites[0].edit(&mut attempt.dice)?;
        scene.build(world.after)?;
        scene.check(world)?;
    }
    during_builds(attempt, &mut scene, world)?;
    watcher.map_or(Ok(()), Watcher::stop)
}

/// Edits at any moment of a build: the next one must see them.
fn during_builds(attempt: &mut Attempt, scene: &mut Scene<'_>, world: &World) -> Outcome {
    for _ in 0..3 {
        // So that it has to do with that very package.
        scene.sites[0].edit(&mut attempt.dice)?;
        let mut child = scene.workspace.start(&["build", "--define=request=0", "//..."]);
        std::thread::sleep(Duration::from_millis(attempt.dice.u64(..40)));
        let edited = scene.sites[0].edit(&mut attempt.dice);
        let running = matches!(child.try_wait(), Ok(None));
        let ended = child.wait_with_output().map_err(|error| error.to_string())?;
        edited?;
        // It may have met a file that was half written, or none.
        if !matches!(ended.status.code(), Some(0 | 1)) {
            return Err(format!("a build during an edit: {}", String::from_utf8_lossy(&ended.stderr)));
        }
        scene.means.raced.fetch_add(usize::from(running), Ordering::Relaxed);
        scene.build(world.after)?;
        scene.check(world)?;
    }
    Ok(())
}

/// Other times, back and forth, with equal contents.
fn touched(attempt: &mut Attempt, means: &Means) -> Outcome {
    let scene = Scene::new(attempt, means, Special::Nothing);
    scene.build(RIGHT)?;
    for seconds in [0, 4_000_000_000, -DAY] {
        scene.sites.iter().for_each(|site| site.touch(seconds));
        let ran = scene.build(RIGHT)?.actions("Ran");
        scene.check(&WORLDS[0])?;
        if ran != 0 {
            return Err(format!("{ran} actions ran"));
        }
    }
    Ok(())
}

/// A `build watch` beside the builds.
struct Watcher(Child);

impl Watcher {
    /// Starts one and waits until it answers.
    fn start(workspace: &Workspace) -> Result<Self, String> {
        let mut command = workspace.command(&["watch", "--define=request=0", "//..."]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        let watcher = Self(child);
        let sockets = workspace.store().join("v1/watchers");
        let began = Instant::now();
        while std::fs::read_dir(&sockets).into_iter().flatten().count() == 0 {
            if began.elapsed() > Duration::from_secs(30) {
                return Err("no watcher answers after 30 seconds".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(watcher)
    }

    /// An error if it has ended by itself.
    fn stop(mut self) -> Outcome {
        match self.0.try_wait() {
            Ok(None) => Ok(()),
            other => Err(format!("the watcher ended: {other:?}")),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
