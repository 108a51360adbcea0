//! The figures of rows, for people and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

use crate::row::Row;
use crate::trials::{Failure, Trials};

/// What came of a row.
pub struct Figure {
    number: u8,
    title: &'static str,
    seed: u64,
    tries: u64,
    controls: u64,
    failures: Vec<Failure>,
    notes: Vec<String>,
    missing: Vec<String>,
    time: Duration,
}

impl Figure {
    /// The figure of a row after its tries.
    pub fn of(row: &Row, trials: Trials, time: Duration) -> Self {
        Self {
            number: row.number,
            title: row.title,
            seed: trials.settings().seed,
            tries: trials.tries(),
            controls: trials.controls(),
            failures: trials.failures().to_vec(),
            notes: trials.notes().to_vec(),
            missing: trials.missing().to_vec(),
            time,
        }
    }

    /// Whether something was tried, all of it, and nothing went wrong.
    pub fn passed(&self) -> bool {
        self.tries > 0 && self.failures.is_empty() && self.missing.is_empty()
    }

    /// With 95 % confidence the rate of failures is below this (three over the tries, the rule of three); only said
    /// where none was seen.
    fn bound(&self) -> Option<f64> {
        (self.failed_tries() == 0 && self.tries > 0).then(|| (3.0 / self.tries as f64).min(1.0))
    }

    fn failed_tries(&self) -> usize {
        self.failures.iter().filter(|failure| failure.index.is_some()).count()
    }

    fn failed_controls(&self) -> usize {
        self.failures.len() - self.failed_tries()
    }

    /// Notes, and what could not be tried.
    pub fn details(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            _ = writeln!(text, "  {note}");
        }
        for missing in &self.missing {
            _ = writeln!(text, "  cannot be tried here: {missing}");
        }
        text
    }
}

/// All figures, a row a line, and a last line that counts them.
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::from("row  tries   failed  95 % bound  controls  seconds  result\n");
    for figure in figures {
        let bound = figure.bound().map_or("-".to_owned(), |bound| format!("< {:.2} %", bound * 100.0));
        let controls = format!("{}/{}", figure.controls as usize - figure.failed_controls(), figure.controls);
        let result = match () {
            () if figure.passed() => "passed",
            () if figure.failures.is_empty() => "incomplete",
            () => "FAILED",
        };
        _ = writeln!(
            text,
            "{:>3}  {:<6}  {:>6}  {bound:>10}  {controls:>8}  {:>7.0}  {result:<10}  {}",
            figure.number,
            figure.tries,
            figure.failed_tries(),
            figure.time.as_secs_f64(),
            figure.title
        );
    }
    if let Some(figure) = figures.first() {
        _ = writeln!(text, "seed {}; 95 % bound: three over the tries, where none failed", figure.seed);
    }
    let passed = figures.iter().filter(|figure| figure.passed()).count();
    _ = writeln!(text, "reliability: {passed} tests passed, {} failed", figures.len() - passed);
    text
}

/// All figures, for programs.
pub fn json(figures: &[Figure]) -> String {
    let rows: Vec<_> = figures
        .iter()
        .map(|figure| {
            json!({
                "row": figure.number,
                "title": figure.title,
                "seed": figure.seed,
                "tries": figure.tries,
                "failures": figure.failures.iter().map(|failure| json!({
                    "try": failure.index,
                    "message": failure.message,
                })).collect::<Vec<_>>(),
                "bound": figure.bound(),
                "controls": figure.controls,
                "notes": figure.notes,
                "missing": figure.missing,
                "seconds": figure.time.as_secs_f64(),
                "passed": figure.passed(),
            })
        })
        .collect();
    serde_json::to_string_pretty(&rows).expect("figures are data")
}
