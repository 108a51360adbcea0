//! `build build`: targets to outputs in `build-out/`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use analysis::Analysis;
use execution::{Content, Outcome, Stats};
use model::{Action, Artifact, ConfiguredTarget, Label, RelPath, TargetPattern};

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

/// Analysed targets and the content of what was built of them.
pub(crate) struct Built {
    pub(crate) targets: Vec<Arc<ConfiguredTarget>>,
    pub(crate) contents: BTreeMap<RelPath, Content>,
    pub(crate) stats: Stats,
}

/// Builds all targets that the patterns match.
pub async fn build(session: &Session, patterns: &[String]) -> Result<BuildReport, Error> {
    let labels = expand(session, patterns)?;
    let analysis = analyse(session, &labels)?;
    let wanted = |target: &ConfiguredTarget| outputs::files(&target.default_info().files);
    let built = execute(session, &analysis, &labels, wanted).await?;
    show(session, &built)
}

fn show(session: &Session, built: &Built) -> Result<BuildReport, Error> {
    let mut report = BuildReport { stats: built.stats.clone(), ..BuildReport::default() };
    for target in &built.targets {
        let mut paths = Vec::new();
        for artifact in outputs::files(&target.default_info().files) {
            if artifact.root() == model::ArtifactRoot::Source {
                continue;
            }
            let path = outputs::shown_at(&session.root, &artifact);
            outputs::place(&session.store, &built.contents[artifact.path()], &path)?;
            paths.push(path);
        }
        report.targets.push((target.label().clone(), paths));
    }
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

/// Analyses the targets for this command's platform.
pub(crate) fn analyse(session: &Session, labels: &[Label]) -> Result<Analysis, Error> {
    let keys: Vec<_> = labels.iter().map(|label| session.key(label)).collect();
    let options = analysis::Options::new(session.exec_platform.clone());
    analysis::analyse(&session.loader, &keys, &options, &*session.reporter)
        .map_err(|error| Error::of(ErrorKind::Build, error))
}

/// Makes what `wanted` names of each target.
pub(crate) async fn execute(
    session: &Session,
    analysis: &Analysis,
    labels: &[Label],
    wanted: impl Fn(&ConfiguredTarget) -> Vec<Artifact>,
) -> Result<Built, Error> {
    let targets: Vec<Arc<ConfiguredTarget>> = labels.iter().map(|label| target(session, analysis, label)).collect();
    let artifacts: Vec<Artifact> = targets.iter().flat_map(|target| wanted(target)).collect();
    let outcome = run_actions(session, &analysis.actions, &artifacts).await?;
    fail_if_failed(&outcome)?;
    Ok(Built { targets, contents: outcome.contents, stats: outcome.stats })
}

/// The analysed target of a label that was asked for.
pub(crate) fn target(session: &Session, analysis: &Analysis, label: &Label) -> Arc<ConfiguredTarget> {
    Arc::clone(&analysis.targets[&session.key(label)])
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
