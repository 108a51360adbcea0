//! What a rollout waits for, and what was so before it wrote and is therefore no verdict on it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value as Json;

use super::verdict::{containers, number, text};
use crate::names::MANAGER;

/// What a rollout made of a Deployment, from the answer to its write. Status that is older, or of another object,
/// does not count.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The Deployment.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// The generation of our write.
    pub generation: i64,
    /// Its pod template.
    pub template: Json,
    /// How it was before.
    pub past: Past,
}

/// What was so before a rollout wrote.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// When the rollout wrote the Deployment, by the server's clock; `None` where it left it as it was.
    pub written: Option<Timestamp>,
    /// The Deployment's conditions in the answer to that write: the controller had not seen it yet.
    pub conditions: Vec<Json>,
    /// The pods that were there.
    pub pods: Pods,
}

/// Pods by their uid, each with how often its containers had been restarted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pods(BTreeMap<String, BTreeMap<String, i64>>);

impl Pods {
    /// Notes pods as they are.
    pub fn of(pods: &[Json]) -> Self {
        let restarts = |pod: &Json| {
            let count = |status: &Json| (text(&status["name"]).to_owned(), number(&status["restartCount"]));
            (text(&pod["metadata"]["uid"]).to_owned(), containers(pod).map(count).collect())
        };
        Self(pods.iter().map(restarts).collect())
    }

    /// Whether a pod was there.
    pub(super) fn knows(&self, pod: &Json) -> bool {
        self.0.contains_key(text(&pod["metadata"]["uid"]))
    }

    /// How often a container had been restarted.
    pub(super) fn restarts(&self, pod: &Json, container: &str) -> i64 {
        let known = self.0.get(text(&pod["metadata"]["uid"]));
        known.and_then(|containers| containers.get(container)).copied().unwrap_or(0)
    }
}

impl Past {
    /// The past of an object that was just written, from the answer to the write.
    pub(crate) fn of_answer(object: &Json) -> Self {
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        let ours = entries.filter(|entry| entry["manager"] == MANAGER && entry["operation"] == "Apply");
        let written = ours.filter_map(|entry| text(&entry["time"]).parse().ok()).max();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Self { written, conditions, pods: Pods::default() }
    }
}
