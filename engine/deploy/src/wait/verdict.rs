//! Whether a Deployment has rolled out, and if it never will, why. A pure function of what the watches told.

use std::fmt;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value as Json;

use super::expected::Expected;
use super::pull::is_final_pull_error;
use super::snapshot::{Snapshot, Watched};
use crate::names::TEMPLATE;

/// After this many restarts of a container of ours since our write, it is a crash loop.
const RESTARTS: i64 = 2;

/// How far a Deployment is.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Under way.
    Waiting(Wait),
    /// All replicas run our template and are available; nothing older is left.
    Ready,
    /// It will not get there by itself.
    Failed(Cause),
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// How far it is, and what for.
    pub how_far: String,
    /// What keeps its new pods from being ready. It may pass; when time is up it is the cause.
    pub blocked: Option<Cause>,
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
    /// No node takes a pod.
    Unschedulable,
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
    if leaving(deployment) {
        return superseded("it is being deleted".into());
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
        return without_pods(deployment);
    };
    let uid = text(&replica_set["metadata"]["uid"]);
    let pods: Vec<&Json> =
        snapshot.owned_by(Watched::Pod, uid).filter(|pod| !leaving(pod) && !has_ended(pod)).collect();
    if let Some(cause) = pods.iter().find_map(|pod| pod_failure(expected, pod)) {
        return Verdict::Failed(cause);
    }
    let blocked = refused_pods(replica_set).or_else(|| pods.iter().find_map(|pod| pod_block(pod)));
    if let Some(cause) = blocked.as_ref().filter(|cause| cause.kind == CauseKind::Refused && is_final_refusal(cause)) {
        return Verdict::Failed(cause.clone());
    }
    if has_timed_out(expected, deployment) {
        return Verdict::Failed(timed_out(deployment, blocked));
    }
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    progress(deployment, ready, blocked)
}

/// What is waited for while there is no ReplicaSet of ours: that the controller makes one, which it does once nothing of
/// the old one runs where two must not run at once.
fn without_pods(deployment: &Json) -> Verdict {
    let error = condition(deployment, "Progressing").filter(|it| it["reason"] == "ReplicaSetCreateError");
    if let Some(error) = error {
        let message = format!("its pods cannot be made: {}", text(&error["message"]));
        return blocked_wait(message.clone(), cause(CauseKind::Refused, message));
    }
    match number(&deployment["status"]["replicas"]) {
        old if old > 0 && deployment["spec"]["strategy"]["type"] == "Recreate" => {
            Verdict::Waiting(Wait { how_far: format!("{old} old to end"), blocked: None })
        }
        _ => waiting("its pods to be made"),
    }
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

/// The Deployment's own counts include pods of the old ReplicaSet, so `ready`, of our pods, is what is told. As long as
/// ours are not ready, they are what it waits for: the old ones stay because of them.
fn progress(deployment: &Json, ready: usize, blocked: Option<Cause>) -> Verdict {
    let status = &deployment["status"];
    let desired = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let (updated, total) = (number(&status["updatedReplicas"]), number(&status["replicas"]));
    let available = number(&status["availableReplicas"]);
    let new_are_there = updated >= desired && i64::try_from(ready).is_ok_and(|ready| ready >= desired);
    if new_are_there && total > updated {
        return Verdict::Waiting(Wait { how_far: format!("{} old to end", total - updated), blocked: None });
    }
    if !new_are_there || available < desired {
        let because = blocked.as_ref().map(|cause| format!(": {}", cause.message)).unwrap_or_default();
        return Verdict::Waiting(Wait { how_far: format!("{ready} of {desired} ready{because}"), blocked });
    }
    match condition(deployment, "Progressing").map(|condition| text(&condition["reason"])) {
        Some("NewReplicaSetAvailable") => Verdict::Ready,
        _ => waiting("the controller to call it done"),
    }
}

/// Whether the controller gave up on what we wrote. It keeps that condition until something gets ready, so one from
/// before our write may still stand there: it says nothing of it, and nor does one of an object that we left alone.
fn has_timed_out(expected: &Expected, deployment: &Json) -> bool {
    let Some(written) = expected.past.written else { return false };
    let Some(progressing) = condition(deployment, "Progressing") else { return false };
    if progressing["reason"] != "ProgressDeadlineExceeded" || expected.past.conditions.contains(progressing) {
        return false;
    }
    // Nor does one that came before it could have come from our write; half of the time, since clocks differ.
    let seconds = number(&deployment["spec"]["progressDeadlineSeconds"]);
    let said: Option<Timestamp> = text(&progressing["lastUpdateTime"]).parse().ok();
    said.is_none_or(|said| said.as_second() - written.as_second() >= seconds / 2)
}

/// The controller gave up; the cause is what kept our pods from being ready.
fn timed_out(deployment: &Json, blocked: Option<Cause>) -> Cause {
    let seconds = number(&deployment["spec"]["progressDeadlineSeconds"]);
    let message = format!("nothing got ready for {seconds} s");
    match blocked {
        Some(blocked) => Cause { message: format!("{message}: {}", blocked.message), ..blocked },
        None => cause(CauseKind::Deadline, message),
    }
}

/// Why no pod of ours can be made, as our own ReplicaSet says: the Deployment tells of old ones too. A quota that is
/// raised or a webhook that comes back lets them pass, so this is waited for.
fn refused_pods(replica_set: &Json) -> Option<Cause> {
    let failure = condition(replica_set, "ReplicaFailure").filter(|failure| failure["status"] == "True")?;
    Some(cause(CauseKind::Refused, format!("its pods are refused: {}", text(&failure["message"]))))
}

/// Whether pods of this template will be refused as long as it is this template.
fn is_final_refusal(cause: &Cause) -> bool {
    let reason = cause.message.split_once(" is forbidden: ").map_or("", |(_, reason)| reason);
    reason.starts_with("violates PodSecurity ") || cause.message.contains("\" is invalid: ")
}

/// What in a pod of ours will not get better.
fn pod_failure(expected: &Expected, pod: &Json) -> Option<Cause> {
    if is_ready(pod) {
        return None;
    }
    let past = &expected.past.pods;
    containers(pod).filter(|status| status["ready"] != true).find_map(|status| {
        // What a pod from before our write waits for may be what it waited for then.
        let refused = if past.knows(pod) { None } else { final_wait(status) };
        let restarts = number(&status["restartCount"]) - past.restarts(pod, text(&status["name"]));
        let (kind, message) = refused.or_else(|| crash_loop(status, restarts))?;
        Some(in_container(kind, message, pod, status))
    })
}

/// What a container waits for in vain.
fn final_wait(status: &Json) -> Option<(CauseKind, String)> {
    let waiting = &status["state"]["waiting"];
    let (reason, message) = (text(&waiting["reason"]), text(&waiting["message"]));
    match reason {
        "InvalidImageName" | "ErrImageNeverPull" => Some((CauseKind::Image, format!("{reason}: {message}"))),
        "ErrImagePull" | "ImagePullBackOff" if is_final_pull_error(message) => {
            Some((CauseKind::Image, format!("the image cannot be pulled: {message}")))
        }
        "CreateContainerConfigError" | "CreateContainerError" if !is_passing_container_error(message) => {
            Some((CauseKind::Configuration, format!("the container cannot be made: {message}")))
        }
        _ => None,
    }
}

/// A container that ended again and again since our write.
fn crash_loop(status: &Json, restarts: i64) -> Option<(CauseKind, String)> {
    let ended = ended(status).filter(|_| restarts >= RESTARTS)?;
    Some((crash_kind(ended), format!("{}, restarted {restarts} times", how_it_ended(ended))))
}

fn crash_kind(ended: &Json) -> CauseKind {
    if ended["reason"] == "OOMKilled" { CauseKind::OutOfMemory } else { CauseKind::CrashLoop }
}

/// How a container's current or last instance ended, if it did.
fn ended(status: &Json) -> Option<&Json> {
    [&status["state"]["terminated"], &status["lastState"]["terminated"]].into_iter().find(|it| it.is_object())
}

fn in_container(kind: CauseKind, message: String, pod: &Json, status: &Json) -> Cause {
    let name = |object: &Json| Some(text(&object["name"]).to_owned());
    Cause { kind, message, pod: name(&pod["metadata"]), container: name(status) }
}

/// Whether a node could not make a container because it was slow, and will try again.
fn is_passing_container_error(message: &str) -> bool {
    let names_nothing = message.split(['"', '`', '\'']).step_by(2).collect::<String>();
    ["timed out", "deadline exceeded", "failed to sync"].iter().any(|sign| names_nothing.contains(sign))
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
fn pod_block(pod: &Json) -> Option<Cause> {
    if is_ready(pod) {
        return None;
    }
    let in_pod = |cause: Cause| Cause { pod: Some(text(&pod["metadata"]["name"]).to_owned()), ..cause };
    let scheduled = condition(pod, "PodScheduled").filter(|condition| condition["status"] == "False");
    if let Some(unscheduled) = scheduled {
        let message = format!("no node takes its pod ({})", text(&unscheduled["message"]));
        return Some(in_pod(cause(CauseKind::Unschedulable, message)));
    }
    let waits = containers(pod).filter(|status| status["ready"] != true).find_map(|status| {
        let (kind, message) = container_wait(status)?;
        Some(in_container(kind, message, pod, status))
    });
    waits.or_else(|| Some(in_pod(cause(CauseKind::Deadline, "its pod is being made".into()))))
}

fn container_wait(status: &Json) -> Option<(CauseKind, String)> {
    let waiting = &status["state"]["waiting"];
    let (reason, message) = (text(&waiting["reason"]), text(&waiting["message"]));
    let kind = match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => CauseKind::Image,
        "CreateContainerConfigError" | "CreateContainerError" => CauseKind::Configuration,
        _ => CauseKind::Deadline,
    };
    match ended(status) {
        Some(ended) if reason.is_empty() && status["state"]["running"].is_object() => {
            Some((crash_kind(ended), format!("started again, {} before", how_it_ended(ended))))
        }
        Some(ended) if kind == CauseKind::Deadline => Some((crash_kind(ended), how_it_ended(ended))),
        _ if status["state"]["running"].is_object() => Some((kind, "started, its probe does not pass yet".into())),
        _ if reason.is_empty() => None,
        _ if message.is_empty() => Some((kind, reason.to_owned())),
        _ => Some((kind, format!("{reason}: {message}"))),
    }
}

pub(super) fn containers(pod: &Json) -> impl Iterator<Item = &Json> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|field| pod["status"][field].as_array())
        .flatten()
}

fn leaving(pod: &Json) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

/// Whether a pod's processes have ended for good: evicted, or ended by its node. Its ReplicaSet makes another.
fn has_ended(pod: &Json) -> bool {
    matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded")
}

/// Whether a pod takes requests.
pub(crate) fn is_ready(pod: &Json) -> bool {
    !leaving(pod) && condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
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

fn waiting(for_what: &str) -> Verdict {
    Verdict::Waiting(Wait { how_far: format!("waiting for {for_what}"), blocked: None })
}

fn blocked_wait(how_far: String, cause: Cause) -> Verdict {
    Verdict::Waiting(Wait { how_far, blocked: Some(cause) })
}

fn cause(kind: CauseKind, message: String) -> Cause {
    Cause { kind, message, pod: None, container: None }
}

fn superseded(message: String) -> Verdict {
    Verdict::Failed(cause(CauseKind::Superseded, message))
}

pub(super) fn number(value: &Json) -> i64 {
    value.as_i64().unwrap_or(0)
}

pub(super) fn text(value: &Json) -> &str {
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
            Self::Unschedulable => "unschedulable",
            Self::Deadline => "deadline",
            Self::Superseded => "superseded",
        })
    }
}
