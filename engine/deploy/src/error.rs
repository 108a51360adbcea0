//! Why a rollout cannot go on, and what to type next.

use std::collections::{BTreeMap, BTreeSet};

use model::Diagnostic;

use crate::api::ApiError;
use crate::bundle::{BundleError, Requirement};
use crate::cluster::ClusterError;
use crate::diagnosis::Diagnosis;
use crate::lock::LockError;
use crate::plan::PlanError;
use crate::port_forward::ForwardError;
use crate::record::RecordError;
use crate::rollback::Rollback;

/// A rollout that ended without the release running.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The environment has no cluster.
    #[error("{0} runs on this machine, not on a cluster")]
    NotACluster(String),
    /// The cluster cannot be used.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Each branch has its own namespace, and no branch is known.
    #[error("{0} has a namespace for each branch, but the branch is not known")]
    NoBranch(String),
    /// The environment takes clean checkouts only.
    #[error("{environment} takes only what is committed, and this checkout {state}")]
    NotClean {
        /// The environment.
        environment: String,
        /// What is known of the checkout.
        state: &'static str,
    },
    /// The release has not passed the environment before this one.
    #[error(
        "{environment} takes only releases that {} has run with passing smoke tests; release {release} {state}",
        requirement.label
    )]
    NotVerified {
        /// The environment.
        environment: String,
        /// What it requires.
        requirement: Requirement,
        /// The release.
        release: String,
        /// What that environment's record says.
        state: String,
    },
    /// Objects cannot be planned.
    #[error("{}", lines(.0))]
    Plan(Vec<PlanError>),
    /// Something changed between plan and application.
    #[error("the environment changed since the plan was made: {0}")]
    PlanOutdated(String),
    /// Another rollout began after this one was planned, and went first: this one would undo it.
    #[error("another rollout began after this one was planned, and went first; nothing is changed")]
    Overtaken,
    /// The lock was not obtained.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The lock was lost.
    #[error("nothing more is changed: {0}")]
    LockLost(String),
    /// The record of the environment is no base to go on from.
    #[error(transparent)]
    Record(RecordError),
    /// A request failed.
    #[error(transparent)]
    Api(ApiError),
    /// A port could not be forwarded.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// Services did not get ready.
    #[error("{} did not get ready; {rollback}", services(.diagnoses))]
    Failed {
        /// Why, one for each.
        diagnoses: Vec<Diagnosis>,
        /// What was done about it.
        rollback: Rollback,
    },
    /// An object was refused after others had been written.
    #[error("{cause}; {rollback}")]
    HalfWay {
        /// What was refused.
        cause: ApiError,
        /// What was done about it.
        rollback: Rollback,
    },
    /// The user stopped.
    #[error("stopped; the same command goes on from here")]
    Cancelled,
}

impl From<ApiError> for DeployError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::LockLost { why } => Self::LockLost(why),
            error => Self::Api(error),
        }
    }
}

impl From<RecordError> for DeployError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Api(error) => error.into(),
            error => Self::Record(error),
        }
    }
}

fn lines(errors: &[PlanError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

fn services(diagnoses: &[Diagnosis]) -> String {
    let names: Vec<&str> = diagnoses.iter().map(|diagnosis| diagnosis.service.as_str()).collect();
    names.join(", ")
}

impl DeployError {
    /// The error as messages to the user: one for each thing that is wrong, with hints.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        match self {
            Self::Plan(errors) => {
                let alone = |error: &&PlanError| !error.is_forbidden() && !matches!(error, PlanError::Foreign { .. });
                let alone = errors.iter().filter(alone).map(|error| with_hints(error, error.hints()));
                let rights = missing_rights(errors.iter().filter(|error| error.is_forbidden()));
                alone.chain(foreign(errors)).chain(rights).collect()
            }
            Self::Failed { diagnoses, .. } => {
                let blocks = diagnoses.iter().map(|diagnosis| Diagnostic::error(diagnosis.to_string()));
                blocks.chain([Diagnostic::error(self.to_string())]).collect()
            }
            error => vec![with_hints(error, error.hints())],
        }
    }

    /// Whether the cluster is the cause, and not the release: it does not answer, or denies a right.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Cluster(_) | Self::Api(_) | Self::Lock(LockError::Api(_)) => true,
            Self::Plan(errors) => errors.iter().all(PlanError::is_environment),
            _ => false,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Cluster(error) => error.hints(),
            Self::NoBranch(_) => vec!["name it: --branch=<name>".into()],
            Self::NotClean { .. } => vec!["commit or stash your changes: `git status`".into()],
            Self::NotVerified { requirement, .. } => {
                vec![format!("run it there first: `build run` of the deploy target of {}", requirement.label)]
            }
            Self::Overtaken => vec!["see what runs now: run again with --plan".into()],
            Self::PlanOutdated(_) => vec!["run again: a new plan is made".into()],
            Self::Lock(LockError::Held { .. }) => vec!["wait for it, then run again".into()],
            Self::LockLost(_) => vec!["see what runs now, then run again: it goes on from there".into()],
            Self::Record(error) => error.hints(),
            Self::Api(error) if error.is_forbidden() => {
                vec![
                    "the credentials of the context may not do this; ask for the rights, or use another context".into(),
                ]
            }
            _ => Vec::new(),
        }
    }
}

/// Objects that belong to others, in one message for each owner: two environments in one namespace collide everywhere.
fn foreign(errors: &[PlanError]) -> Vec<Diagnostic> {
    let mut owners: BTreeMap<&str, Diagnostic> = BTreeMap::new();
    for error in errors {
        let PlanError::Foreign { object, owner, .. } = error else { continue };
        let known = owners.remove(owner.as_str());
        let diagnostic = match known {
            Some(diagnostic) => diagnostic.note(format!("so does {object}")),
            None => with_hints(error, error.hints()),
        };
        owners.insert(owner, diagnostic);
    }
    owners.into_values().collect()
}

/// Rights that lack, in one message: who may not write one kind may often not write any.
fn missing_rights<'a>(errors: impl Iterator<Item = &'a PlanError>) -> Option<Diagnostic> {
    let messages: Vec<String> = errors.map(ToString::to_string).collect();
    let first = messages.first()?;
    // `...: User "ann" cannot patch resource "services" in API group "" in the namespace "x"`
    let user = first.split("User \"").nth(1).and_then(|rest| rest.split('"').next());
    let lacking: BTreeSet<String> = messages
        .iter()
        .filter_map(|message| {
            Some(message.split("\" cannot ").nth(1)?.split(" in API group").next()?.replace("resource ", ""))
        })
        .collect();
    let message = match user.filter(|_| !lacking.is_empty()) {
        Some(user) => format!("the cluster does not let `{user}` do what the rollout needs"),
        None => first.clone(),
    };
    let diagnostic = lacking.iter().fold(Diagnostic::error(message), |diagnostic, right| {
        diagnostic.note(format!("may not {}", right.replace('"', "")))
    });
    Some(diagnostic.hint("ask for these rights, or use the credentials of another user in the context"))
}

fn with_hints(error: &dyn std::error::Error, hints: Vec<String>) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !diagnostic.message.contains(&text) && diagnostic.notes.last() != Some(&text) {
            diagnostic = diagnostic.note(text);
        }
        source = cause.source();
    }
    hints.into_iter().fold(diagnostic, Diagnostic::hint)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn forbidden(verb: &str, plural: &str) -> PlanError {
        let message = format!(
            "{plural} \"web\" is forbidden: User \"ann\" cannot {verb} resource \"{plural}\" in API group \"\" in the namespace \"x\""
        );
        let status = Box::new(Status::failure(&message, "Forbidden").with_code(403));
        PlanError::Api(ApiError::Refused { verb: "plan", what: format!("{plural}/web"), status })
    }

    #[test]
    fn objects_of_another_owner_are_one_message() {
        let foreign = |name: &str| PlanError::Foreign {
            object: crate::ObjectKey { kind: "Service".into(), namespace: "x".into(), name: name.into() },
            namespace: "x".into(),
            owner: "the environment `test`".into(),
        };
        let diagnostics = DeployError::Plan(vec![foreign("a"), foreign("b")]).diagnostics();
        assert_eq!(diagnostics.len(), 1);
        assert!(diagnostics[0].message.starts_with("Service/a exists in the namespace `x`"), "{}", diagnostics[0]);
        assert_eq!(diagnostics[0].notes, ["so does Service/b"]);
    }

    #[test]
    fn missing_rights_are_one_message() {
        let errors =
            vec![forbidden("patch", "services"), forbidden("patch", "services"), forbidden("get", "configmaps")];
        let error = DeployError::Plan(errors);
        let diagnostics = error.diagnostics();
        assert!(error.is_environment());
        assert_eq!(diagnostics.len(), 1);
        assert_eq!(diagnostics[0].message, "the cluster does not let `ann` do what the rollout needs");
        assert_eq!(diagnostics[0].notes, ["may not get configmaps", "may not patch services"]);
    }
}
