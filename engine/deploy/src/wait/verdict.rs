//! Whether a Deployment has rolled out, and if it never will, why. A pure function of what the watches told.

use std::fmt;

use serde_json::Value as Json;

use super::snapshot::{Snapshot, Watched};
use crate::names::TEMPLATE;

/// After this many restarts of a container of ours, it is a crash loop.
const RESTARTS: i64 = 2;

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
}

/// How far a Deployment is.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Under way, and how far.
    Waiting(String),
    /// All replicas run our template and are available; nothing older is left.
    Ready,
    /// It will not get there by itself.
    Failed(Cause),
}

/// Why a Deployment fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// What kind of failure.
    pub kind: CauseKind,
    /// In a line.
    pub message: String,
    /// The pod that shows it.
    pub pod: Option<String>,
    /// The container in it.
    pub container: Option<String>,
}

/// The kinds of failures, by what helps against them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseKind {
    /// The process ends again and again.
    CrashLoop,
    /// The process was killed for its memory, again and again.
    OutOfMemory,
    /// The image cannot be had.
    Image,
    /// The container cannot be made: a missing secret or setting.
    Configuration,
    /// Pods are refused: quota, policy, admission.
    Refused,
    /// Nothing got better for too long.
    Deadline,
    /// Someone else changed or replaced the Deployment meanwhile.
    Superseded,
}

/// Judges a Deployment.
pub fn verdict(expected: &Expected, snapshot: &Snapshot) -> Verdict {
    if !snapshot.is_complete() {
        return waiting("the cluster to list it");
    }
    let Some(deployment) = snapshot.deployment(&expected.name) else {
        return superseded("it was deleted meanwhile".into());
    };
    if deployment["metadata"]["uid"] != expected.uid.as_str() {
        return superseded("it was replaced by another object of the same name".into());
    }
    let generation = number(&deployment["metadata"]["generation"]);
    if generation < expected.generation {
        return waiting("the watch to see our change");
    }
    if generation > expected.generation && deployment["spec"]["template"] != expected.template {
        return superseded(format!("it was changed by {} meanwhile", last_manager(deployment)));
    }
    if number(&deployment["status"]["observedGeneration"]) < expected.generation {
        return waiting("the controller to see our change");
    }
    let Some(replica_set) = our_replica_set(expected, deployment, snapshot) else {
        return condition_failure(deployment).unwrap_or_else(|| waiting("its pods to be made"));
    };
    let pods = || snapshot.owned_by(Watched::Pod, text(&replica_set["metadata"]["uid"])).filter(|pod| !leaving(pod));
    if let Some(cause) = pods().find_map(pod_failure) {
        return Verdict::Failed(cause);
    }
    if let Some(failure) = condition_failure(deployment) {
        return with_pod(failure, pods().find(|pod| !is_ready(pod)));
    }
    let ready = pods().filter(|pod| is_ready(pod)).count();
    progress(deployment, ready, pods().find_map(pod_wait))
}

/// The newest ReplicaSet, if it is made from our template: the one with the Deployment's own revision.
fn our_replica_set<'a>(expected: &Expected, deployment: &'a Json, snapshot: &'a Snapshot) -> Option<&'a Json> {
    const REVISION: &str = "deployment.kubernetes.io/revision";
    let revision = &deployment["metadata"]["annotations"][REVISION];
    let template = &expected.template["metadata"]["annotations"][TEMPLATE];
    let uid = text(&deployment["metadata"]["uid"]);
    snapshot.owned_by(Watched::ReplicaSet, uid).find(|set| {
        set["metadata"]["annotations"][REVISION] == *revision
            && set["spec"]["template"]["metadata"]["annotations"][TEMPLATE] == *template
    })
}

/// The Deployment's own counts include pods of the old ReplicaSet, so `ready`, of our pods, is what is told.
fn progress(deployment: &Json, ready: usize, pod_wait: Option<String>) -> Verdict {
    let status = &deployment["status"];
    let desired = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let (updated, total) = (number(&status["updatedReplicas"]), number(&status["replicas"]));
    let available = number(&status["availableReplicas"]);
    if updated >= desired && total > updated {
        return Verdict::Waiting(format!("{} old to end", total - updated));
    }
    if updated < desired || available < desired {
        let because = pod_wait.map(|wait| format!(": {wait}")).unwrap_or_default();
        return Verdict::Waiting(format!("{ready} of {desired} ready{because}"));
    }
    match condition(deployment, "Progressing").map(|condition| text(&condition["reason"])) {
        Some("NewReplicaSetAvailable") => Verdict::Ready,
        _ => waiting("the controller to call it done"),
    }
}

/// What the Deployment's own conditions say has failed.
fn condition_failure(deployment: &Json) -> Option<Verdict> {
    if let Some(failure) = condition(deployment, "ReplicaFailure").filter(|failure| failure["status"] == "True") {
        let message = format!("its pods are refused: {}", text(&failure["message"]));
        return Some(failed(CauseKind::Refused, message));
    }
    let progressing = condition(deployment, "Progressing")?;
    (progressing["reason"] == "ProgressDeadlineExceeded").then(|| {
        let seconds = number(&deployment["spec"]["progressDeadlineSeconds"]);
        failed(CauseKind::Deadline, format!("nothing got ready for {seconds} s"))
    })
}

/// What in a pod of ours will not get better.
fn pod_failure(pod: &Json) -> Option<Cause> {
    containers(pod).find_map(|status| {
        let (kind, message) = container_failure(status)?;
        Some(Cause {
            kind,
            message,
            pod: Some(text(&pod["metadata"]["name"]).to_owned()),
            container: Some(text(&status["name"]).to_owned()),
        })
    })
}

fn container_failure(status: &Json) -> Option<(CauseKind, String)> {
    let waiting = &status["state"]["waiting"];
    let (reason, message) = (text(&waiting["reason"]), text(&waiting["message"]));
    match reason {
        "InvalidImageName" | "ErrImageNeverPull" => return Some((CauseKind::Image, format!("{reason}: {message}"))),
        "ErrImagePull" | "ImagePullBackOff" if is_final_pull_error(message) => {
            return Some((CauseKind::Image, format!("the image cannot be pulled: {message}")));
        }
        "CreateContainerConfigError" | "CreateContainerError" if !is_passing_container_error(message) => {
            return Some((CauseKind::Configuration, format!("the container cannot be made: {message}")));
        }
        _ => {}
    }
    let restarts = number(&status["restartCount"]);
    let ended =
        [&status["state"]["terminated"], &status["lastState"]["terminated"]].into_iter().find(|it| it.is_object());
    match ended {
        Some(ended) if restarts >= RESTARTS => {
            let kind = if ended["reason"] == "OOMKilled" { CauseKind::OutOfMemory } else { CauseKind::CrashLoop };
            Some((kind, format!("{}, restarted {restarts} times", how_it_ended(ended))))
        }
        _ => None,
    }
}

/// Whether a node could not make a container because it was slow, and will try again.
fn is_passing_container_error(message: &str) -> bool {
    ["timed out", "deadline exceeded", "failed to sync"].iter().any(|sign| message.contains(sign))
}

/// Whether a registry will give the same answer the next time. A network failure may pass.
fn is_final_pull_error(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "not found",
        "manifest unknown",
        "unauthorized",
        "authorization failed",
        "denied",
        "forbidden",
        "401",
        "403",
        "404",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

/// `killed for its memory (exit code 137)`, `ended by signal 11 (SIGSEGV)`, `ended with exit code 3`.
pub(crate) fn how_it_ended(terminated: &Json) -> String {
    let code = number(&terminated["exitCode"]);
    let signal = match number(&terminated["signal"]) {
        0 if code > 128 => code - 128,
        signal => signal,
    };
    match (text(&terminated["reason"]), signal) {
        ("OOMKilled", _) => format!("killed for its memory (OOM, exit code {code})"),
        ("StartError" | "ContainerCannotRun", _) => format!("cannot start: {}", text(&terminated["message"])),
        (_, 0) => format!("ended with exit code {code}"),
        (_, signal) => format!("ended by signal {signal}{} (exit code {code})", signal_name(signal)),
    }
}

fn signal_name(signal: i64) -> &'static str {
    match signal {
        4 => " SIGILL",
        6 => " SIGABRT",
        7 => " SIGBUS",
        8 => " SIGFPE",
        9 => " SIGKILL",
        11 => " SIGSEGV",
        15 => " SIGTERM",
        _ => "",
    }
}

/// What a pod that is not ready waits for.
fn pod_wait(pod: &Json) -> Option<String> {
    if is_ready(pod) {
        return None;
    }
    let scheduled = pod_condition(pod, "PodScheduled").filter(|condition| condition["status"] == "False");
    if let Some(unscheduled) = scheduled {
        return Some(format!("no node takes its pod ({})", text(&unscheduled["message"])));
    }
    let waiting = containers(pod).find_map(container_wait);
    waiting.or_else(|| Some("its pod is being made".into()))
}

fn container_wait(status: &Json) -> Option<String> {
    let waiting = &status["state"]["waiting"];
    let ended = &status["lastState"]["terminated"];
    match (text(&waiting["reason"]), text(&waiting["message"])) {
        ("", _) if ended.is_object() => Some(format!("started again, {} before", how_it_ended(ended))),
        ("", _) if status["state"]["running"].is_object() => Some("started, its probe does not pass yet".into()),
        ("", _) => None,
        _ if ended.is_object() => Some(how_it_ended(ended)),
        (reason, "") => Some(reason.to_owned()),
        (reason, message) => Some(format!("{reason}: {message}")),
    }
}

fn containers(pod: &Json) -> impl Iterator<Item = &Json> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|field| pod["status"][field].as_array())
        .flatten()
}

fn leaving(pod: &Json) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

/// Whether a pod takes requests.
pub(crate) fn is_ready(pod: &Json) -> bool {
    !leaving(pod) && pod_condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

fn pod_condition<'a>(pod: &'a Json, kind: &str) -> Option<&'a Json> {
    condition(pod, kind)
}

fn condition<'a>(object: &'a Json, kind: &str) -> Option<&'a Json> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Who wrote the object last, by its managed fields, status aside.
fn last_manager(object: &Json) -> String {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let last = entries.filter(|entry| entry["subresource"] != "status").max_by_key(|entry| text(&entry["time"]));
    last.map_or_else(|| "someone else".into(), |entry| format!("`{}`", text(&entry["manager"])))
}

fn with_pod(failure: Verdict, pod: Option<&Json>) -> Verdict {
    match (failure, pod) {
        (Verdict::Failed(mut cause), Some(pod)) => {
            if let Some(wait) = pod_wait(pod).filter(|_| cause.kind == CauseKind::Deadline) {
                cause.message = format!("{}: {wait}", cause.message);
            }
            cause.pod = Some(text(&pod["metadata"]["name"]).to_owned());
            cause.container = containers(pod).next().map(|status| text(&status["name"]).to_owned());
            Verdict::Failed(cause)
        }
        (failure, _) => failure,
    }
}

fn waiting(for_what: &str) -> Verdict {
    Verdict::Waiting(format!("waiting for {for_what}"))
}

fn failed(kind: CauseKind, message: String) -> Verdict {
    Verdict::Failed(Cause { kind, message, pod: None, container: None })
}

fn superseded(message: String) -> Verdict {
    failed(CauseKind::Superseded, message)
}

fn number(value: &Json) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

impl fmt::Display for CauseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CrashLoop => "crash loop",
            Self::OutOfMemory => "out of memory",
            Self::Image => "image",
            Self::Configuration => "configuration",
            Self::Refused => "refused",
            Self::Deadline => "deadline",
            Self::Superseded => "superseded",
        })
    }
}
