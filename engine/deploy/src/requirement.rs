//! What an environment demands before it takes a release: a clean checkout, and a proof from the environment before it.

use crate::bundle::{Bundle, Requirement};
use crate::cluster::Cluster;
use crate::error::DeployError;
use crate::record::{self, Record, Smoke};

/// What is known of the checkout a bundle was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Its revision.
    pub revision: Option<String>,
    /// Whether it has changes that are not in that revision; `None` when it is no repository.
    pub dirty: Option<bool>,
}

/// Checks all demands.
pub(crate) async fn check(bundle: &Bundle, cluster: &Cluster, source: &Source) -> Result<(), DeployError> {
    let environment = &bundle.environment;
    if environment.clean {
        let state = match source.dirty {
            Some(false) => None,
            Some(true) => Some("has local changes"),
            None => Some("is not a repository"),
        };
        if let Some(state) = state {
            return Err(DeployError::NotClean { environment: environment.label.clone(), state });
        }
    }
    match &environment.requires {
        Some(requirement) => check_verified(bundle, cluster, requirement).await,
        None => Ok(()),
    }
}

async fn check_verified(bundle: &Bundle, cluster: &Cluster, requirement: &Requirement) -> Result<(), DeployError> {
    let other = cluster.other(&requirement.cluster).await?;
    let recorded = record::read(&other, &requirement.namespace, &requirement.name).await?;
    let release = bundle.release.digest().to_hex();
    if recorded.record.verified(&release).is_some() {
        return Ok(());
    }
    Err(DeployError::NotVerified {
        environment: bundle.environment.label.clone(),
        requirement: requirement.clone(),
        release: bundle.release.digest().short(),
        state: state_of(&recorded.record, &release).into(),
    })
}

fn state_of(record: &Record, release: &str) -> &'static str {
    match record.deployed.iter().find(|deployed| deployed.release == release).map(|deployed| deployed.smoke) {
        Some(Smoke::Failed) => "failed its smoke tests there",
        Some(_) => "ran there without its smoke tests",
        None => "never ran there",
    }
}
