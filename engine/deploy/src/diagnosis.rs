//! Why a service is not ready, in one block: cause, exit, last log, events, the attribute to look at, what to try.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde_json::Value as Json;

use crate::cluster::Cluster;
use crate::kinds::{EVENT, POD};
use crate::names;
use crate::object::Object;
use crate::wait::{Cause, CauseKind, Expected, how_it_ended, is_ready};

/// How many lines of a log are shown.
pub(crate) const LOG_LINES: i64 = 40;
/// How long to wait before a log is asked for again.
const LOG_RETRY: Duration = Duration::from_millis(200);
/// How many events are shown.
const EVENTS: usize = 6;

/// A failure with all that helps to understand it.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// The service.
    pub service: String,
    /// What kind of failure.
    pub kind: CauseKind,
    /// The cause in a line.
    pub cause: String,
    /// The pod that shows it.
    pub pod: Option<String>,
    /// The container in it.
    pub container: Option<String>,
    /// How the container ended, if it did.
    pub exit: Option<String>,
    /// The last lines of its log, of the instance that failed.
    pub log: Vec<String>,
    /// What the cluster says about it, without repetition.
    pub events: Vec<String>,
    /// The target and attribute to look at.
    pub origin: Option<String>,
    /// What to type or change.
    pub hints: Vec<String>,
}

/// Collects what the cluster knows of a failure. What cannot be read is left out: the cause stands without it.
pub(crate) async fn diagnose(
    cluster: &Cluster,
    namespace: &str,
    failure: &(Expected, Cause),
    objects: &[Object],
) -> Diagnosis {
    let (expected, cause) = failure;
    let pod = find_pod(cluster, namespace, expected, cause).await;
    let pod_name = pod.as_ref().and_then(|pod| pod["metadata"]["name"].as_str()).map(str::to_owned);
    let status = pod.as_ref().and_then(|pod| container_status(pod, cause.container.as_deref())).cloned();
    let container = status.as_ref().and_then(|status| status["name"].as_str()).map(str::to_owned);
    let log = match (&pod_name, &status) {
        (Some(pod), Some(status)) => last_log(cluster, namespace, pod, status).await,
        _ => Vec::new(),
    };
    let uid = pod.as_ref().and_then(|pod| pod["metadata"]["uid"].as_str()).map(str::to_owned);
    Diagnosis {
        service: expected.name.clone(),
        kind: cause.kind,
        cause: cause.message.clone(),
        exit: status.as_ref().and_then(exit_of),
        log,
        events: events(cluster, namespace, uid.as_deref(), expected).await,
        origin: origin(expected, cause, objects),
        hints: hints(cause.kind, namespace, &expected.name, pod_name.as_deref()),
        pod: pod_name.or_else(|| cause.pod.clone()),
        container: container.or_else(|| cause.container.clone()),
    }
}

async fn find_pod(cluster: &Cluster, namespace: &str, expected: &Expected, cause: &Cause) -> Option<Json> {
    if let Some(name) = &cause.pod {
        return cluster.get(&POD, namespace, name).await.ok().flatten();
    }
    if matches!(cause.kind, CauseKind::Refused | CauseKind::Superseded) {
        return None;
    }
    let template = &expected.template["metadata"]["annotations"][names::TEMPLATE];
    let selector = format!("{}={}", names::NAME, expected.name);
    let pods = cluster.list(&POD, namespace, &selector, "").await.ok()?;
    pods.into_iter().find(|pod| !is_ready(pod) && pod["metadata"]["annotations"][names::TEMPLATE] == *template)
}

fn container_status<'a>(pod: &'a Json, name: Option<&str>) -> Option<&'a Json> {
    let mut statuses = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|field| pod["status"][field].as_array())
        .flatten();
    match name {
        Some(name) => statuses.find(|status| status["name"] == name),
        None => statuses.find(|status| status["ready"] != true),
    }
}

fn exit_of(status: &Json) -> Option<String> {
    let ended = [&status["state"]["terminated"], &status["lastState"]["terminated"]];
    ended.into_iter().find(|terminated| terminated.is_object()).map(how_it_ended)
}

/// The log of the instance that ended. That is the current one while it is not started again, then the previous one; it
/// changes under our eyes, and the node removes old logs, so both are tried, and again.
async fn last_log(cluster: &Cluster, namespace: &str, pod: &str, status: &Json) -> Vec<String> {
    let Some(container) = status["name"].as_str() else { return Vec::new() };
    let ended = status["state"]["terminated"].is_object() || !status["lastState"]["terminated"].is_object();
    for previous in [!ended, ended, !ended] {
        match cluster.log(namespace, pod, container, previous).await {
            Ok(text) if is_log(&text) => return tail(&text),
            _ => tokio::time::sleep(LOG_RETRY).await,
        }
    }
    Vec::new()
}

/// The node answers with a text of its own when the log is gone.
fn is_log(text: &str) -> bool {
    let text = text.trim();
    let excuse =
        text.starts_with("unable to retrieve container logs") || text.starts_with("failed to try resolving symlinks");
    let is_excuse = excuse && text.lines().count() == 1;
    !text.is_empty() && !is_excuse
}

fn tail(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(usize::try_from(LOG_LINES).unwrap_or(usize::MAX));
    lines[from..].iter().map(|line| (*line).to_owned()).collect()
}

/// Warnings about the pod, or about what should have made one; the most frequent first.
async fn events(cluster: &Cluster, namespace: &str, pod_uid: Option<&str>, expected: &Expected) -> Vec<String> {
    let about = match pod_uid {
        Some(uid) => format!("involvedObject.uid={uid},type=Warning"),
        None => "involvedObject.kind=ReplicaSet,type=Warning".to_owned(),
    };
    let found = cluster.list(&EVENT, namespace, "", &about).await.unwrap_or_default();
    // A ReplicaSet is named by its Deployment and a hash, which holds no `-`.
    let deployment = |name: &str| name.rsplit_once('-').map(|(deployment, _)| deployment.to_owned());
    let concerns = |event: &&Json| {
        let name = event["involvedObject"]["name"].as_str();
        pod_uid.is_some() || name.and_then(deployment).is_some_and(|deployment| deployment == expected.name)
    };
    let mut found: Vec<&Json> = found.iter().filter(concerns).collect();
    found.sort_by_key(|event| std::cmp::Reverse(event["count"].as_i64().unwrap_or(1)));
    let mut seen = BTreeSet::new();
    let texts = found.into_iter().filter_map(|event| {
        let text = format!("{}: {}", event["reason"].as_str()?, event["message"].as_str()?.trim());
        seen.insert(text.clone()).then_some(text)
    });
    texts.take(EVENTS).collect()
}

/// The target and attribute that a failure points to.
fn origin(expected: &Expected, cause: &Cause, objects: &[Object]) -> Option<String> {
    let deployment =
        objects.iter().find(|object| object.kind.name == "Deployment" && object.key().name == expected.name)?;
    let container = "/spec/template/spec/containers/0";
    let pointer = match cause.kind {
        CauseKind::Image | CauseKind::CrashLoop => format!("{container}/image"),
        CauseKind::OutOfMemory | CauseKind::Refused | CauseKind::Unschedulable => format!("{container}/resources"),
        CauseKind::Deadline => format!("{container}/startupProbe"),
        CauseKind::Configuration => configuration_pointer(deployment, &cause.message),
        CauseKind::Superseded => String::new(),
    };
    deployment.origin(&pointer).map(ToString::to_string)
}

/// A missing secret is named in the message; everything else of that kind is about settings.
fn configuration_pointer(deployment: &Object, message: &str) -> String {
    let container = "/spec/template/spec/containers/0";
    let env = deployment.value.pointer(&format!("{container}/env")).and_then(Json::as_array);
    let named = env.into_iter().flatten().position(|variable| {
        let secret = &variable["valueFrom"]["secretKeyRef"];
        let (name, key) = (secret["name"].as_str(), secret["key"].as_str());
        name.zip(key).is_some_and(|(name, key)| is_about_secret(message, name, key))
    });
    named.map_or_else(|| format!("{container}/envFrom"), |index| format!("{container}/env/{index}"))
}

/// Whether a node's message is about a secret that it lacks, or a key in it.
fn is_about_secret(message: &str, name: &str, key: &str) -> bool {
    message.contains(&format!("secret \"{name}\" not found"))
        || (message.contains(&format!("couldn't find key {key} in Secret ")) && message.ends_with(&format!("/{name}")))
}

fn hints(kind: CauseKind, namespace: &str, service: &str, pod: Option<&str>) -> Vec<String> {
    let target = pod.map_or_else(|| format!("deployment/{service}"), |pod| format!("pod/{pod}"));
    let mut hints = match kind {
        CauseKind::CrashLoop => {
            vec!["run the same image on this machine: `build run` of the local deploy target".into()]
        }
        CauseKind::OutOfMemory => vec!["raise `resources = {\"memory_limit\": ...}` of the service".into()],
        CauseKind::Image => {
            vec!["the nodes must reach the registry, and it must hold the image: run again to push it".into()]
        }
        CauseKind::Configuration => vec!["create the secret or key that the message names".into()],
        CauseKind::Refused => vec![format!("`kubectl describe quota,limitrange -n {namespace}`")],
        CauseKind::Unschedulable => {
            vec!["ask for less in `resources`, or give the cluster a node that has it: `kubectl describe nodes`".into()]
        }
        CauseKind::Deadline => {
            vec!["see whether the probe asks the right port, and whether the service starts in time".into()]
        }
        CauseKind::Superseded => vec!["see who changes it, then run again".into()],
    };
    hints.push(format!("`kubectl describe {target} -n {namespace}`"));
    hints
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.service, self.cause)?;
        if let Some(pod) = &self.pod {
            write!(f, "\n  pod {pod}")?;
            if let Some(container) = &self.container {
                write!(f, ", container {container}")?;
            }
            if let Some(exit) = &self.exit {
                write!(f, ", {exit}")?;
            }
        }
        if !self.log.is_empty() {
            write!(f, "\n  last log:")?;
            for line in &self.log {
                write!(f, "\n    {line}")?;
            }
        }
        if !self.events.is_empty() {
            write!(f, "\n  events:")?;
            for event in &self.events {
                write!(f, "\n    {event}")?;
            }
        }
        if let Some(origin) = &self.origin {
            write!(f, "\n  set by: {origin}")?;
        }
        for hint in &self.hints {
            write!(f, "\n  try: {hint}")?;
        }
        Ok(())
    }
}
