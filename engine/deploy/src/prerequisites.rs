//! What a cluster must have before a rollout, and no rollout makes: secrets, and storage for state.

use std::collections::BTreeSet;

use crate::api::ApiError;
use crate::bundle::SecretKey;
use crate::kinds::{SECRET, STORAGE_CLASS};
use crate::object::Object;
use crate::plan::{PlanError, PlanRequest};

/// All that is missing.
pub(crate) async fn missing(request: &PlanRequest<'_>, objects: &[Object], namespace_exists: bool) -> Vec<PlanError> {
    let mut errors = missing_secrets(request, namespace_exists).await;
    errors.extend(missing_storage(request, objects).await);
    errors
}

async fn missing_secrets(request: &PlanRequest<'_>, namespace_exists: bool) -> Vec<PlanError> {
    let services = request.bundle.release.services.values();
    let needed: BTreeSet<(&str, &SecretKey)> =
        services.flat_map(|service| service.secrets.values().map(|secret| (&*service.label, secret))).collect();
    let mut seen = BTreeSet::new();
    let mut errors = Vec::new();
    for (service, secret) in needed {
        if !seen.insert((service, &secret.name)) {
            continue;
        }
        let exists = match namespace_exists {
            true => readable(request.cluster.exists(&SECRET, request.namespace, &secret.name).await),
            false => Ok(Some(false)),
        };
        match exists {
            Ok(Some(false)) => errors.push(PlanError::MissingSecret {
                service: service.to_owned(),
                secret: secret.clone(),
                namespace: request.namespace.to_owned(),
            }),
            Ok(_) => {}
            Err(error) => errors.push(error.into()),
        }
    }
    errors
}

/// A claim for which there is no class would wait for ever, and its pod with it.
async fn missing_storage(request: &PlanRequest<'_>, objects: &[Object]) -> Option<PlanError> {
    let claim = objects.iter().find(|object| object.kind.name == "PersistentVolumeClaim")?;
    let classes = match readable(request.cluster.list(&STORAGE_CLASS, "", "", "").await) {
        Ok(classes) => classes?,
        Err(error) => return Some(error.into()),
    };
    let is_default = |class: &serde_json::Value| {
        class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    };
    let key = claim.key();
    let exists = request.cluster.get(claim.kind, request.namespace, &key.name).await.is_ok_and(|claim| claim.is_some());
    (!exists && !classes.iter().any(is_default)).then(|| PlanError::NoStorage {
        object: key,
        cluster: request.cluster.context().to_owned(),
        environment: request.bundle.environment.label.clone(),
    })
}

/// Who may not look cannot tell: then nothing is missing, and the rollout itself would name it.
fn readable<T>(answer: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match answer {
        Err(error) if error.is_forbidden() => Ok(None),
        answer => answer.map(Some),
    }
}
