//! Row 16: archives, wheels, modules and image layers that want to harm the program that unpacks them.
//!
//! Nothing outside of the store is written, in bounded time and memory; and what is accepted has the entries that Python's
//! own readers find in it. Half of the archives are made for one weakness each (`attacks.rs`), the others by seeded changes
//! (`generated.rs`).

mod attacks;
mod bombs;
mod generated;
mod odd_zips;
mod package;
mod reference;
mod tar;
pub mod unpack;
mod zip;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::attempt::{Attempt, Outcome};
use crate::bounded::{self, Bounds};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};
use crate::workspace::{Entry, entries};

use self::attacks::{Aim, Attack, Must};
use self::package::Package;

/// The row.
pub const ROW: Row = Row {
    number: 16,
    title: "hostile archives, wheels, modules, image layers",
    tries: Tries { small: 150, full: 1500 },
    run,
};

/// What unpacking one package may take.
const BOUNDS: Bounds = Bounds { seconds: 120, megabytes: 700 };

fn run(trials: &mut Trials) {
    if let Some(missing) = reference::missing() {
        trials.unavailable(missing);
        return;
    }
    let count = attacks::all(&Aim::harmless()).len() as u64;
    let verdicts = std::sync::Mutex::new(BTreeMap::<&str, u64>::new());
    let note = |what| *verdicts.lock().expect("no panic in it").entry(what).or_default() += 1;
    trials.each(|attempt| match usize::try_from(attempt.index) {
        Ok(index) if attempt.index < count => {
            let site = Site::make(attempt);
            let attack = attacks::all(&site.aim).swap_remove(index);
            site.survive(attempt, &attack).map(note)
        }
        _ => generated::batch(attempt).map(|found| found.into_iter().for_each(note)),
    });
    let verdicts = verdicts.into_inner().expect("no panic in it");
    trials.note(verdicts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", "));
    controls(trials);
}

/// Where archives lie and are unpacked; all around is watched.
pub struct Site {
    root: PathBuf,
    /// What attacks aim at.
    pub aim: Aim,
}

/// The entries that a reader found, or why there are none.
pub type Found = Result<Value, String>;

impl Site {
    /// A place with something to be overwritten.
    pub fn make(attempt: &Attempt) -> Self {
        let root = attempt.folder().join("site");
        for folder in ["area/deep/here", "area/outside", "archives", "store"] {
            std::fs::create_dir_all(root.join(folder)).expect("a folder of the try");
        }
        for file in ["area/outside/canary", "area/deep/canary", "area/deep/here/canary"] {
            std::fs::write(root.join(file), "untouched").expect("a file of the try");
        }
        let absolute = root.join("area/outside").display().to_string();
        Self { root, aim: Aim { up: "../../outside".to_owned(), absolute } }
    }

    /// What lies around, which nothing may change.
    fn around(&self) -> BTreeMap<PathBuf, Entry> {
        entries(&self.root.join("area"))
    }

    /// Unpacks an attack and looks at what comes of it: in short, what it was.
    fn survive(&self, attempt: &Attempt, attack: &Attack) -> Result<&'static str, String> {
        let named = |error: String| format!("{} as {}: {error}", attack.name, attack.kind);
        let package = Package::write(&attack.carrier, attack.kind, &self.root.join("archives"), "a");
        let before = self.around();
        let found = self.unpack(attempt, std::slice::from_ref(&package)).map_err(named)?.swap_remove(0);
        if self.around() != before {
            return Err(named("something outside was written".to_owned()));
        }
        let reference = match &attack.carrier {
            attacks::Carrier::Bomb(_) => Err("a bomb".to_owned()),
            _ => reference::list(std::slice::from_ref(&package))?.swap_remove(0),
        };
        compare(&found, &reference, attack.must).map_err(named)
    }

    /// What the engine finds in packages, in a process of its own within bounds.
    pub fn unpack(&self, attempt: &Attempt, packages: &[Package]) -> Result<Vec<Found>, String> {
        let lines = self.root.join("archives/lines");
        std::fs::write(&lines, packages.iter().map(|package| format!("{}\n", package.json())).collect::<String>())
            .expect("a file of the try");
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg("part").arg("unpack").arg(self.root.join("store")).current_dir(self.root.join("area/deep/here"));
        command.stdin(Stdio::from(std::fs::File::open(&lines).expect("it was written")));
        let run = bounded::run(&mut command, BOUNDS, attempt.folder())?;
        let answers: Vec<Found> = run.stdout.lines().map(found).collect();
        if run.code != 0 || answers.len() != packages.len() || run.stderr.contains("panicked") {
            return Err(format!("it died with code {} after {} answers: {}", run.code, answers.len(), run.stderr));
        }
        Ok(answers)
    }
}

/// An answer of a reader.
fn found(line: &str) -> Found {
    let answer: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    match answer.get("entries") {
        Some(entries) => Ok(entries.clone()),
        None => Err(answer["refused"].as_str().unwrap_or("no reason").to_owned()),
    }
}

/// Whether what the engine found is what it must be: in short, what it was.
pub fn compare(found: &Found, reference: &Found, must: Must) -> Result<&'static str, String> {
    match (found, must) {
        (Ok(entries), Must::Refuse(_)) => Err(format!("it was unpacked: {entries}")),
        (Err(error), Must::Refuse(text)) if text.split('|').any(|text| error.contains(text)) => Ok("refused"),
        (Err(error), Must::Refuse(text)) => Err(format!("{text:?} is not in the error: {error}")),
        (Err(error), Must::Accept) => Err(format!("it was refused: {error}")),
        (Err(error), Must::Agree) if error.trim().is_empty() => Err("it was refused without a word".to_owned()),
        (Err(_), Must::Agree) => Ok("refused"),
        (Ok(entries), Must::Agree | Must::Accept) => match reference {
            Ok(reference) if reference == entries => Ok("equal to the reference reader"),
            Ok(reference) => Err(format!("the entries are\n{entries}\nbut the reference reader finds\n{reference}")),
            Err(error) => Err(format!("the entries are\n{entries}\nbut the reference reader refuses: {error}")),
        },
    }
}

fn controls(trials: &mut Trials) {
    let harmful = attacks::escapes(&Aim { up: String::new(), absolute: String::new() });
    for (index, attack) in harmful.iter().enumerate().filter(|(_, attack)| attack.escapes) {
        let name = format!("a careless program is harmed by {} as {}", attack.name, attack.kind);
        trials.control(Control::Positive, &name, |attempt| careless(attempt, index));
    }
    for (index, attack) in harmful.iter().enumerate() {
        let name = format!("the harmless twin of {} as {}", attack.name, attack.kind);
        trials.control(Control::Negative, &name, |attempt| twin(attempt, index));
    }
    trials.control(Control::Positive, "a difference to the reference reader is noticed", |_| {
        let one: Found = Ok(json!({ "a": ["file", false, "1"] }));
        let other: Found = Ok(json!({ "a": ["file", true, "1"] }));
        let refused: Found = Err("no".to_owned());
        let noticed = [
            compare(&one, &other, Must::Agree),
            compare(&one, &refused, Must::Agree),
            compare(&one, &one, Must::Refuse("x")),
            compare(&refused, &one, Must::Accept),
            compare(&refused, &one, Must::Refuse("another reason")),
        ];
        if noticed.iter().all(Result::is_err) && compare(&one, &one, Must::Agree).is_ok() {
            Ok(())
        } else {
            Err(format!("{noticed:?}"))
        }
    });
}

/// Without any guard the attack does write outside, or it would be none.
fn careless(attempt: &mut Attempt, index: usize) -> Outcome {
    let site = Site::make(attempt);
    let attack = attacks::escapes(&site.aim).swap_remove(index);
    let package = Package::write(&attack.carrier, attack.kind, &site.root.join("archives"), "a");
    let outside = |site: &Site| entries(&site.root.join("area/outside"));
    let before = outside(&site);
    reference::naive(&package, &site.root.join("area/deep/here"));
    if outside(&site) == before { Err("nothing was written outside".to_owned()) } else { Ok(()) }
}

/// With another aim the same archive is unpacked, unless its form alone is refused; then a plain file of that name is.
fn twin(attempt: &mut Attempt, index: usize) -> Outcome {
    let site = Site::make(attempt);
    let attack = attacks::escapes(&Aim::harmless()).swap_remove(index);
    let carrier = package::plain(&attack.carrier);
    let package = Package::write(&carrier, attack.kind, &site.root.join("archives"), "a");
    let found = site.unpack(attempt, std::slice::from_ref(&package))?.swap_remove(0);
    let reference = reference::list(std::slice::from_ref(&package))?.swap_remove(0);
    compare(&found, &reference, Must::Accept).map(|_| ())
}
