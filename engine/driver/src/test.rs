//! `build test`: builds tests and runs each as an action, so that what passed on the same content is not run again.

mod junit;
mod logs;
mod once;
mod runner;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use execution::Outcome;
use model::{Artifact, ConfiguredTarget, Data, DefaultInfo, Depset, Label, Network, Order, TestStatus};

use crate::error::{Error, ErrorKind};
use crate::plan::{Plan, Request};
use crate::session::Session;

pub(crate) use once::Once;
pub(crate) use runner::{Runner, TestFiles};

/// The results of a test command.
#[derive(Debug, Default)]
pub struct TestReport {
    /// Each test and how it ended, by label.
    pub results: Vec<TestResult>,
    /// Whether there may be more tests, in what could not be loaded or analysed; why not was reported.
    pub is_part: bool,
}

/// How one test ended.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// The test.
    pub label: Label,
    /// How it ended.
    pub status: TestStatus,
    /// Whether it ran now or its result was in the store.
    pub cached: bool,
    /// Its log.
    pub log: Arc<str>,
    /// Why it did not pass, in a sentence without a full stop.
    pub why: Option<String>,
    /// Wall time of the run.
    pub duration: Duration,
}

impl TestReport {
    /// How many tests ended in `status`.
    pub fn count(&self, status: TestStatus) -> usize {
        self.results.iter().filter(|result| result.status == status).count()
    }
}

/// Runs all tests that the patterns match.
pub async fn test(session: &Session, patterns: &[String]) -> Result<TestReport, Error> {
    let plan = Plan::open(session, &Request::tests(patterns))?;
    let count = plan.count();
    if count == 0 && plan.is_part() {
        return Err(Error::reported(ErrorKind::Build));
    }
    if count == 0 {
        let error = Error::new(ErrorKind::NoTests, "no test matches");
        return Err(error.hint("`build query 'tests(//...)'` lists all tests"));
    }
    let targets: Vec<Arc<ConfiguredTarget>> = (0..count).filter_map(|index| plan.requested(index)).collect();
    let runner = Runner::new(session, &plan, BTreeMap::new(), Network::Loopback);
    let report = run_tests(session, &plan, &targets, &runner).await;
    let mut report = plan.end(report)?;
    report.is_part = plan.is_part();
    Ok(report)
}

/// Runs the tests named and reports each.
pub(crate) async fn run_tests(
    session: &Session,
    plan: &Plan<'_>,
    tests: &[Arc<ConfiguredTarget>],
    runner: &Runner<'_>,
) -> Result<TestReport, Error> {
    let mut actions = Vec::new();
    let mut made = Vec::new();
    for test in tests {
        let (action, files) = runner.action(test)?;
        actions.push(Arc::new(action));
        made.push(files);
    }
    let wanted: Vec<Artifact> = made.iter().flat_map(TestFiles::all).cloned().collect();
    // Each test is reported by its event, as it ends.
    let outcome = plan.execute(&actions, &wanted).await?;
    let mut report = TestReport::default();
    for (test, files) in tests.iter().zip(&made) {
        let result = result_of(session, &outcome, test.label(), &files.log)?;
        logs::show(session, &outcome, files, &result)?;
        report.results.push(result);
    }
    Ok(report)
}

/// All that a program needs beside it, itself included.
pub(crate) fn runtime_inputs(info: &DefaultInfo, executable: &Artifact, shell: Option<&Artifact>) -> Depset {
    let mut direct = vec![Data::File(executable.clone())];
    direct.extend(shell.map(|shell| Data::File(shell.clone())));
    Depset { order: Order::Default, direct, transitive: vec![Arc::clone(&info.runfiles)] }
}

fn result_of(session: &Session, outcome: &Outcome, label: &Label, log: &Artifact) -> Result<TestResult, Error> {
    let failure = outcome.failures.iter().find(|failure| failure.outputs.contains(log));
    if let Some(failure) = failure {
        let (status, log) = (failure.kind.test_status(), Arc::clone(&failure.log));
        let (label, why, duration) = (label.clone(), Some(failure.message.clone()), failure.duration);
        return Ok(TestResult { label, status, cached: false, log, why, duration });
    }
    let Some(execution::Content::File { digest, .. }) = outcome.contents.get(log.path()) else {
        let log = Arc::from("");
        let status = TestStatus::NotBuilt;
        let why = Some("what it is made of could not be built".to_owned());
        return Ok(TestResult { label: label.clone(), status, cached: false, log, why, duration: Duration::ZERO });
    };
    let text = session.store.read(digest)?;
    Ok(TestResult {
        label: label.clone(),
        status: TestStatus::Passed,
        cached: outcome.was_cached(log.path()),
        log: Arc::from(String::from_utf8_lossy(&text).as_ref()),
        why: None,
        duration: outcome.duration(log.path()),
    })
}
