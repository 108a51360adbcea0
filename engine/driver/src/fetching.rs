//! `build fetch`: brings everything that targets need from outside into the store, so that a build works offline.

use model::{ActionKind, Artifact, TargetKey};

use crate::build::{analyse, expand, fail_if_failed, run_actions};
use crate::error::Error;
use crate::session::Session;

/// Runs the downloads among the actions of the targets; returns how many archives are in the store afterwards.
pub async fn fetch(session: &Session, patterns: &[String]) -> Result<usize, Error> {
    let mut keys: Vec<TargetKey> = expand(session, patterns)?.iter().map(|label| session.key(label)).collect();
    keys.push(session.shell_key());
    let analysis = analyse(session, &keys)?;
    let is_download =
        |kind: &ActionKind| matches!(kind, ActionKind::Builtin { name, .. } if crate::builtins::is_download(name));
    let wanted: Vec<Artifact> = analysis
        .actions
        .iter()
        .filter(|action| is_download(&action.kind))
        .flat_map(|action| action.outputs.iter().cloned())
        .collect();
    let outcome = run_actions(session, &analysis.actions, &wanted).await?;
    fail_if_failed(&outcome)?;
    Ok(wanted.len())
}
