//! Deployment, ConfigMap, PersistentVolumeClaim and PodDisruptionBudget of a service.

use serde_json::{Value as Json, json};

use super::Context;
use crate::bundle::BundleError;
use crate::names;
use crate::object::{Object, digest_of};

/// Seconds without progress after which Kubernetes itself gives up on a rollout.
const PROGRESS_DEADLINE: u64 = 120;

impl Context<'_> {
    /// The settings, immutable and with their hash in the name: a change makes a new object and with it new pods, and
    /// the pods of the old release keep the old one.
    pub(super) fn config_map(&self) -> Result<Option<Object>, BundleError> {
        let data = self.bundle.own_env(self.service)?;
        if data.is_empty() {
            return Ok(None);
        }
        let data = json!(data);
        let hash = &digest_of(&data).to_hex()[..10];
        let name = format!("{}-{hash}", self.name);
        let mut object = self.object("ConfigMap", &name).with("immutable", Json::Bool(true)).with("data", data);
        object = object.from("/data", &self.service.label, "env");
        for (key, setting) in &self.service.env {
            if let crate::bundle::Setting::Var(var) = setting {
                let given = self.bundle.environment.values.contains_key(&var.var);
                let (label, attribute) = match given {
                    true => (&self.bundle.environment.label, format!("values[\"{}\"]", var.var)),
                    false => (&self.service.label, format!("env[\"{key}\"], default")),
                };
                object = object.from(&format!("/data/{key}"), label, &attribute);
            }
        }
        Ok(Some(object))
    }

    /// Keeps one pod up while nodes are drained.
    pub(super) fn disruption_budget(&self) -> Option<Object> {
        if self.bundle.replicas(self.name, self.service) < 2 {
            return None;
        }
        let spec = json!({"maxUnavailable": 1, "selector": {"matchLabels": self.selector()}});
        let (label, attribute) = self.replicas_origin();
        Some(self.object("PodDisruptionBudget", self.name).with("spec", spec).from("/spec", label, attribute))
    }

    /// The volume for the state, where the environment keeps it.
    pub(super) fn volume_claim(&self) -> Option<Object> {
        let state = self.service.state.as_ref().filter(|_| self.bundle.environment.persistent)?;
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": state.size}}});
        let claim = self.object("PersistentVolumeClaim", &self.claim_name()).with("spec", spec);
        Some(claim.from("/spec", &self.service.label, "state_size"))
    }

    pub(super) fn claim_name(&self) -> String {
        format!("{}-state", self.name)
    }

    /// The workload.
    pub(super) fn deployment(&self, config: Option<&Object>) -> Result<Object, BundleError> {
        let pod = self.pod_spec(config)?;
        let mut labels = self.selector();
        labels[names::MANAGED_BY] = json!(names::MANAGER);
        let annotations = json!({ names::TEMPLATE: digest_of(&pod).short() });
        let spec = json!({
            "replicas": self.bundle.replicas(self.name, self.service),
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": PROGRESS_DEADLINE.min(self.bundle.environment.timeout),
            "strategy": self.strategy(),
            "selector": {"matchLabels": self.selector()},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        });
        let mut deployment = self.object("Deployment", self.name).with("spec", spec);
        for (pointer, attribute) in self.container_origins()? {
            let pointer = format!("/spec/template/spec/containers/0{pointer}");
            deployment = deployment.from(&pointer, &self.service.label, &attribute);
        }
        let (label, attribute) = self.replicas_origin();
        Ok(deployment
            .from("/spec/replicas", label, attribute)
            .from("/spec/strategy", &self.service.label, if self.service.state.is_some() { "state" } else { "name" })
            .from("/spec/progressDeadlineSeconds", &self.bundle.environment.label, "timeout_seconds")
            .from("/spec/template/spec/volumes/1", &self.service.label, "state"))
    }

    /// `rollingUpdate` is owned from the first day: a server default left behind would forbid a later `Recreate`. A
    /// pod is only taken away when its successor is ready, so a release that never gets ready leaves the old one
    /// serving; but two pods must not write one state.
    fn strategy(&self) -> Json {
        match &self.service.state {
            Some(_) => json!({"type": "Recreate"}),
            None => json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        }
    }

    fn replicas_origin(&self) -> (&str, &'static str) {
        match self.bundle.environment.replicas.contains_key(self.name) {
            true => (&self.bundle.environment.label, "replicas"),
            false => (&self.service.label, "replicas"),
        }
    }

    fn container_origins(&self) -> Result<Vec<(String, String)>, BundleError> {
        let mut origins: Vec<(String, String)> = [
            ("/image", "image"),
            ("/args", "args"),
            ("/envFrom", "env"),
            ("/resources", "resources"),
            ("/startupProbe", "probe"),
            ("/readinessProbe", "probe"),
            ("/livenessProbe", "probe"),
            ("/volumeMounts/1", "state"),
        ]
        .map(|(pointer, attribute)| (pointer.to_owned(), attribute.to_owned()))
        .into();
        for (index, (protocol, _)) in self.service.ports.named().into_iter().enumerate() {
            origins.push((format!("/ports/{index}"), protocol.to_owned()));
        }
        for (index, variable) in self.container_env()?.iter().enumerate() {
            origins
                .push((format!("/env/{index}"), self.variable_origin(variable["name"].as_str().unwrap_or_default())));
        }
        Ok(origins)
    }

    fn variable_origin(&self, name: &str) -> String {
        if self.service.secrets.contains_key(name) {
            return "secrets".into();
        }
        match name {
            "POD_NAME" | "SERVICE" => "name".into(),
            "VERSION" | "IMAGE_DIGEST" => "image".into(),
            "GRPC_PORT" | "HTTP_PORT" | "METRICS_PORT" => name.trim_end_matches("_PORT").to_lowercase(),
            _ => "calls".into(),
        }
    }
}
