//! Row 19: nothing secret is in a log, an event, a cache entry, an image, a plan.
//!
//! A try is a command on a machine with thirty secrets in all the places where secrets are. Afterwards everything that the
//! program said, wrote or kept is searched for each secret in nine forms, compressed or not; while it runs, so are the
//! command lines of all processes, which anyone on the machine may read.

mod canary;
mod controls;
mod machine;
mod scanner;
mod scenarios;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::machine::{Machine, Mood, PLANTED};
use self::scanner::Scanner;
use self::scenarios::{ALL, Scenario};
use crate::attempt::{Attempt, Outcome};
use crate::row::{Row, Tries};
use crate::trials::Trials;
use crate::workspace::Workspace;

/// The row.
pub const ROW: Row = Row {
    number: 19,
    title: "30 secrets in 9 forms: in no log, event, store, image, plan, argument",
    tries: Tries { small: 12, full: ALL.len() as u64 },
    run,
};

/// Times that the command lines of all processes are looked at.
const LOOK: Duration = Duration::from_millis(15);

fn run(trials: &mut Trials) {
    let seed = Seed::default();
    // Few tries are spread over all kinds of scenarios.
    let mut order: Vec<&Scenario> = ALL.iter().collect();
    fastrand::Rng::with_seed(ROW.number.into()).shuffle(&mut order);
    trials.each(|attempt| {
        let scenario = order[attempt.index as usize % order.len()];
        kept(attempt, scenario, &seed).map_err(|message| format!("{}: {message}", scenario.name))
    });
    trials.note(format!("{} scenarios, {} secrets, {} forms", ALL.len(), canary::NAMES.len(), canary::ENCODINGS.len()));
    controls::run(trials, &seed);
}

/// A store with the shell, made once: what each try starts with.
#[derive(Default)]
pub struct Seed(OnceLock<Result<TempDir, String>>);

impl Seed {
    /// Copies it to where a workspace's store will be.
    fn copy_to(&self, attempt: &Attempt, workspace: &Workspace) -> Outcome {
        let made = self.0.get_or_init(|| {
            let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
            let workspace = attempt.workspace_with_store("seed", folder.path().join("store"));
            workspace.write("BUILD.star", "genrule(name = \"a\", outs = [\"a.txt\"], cmd = \"echo > $@\")\n");
            workspace.run(&["fetch", "//..."]).expect(0)?;
            Ok(folder)
        });
        let folder = made.as_ref().map_err(Clone::clone)?;
        let mut copy = std::process::Command::new("cp");
        copy.arg("-a").arg(folder.path().join("store")).arg(workspace.store());
        match copy.status() {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("the store was not copied: {other:?}")),
        }
    }
}

fn kept(attempt: &mut Attempt, scenario: &Scenario, seed: &Seed) -> Outcome {
    let machine = Machine::new(attempt);
    let mut workspace = machine.workspace(attempt);
    seed.copy_to(attempt, &workspace)?;
    Scenario::write(&workspace, &machine);
    let fill = |text: &str| {
        let text = text.replace("%home%", &machine.home.display().to_string());
        machine.canaries.iter().fold(text, |text, canary| text.replace(&format!("%{}%", canary.name), &canary.value))
    };
    if let Some(before) = scenario.before {
        workspace.run(before).expect(0)?;
    }
    for (name, value) in scenario.env {
        workspace = workspace.with_env(name, &fill(value));
    }
    machine.set_mood(scenario.mood);
    let command: Vec<String> = scenario.command.iter().map(|word| fill(word)).collect();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let scanner = Scanner::new(&machine.canaries);
    let mut found = Vec::new();
    let run = watched(&workspace, &command, scenario.interrupt, &scanner, &mut found);
    if run.code != scenario.code {
        return Err(format!("exit code {} instead of {}\n{}{}", run.code, scenario.code, run.stdout, run.stderr));
    }
    if scenario.mood != Mood::Honest && machine.registry.seen().is_empty() {
        return Err("no registry was asked".to_owned());
    }
    scanner.report("standard output", run.stdout.as_bytes(), &mut found);
    scanner.report("standard error", run.stderr.as_bytes(), &mut found);
    for event in &run.events {
        scanner.report("an event", event.to_string().as_bytes(), &mut found);
    }
    for folder in [workspace.store(), workspace.root(), &machine.home, &machine.temporary] {
        found.extend(scanner.folder(folder, &PLANTED));
    }
    found.dedup();
    if found.is_empty() { Ok(()) } else { Err(format!("found\n  {}\n{}", found.join("\n  "), run.stderr)) }
}

/// Runs the command and looks at the command lines of all processes meanwhile, but for the command's own.
fn watched(
    workspace: &Workspace,
    command: &[&str],
    interrupt: Option<u64>,
    scanner: &Scanner,
    found: &mut Vec<String>,
) -> crate::workspace::Run {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut seen = Vec::new();
            while !ended.load(Ordering::SeqCst) {
                look(scanner, command, &mut seen);
                std::thread::sleep(LOOK);
            }
            seen
        });
        let run = workspace.finish(command, |command| {
            let began = Instant::now();
            let mut child = command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("it starts");
            if let Some(time) = interrupt {
                while began.elapsed() < Duration::from_millis(time) && matches!(child.try_wait(), Ok(None)) {
                    std::thread::sleep(LOOK);
                }
                let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process's number"));
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
            }
            child.wait_with_output().expect("it ends")
        });
        ended.store(true, Ordering::SeqCst);
        found.extend(looking.join().unwrap_or_default());
        run
    })
}

/// Adds the findings in the command lines of processes. The user's own command is typed by the user, and a program that
/// `build run` starts gets the arguments that are meant for it.
fn look(scanner: &Scanner, command: &[&str], seen: &mut Vec<String>) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let is_meant = command.iter().filter(|word| word.len() > 20).any(|word| words.contains(&word.as_bytes()));
        if !line.is_empty() && !is_meant {
            scanner.report("the arguments of a process", &line, seen);
        }
    }
    seen.dedup();
}
