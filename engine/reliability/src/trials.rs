//! The tries and controls of a row while it runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::attempt::{Attempt, Outcome};
use crate::program::Program;
use crate::row::Amount;

/// How many failures are told in full.
const MOST: usize = 4;
/// Characters of a failure that are told.
const LONGEST: usize = 1500;

/// What is fixed before a row starts.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The row's number.
    pub row: u8,
    /// Where random choices start.
    pub seed: u64,
    /// How many tries are asked for.
    pub wanted: u64,
    /// A test, or the figures.
    pub amount: Amount,
    /// Only this try.
    pub only: Option<u64>,
    /// Tries at once.
    pub jobs: usize,
}

/// What shows that a figure means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// With the guard off, the fault does its harm: the row would notice it.
    Positive,
    /// What is harmless passes with the guard on: the guard does not just refuse everything.
    Negative,
}

/// Something that did not come out as it should have.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The try, for `--only`; none for a control.
    pub index: Option<u64>,
    /// What went wrong.
    pub message: String,
}

/// The tries of a row.
pub struct Trials {
    settings: Settings,
    program: Program,
    tries: u64,
    controls: u64,
    failures: Vec<Failure>,
    notes: Vec<String>,
    unavailable: Vec<String>,
}

impl Trials {
    /// No tries yet.
    pub fn new(settings: Settings, program: Program) -> Self {
        Self {
            settings,
            program,
            tries: 0,
            controls: 0,
            failures: Vec::new(),
            notes: Vec::new(),
            unavailable: Vec::new(),
        }
    }

    /// What was fixed before.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// The program to test.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// As many tries as are asked for, some at once.
    pub fn each(&mut self, run: impl Fn(&mut Attempt) -> Outcome + Sync) {
        self.counted(self.settings.wanted, self.settings.jobs, &run);
    }

    /// A try for each element of a list, `rounds` times; the number that is asked for plays no part.
    pub fn over<T: Sync>(&mut self, list: &[T], rounds: u64, run: impl Fn(&mut Attempt, &T) -> Outcome + Sync) {
        let length = list.len() as u64;
        let of_list = |attempt: &mut Attempt| {
            let index = attempt.index % length;
            run(attempt, &list[usize::try_from(index).expect("an index of a list")])
        };
        self.counted(length * rounds, self.settings.jobs, &of_list);
    }

    /// As many tries as are asked for, where one attempt makes `steps` of them, such as the edits of a sequence.
    pub fn each_with_steps(&mut self, steps: u64, run: impl Fn(&mut Attempt) -> Outcome + Sync) {
        let (attempts, before) = (self.settings.wanted.div_ceil(steps), self.tries);
        self.counted(attempts, self.settings.jobs, &run);
        self.tries = before + (self.tries - before) * steps;
    }

    /// Counts tries that were made inside one attempt, such as the edits of a sequence.
    pub fn add_tries(&mut self, count: u64) {
        self.tries += count;
    }

    fn counted(&mut self, count: u64, jobs: usize, run: &(impl Fn(&mut Attempt) -> Outcome + Sync)) {
        let first = self.tries;
        let indices = self.settings.only.map_or(first..first + count, |only| only..only + 1);
        if self.settings.only.is_some_and(|only| !(first..first + count).contains(&only)) {
            self.tries += count;
            return;
        }
        let (next, failures) = (AtomicU64::new(indices.start), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..jobs.min(usize::try_from(count).unwrap_or(usize::MAX)) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= indices.end {
                            return;
                        }
                        let mut attempt =
                            Attempt::new(self.settings.seed, self.settings.row, index, self.program.clone());
                        if let Err(message) = guarded(&mut attempt, run) {
                            let mut failures = failures.lock().expect("no panic in it");
                            failures.push(Failure { index: Some(index), message });
                            self.tell(&failures);
                        }
                    }
                });
            }
        });
        self.tries += if self.settings.only.is_some() { 1 } else { count };
        self.failures.extend(failures.into_inner().expect("no panic in it"));
    }

    /// Prints the newest of the failures, but only the first few and not all of a long one: `--only` tells the rest.
    fn tell(&self, failures: &[Failure]) {
        let Some(Failure { index: Some(index), message }) = failures.last() else { return };
        let limit = if self.settings.only.is_some() { usize::MAX } else { LONGEST };
        let text: String = message.chars().take(limit).collect();
        match failures.len() {
            1..=MOST => eprintln!("  row {} try {index}: {text}", self.settings.row),
            _ => eprintln!("  row {} try {index}: failed too", self.settings.row),
        }
    }

    /// A control; it must succeed for the row to count.
    pub fn control(&mut self, control: Control, name: &str, run: impl Fn(&mut Attempt) -> Outcome) {
        if self.settings.only.is_some() {
            return;
        }
        self.controls += 1;
        // Controls have numbers of their own, far from those of tries.
        let mut attempt =
            Attempt::new(self.settings.seed, self.settings.row, u64::MAX - self.controls, self.program.clone());
        if let Err(message) = guarded(&mut attempt, &run) {
            let message = format!("{control:?} control `{name}`: {message}");
            eprintln!("  row {} {message}", self.settings.row);
            self.failures.push(Failure { index: None, message });
        }
    }

    /// Something that this machine cannot do; the row is then incomplete, which is no pass.
    pub fn unavailable(&mut self, what: impl Into<String>) {
        self.unavailable.push(what.into());
    }

    /// A figure of the row besides the failures, printed below the table.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Tries made so far.
    pub fn tries(&self) -> u64 {
        self.tries
    }

    /// Controls made so far.
    pub fn controls(&self) -> u64 {
        self.controls
    }

    /// What went wrong so far.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// What the row wants said.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What could not be tried.
    pub fn missing(&self) -> &[String] {
        &self.unavailable
    }
}

/// A row that panics has failed, and the others go on.
fn guarded(attempt: &mut Attempt, run: &impl Fn(&mut Attempt) -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(attempt))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("(no message)")))
    })
}
