//! The positive controls: what leaks is found, wherever and in whatever form.

use std::io::Write;

use super::canary::{ENCODINGS, NAMES, encoded};
use super::machine::Machine;
use super::scanner::Scanner;
use super::scenarios::Scenario;
use super::{Seed, watched};
use crate::attempt::{Attempt, Outcome};
use crate::demo_packages::{gzip, tar, zip};
use crate::trials::{Control, Trials};

/// Plants secrets, and lets a build leak some.
pub fn run(trials: &mut Trials, seed: &Seed) {
    trials.control(Control::Positive, "each secret in each form is found, compressed or not", forms);
    trials.control(
        Control::Positive,
        "a secret that a user writes into a rule is found in output, store and event",
        |attempt| written(attempt, seed),
    );
    trials.control(Control::Positive, "a secret in the arguments of a process is found", |attempt| {
        argument(attempt, seed)
    });
    trials.control(Control::Negative, "what holds no secret is clean", |attempt| {
        let scanner = Scanner::new(&Machine::new(attempt).canaries);
        let noise: Vec<u8> = std::iter::repeat_with(|| attempt.dice.u8(..)).take(1 << 20).collect();
        let found = [noise.clone(), gzip(&noise)].iter().map(|bytes| scanner.bytes(bytes).len()).sum::<usize>();
        if found == 0 { Ok(()) } else { Err(format!("{found} findings")) }
    });
}

fn forms(attempt: &mut Attempt) -> Outcome {
    let machine = Machine::new(attempt);
    let scanner = Scanner::new(&machine.canaries);
    let all = NAMES.len() * ENCODINGS.len();
    for shift in 0..3 {
        let mut text = Vec::new();
        for canary in &machine.canaries {
            for (index, form) in encoded(&canary.value).into_iter().enumerate() {
                text.extend(b"\nsome words before ");
                // Wherever it begins in what is encoded.
                let shifted = base64_of(&"abc"[..shift], &canary.value);
                text.extend(if index == 1 { shifted } else { form });
            }
        }
        let zstd = zstd::stream::encode_all(text.as_slice(), 3).map_err(|error| error.to_string())?;
        let places = [
            ("plain", text.clone()),
            ("gzip", gzip(&text)),
            ("zstd", zstd),
            ("zip", zip(&[("a", b"x"), ("b", &text)])),
            ("a layer", gzip(&tar(&[("etc/passwords", &text)]))),
            ("gzip in zip", zip(&[("a.gz", &gzip(&text))])),
        ];
        for (place, bytes) in places {
            let found = scanner.bytes(&bytes).len();
            if found != all {
                return Err(format!("{found} of {all} found in {place}, shifted by {shift}"));
            }
        }
    }
    Ok(())
}

fn base64_of(before: &str, value: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{before}{value} after")).into_bytes()
}

fn written(attempt: &mut Attempt, seed: &Seed) -> Outcome {
    let machine = Machine::new(attempt);
    let workspace = machine.workspace(attempt);
    seed.copy_to(attempt, &workspace)?;
    let (told, kept) = (machine.secret("env_aws"), machine.secret("env_github"));
    workspace.write(
        "BUILD.star",
        format!("genrule(name = \"a\", outs = [\"a.txt\"], cmd = \"echo {told}; echo {kept} | gzip > $@\")\n"),
    );
    let scanner = Scanner::new(&machine.canaries);
    let run = workspace.run(&["build", "//:a"]).expect(0)?;
    let events: Vec<u8> = run.events.iter().flat_map(|event| event.to_string().into_bytes()).collect();
    let mut missing = Vec::new();
    let store = scanner.folder(workspace.store(), &[]).join("\n");
    let output = scanner.folder(&workspace.root().join("build-out"), &[]).join("\n");
    for (place, found) in [
        ("the events", scanner.bytes(&events).len() == 1),
        ("standard error", scanner.bytes(run.stderr.as_bytes()).len() == 1),
        ("the store", store.contains("env_aws") && store.contains("env_github")),
        ("the output", output.contains("env_github")),
    ] {
        if !found {
            missing.push(place);
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("not found in {}", missing.join(", "))) }
}

fn argument(attempt: &mut Attempt, seed: &Seed) -> Outcome {
    let machine = Machine::new(attempt);
    let workspace = machine.workspace(attempt);
    seed.copy_to(attempt, &workspace)?;
    Scenario::write(&workspace, &machine);
    let script = format!("exec -a {} sleep 2 &\nwait\n", machine.secret("env_npm"));
    workspace.write("program.sh", "bash \"$(dirname \"$0\")/../leak\" 2>/dev/null || sleep 1\n");
    let leak = attempt.folder().join("leak");
    let mut file = std::fs::File::create(&leak).map_err(|error| error.to_string())?;
    file.write_all(script.as_bytes()).map_err(|error| error.to_string())?;
    let mut child = std::process::Command::new("bash").arg(&leak).spawn().map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    watched(&workspace, &["run", "//:program"], None, &Scanner::new(&machine.canaries), &mut found);
    let _ = child.wait();
    if found.iter().any(|line| line.starts_with("env_npm (plain)")) { Ok(()) } else { Err(format!("{found:?}")) }
}
