//! From a bundle to Kubernetes objects, in the order in which they are applied. Pure.

mod network;
mod pod;
mod workload;

use serde_json::{Value as Json, json};

use crate::bundle::{Bundle, BundleError, Service};
use crate::names;
use crate::object::Object;

/// Where a bundle is rendered for: what the bundle itself does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The namespace, with the branch where the environment has one for each.
    pub namespace: String,
    /// The registry's address as the cluster's nodes reach it.
    pub registry: String,
}

/// A service being rendered.
struct Context<'a> {
    bundle: &'a Bundle,
    place: &'a Place,
    name: &'a str,
    service: &'a Service,
    labels: Json,
}

/// Renders all objects of a bundle.
pub fn render(bundle: &Bundle, place: &Place) -> Result<Vec<Object>, BundleError> {
    let mut objects = Vec::new();
    if bundle.environment.create_namespace {
        objects.push(namespace(bundle, place));
    }
    for (name, service) in &bundle.release.services {
        let labels = names::object_labels(bundle, &place.namespace, name);
        let cx = Context { bundle, place, name, service, labels };
        objects.extend(cx.objects()?);
    }
    objects.sort_by_key(|object| object.kind.rank());
    Ok(objects)
}

/// Namespaces carry no label of the set: they are made, never pruned.
fn namespace(bundle: &Bundle, place: &Place) -> Object {
    let labels = json!({
        names::MANAGED_BY: names::MANAGER,
        "pod-security.kubernetes.io/enforce": "restricted",
    });
    let label = &bundle.environment.label;
    Object::new("Namespace", "", &place.namespace, &labels, label).from("", label, "namespace")
}

impl Context<'_> {
    fn objects(&self) -> Result<Vec<Object>, BundleError> {
        let mut objects =
            vec![self.object("ServiceAccount", self.name).with("automountServiceAccountToken", Json::Bool(false))];
        objects.push(self.network_policy());
        let config = self.config_map()?;
        objects.extend(self.disruption_budget());
        objects.extend(self.volume_claim());
        objects.extend(self.cluster_service());
        objects.push(self.deployment(config.as_ref())?);
        objects.extend(config);
        Ok(objects)
    }

    fn object(&self, kind: &'static str, name: &str) -> Object {
        Object::new(kind, &self.place.namespace, name, &self.labels, &self.service.label)
    }

    fn selector(&self) -> Json {
        names::selector(self.bundle, self.name)
    }
}
