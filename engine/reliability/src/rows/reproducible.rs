//! Row 6: the same bytes under fifteen variations of the surroundings, those that Debian's `reprotest` knows.
//!
//! Each variation proves that it is one: a plain program started in both surroundings must see a difference. What is built
//! then must not: keys, results and files are equal. `diffoscope` and `reprotest` look at the same from outside.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::attempt::{Attempt, Outcome};
use crate::place::{self, Place};
use crate::program::Program;
use crate::row::{Amount, Row, Tries};
use crate::trials::{Control, Trials};
use crate::{samples, seed, twins};

/// The row.
pub const ROW: Row = Row {
    number: 6,
    title: "reproducibility variations, images included",
    tries: Tries { small: VARIATIONS.len() as u64, full: 2 * VARIATIONS.len() as u64 },
    run,
};

/// A way in which two surroundings differ.
struct Variation {
    name: &'static str,
    /// Makes a place different.
    apply: fn(&mut Place, &Path) -> Result<(), String>,
    /// What a plain program prints of it.
    probe: &'static str,
    /// The program that it takes, and its Debian package.
    needs: Option<(&'static str, &'static str)>,
}

const VARIATIONS: [Variation; 15] = [
    Variation { name: "address layout", apply: no_random_addresses, probe: "cat /proc/self/personality", needs: None },
    Variation { name: "clock", apply: later, probe: "date +%Y", needs: Some(("faketime", "faketime")) },
    Variation { name: "environment", apply: variables, probe: "env | grep -c FLAGS", needs: None },
    Variation { name: "file order", apply: file_order, probe: "ls -U", needs: Some(("disorderfs", "disorderfs")) },
    Variation { name: "file times", apply: file_times, probe: "stat -c %Y BUILD.star", needs: None },
    Variation { name: "folder", apply: folder, probe: "pwd", needs: None },
    Variation { name: "home", apply: home, probe: "echo $HOME", needs: None },
    Variation { name: "host name", apply: host_name, probe: "hostname", needs: None },
    Variation { name: "kernel", apply: kernel, probe: "uname -r", needs: None },
    Variation { name: "language", apply: language, probe: "echo $LC_ALL $LANG", needs: None },
    Variation { name: "path", apply: path, probe: "echo $PATH", needs: None },
    Variation { name: "processors", apply: processors, probe: "nproc", needs: None },
    Variation { name: "time zone", apply: time_zone, probe: "date +%Z", needs: None },
    Variation { name: "umask", apply: umask, probe: "umask", needs: None },
    Variation { name: "user", apply: user, probe: "id -u", needs: None },
];

fn no_random_addresses(place: &mut Place, _: &Path) -> Result<(), String> {
    place.wrap(&["setarch", "x86_64", "-R"]);
    Ok(())
}

fn later(place: &mut Place, _: &Path) -> Result<(), String> {
    // With `-m` the shim is the one for programs with threads; the other one now and then crashes them.
    place.wrap(&["faketime", "-m", "-f", "+800d"]);
    Ok(())
}

fn variables(place: &mut Place, _: &Path) -> Result<(), String> {
    for name in ["CFLAGS", "LDFLAGS", "RUSTFLAGS", "PYTHONPATH", "CC", "SOURCE_DATE_EPOCH", "GREP_COLOR", "CDPATH"] {
        place.set(name, "-O3 17");
    }
    Ok(())
}

fn file_order(place: &mut Place, folder: &Path) -> Result<(), String> {
    let shuffled = folder.join("shuffled");
    std::fs::create_dir_all(&shuffled).map_err(|error| error.to_string())?;
    let arguments = ["--shuffle-dirents=no", "--sort-dirents=yes", "--reverse-dirents=yes"];
    place::run(
        Command::new("disorderfs").args(arguments).args(["-q", "-o", "nonempty"]).args([&place.root, &shuffled]),
    )?;
    place.mounts.push(shuffled.clone());
    place.root = shuffled;
    Ok(())
}

fn file_times(place: &mut Place, _: &Path) -> Result<(), String> {
    let times = ["-exec", "touch", "-h", "-d", "2001-09-09 01:46:40", "{}", "+"];
    place::run(Command::new("find").arg(&place.root).args(times))
}

fn folder(place: &mut Place, folder: &Path) -> Result<(), String> {
    let deeper = folder.join("a folder/deeper/and deeper still");
    std::fs::create_dir_all(&deeper).map_err(|error| error.to_string())?;
    let root = deeper.join("ws");
    std::fs::rename(&place.root, &root).map_err(|error| error.to_string())?;
    place.root = root;
    Ok(())
}

fn home(place: &mut Place, folder: &Path) -> Result<(), String> {
    let home = folder.join("another home");
    std::fs::rename(&place.home, &home).map_err(|error| error.to_string())?;
    place.home = home;
    Ok(())
}

fn host_name(place: &mut Place, _: &Path) -> Result<(), String> {
    place.wrap(&["unshare", "--uts", "sh", "-c", "hostname elsewhere; exec \"$0\" \"$@\""]);
    Ok(())
}

fn kernel(place: &mut Place, _: &Path) -> Result<(), String> {
    place.wrap(&["setarch", "x86_64", "--uname-2.6"]);
    Ok(())
}

fn language(place: &mut Place, _: &Path) -> Result<(), String> {
    place.set("LANG", "tr_TR.UTF-8");
    place.set("LC_ALL", "tr_TR.UTF-8");
    Ok(())
}

fn path(place: &mut Place, _: &Path) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap_or_default();
    place.set("PATH", format!("/nowhere/bin:{path}:/usr/games"));
    Ok(())
}

fn processors(place: &mut Place, _: &Path) -> Result<(), String> {
    place.wrap(&["taskset", "-c", "0"]);
    Ok(())
}

fn time_zone(place: &mut Place, _: &Path) -> Result<(), String> {
    place.set("TZ", "Pacific/Kiritimati");
    Ok(())
}

fn umask(place: &mut Place, _: &Path) -> Result<(), String> {
    place.umask = Some("077");
    Ok(())
}

fn user(place: &mut Place, folder: &Path) -> Result<(), String> {
    place.hand_over(folder)
}

/// What is built: a workspace, a store that holds what it needs from outside, and the plain build of both.
struct Sample {
    sources: PathBuf,
    store: PathBuf,
    plain: Place,
}

impl Sample {
    /// Builds a workspace plainly, in a copy.
    fn of((sources, store): (PathBuf, PathBuf), program: &Program) -> Result<Self, String> {
        let plain = place(&sources.with_extension("plain"), &sources, &store, program);
        plain.build(&["build", "//..."])?;
        Ok(Self { sources, store, plain })
    }
}

fn run(trials: &mut Trials) {
    let available: Vec<&Variation> = VARIATIONS.iter().filter(|variation| is_available(trials, variation)).collect();
    let folder = tempfile::Builder::new().prefix("reliability-").tempdir().expect("a temporary folder can be made");
    let samples = samples(trials, folder.path());
    let pairs: Vec<(&Variation, &Sample)> =
        samples.iter().flat_map(|sample| available.iter().map(move |variation| (*variation, sample))).collect();
    trials.over(&pairs, 1, |attempt, (variation, sample)| {
        varied(attempt, variation, sample).map_err(|error| format!("{}: {error}", variation.name))
    });
    if let Some(small) = samples.first() {
        controls(trials, small);
    }
    drop(samples);
    let _ = host::fs::remove_tree(folder.path());
}

/// What can be built: every kind of action, and for the figures the sample system of this repository.
fn samples(trials: &mut Trials, folder: &Path) -> Vec<Sample> {
    let (sources, store) = (folder.join("small"), folder.join("small.store"));
    samples::kinds_of_actions(&sources);
    seed::copy_to(&store, trials.program());
    let program = trials.program().clone();
    let mut made = vec![("every kind of action", Sample::of((sources, store), &program))];
    if trials.settings().amount == Amount::Full {
        let repository =
            samples::fetched_repository(folder, &program).and_then(|fetched| Sample::of(fetched, &program));
        made.push(("the sample system", repository));
    }
    let keep = |(name, sample): (&str, Result<Sample, String>)| {
        sample.map_err(|error| trials.unavailable(format!("{name}: {error}"))).ok()
    };
    made.into_iter().filter_map(keep).collect()
}

fn is_available(trials: &mut Trials, variation: &Variation) -> bool {
    let found = variation.needs.is_none_or(|(program, _)| {
        Command::new("which").arg(program).output().is_ok_and(|output| output.status.success())
    });
    if let (false, Some((program, package))) = (found, variation.needs) {
        trials.unavailable(format!("{}: `{program}` is missing (Debian package {package})", variation.name));
    }
    if variation.name == "user" && !place::is_root() {
        trials.unavailable("user: this process is not root");
        return false;
    }
    found
}

/// Builds a sample plainly and under a variation, and compares.
fn varied(attempt: &mut Attempt, variation: &Variation, sample: &Sample) -> Outcome {
    let here = &sample.plain;
    let mut there = place(&attempt.folder().join("there"), &sample.sources, &sample.store, attempt.program());
    (variation.apply)(&mut there, &attempt.folder().join("there"))?;
    let (plain, other) = (here.shell(variation.probe)?, there.shell(variation.probe)?);
    if plain == other {
        return Err(format!("the variation is none: `{}` prints {plain:?} in both", variation.probe));
    }
    there.build(&["build", "//..."])?;
    twins::same(here, &there)?;
    outside_eye(attempt.folder(), here, &there)
}

/// A place with a copy of a workspace and of a store.
fn place(folder: &Path, sources: &Path, store: &Path, program: &Program) -> Place {
    let place = Place::below(folder, program);
    place::copy(sources, &place.root);
    place::copy(store, &place.store);
    place
}

/// What `diffoscope` says of the files of two places: an error with its report if they differ.
fn outside_eye(folder: &Path, here: &Place, there: &Place) -> Outcome {
    let copies = [folder.join("here.files"), folder.join("there.files")];
    for (place, copy) in [here, there].into_iter().zip(&copies) {
        // Trees are shown as links into a store, which are others in each place.
        place::run(Command::new("cp").arg("-rL").arg(place.root.join("build-out")).arg(copy))?;
        place::run(Command::new("chmod").args(["-R", "u+rwX"]).arg(copy))?;
    }
    // The umask of who copies is seen in modes of folders; times are when they were copied.
    let flags = ["--exclude-directory-metadata=yes", "--text", "-"];
    place::run(Command::new("diffoscope").args(flags).args(&copies))
}

fn controls(trials: &mut Trials, small: &Sample) {
    let culprit = |attempt: &mut Attempt| {
        let folders = [attempt.folder().join("here"), attempt.folder().join("there")];
        let [here, there] = folders.map(|folder| place(&folder, &small.sources, &small.store, attempt.program()));
        for place in [&here, &there] {
            std::fs::write(place.root.join("culprit/BUILD.star"), samples::CULPRIT).expect("a file");
            place.build(&["build", "//..."]).expect("it builds");
        }
        (here, there)
    };
    trials.control(Control::Positive, "an action that prints random bytes is found by its key", |attempt| {
        let (here, there) = culprit(attempt);
        names_culprit(twins::same(&here, &there), "has other outputs")
    });
    trials.control(Control::Positive, "diffoscope finds it too", |attempt| {
        let (here, there) = culprit(attempt);
        names_culprit(outside_eye(attempt.folder(), &here, &there), "culprit/random.txt")
    });
    trials.control(Control::Negative, "reprotest finds the sample reproducible", |attempt| reprotest(attempt, small));
    trials.control(Control::Positive, "reprotest finds a culprit", |attempt| {
        std::fs::write(small.sources.join("culprit/BUILD.star"), samples::CULPRIT).expect("a file");
        let found = names_culprit(reprotest(attempt, small), "culprit/random.txt");
        std::fs::write(small.sources.join("culprit/BUILD.star"), "").expect("a file");
        found
    });
}

fn names_culprit(compared: Outcome, name: &str) -> Outcome {
    match compared {
        Ok(()) => Err("nothing was found".into()),
        Err(message) if message.contains(name) => Ok(()),
        Err(message) => Err(format!("it was not named: {message}")),
    }
}

/// Has `reprotest` build the sample twice, under variations of its own.
fn reprotest(attempt: &Attempt, Sample { sources, store, .. }: &Sample) -> Outcome {
    let script = format!(
        "rm -rf ../store && cp -a '{}' ../store && BUILD_STORE=$PWD/../store '{}' build //... && cp -rL build-out files",
        store.display(),
        attempt.program().path().display()
    );
    let mut command = Command::new("reprotest");
    // The variations that take a user of their own, and root's mounts in a namespace of reprotest's, are tried above.
    command.args(["--vary=-user_group,-domain_host,-fileordering", "--build-command", &script]);
    command.arg(sources).args(["files", "--", "null"]).env("TMPDIR", attempt.folder());
    place::run(&mut command)
}
