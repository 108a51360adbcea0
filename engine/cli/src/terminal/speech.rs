//! What is said of an event, and at the end of all. Each log is said once, whole, after a line that names its action.

use std::time::Duration;

use model::{ActionOutcome, Event, Label, TestStatus};

use super::Settings;
use super::state::State;
use crate::arguments::TestOutput;
use crate::diagnostics::render;
use crate::style::{count, duration, size};

/// How events are put into words.
pub struct Speech(pub Settings);

impl Speech {
    /// The lines for an event, without a newline at the end; `None` if it is only counted.
    pub fn say(&self, event: &Event, state: &mut State) -> Option<String> {
        match event {
            // A command that runs actions twice, such as a rollout with its smoke tests, says this once.
            Event::ActionsPlanned { total } if self.0.every_step && *total > 0 && state.planned == Some(*total) => {
                Some(planned(*total, state))
            }
            // What there is to say of a test comes with the test's own event.
            Event::ActionFinished { test: true, .. } => None,
            Event::ActionFinished { label, mnemonic, outcome, log, duration, .. } => {
                self.action(label, mnemonic, *outcome, log, *duration, state)
            }
            Event::TestFinished { status, .. } if *status != TestStatus::Passed && state.stopping => None,
            Event::TestFinished { label, status, cached, log, duration } => {
                Some(self.test(label, *status, *cached, log, *duration))
            }
            Event::TransferFinished { id } => {
                let transfer = state.transfers.remove(id)?;
                let time = duration(transfer.since.elapsed());
                let said = format!("{}: {} in {time}", transfer.what, size(transfer.done));
                self.0.every_step.then_some(said)
            }
            Event::Diagnosed(diagnostic) => Some(render(diagnostic, self.0.style)),
            Event::Progress { phase, message } => {
                Some(format!("{} {message}", self.0.style.accent(&format!("{phase:6}"))))
            }
            _ => None,
        }
    }

    fn action(
        &self,
        label: &Label,
        mnemonic: &str,
        outcome: ActionOutcome,
        log: &str,
        time: Duration,
        state: &State,
    ) -> Option<String> {
        let (style, log) = (self.0.style, log.trim_end());
        match outcome {
            ActionOutcome::Failed if state.stopping => None,
            ActionOutcome::Failed => {
                let head = format!("{}: {mnemonic} {}", style.bad("FAILED"), style.strong(&label.to_string()));
                Some(with_log(head, log))
            }
            ActionOutcome::Ran if self.0.every_step => {
                let position = format!("[{}/{}]", state.done(), state.planned.unwrap_or(0));
                Some(with_log(format!("{position} {mnemonic} {label} {}", duration(time)), log))
            }
            ActionOutcome::Ran if !log.is_empty() => Some(with_log(format!("{mnemonic} {label} says:"), log)),
            ActionOutcome::Ran | ActionOutcome::Cached | ActionOutcome::Skipped => None,
        }
    }

    fn test(&self, label: &Label, status: TestStatus, cached: bool, log: &str, time: Duration) -> String {
        let (style, time) = (self.0.style, duration(time));
        let result = match status {
            TestStatus::Passed if cached => format!("(cached) {}", style.good("PASSED")),
            TestStatus::Passed => format!("{} in {time}", style.good("PASSED")),
            TestStatus::Failed => format!("{} in {time}", style.bad("FAILED")),
            TestStatus::TimedOut => format!("{} after {time}", style.bad("TIMED OUT")),
            TestStatus::NotBuilt => style.bad("NOT BUILT"),
        };
        let line = format!("{label}  {result}");
        let shown = match self.0.test_output {
            TestOutput::All => true,
            TestOutput::Errors => status != TestStatus::Passed,
            // Without the reason a test that could not be built would be a riddle.
            TestOutput::Summary => status == TestStatus::NotBuilt,
        };
        if shown { with_log(line, log.trim_end()) } else { line }
    }

    /// The last lines of a command that ran actions or tests.
    pub fn summary(&self, state: &State) -> Vec<String> {
        let mut lines: Vec<String> = self.tests(state).into_iter().collect();
        if state.planned.is_some() {
            let failed = format!("{} failed", state.failed);
            let failed = if state.failed > 0 { self.0.style.bad(&failed) } else { failed };
            let skipped = if state.skipped > 0 { format!(", {} skipped", state.skipped) } else { String::new() };
            lines.push(format!(
                "{}: {} ran, {} cached, {failed}{skipped}; {:.1} s",
                count(state.done(), "action"),
                state.ran,
                state.cached,
                state.started.elapsed().as_secs_f64()
            ));
        }
        lines
    }

    fn tests(&self, state: &State) -> Option<String> {
        if state.tests.is_empty() {
            return None;
        }
        let style = self.0.style;
        let (passed, cached) = state.tests_with(TestStatus::Passed);
        let (failed, _) = state.tests_with(TestStatus::Failed);
        let good = format!("{} passed", count(passed, "test"));
        let mut parts = vec![if passed > 0 { style.good(&good) } else { good }];
        let bad = format!("{failed} failed");
        parts.push(if failed > 0 { style.bad(&bad) } else { bad });
        for (status, word) in [(TestStatus::TimedOut, "timed out"), (TestStatus::NotBuilt, "not built")] {
            let (number, _) = state.tests_with(status);
            if number > 0 {
                parts.push(style.bad(&format!("{number} {word}")));
            }
        }
        let cached = if cached > 0 { format!(" ({cached} cached)") } else { String::new() };
        Some(format!("result: {}{cached}", parts.join(", ")))
    }
}

fn planned(total: usize, state: &State) -> String {
    let (packages, targets) = (count(state.loaded, "package"), count(state.analysed, "target"));
    format!("loaded {packages}, analysed {targets}; up to {} to run", count(total, "action"))
}

fn with_log(head: String, log: &str) -> String {
    if log.is_empty() { head } else { format!("{head}\n{log}") }
}
