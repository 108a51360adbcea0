//! Names and labels that the rollout gives to objects. Changing one orphans what runs already.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::bundle::Bundle;

/// The field manager, and the value of the `managed-by` label.
pub const MANAGER: &str = "build";
/// The standard label for it.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The service's name.
pub const NAME: &str = "app.kubernetes.io/name";
/// The environment's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Membership in an ApplySet (KEP-3659).
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// On pod templates: the content of the template, by which a ReplicaSet is recognised as ours.
pub const TEMPLATE: &str = "build/template";
/// On objects: the rollout that made sure that no earlier one can write them any more.
pub const FENCE: &str = "build/fence";

/// The labels of every object of a service.
pub fn object_labels(bundle: &Bundle, namespace: &str, service: &str) -> Json {
    let environment = &bundle.environment.name;
    json!({
        MANAGED_BY: MANAGER,
        NAME: service,
        INSTANCE: environment,
        PART_OF: applyset_id(&record_name(environment), namespace),
    })
}

/// The labels that select a service's pods. They can never change for a Deployment, so they are as few as can be.
pub fn selector(bundle: &Bundle, service: &str) -> Json {
    json!({ NAME: service, INSTANCE: bundle.environment.name })
}

/// The ConfigMap with the record and the inventory of an environment, which is also the parent of its ApplySet; and
/// its Lease.
pub fn record_name(environment: &str) -> String {
    format!("build-{environment}")
}

/// The id of the ApplySet whose parent is a ConfigMap, as KEP-3659 defines it.
pub fn applyset_id(parent: &str, namespace: &str) -> String {
    let hash = Sha256::digest(format!("{parent}.{namespace}.ConfigMap.").as_bytes());
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hash))
}

/// The namespace of an environment, with a branch's name where each branch has its own.
pub fn namespace(bundle: &Bundle, branch: Option<&str>) -> String {
    let base = &bundle.environment.namespace;
    match branch.filter(|_| bundle.environment.per_branch) {
        Some(branch) => branch_namespace(base, branch),
        None => base.clone(),
    }
}

/// `<base>-<branch>` as a DNS label: other characters become `-`, and what is cut or changed is made unique by a hash.
fn branch_namespace(base: &str, branch: &str) -> String {
    let lower = branch.to_lowercase();
    let clean: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let slug = clean.trim_matches('-');
    let name = format!("{base}-{slug}");
    if slug == branch && name.len() <= 63 {
        return name;
    }
    let hash = &model::Digest::of(branch.as_bytes()).to_hex()[..6];
    let kept: String = name.chars().take(63 - 7).collect();
    format!("{}-{hash}", kept.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_becomes_a_namespace() {
        assert_eq!(branch_namespace("test", "main"), "test-main");
        let changed = branch_namespace("test", "Feature/X_1");
        assert!(changed.starts_with("test-feature-x-1-") && changed.len() < 63, "{changed}");
        let long = branch_namespace("test", &"b".repeat(100));
        assert_eq!(long.len(), 63);
        assert_ne!(long, branch_namespace("test", &"b".repeat(101)));
    }

    #[test]
    fn the_applyset_id_is_the_one_of_the_kep() {
        // base64url(sha256("<name>.<namespace>.<kind>.<group>")), 43 characters without padding.
        let id = applyset_id("build-staging", "staging");
        assert_eq!(id.len(), "applyset-".len() + 43 + "-v1".len());
    }
}
