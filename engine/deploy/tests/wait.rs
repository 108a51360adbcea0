//! Verdicts on sequences of watch events, as a cluster sends them.

use deploy::{CauseKind, Expected, Past, Pods, Snapshot, Verdict, WatchEvent, Watched, verdict};
use serde_json::{Value, json};

fn template(content: &str) -> Value {
    json!({"metadata": {"annotations": {"build/template": content}}, "spec": {"containers": [{"image": content}]}})
}

/// Our write at noon, over a Deployment of which nothing was known.
fn ours() -> Expected {
    let past = Past { written: Some(NOON.parse().unwrap()), ..Past::default() };
    Expected { name: "web".into(), uid: "d1".into(), generation: 2, template: template("new"), past }
}

const NOON: &str = "2026-01-01T12:00:00Z";

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
    json!({"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2, "conditions":
        [{"type": kind, "status": status, "reason": reason, "message": message, "lastUpdateTime": "2026-01-01T12:02:00Z"}]})
}

/// Under way: one new pod of two beside the old ones.
fn progressing() -> Value {
    condition("Progressing", "True", "ReplicaSetUpdated", "")
}

fn ready_pod(name: &str) -> Value {
    let mut pod = pod("web-2", json!({"ready": true, "restartCount": 0, "state": {"running": {}}}));
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["uid"] = json!(name);
    pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    pod
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
    told(&ours(), snapshot)
}

fn told(expected: &Expected, snapshot: &Snapshot) -> String {
    match verdict(expected, snapshot) {
        Verdict::Ready => "ready".into(),
        Verdict::Waiting(wait) => wait.how_far,
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
    let both = [ready_pod("a"), ready_pod("b")];
    assert_eq!(text(&snapshot(deployment(2, 2, "new", done()), &both)), "ready");
    let late = condition("Progressing", "False", "ProgressDeadlineExceeded", "");
    assert_eq!(text(&snapshot(deployment(2, 1, "new", late), &[])), "waiting for the controller to see our change");
}

#[test]
fn each_step_of_a_rolling_update_waits() {
    let step = |replicas: i64, updated: i64, available: i64, ready: &[Value], reason: &str| {
        let conditions = json!([{"type": "Progressing", "status": "True", "reason": reason}]);
        let status = json!({"replicas": replicas, "updatedReplicas": updated, "availableReplicas": available,
            "conditions": conditions});
        text(&snapshot(deployment(2, 2, "new", status), ready))
    };
    let both = [ready_pod("a"), ready_pod("b")];
    assert_eq!(step(2, 0, 2, &[], "ReplicaSetUpdated"), "0 of 2 ready");
    assert_eq!(step(3, 1, 3, &both[..1], "ReplicaSetUpdated"), "1 of 2 ready");
    // Two new ones are made, but one is not ready: the old one is there because of it.
    assert_eq!(step(3, 2, 2, &both[..1], "ReplicaSetUpdated"), "1 of 2 ready");
    assert_eq!(step(3, 2, 3, &both, "ReplicaSetUpdated"), "1 old to end");
    assert_eq!(step(2, 2, 1, &both, "ReplicaSetUpdated"), "2 of 2 ready");
    assert_eq!(step(2, 2, 2, &both, "ReplicaSetUpdated"), "waiting for the controller to call it done");
    assert_eq!(step(2, 2, 2, &both, "NewReplicaSetAvailable"), "ready");
}

#[test]
fn where_two_must_not_run_at_once_the_old_one_ends_first() {
    let status = json!({"replicas": 1, "conditions": []});
    let mut deployment = deployment(2, 2, "new", status);
    deployment["spec"]["strategy"] = json!({"type": "Recreate"});
    deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("1");
    assert_eq!(text(&snapshot(deployment, &[])), "1 old to end");
}

/// A pod that restarted before our write and is ready was never a failure; nor does it become one by its past.
#[test]
fn only_restarts_since_our_write_count_and_only_of_what_is_not_ready() {
    let with = |container: Value, ready: &str| {
        let mut pod = pod("web-2", container);
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
        pod
    };
    let ended = json!({"exitCode": 1, "reason": "Error"});
    let container = |restarts: i64, ready: bool| json!({"restartCount": restarts, "ready": ready, "state": {"running": {}}, "lastState": {"terminated": ended}});
    let judge =
        |expected: &Expected, pod: Value| told(expected, &snapshot(deployment(2, 2, "new", progressing()), &[pod]));
    assert_eq!(judge(&ours(), with(container(9, true), "True")), "1 of 2 ready");
    // A sidecar that is not ready, beside a container that restarted long ago.
    assert_eq!(judge(&ours(), with(container(9, true), "False")), "0 of 2 ready: its pod is being made");
    let crash = "crash loop: ended with exit code 1, restarted 9 times";
    assert_eq!(judge(&ours(), with(container(9, false), "False")), crash);
    let mut known = ours();
    known.past.pods = Pods::of(&[with(container(9, true), "True")]);
    assert_eq!(
        judge(&known, with(container(10, false), "False")),
        "0 of 2 ready: started again, ended with exit code 1 before"
    );
    assert_eq!(
        judge(&known, with(container(11, false), "False")),
        "crash loop: ended with exit code 1, restarted 2 times"
    );
}

/// After a run that failed, the same release again: its pods still show what they showed.
#[test]
fn the_state_of_the_run_before_is_no_verdict() {
    let message = "rpc error: code = NotFound desc = failed to pull and unpack image \"r/x:1\": r/x:1: not found";
    let waits = || pod("web-2", json!({"state": {"waiting": {"reason": "ErrImagePull", "message": message}}}));
    let again = |past: Past, status: Value| {
        let expected = Expected { past, ..ours() };
        told(&expected, &snapshot(deployment(2, 2, "new", status), &[waits()]))
    };
    assert!(again(Past::default(), progressing()).starts_with("image: "));
    let pods = Pods::of(&[waits()]);
    let known = || Past { pods: pods.clone(), ..Past::default() };
    assert!(again(known(), progressing()).starts_with("0 of 2 ready: ErrImagePull: "));
    // What the controller gave up on, it gave up on before.
    let late = || condition("Progressing", "False", "ProgressDeadlineExceeded", "");
    assert!(again(known(), late()).starts_with("0 of 2 ready: "), "an object that was left as it was");
    let conditions = late()["conditions"].as_array().unwrap().clone();
    let written = Past { written: Some(NOON.parse().unwrap()), conditions, ..known() };
    assert!(again(written.clone(), late()).starts_with("0 of 2 ready: "), "the answer to our write had it already");
    let later = Past { written: Some("2026-01-01T12:01:58Z".parse().unwrap()), conditions: Vec::new(), ..known() };
    assert!(again(later, late()).starts_with("0 of 2 ready: "), "two seconds after our write it is of the one before");
    let ours = Past { conditions: Vec::new(), ..written };
    assert!(again(ours, late()).starts_with("image: nothing got ready for 120 s: ErrImagePull: "));
}

#[test]
fn only_pods_of_our_template_can_fail_it() {
    let crash = || crashed(7, json!({"exitCode": 3, "reason": "Error"}));
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

/// What containerd 1.6 said on a cluster, of images whose names hold what would be signs elsewhere.
#[test]
fn names_and_digests_are_no_signs_of_an_answer() {
    const DIGEST: &str = "sha256:40440140304044014030404401403040440140304044014030404401403abcde";
    let pull = |what_then: &str, registry: &str, path: &str| {
        let image = format!("{registry}/{path}@{DIGEST}");
        let resolve = format!("failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\"");
        what_then.replace("RESOLVE", &resolve).replace("IMAGE", &image).replace("PATH", path).replace("DIGEST", DIGEST)
    };
    let request = "failed to do request: Head \"http://127.0.0.1:9/v2/PATH/manifests/DIGEST\"";
    let cases = [
        pull("rpc error: code = NotFound desc = RESOLVE: IMAGE: not found", "127.0.0.1:5000", "test/absent"),
        pull(
            "Back-off pulling image \"IMAGE\": ErrImagePull: rpc error: code = NotFound desc = RESOLVE: IMAGE: not found",
            "r",
            "x",
        ),
        pull(
            "RESOLVE: unexpected status from HEAD request to https://r/v2/PATH/manifests/DIGEST: 403 Forbidden",
            "r",
            "x",
        ),
        pull(
            "RESOLVE: failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://r/token: 401 Unauthorized",
            "r",
            "x",
        ),
        pull(
            "RESOLVE: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
            "r",
            "x",
        ),
        pull(
            &format!("RESOLVE: {request}: dial tcp 127.0.0.1:9: connect: connection refused"),
            "127.0.0.1:9",
            "forbidden/x",
        ),
        pull(
            &format!("RESOLVE: {request}: dial tcp: lookup not-found.invalid on 10.0.0.10:53: no such host"),
            "r",
            "denied/unauthorized",
        ),
        pull(&format!("RESOLVE: {request}: net/http: TLS handshake timeout"), "r", "pull-access-denied/404"),
        pull(
            "RESOLVE: unexpected status from HEAD request to https://r/v2/PATH/manifests/DIGEST: 503 Service Unavailable",
            "r",
            "x",
        ),
    ];
    let is_final = |message: String| {
        let waiting = json!({"state": {"waiting": {"reason": "ErrImagePull", "message": message}}});
        text(&snapshot(deployment(2, 2, "new", progressing()), &[pod("web-2", waiting)])).starts_with("image: ")
    };
    assert_eq!(cases.map(is_final), [true, true, true, true, true, false, false, false, false]);
}

/// One replica and one surge: a cluster counts the old pod beside the new one that nobody takes.
#[test]
fn what_blocks_the_new_pods_is_told_and_becomes_the_cause() {
    let mut pending = pod("web-2", json!({}));
    pending["status"] = json!({"phase": "Pending", "conditions":
        [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: no memory"}]});
    let status = json!({"replicas": 3, "updatedReplicas": 2, "availableReplicas": 1,
        "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]});
    let Verdict::Waiting(wait) = verdict(&ours(), &snapshot(deployment(2, 2, "new", status), &[pending.clone()]))
    else {
        panic!("a node may come")
    };
    assert_eq!(wait.how_far, "0 of 2 ready: no node takes its pod (0/1 nodes: no memory)");
    assert_eq!(wait.blocked.unwrap().kind, CauseKind::Unschedulable);
    let late = condition("Progressing", "False", "ProgressDeadlineExceeded", "");
    assert_eq!(
        text(&snapshot(deployment(2, 2, "new", late), &[pending])),
        "unschedulable: nothing got ready for 120 s: no node takes its pod (0/1 nodes: no memory)"
    );
}

#[test]
fn a_pod_that_was_evicted_is_not_judged() {
    let mut evicted = pod("web-2", crashed(4, json!({"exitCode": 137, "reason": "Error"})));
    evicted["status"]["phase"] = json!("Failed");
    assert_eq!(text(&snapshot(deployment(2, 2, "new", progressing()), &[evicted])), "0 of 2 ready");
}

#[test]
fn the_controllers_deadline_fails_it() {
    let late = condition("Progressing", "False", "ProgressDeadlineExceeded", "");
    let running = pod("web-2", json!({"state": {"running": {}}}));
    assert_eq!(
        text(&snapshot(deployment(2, 2, "new", late), &[running])),
        "deadline: nothing got ready for 120 s: started, its probe does not pass yet"
    );
}

/// A ReplicaSet says why its pods cannot be made. The Deployment repeats what any of its ReplicaSets says, old ones too.
#[test]
fn refused_pods_are_waited_for_unless_they_always_will_be() {
    let refused = |set: &str, message: &str| {
        let failure = condition("ReplicaFailure", "True", "FailedCreate", message);
        let mut snapshot = snapshot(deployment(2, 2, "new", failure.clone()), &[]);
        let content = if set == "web-2" { "new" } else { "old" };
        let mut replica_set = replica_set(set, &set[4..], content);
        replica_set["status"] = failure;
        snapshot.update(Watched::ReplicaSet, WatchEvent::Applied(replica_set));
        text(&snapshot)
    };
    let quota = "pods \"web-x\" is forbidden: exceeded quota: all, requested: pods=1, used: pods=2, limited: pods=2";
    assert_eq!(refused("web-2", quota), format!("0 of 2 ready: its pods are refused: {quota}"));
    assert_eq!(refused("web-1", quota), "0 of 2 ready", "an old ReplicaSet is no concern of ours");
    let webhook = "Internal error occurred: failed calling webhook \"violates PodSecurity \": no endpoints available";
    assert_eq!(refused("web-2", webhook), format!("0 of 2 ready: its pods are refused: {webhook}"));
    let policy = "pods \"web-x\" is forbidden: violates PodSecurity \"restricted:latest\": host namespaces";
    assert_eq!(refused("web-2", policy), format!("refused: its pods are refused: {policy}"));
}

#[test]
fn changes_by_others_supersede() {
    // A scale raises the generation and is no harm; another template is.
    let both = [ready_pod("a"), ready_pod("b")];
    assert_eq!(text(&snapshot(deployment(3, 3, "new", done()), &both)), "ready");
    let mut changed = deployment(3, 3, "other", done());
    changed["metadata"]["managedFields"] = json!([
        {"manager": "build", "time": "2026-01-01T00:00:00Z"},
        {"manager": "kubectl-edit", "time": "2026-01-01T00:01:00Z"},
        {"manager": "controller", "time": "2026-01-01T00:02:00Z", "subresource": "status"},
    ]);
    assert_eq!(text(&snapshot(changed, &[])), "superseded: it was changed by `kubectl-edit` meanwhile");
    let mut going = deployment(2, 2, "new", done());
    going["metadata"]["deletionTimestamp"] = json!(NOON);
    assert_eq!(text(&snapshot(going, &both)), "superseded: it is being deleted");
    let mut replaced = deployment(2, 2, "new", done());
    replaced["metadata"]["uid"] = json!("d2");
    assert_eq!(text(&snapshot(replaced, &[])), "superseded: it was replaced by another object of the same name");
}

#[test]
fn a_watch_that_ends_forgets_nothing_and_invents_nothing() {
    let mut snapshot = snapshot(deployment(2, 2, "new", progressing()), &[ready_pod("a"), ready_pod("b")]);
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
    assert_eq!(text(&Snapshot::default()), "waiting for the cluster to list it");
}
