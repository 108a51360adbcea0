//! `build fetch`: brings everything that targets need from outside into the store, so that a build works offline.

use std::sync::Arc;

use model::{ActionKind, Artifact, TargetKey};

use crate::build::fail_if_failed;
use crate::error::{Error, ErrorKind};
use crate::plan::Request;
use crate::session::Session;
use crate::sources::WorkspaceSources;

/// Runs the downloads among the actions of the targets; returns how many archives are in the store afterwards.
pub async fn fetch(session: &Session, patterns: &[String]) -> Result<usize, Error> {
    let loader = session.loader()?;
    let labels = Request::targets(patterns).labels(session, loader)?;
    let mut keys: Vec<TargetKey> = labels.iter().map(|label| session.key(label)).collect();
    keys.push(session.shell_key(loader));
    let analysis = analysis::analyse(loader, &keys, &session.analysis_options(loader), &*session.reporter)
        .map_err(|error| Error::of(ErrorKind::Build, error))?;
    let is_download =
        |kind: &ActionKind| matches!(kind, ActionKind::Builtin { name, .. } if crate::builtins::is_download(name));
    let wanted: Vec<Artifact> = analysis
        .actions
        .iter()
        .filter(|action| is_download(&action.kind))
        .flat_map(|action| action.outputs.iter().cloned())
        .collect();
    let executor = session.executor(Arc::new(WorkspaceSources::new(session, loader)), None)?;
    let outcome = executor.execute(&analysis.actions, &wanted).await;
    if session.cancel.is_cancelled() {
        return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
    }
    fail_if_failed(&outcome.map_err(|error| Error::caused(ErrorKind::Build, &error))?)?;
    Ok(wanted.len())
}
