//! The kinds of objects a rollout handles: their API paths, and their order.

/// A kind with all that a request needs to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `Deployment`.
    pub name: &'static str,
    /// `apps`; empty for the core group.
    pub group: &'static str,
    /// `v1`.
    pub version: &'static str,
    /// The name in paths: `deployments`.
    pub plural: &'static str,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Whether pruning may delete it. Never where that would lose data or what others own.
    pub prunable: bool,
}

const fn kind(name: &'static str, group: &'static str, plural: &'static str, prunable: bool) -> Kind {
    Kind { name, group, version: "v1", plural, namespaced: true, prunable }
}

/// All kinds in the order in which they are applied: what others refer to comes first.
pub const KINDS: [Kind; 8] = [
    Kind { namespaced: false, ..kind("Namespace", "", "namespaces", false) },
    kind("ServiceAccount", "", "serviceaccounts", true),
    kind("NetworkPolicy", "networking.k8s.io", "networkpolicies", true),
    kind("PodDisruptionBudget", "policy", "poddisruptionbudgets", true),
    kind("ConfigMap", "", "configmaps", true),
    kind("PersistentVolumeClaim", "", "persistentvolumeclaims", false),
    kind("Service", "", "services", true),
    kind("Deployment", "apps", "deployments", true),
];

/// Read or written besides the objects of a release.
pub const LEASE: Kind = kind("Lease", "coordination.k8s.io", "leases", false);
/// Read while waiting.
pub const POD: Kind = kind("Pod", "", "pods", false);
/// Read while waiting.
pub const REPLICA_SET: Kind = kind("ReplicaSet", "apps", "replicasets", false);
/// Read once all is ready.
pub const ENDPOINT_SLICE: Kind = kind("EndpointSlice", "discovery.k8s.io", "endpointslices", false);
/// Read for a diagnosis.
pub const EVENT: Kind = kind("Event", "", "events", false);
/// Read for storage.
pub const STORAGE_CLASS: Kind =
    Kind { namespaced: false, ..kind("StorageClass", "storage.k8s.io", "storageclasses", false) };
/// Looked for, never read.
pub const SECRET: Kind = kind("Secret", "", "secrets", false);

impl Kind {
    /// A kind of [`KINDS`] by its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// Its place in the order of application.
    pub fn rank(&self) -> usize {
        KINDS.iter().position(|kind| kind.name == self.name).unwrap_or(KINDS.len())
    }

    /// `apps/v1`, or `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `Deployment.apps`, or `Service`.
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.name, self.group) }
    }

    /// The path of its collection.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        match self.namespaced {
            true => format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.plural),
            false => format!("{root}/{}/{}", self.version, self.plural),
        }
    }
}
