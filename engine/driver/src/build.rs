//! `build build`: targets to outputs in `build-out/`.

use std::path::PathBuf;

use execution::{Outcome, Stats};
use model::Label;

use crate::error::{Error, ErrorKind};
use crate::plan::{Plan, Request};
use crate::session::Session;

/// What a build made.
#[derive(Debug, Default)]
pub struct BuildReport {
    /// The targets, with where their default outputs are shown; none when there are more than were to be listed.
    pub targets: Vec<(Label, Vec<PathBuf>)>,
    /// How many actions ran, were cached, failed.
    pub stats: Stats,
    /// Whether something failed beside what was made; it was reported when it happened.
    pub failed: bool,
}

/// Builds all targets that the patterns match. Says where the outputs are if there are at most `listed` targets.
pub async fn build(session: &Session, patterns: &[String], listed: usize) -> Result<BuildReport, Error> {
    let plan = Plan::open(session, &Request::targets(patterns))?;
    let mut report = plan.end(plan.build(listed).await)?;
    report.failed |= plan.is_part();
    Ok(report)
}

/// Loads and analyses what the patterns match, and runs nothing.
pub fn analyse(session: &Session, patterns: &[String]) -> Result<(), Error> {
    let plan = Plan::open(session, &Request::targets(patterns))?;
    plan.save()?;
    if plan.is_part() { Err(Error::reported(ErrorKind::Build)) } else { Ok(()) }
}

/// An error without text when an action failed: its log was reported when it happened.
pub(crate) fn fail_if_failed(outcome: &Outcome) -> Result<(), Error> {
    if outcome.failures.is_empty() { Ok(()) } else { Err(Error::reported(ErrorKind::Build)) }
}
