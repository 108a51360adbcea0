//! Row 18: BUILD.star and .star files that want to harm the program that reads them.
//!
//! A file that cannot be loaded gives an error with its place, in bounded time and memory, and never a panic. Half of the
//! files are written for one weakness each (`files/`), the others are made by seeded mutation (`mutation.rs`).

mod encodings;
mod file;
mod graphs;
mod labels;
mod loops;
mod memory;
mod mutation;
mod shapes;

use crate::attempt::{Attempt, Outcome};
use crate::bounded::{self, Bounded, Bounds};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};
use crate::workspace::Workspace;

use self::file::{Expected, Hostile};

/// The row.
pub const ROW: Row =
    Row { number: 18, title: "hostile BUILD.star and .star files", tries: Tries { small: 70, full: 1000 }, run };

/// What one command may take. The engine's own limits are half of it: the program also starts and reports, and this machine
/// may do something else meanwhile.
const BOUNDS: Bounds = Bounds { seconds: 60, megabytes: 1800 };

fn run(trials: &mut Trials) {
    let written = file::all();
    let count = written.len() as u64;
    let slowest = std::sync::Mutex::new((0.0f64, "", 0u64, ""));
    let wanted = trials.settings().wanted;
    trials.each(|attempt| match turn(attempt.index, wanted, count).and_then(|index| written.get(index)) {
        Some(hostile) => {
            let run = load(attempt, hostile)?;
            let mut slowest = slowest.lock().expect("no panic in it");
            if run.time.as_secs_f64() > slowest.0 {
                (slowest.0, slowest.1) = (run.time.as_secs_f64(), hostile.name);
            }
            if run.megabytes > slowest.2 {
                (slowest.2, slowest.3) = (run.megabytes, hostile.name);
            }
            Ok(())
        }
        None => mutation::load(attempt).and_then(|()| labels::check(&mut attempt.dice)),
    });
    let (seconds, slow, megabytes, large) = slowest.into_inner().expect("no panic in it");
    let tries = trials.tries();
    trials.note(format!(
        "{} files written by hand, {} sets of mutated ones",
        (0..tries).filter(|index| turn(*index, wanted, count).is_some()).count(),
        (0..tries).filter(|index| turn(*index, wanted, count).is_none()).count()
    ));
    trials.note(format!("the slowest took {seconds:.1} s ({slow}), the largest {megabytes} MB ({large})"));
    controls(trials);
}

/// Which of the `count` files written by hand has its turn; `None` for mutated ones. Where there are too few tries for all,
/// every second one takes a file, and these are spread over the whole list.
fn turn(index: u64, wanted: u64, count: u64) -> Option<usize> {
    let turn = match wanted >= 2 * count {
        true => (index < count).then_some(index),
        false if index % 2 == 1 => None,
        false => Some(index * count / wanted.max(1)),
    };
    turn.and_then(|turn| usize::try_from(turn).ok())
}

/// Loads a hostile file with the program, and looks at what it says.
fn load(attempt: &mut Attempt, hostile: &Hostile) -> Result<Bounded, String> {
    let workspace = attempt.workspace("w");
    let named = |error: String| format!("{}: {error}", hostile.name);
    hostile.write(&workspace).map_err(named)?;
    let run = command(attempt, &workspace, &hostile.arguments).map_err(named)?;
    verdict(&run, &hostile.expected).map_err(named)?;
    Ok(run)
}

/// Runs the program within bounds.
fn command(attempt: &Attempt, workspace: &Workspace, arguments: &[&str]) -> Result<Bounded, String> {
    bounded::run(&mut workspace.command(arguments), BOUNDS, attempt.folder())
}

/// Whether a run ended as it should: with an error that has a place, or well; never by a panic or a signal.
fn verdict(run: &Bounded, expected: &Expected) -> Outcome {
    let said = || {
        format!(
            "exit code {}, {} MB, {:.1} s\n{}{}",
            run.code,
            run.megabytes,
            run.time.as_secs_f64(),
            run.stdout,
            run.stderr
        )
    };
    if ![0, 1, 2, 7].contains(&run.code) || run.stderr.contains("panicked at") {
        return Err(format!("the program died: {}", said()));
    }
    if let Some(c) = run.stderr.chars().chain(run.stdout.chars()).find(|c| c.is_control() && !matches!(c, '\n' | '\t'))
    {
        return Err(format!("it prints {c:?}: {}", said().escape_debug()));
    }
    match expected {
        Expected::Loads if run.code == 0 => Ok(()),
        Expected::Loads => Err(format!("it should load: {}", said())),
        _ if run.code == 0 => Err(format!("no error: {}", said())),
        Expected::Says(text) if run.stderr.contains(text) => Ok(()),
        Expected::Says(text) => Err(format!("{text:?} is not in: {}", said())),
        Expected::At(place) if has_place(&run.stderr, place) => Ok(()),
        Expected::At(place) => Err(format!("no error at {place}: {}", said())),
    }
}

/// Whether a text has `place:<number>`, where `place` is a file, or a file and a line.
fn has_place(text: &str, place: &str) -> bool {
    text.match_indices(place).any(|(at, _)| {
        let inside = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "/_".contains(c));
        let rest = text[at + place.len()..].strip_prefix(':');
        !inside && rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

fn controls(trials: &mut Trials) {
    trials.control(Control::Positive, "an error without its place is noticed", |attempt| {
        let run = Bounded {
            code: 1,
            stdout: String::new(),
            stderr: "error: wrong".into(),
            time: Default::default(),
            megabytes: 1,
        };
        expect_error(verdict(&run, &Expected::At("BUILD.star")))?;
        let escape = Bounded { stderr: "BUILD.star:1: error: \u{1b}[2J".into(), stdout: String::new(), ..run };
        expect_error(verdict(&escape, &Expected::At("BUILD.star")))?;
        expect_error(verdict(&Bounded { code: 134, ..run }, &Expected::At("BUILD.star")))?;
        // A file that does no harm counts as a failure where an error is expected.
        let harmless = Hostile::build("harmless", "x = 1\n").at("BUILD.star");
        expect_error(load(attempt, &harmless).map(|_| ()))
    });
    trials.control(Control::Positive, "what takes too long or too much is noticed", |attempt| {
        let few = Bounds { seconds: 1, megabytes: 100 };
        let mut sleep = std::process::Command::new("sleep");
        let long = bounded::run(sleep.arg("20"), few, attempt.folder()).map(|_| ());
        expect_error(long)?;
        let mut large = std::process::Command::new("head");
        large.args(["--bytes=400M", "/dev/zero"]);
        let mut keep = std::process::Command::new("sort");
        let zeros = attempt.folder().join("zeros");
        std::fs::write(&zeros, vec![b'x'; 200 << 20]).map_err(|error| error.to_string())?;
        let much = bounded::run(keep.arg(&zeros), Bounds { seconds: 60, ..few }, attempt.folder()).map(|_| ());
        expect_error(much)
    });
    for honest in file::honest() {
        trials.control(Control::Negative, honest.name, |attempt| load(attempt, &honest).map(|_| ()));
    }
    trials.control(Control::Negative, "the parser of labels is right", |attempt| labels::check(&mut attempt.dice));
    trials.control(Control::Positive, "a wrong parser of labels is noticed", |attempt| {
        expect_error(labels::check_with(&mut attempt.dice, &|text| Ok(text.replace("//", "/"))))
    });
}

fn expect_error(outcome: Outcome) -> Outcome {
    match outcome {
        Ok(()) => Err("it was not noticed".to_owned()),
        Err(_) => Ok(()),
    }
}
