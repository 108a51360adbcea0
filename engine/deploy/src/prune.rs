//! Removal of what left the release: only objects of the inventory, only the very ones that a rollout made.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::ApiError;
use crate::cluster::Cluster;
use crate::names;
use crate::object::{Object, ObjectKey};
use crate::plan::fence;
use crate::record::Member;

/// How many ConfigMaps of earlier settings are kept for a service: ReplicaSets that a rollback goes to refer to them.
const KEPT_CONFIG_MAPS: usize = 2;
/// How often an object is read again that changed before it was removed.
const TRIES: usize = 20;

/// The inventory once these objects are applied: they, and what earlier rollouts made. What left the release is marked.
pub(crate) fn inventory(old: &[Member], objects: &[Object], generation: u64) -> Vec<Member> {
    let mut members: BTreeMap<ObjectKey, Member> = old.iter().map(|member| (member.key(), member.clone())).collect();
    for member in members.values_mut() {
        member.retired.get_or_insert(generation);
    }
    for object in objects.iter().filter(|object| object.kind.prunable) {
        let key = object.key();
        let uid = members.get(&key).map(|member| member.uid.clone()).unwrap_or_default();
        members.insert(key, Member::of(object, uid));
    }
    members.into_values().collect()
}

/// What is to be removed: members that are not among the objects, but for the last ConfigMaps of services that stay.
pub(crate) fn removals(old: &[Member], objects: &[Object], generation: u64) -> Vec<Member> {
    let services: BTreeSet<&str> = objects.iter().map(service_of).collect();
    let mut retired: Vec<Member> =
        inventory(old, objects, generation).into_iter().filter(|member| member.retired.is_some()).collect();
    retired.sort_by_key(|member| std::cmp::Reverse(member.retired));
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    retired.retain(|member| {
        if member.kind != "ConfigMap" || !services.contains(member.service.as_str()) {
            return true;
        }
        let count = kept.entry(member.service.clone()).or_default();
        *count += 1;
        *count > KEPT_CONFIG_MAPS
    });
    retired
}

/// What is to be removed after a return to `objects`: all that the failed release alone had, its settings too, and what
/// would have been removed anyway.
pub(crate) fn leftovers(inventory: &[Member], objects: &[Object], generation: u64) -> Vec<Member> {
    let back: BTreeSet<ObjectKey> = objects.iter().map(Object::key).collect();
    let (mut failed, before): (Vec<Member>, Vec<Member>) =
        inventory.iter().cloned().partition(|member| member.retired.is_none() && !back.contains(&member.key()));
    failed.extend(removals(&before, objects, generation));
    failed
}

/// What is removed where, and by which rollout.
pub(crate) struct RemoveRequest<'a> {
    pub cluster: &'a Cluster,
    pub environment: &'a str,
    pub members: &'a [Member],
    pub generation: u64,
}

/// Removes members in the reverse of the order of application. Returns how many were there to remove.
pub(crate) async fn remove(request: &RemoveRequest<'_>) -> Result<usize, ApiError> {
    let mut members: Vec<&Member> = request.members.iter().collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.known_kind().map(|kind| kind.rank())));
    let mut removed = 0;
    for member in members {
        removed += usize::from(remove_one(request, member).await?);
    }
    Ok(removed)
}

/// Removes a member as it is read here; one that changes under our eyes is read again.
async fn remove_one(request: &RemoveRequest<'_>, member: &Member) -> Result<bool, ApiError> {
    let cluster = request.cluster;
    let Some(kind) = member.known_kind().filter(|kind| kind.prunable) else { return Ok(false) };
    let mut tries = 0;
    loop {
        let Some(live) = cluster.get(kind, &member.namespace, &member.name).await? else { return Ok(false) };
        let metadata = &live["metadata"];
        let ours = metadata["labels"][names::MANAGED_BY] == names::MANAGER
            && metadata["labels"][names::INSTANCE] == request.environment
            && (member.uid.is_empty() || metadata["uid"] == member.uid.as_str());
        if !ours {
            return Ok(false);
        }
        if fence(&live) > request.generation {
            return Err(ApiError::LockLost { why: "a later rollout went on without it".into() });
        }
        match cluster.delete(kind, &member.namespace, &live).await {
            Err(error) if error.is_stale() && tries < TRIES => tries += 1,
            removed => return removed,
        }
    }
}

fn service_of(object: &Object) -> &str {
    object.value["metadata"]["labels"][names::NAME].as_str().unwrap_or_default()
}

impl Member {
    fn of(object: &Object, uid: String) -> Self {
        let key = object.key();
        Self {
            kind: key.kind,
            group: object.kind.group.to_owned(),
            namespace: key.namespace,
            name: key.name,
            uid,
            hash: object.digest().short(),
            service: service_of(object).to_owned(),
            retired: None,
        }
    }

    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey { kind: self.kind.clone(), namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &'static str, service: &str, name: &str) -> Object {
        Object::new(kind, "ns", name, &json!({ names::NAME: service }), "//s:s")
    }

    /// Rolls out each set of (kind, service, name) in turn and tells what the last one removes.
    fn removed(rollouts: &[&[(&'static str, &str, &str)]]) -> String {
        let (mut members, mut removed) = (Vec::new(), Vec::new());
        for (generation, set) in rollouts.iter().enumerate() {
            let objects: Vec<Object> = set.iter().map(|(kind, service, name)| object(kind, service, name)).collect();
            removed = removals(&members, &objects, generation as u64);
            members = inventory(&members, &objects, generation as u64);
            members.retain(|member| !removed.iter().any(|gone| gone.key() == member.key()));
        }
        let names: Vec<String> = removed.iter().map(|member| format!("{}/{}", member.kind, member.name)).collect();
        names.join(" ")
    }

    #[test]
    fn a_service_that_left_goes_with_all_its_objects() {
        let both = &[("Deployment", "a", "a"), ("Deployment", "b", "b"), ("ConfigMap", "b", "b-1")][..];
        assert_eq!(removed(&[both, &[("Deployment", "a", "a")]]), "ConfigMap/b-1 Deployment/b");
        assert_eq!(removed(&[both, both]), "");
    }

    #[test]
    fn the_last_config_maps_of_a_service_stay() {
        let map = |name: &'static str| [("ConfigMap", "a", name)];
        assert_eq!(removed(&[&map("a-1"), &map("a-2")]), "");
        assert_eq!(removed(&[&map("a-1"), &map("a-2"), &map("a-3")]), "");
        assert_eq!(removed(&[&map("a-1"), &map("a-2"), &map("a-3"), &map("a-4")]), "ConfigMap/a-1");
        assert_eq!(removed(&[&map("a-1"), &map("a-2"), &map("a-1"), &map("a-3"), &map("a-4")]), "ConfigMap/a-2");
    }

    #[test]
    fn a_return_leaves_nothing_of_the_failed_release() {
        let objects = |set: &[(&'static str, &str, &str)]| -> Vec<Object> {
            set.iter().map(|(kind, service, name)| object(kind, service, name)).collect()
        };
        let first = objects(&[("Deployment", "a", "a"), ("ConfigMap", "a", "a-1")]);
        let good = objects(&[("Deployment", "a", "a"), ("ConfigMap", "a", "a-2")]);
        let failed = objects(&[
            ("Deployment", "a", "a"),
            ("ConfigMap", "a", "a-3"),
            ("Deployment", "new", "new"),
            ("Service", "new", "new"),
        ]);
        let mut members = inventory(&inventory(&inventory(&[], &first, 1), &good, 2), &failed, 3);
        let gone = leftovers(&members, &good, 3);
        let names: Vec<String> = gone.iter().map(|member| format!("{}/{}", member.kind, member.name)).collect();
        assert_eq!(names, ["ConfigMap/a-3", "Deployment/new", "Service/new"], "the settings before stay");
        // A second try of the failed release, whose objects an earlier one had made.
        members = inventory(&members, &failed, 4);
        assert_eq!(leftovers(&members, &good, 4).len(), 3);
    }

    #[test]
    fn data_and_namespaces_are_never_removed() {
        let all = &[("Namespace", "", "ns"), ("PersistentVolumeClaim", "a", "a-state"), ("Service", "a", "a")][..];
        assert_eq!(removed(&[all, &[]]), "Service/a");
    }
}
