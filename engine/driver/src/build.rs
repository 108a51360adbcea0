//! `build build`: targets to outputs in `build-out/`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use analysis::Analysis;
use execution::{Outcome, Stats};
use model::{Action, Artifact, ConfiguredTarget, Label, TargetKey, TargetPattern};

use crate::error::{Error, ErrorKind};
use crate::outputs;
use crate::session::Session;

/// What a build made.
#[derive(Debug, Default)]
pub struct BuildReport {
    /// The targets asked for, with where their default outputs are shown.
    pub targets: Vec<(Label, Vec<PathBuf>)>,
    /// How many actions ran, were cached, failed.
    pub stats: Stats,
}

/// Builds all targets that the patterns match.
pub async fn build(session: &Session, patterns: &[String]) -> Result<BuildReport, Error> {
    let keys: Vec<TargetKey> = expand(session, patterns)?.iter().map(|label| session.key(label)).collect();
    let analysis = analyse(session, &keys)?;
    let targets = requested(&analysis, keys.len());
    let wanted = targets.iter().flat_map(|target| outputs::files(&target.default_info().files)).collect::<Vec<_>>();
    let outcome = run_actions(session, &analysis.actions, &wanted).await?;
    fail_if_failed(&outcome)?;
    show(session, &targets, &outcome)
}

fn show(session: &Session, targets: &[Arc<ConfiguredTarget>], outcome: &Outcome) -> Result<BuildReport, Error> {
    let mut report = BuildReport { stats: outcome.stats, ..BuildReport::default() };
    let mut placed = BTreeMap::new();
    for target in targets {
        let mut paths = Vec::new();
        for artifact in outputs::files(&target.default_info().files) {
            if artifact.root() == model::ArtifactRoot::Source {
                continue;
            }
            let path = outputs::shown_at(&session.root, &artifact);
            placed.insert(path.clone(), &outcome.contents[artifact.path()]);
            paths.push(path);
        }
        report.targets.push((target.label().clone(), paths));
    }
    outputs::place(&session.store, &placed)?;
    Ok(report)
}

/// The labels that the patterns match; an error when there is none.
pub(crate) fn expand(session: &Session, patterns: &[String]) -> Result<Vec<Label>, Error> {
    let parse = |text: &String| {
        let parsed = TargetPattern::parse(text, &session.package);
        parsed.map_err(|error| Error::new(ErrorKind::CommandLine, error.to_string()))
    };
    let patterns: Vec<TargetPattern> = patterns.iter().map(parse).collect::<Result<_, _>>()?;
    if patterns.is_empty() {
        let error = Error::new(ErrorKind::CommandLine, "no target was named");
        return Err(error.hint("`build build //...` builds everything; `build query //...` lists it"));
    }
    session.loader.expand(&patterns).map_err(|error| Error::of(ErrorKind::Build, error))
}

/// Analyses configured targets.
pub(crate) fn analyse(session: &Session, keys: &[TargetKey]) -> Result<Analysis, Error> {
    analysis::analyse(&session.loader, keys, &session.analysis_options(), &*session.reporter)
        .map_err(|error| Error::of(ErrorKind::Build, error))
}

/// The first `count` of the targets that an analysis was asked for.
pub(crate) fn requested(analysis: &Analysis, count: usize) -> Vec<Arc<ConfiguredTarget>> {
    (0..count).filter_map(|index| analysis.requested_target(index).cloned()).collect()
}

/// Runs actions; failures of actions are in the outcome, not in the error.
pub(crate) async fn run_actions(
    session: &Session,
    actions: &[Arc<Action>],
    wanted: &[Artifact],
) -> Result<Outcome, Error> {
    let outcome = session.executor().execute(actions, wanted).await;
    if session.cancel.is_cancelled() {
        return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
    }
    outcome.map_err(|error| Error::caused(ErrorKind::Build, &error))
}

/// An error without text when an action failed: its log was reported when it happened.
pub(crate) fn fail_if_failed(outcome: &Outcome) -> Result<(), Error> {
    if outcome.failures.is_empty() {
        return Ok(());
    }
    Err(Error { kind: ErrorKind::Build, diagnostics: Vec::new() })
}
