//! Row 5: an action's key shows every change of what its result can depend on, and no change of anything else.
//!
//! Random actions are changed in one field each. Besides, a second implementation of the key, in another language and with
//! a BLAKE3 of its own, computes all keys from the description of the encoding.

mod case;
mod mutants;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::attempt::{Attempt, Outcome};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};
use case::{Case, KINDS};

/// The row.
pub const ROW: Row = Row {
    number: 5,
    title: "key mutations: relevant and irrelevant fields; a second implementation",
    tries: Tries { small: 700, full: 4_000 },
    run,
};

/// Mutations of one attempt, for which the second implementation is started once.
const BATCH: u64 = 50;

/// The second implementation.
const SCRIPT: &str = include_str!("keys/key.py");

/// How often each field was changed, and whether it counts.
type Fields = BTreeMap<&'static str, (bool, usize)>;

fn run(trials: &mut Trials) {
    let python = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !python {
        trials.unavailable("the second implementation: there is no python3");
    }
    let fields = Mutex::new(Fields::new());
    trials.each_with_steps(BATCH, |attempt| batch(attempt, python, &fields));
    let fields = fields.into_inner().expect("no panic in it");
    trials.note(describe(&fields));
    trials.control(Control::Positive, "every field was changed", |attempt| {
        let missing: Vec<&str> =
            names(&mut attempt.dice).into_iter().filter(|name| !fields.contains_key(name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("never changed: {missing:?}")) }
    });
    if python {
        trials.control(Control::Negative, "both implementations of BLAKE3 agree at the edges of chunks", edges);
        for (name, right, wrong) in DEFECTS {
            trials.control(Control::Positive, name, |attempt| defect_is_noticed(attempt, right, wrong));
        }
    }
}

fn describe(fields: &Fields) -> String {
    let sum = |counts: bool| fields.values().filter(move |field| field.0 == counts);
    format!(
        "{} mutations of {} fields that count, {} of {} that do not",
        sum(true).map(|field| field.1).sum::<usize>(),
        sum(true).count(),
        sum(false).map(|field| field.1).sum::<usize>(),
        sum(false).count()
    )
}

/// The names of all mutations.
fn names(dice: &mut Rng) -> Vec<&'static str> {
    let mut names = Vec::new();
    // Some only exist for some actions, so that many are asked.
    for number in 0..KINDS * 20 {
        let case = Case::new(dice, number);
        names.extend(mutants::all(&case, dice).iter().map(|mutant| mutant.field));
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn batch(attempt: &mut Attempt, python: bool, fields: &Mutex<Fields>) -> Outcome {
    let mut kind = attempt.index * 7;
    let (mut requests, mut keys) = (Vec::new(), Vec::new());
    let mut left = usize::try_from(BATCH).expect("it is small");
    while left > 0 {
        let base = Case::new(&mut attempt.dice, kind);
        kind += 1;
        let key = base.key();
        let mut all = mutants::all(&base, &mut attempt.dice);
        attempt.dice.shuffle(&mut all);
        all.truncate(left.min(25));
        left -= all.len();
        requests.push(base.to_json());
        keys.push(key);
        for mutant in all {
            let other = mutant.case.key();
            if (other != key) != mutant.counts {
                let what =
                    if mutant.counts { "counts, but the key stays" } else { "does not count, but changes the key" };
                return Err(format!("{} {what}: {:?}\n{:?}", mutant.field, base.action, mutant.case.action));
            }
            requests.push(mutant.case.to_json());
            keys.push(other);
            let mut fields = fields.lock().expect("no panic in it");
            fields.entry(mutant.field).or_insert((mutant.counts, 0)).1 += 1;
        }
    }
    if python { compare(attempt.folder(), SCRIPT, &requests, &keys) } else { Ok(()) }
}

/// Whether a script computes these digests.
fn compare(folder: &Path, script: &str, requests: &[Value], expected: &[model::Digest]) -> Outcome {
    let digests = second(folder, script, requests)?;
    if digests.len() != expected.len() {
        return Err(format!("{} digests for {} requests", digests.len(), expected.len()));
    }
    let mut pairs = requests.iter().zip(&digests).zip(expected);
    match pairs.find(|((_, second), first)| **second != first.to_hex()) {
        Some(((request, second), first)) => Err(format!("{DIFFERS}: {first} and {second} for {request}")),
        None => Ok(()),
    }
}

/// How the message about a difference begins.
const DIFFERS: &str = "the implementations differ";

/// Asks the second implementation.
fn second(folder: &Path, script: &str, requests: &[Value]) -> Result<Vec<String>, String> {
    let path = folder.join("key.py");
    std::fs::write(&path, script).map_err(|error| error.to_string())?;
    let mut command = Command::new("python3");
    command.arg("-I").arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("python3: {error}"))?;
    let mut input = child.stdin.take().expect("it is piped");
    let text: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let output = std::thread::scope(|scope| {
        // While it is written, answers come.
        scope.spawn(move || input.write_all(text.as_bytes()));
        child.wait_with_output()
    });
    let output = output.map_err(|error| format!("python3: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()),
        false => Err(format!("key.py: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Lengths around those where blocks, chunks and subtrees end.
fn edges(attempt: &mut Attempt) -> Outcome {
    let lengths = [0, 1, 63, 64, 65, 127, 128, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 3073, 4096, 5121, 7168, 8193];
    let contents: Vec<Vec<u8>> =
        lengths.iter().map(|length| (0..*length).map(|_| attempt.dice.u8(..)).collect()).collect();
    let hex = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let requests: Vec<Value> = contents.iter().map(|bytes| json!({ "bytes": hex(bytes) })).collect();
    let digests: Vec<model::Digest> = contents.iter().map(|bytes| model::Digest::of(bytes)).collect();
    compare(attempt.folder(), SCRIPT, &requests, &digests)
}

/// Defects of the second implementation: name, what is right in the script, what stands there instead.
const DEFECTS: [(&str, &str, &str); 7] = [
    (
        "standard input and output in another order",
        "    yield option(action[\"stdin\"])\n    yield option(action[\"stdout\"])\n",
        "    yield option(action[\"stdout\"])\n    yield option(action[\"stdin\"])\n",
    ),
    ("a field left out", "    yield number(1 if action[\"test\"] else 0)\n", ""),
    ("another version", "SEMANTICS = ", "SEMANTICS = 1"),
    ("inputs as they are listed", "for path, value in by_bytes(inputs.items())", "for path, value in inputs.items()"),
    ("lengths in characters", "number(len(data)) + data", "number(len(value)) + data"),
    ("another variable", "\"TZ\": \"UTC\"", "\"TZ\": \"CET\""),
    ("modes left out", "\"executable\", \"tree\"].index", "\"tree\", \"executable\"].index"),
];

fn defect_is_noticed(attempt: &mut Attempt, right: &str, wrong: &str) -> Outcome {
    if !SCRIPT.contains(right) {
        return Err(format!("the script does not contain {right:?}"));
    }
    let cases: Vec<Case> = (0..8).map(|_| Case::new(&mut attempt.dice, 0)).collect();
    let requests: Vec<Value> = cases.iter().map(Case::to_json).collect();
    let keys: Vec<model::Digest> = cases.iter().map(Case::key).collect();
    compare(attempt.folder(), SCRIPT, &requests, &keys)?;
    match compare(attempt.folder(), &SCRIPT.replace(right, wrong), &requests, &keys) {
        Err(error) if error.starts_with(DIFFERS) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Err("eight keys are the same".to_owned()),
    }
}
