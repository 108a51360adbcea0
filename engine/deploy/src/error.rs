//! Why a rollout cannot go on, and what to type next.

use model::Diagnostic;

use crate::api::ApiError;
use crate::bundle::{BundleError, Requirement};
use crate::cluster::ClusterError;
use crate::diagnosis::Diagnosis;
use crate::lock::LockError;
use crate::plan::PlanError;
use crate::port_forward::ForwardError;
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
    /// The lock was not obtained.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The lock was lost.
    #[error("another rollout took over while this one was not heard of; nothing more is changed")]
    LockLost,
    /// A request failed.
    #[error(transparent)]
    Api(#[from] ApiError),
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
    /// The user stopped.
    #[error("stopped; the same command goes on from here")]
    Cancelled,
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
            Self::Plan(errors) => errors.iter().map(|error| with_hints(error, error.hints())).collect(),
            Self::Failed { diagnoses, .. } => {
                let blocks = diagnoses.iter().map(|diagnosis| Diagnostic::error(diagnosis.to_string()));
                blocks.chain([Diagnostic::error(self.to_string())]).collect()
            }
            error => vec![with_hints(error, error.hints())],
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
            Self::PlanOutdated(_) => vec!["run again: a new plan is made".into()],
            Self::Lock(LockError::Held { .. }) => vec!["wait for it, then run again".into()],
            Self::Api(error) if error.is_forbidden() => {
                vec![
                    "the credentials of the context may not do this; ask for the rights, or use another context".into(),
                ]
            }
            _ => Vec::new(),
        }
    }
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
