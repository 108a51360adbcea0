//! Verdicts on sequences of watch events, as a cluster sends them.

use deploy::{Expected, Snapshot, Verdict, WatchEvent, Watched, verdict};
use serde_json::{Value, json};

fn template(content: &str) -> Value {
    json!({"metadata": {"annotations": {"build/template": content}}, "spec": {"containers": [{"image": content}]}})
}

fn ours() -> Expected {
    Expected { name: "web".into(), uid: "d1".into(), generation: 2, template: template("new") }
}

/// A Deployment of 2 replicas at a generation, whose controller has seen another.
fn deployment(generation: i64, observed: i64, content: &str, status: Value) -> Value {
    let revision = if content == "old" { "1" } else { "2" };
    let mut deployment = json!({
        "metadata": {"name": "web", "uid": "d1", "generation": generation,
            "annotations": {"deployment.kubernetes.io/revision": revision}},
        "spec": {"replicas": 2, "progressDeadlineSeconds": 120, "template": template(content)},
        "status": status,
    });
    deployment["status"]["observedGeneration"] = json!(observed);
    deployment
}

fn done() -> Value {
    json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
        "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]})
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2,
        "conditions": [{"type": kind, "status": status, "reason": reason, "message": message}]})
}

fn replica_set(name: &str, revision: &str, content: &str) -> Value {
    json!({"metadata": {"name": name, "uid": name, "ownerReferences": [{"uid": "d1"}],
        "annotations": {"deployment.kubernetes.io/revision": revision}}, "spec": {"template": template(content)}})
}

fn pod(owner: &str, container: Value) -> Value {
    let mut container = container;
    container["name"] = json!("web");
    json!({"metadata": {"name": format!("{owner}-x"), "uid": "p", "ownerReferences": [{"uid": owner}]},
        "status": {"containerStatuses": [container]}})
}

/// Everything listed, with both ReplicaSets.
fn snapshot(deployment: Value, pods: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let sets = vec![replica_set("web-1", "1", "old"), replica_set("web-2", "2", "new")];
    for (kind, objects) in
        [(Watched::Deployment, vec![deployment]), (Watched::ReplicaSet, sets), (Watched::Pod, pods.to_vec())]
    {
        snapshot.update(kind, WatchEvent::Restarted);
        objects.into_iter().for_each(|object| snapshot.update(kind, WatchEvent::Listed(object)));
        snapshot.update(kind, WatchEvent::Complete);
    }
    snapshot
}

fn text(snapshot: &Snapshot) -> String {
    match verdict(&ours(), snapshot) {
        Verdict::Ready => "ready".into(),
        Verdict::Waiting(how_far) => how_far,
        Verdict::Failed(cause) => format!("{}: {}", cause.kind, cause.message),
    }
}

fn crashed(restarts: i64, terminated: Value) -> Value {
    json!({"restartCount": restarts, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": terminated}})
}

#[test]
fn status_of_before_our_write_is_no_status() {
    // Right after the write the watch still tells of the old generation: complete, but not ours.
    assert_eq!(text(&snapshot(deployment(1, 1, "old", done()), &[])), "waiting for the watch to see our change");
    assert_eq!(text(&snapshot(deployment(2, 1, "new", done()), &[])), "waiting for the controller to see our change");
    assert_eq!(text(&snapshot(deployment(2, 2, "new", done()), &[])), "ready");
    let late = condition("Progressing", "False", "ProgressDeadlineExceeded", "");
    assert_eq!(text(&snapshot(deployment(2, 1, "new", late), &[])), "waiting for the controller to see our change");
}

#[test]
fn each_step_of_a_rolling_update_waits() {
    let step = |replicas: i64, updated: i64, available: i64, reason: &str| {
        let conditions = json!([{"type": "Progressing", "status": "True", "reason": reason}]);
        let status = json!({"replicas": replicas, "updatedReplicas": updated, "availableReplicas": available,
            "conditions": conditions});
        text(&snapshot(deployment(2, 2, "new", status), &[]))
    };
    assert_eq!(step(2, 0, 2, "ReplicaSetUpdated"), "0 of 2 ready");
    assert_eq!(step(3, 1, 2, "ReplicaSetUpdated"), "0 of 2 ready");
    assert_eq!(step(3, 2, 2, "ReplicaSetUpdated"), "1 old to end");
    assert_eq!(step(2, 2, 1, "ReplicaSetUpdated"), "0 of 2 ready");
    assert_eq!(step(2, 2, 2, "ReplicaSetUpdated"), "waiting for the controller to call it done");
    assert_eq!(step(2, 2, 2, "NewReplicaSetAvailable"), "ready");
}

#[test]
fn only_pods_of_our_template_can_fail_it() {
    let crash = || crashed(7, json!({"exitCode": 3, "reason": "Error"}));
    let progressing = || condition("Progressing", "True", "ReplicaSetUpdated", "");
    let old = snapshot(deployment(2, 2, "new", progressing()), &[pod("web-1", crash())]);
    assert_eq!(text(&old), "0 of 2 ready");
    let new = snapshot(deployment(2, 2, "new", progressing()), &[pod("web-2", crash())]);
    assert_eq!(text(&new), "crash loop: ended with exit code 3, restarted 7 times");
    let mut leaving = pod("web-2", crash());
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(text(&snapshot(deployment(2, 2, "new", progressing()), &[leaving])), "0 of 2 ready");
}

#[test]
fn containers_fail_as_soon_as_it_is_certain() {
    let cases = [
        crashed(1, json!({"exitCode": 1, "reason": "Error"})),
        crashed(2, json!({"exitCode": 139, "reason": "Error"})),
        crashed(2, json!({"exitCode": 137, "reason": "OOMKilled"})),
        crashed(2, json!({"exitCode": 128, "reason": "StartError", "message": "exec: \"/app\": no such file"})),
        json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "dial tcp: connection refused"}}}),
        json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off: r/x@sha256:0: not found"}}}),
        json!({"state": {"waiting": {"reason": "InvalidImageName", "message": "r/X"}}}),
        json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"db\" not found"}}}),
        json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "failed to sync configmap cache: timed out"}}}),
        json!({"state": {"running": {}}, "restartCount": 0}),
    ];
    let progressing = || condition("Progressing", "True", "ReplicaSetUpdated", "");
    let texts = cases.map(|case| text(&snapshot(deployment(2, 2, "new", progressing()), &[pod("web-2", case)])));
    insta::assert_snapshot!(texts.join("\n"), @r#"
    0 of 2 ready: ended with exit code 1
    crash loop: ended by signal 11 SIGSEGV (exit code 139), restarted 2 times
    out of memory: killed for its memory (OOM, exit code 137), restarted 2 times
    crash loop: cannot start: exec: "/app": no such file, restarted 2 times
    0 of 2 ready: ErrImagePull: dial tcp: connection refused
    image: the image cannot be pulled: Back-off: r/x@sha256:0: not found
    image: InvalidImageName: r/X
    configuration: the container cannot be made: secret "db" not found
    0 of 2 ready: CreateContainerConfigError: failed to sync configmap cache: timed out
    0 of 2 ready: started, its probe does not pass yet
    "#);
}

#[test]
fn an_unschedulable_pod_is_waited_for() {
    let mut pending = pod("web-2", json!({}));
    pending["status"] = json!({"conditions":
        [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: no memory"}]});
    let status = condition("Progressing", "True", "ReplicaSetUpdated", "");
    let snapshot = snapshot(deployment(2, 2, "new", status), &[pending]);
    assert_eq!(text(&snapshot), "0 of 2 ready: no node takes its pod (0/1 nodes: no memory)");
}

#[test]
fn conditions_of_the_controller_fail_it() {
    let late = condition("Progressing", "False", "ProgressDeadlineExceeded", "");
    let running = pod("web-2", json!({"state": {"running": {}}}));
    assert_eq!(
        text(&snapshot(deployment(2, 2, "new", late), &[running])),
        "deadline: nothing got ready for 120 s: started, its probe does not pass yet"
    );
    let quota = condition("ReplicaFailure", "True", "FailedCreate", "pods \"web-x\" is forbidden: exceeded quota");
    assert_eq!(
        text(&snapshot(deployment(2, 2, "new", quota), &[])),
        "refused: its pods are refused: pods \"web-x\" is forbidden: exceeded quota"
    );
}

#[test]
fn changes_by_others_supersede() {
    // A scale raises the generation and is no harm; another template is.
    assert_eq!(text(&snapshot(deployment(3, 3, "new", done()), &[])), "ready");
    let mut changed = deployment(3, 3, "other", done());
    changed["metadata"]["managedFields"] = json!([
        {"manager": "build", "time": "2026-01-01T00:00:00Z"},
        {"manager": "kubectl-edit", "time": "2026-01-01T00:01:00Z"},
        {"manager": "controller", "time": "2026-01-01T00:02:00Z", "subresource": "status"},
    ]);
    assert_eq!(text(&snapshot(changed, &[])), "superseded: it was changed by `kubectl-edit` meanwhile");
    let mut replaced = deployment(2, 2, "new", done());
    replaced["metadata"]["uid"] = json!("d2");
    assert_eq!(text(&snapshot(replaced, &[])), "superseded: it was replaced by another object of the same name");
}

#[test]
fn a_watch_that_ends_forgets_nothing_and_invents_nothing() {
    let progressing = condition("Progressing", "True", "ReplicaSetUpdated", "");
    let mut snapshot =
        snapshot(deployment(2, 2, "new", progressing), &[pod("web-2", json!({"state": {"running": {}}}))]);
    let before = text(&snapshot);
    // `410 Gone`: the list begins anew, and until it is whole the old picture holds.
    snapshot.update(Watched::Pod, WatchEvent::Restarted);
    snapshot.update(Watched::Deployment, WatchEvent::Restarted);
    assert_eq!(text(&snapshot), before);
    snapshot.update(Watched::Deployment, WatchEvent::Listed(deployment(2, 2, "new", done())));
    snapshot.update(Watched::Deployment, WatchEvent::Complete);
    assert_eq!(text(&snapshot), "ready");
    snapshot.update(Watched::Deployment, WatchEvent::Deleted(deployment(2, 2, "new", done())));
    assert_eq!(text(&snapshot), "superseded: it was deleted meanwhile");
    assert_eq!(verdict(&ours(), &Snapshot::default()), Verdict::Waiting("waiting for the cluster to list it".into()));
}
