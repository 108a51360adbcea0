//! What goes wrong around a rollout: others who write, deadlines, refusals, records, and clients that must not notice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deploy::{CauseKind, DeployError, Rollback, Rollout, Smoke, read_record};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use model::Cancel;
use serde_json::{Value, json};

use crate::setup::{Heard, Loud, Setup, namespace, serve, setup, try_get};

async fn create(setup: &Setup, space: &str, group: &str, object: Value) -> DynamicObject {
    let kind = object["kind"].as_str().unwrap().to_owned();
    let object = serde_json::from_value(object).unwrap();
    setup.api(space, group, &kind).await.create(&PostParams::default(), &object).await.unwrap()
}

async fn merge(setup: &Setup, space: &str, (group, kind, name): (&str, &str, &str), patch: Value) {
    let params = PatchParams { field_manager: Some("ann".into()), ..PatchParams::default() };
    setup.api(space, group, kind).await.patch(name, &params, &Patch::Merge(&patch)).await.unwrap();
}

/// Another rollout holds the lock, and is not heard of again: what the first one began is not its own any more.
#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_lock_writes_nothing_and_who_takes_it_fences_the_rest_off() {
    let setup = setup().await;
    let space = namespace("fence");
    let cancel = Cancel::default();
    let services = |answer: &str| [("web", setup.web("web", answer)), ("same", setup.web("same", "same"))];
    setup.roll_out(&setup.parameters(&space, &services("one"))).await.unwrap();
    let slow = setup.service("web", &format!("/bin/busybox sleep 30; {}", serve("two")));
    let overtaken_services = [("web", slow), ("same", setup.web("same", "same"))];
    let mut overtaken = setup.prepare(&setup.parameters(&space, &overtaken_services)).await.unwrap();
    overtaken.apply(&Loud, &cancel).await.unwrap();
    merge(
        &setup,
        &space,
        ("coordination.k8s.io", "Lease", "build-minikube"),
        json!({"spec": {"holderIdentity": "eve@far/1"}}),
    )
    .await;
    let before = (setup.versions(&space, "", "ConfigMap").await, setup.versions(&space, "", "Service").await);
    let error = overtaken.wait(&Loud, &cancel).await.unwrap_err();
    assert!(matches!(&error, DeployError::LockLost(why) if why.contains("eve@far took the lock")), "{error}");
    let after = (setup.versions(&space, "", "ConfigMap").await, setup.versions(&space, "", "Service").await);
    assert_eq!(before, after, "neither the record nor an object was written");

    let began = Instant::now();
    setup.roll_out(&setup.parameters(&space, &services("three"))).await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(15), "a holder has its time: {:?}", began.elapsed());
    let recorded = read_record(&setup.cluster, &space, "minikube").await.unwrap();
    let same = setup.api(&space, "apps", "Deployment").await.get("same").await.unwrap();
    let fence = same.metadata.annotations.unwrap()["build/fence"].clone();
    assert_eq!(fence, recorded.record.generation.to_string(), "an object that did not change is another version now");
    assert!(setup.prepare(&setup.parameters(&space, &services("three"))).await.unwrap().is_current());
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_the_past_fail_nothing() {
    let setup = setup().await;
    let space = namespace("restarts");
    // It ends twice, some seconds after it was ready, and then stays.
    let script = format!(
        "b=/bin/busybox; n=$($b cat /tmp/n 2>/dev/null || echo 0); echo $((n+1)) >/tmp/n; \
         if [ $n -lt 2 ]; then ($b sleep 7; $b kill 1) & fi; trap 'exit 1' TERM; {}",
        serve("x").replace("exec $b httpd -f", "$b httpd").to_owned() + "; while :; do $b sleep 1; done"
    );
    let parameters = |replicas: u32, other: &str| {
        let mut web = setup.service("web", &script);
        web["replicas"] = json!(replicas);
        setup.parameters(&space, &[("web", web), ("other", setup.web("other", other))])
    };
    setup.roll_out(&parameters(1, "x")).await.unwrap();
    let pods = setup.api(&space, "", "Pod").await;
    let began = Instant::now();
    loop {
        let list = pods.list(&Default::default()).await.unwrap();
        let restarted = list.items.iter().any(|pod| {
            let status = &pod.data["status"]["containerStatuses"][0];
            status["restartCount"].as_i64() >= Some(2) && status["ready"] == true
        });
        if restarted {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it never restarted twice");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    setup.roll_out(&parameters(1, "y")).await.expect("another service changed");
    setup.roll_out(&parameters(2, "y")).await.expect("its own number of replicas changed");
    setup.clean_up(&space).await;
}

/// Fails a release that changes settings and brings a new service; tells the cause and what came back.
async fn fails_and_returns(test: &str, spoil: impl FnOnce(&mut Value)) -> (CauseKind, String) {
    let setup = setup().await;
    let space = namespace(test);
    let mut good = setup.web("web", "good");
    good["env"] = json!({"LEVEL": "one"});
    setup.roll_out(&setup.parameters(&space, &[("web", good.clone())])).await.unwrap();
    let kinds = [("", "ConfigMap"), ("", "Service"), ("", "ServiceAccount"), ("apps", "Deployment")];
    let names = async || {
        let mut all = Vec::new();
        for (group, kind) in kinds {
            all.extend(setup.versions(&space, group, kind).await.into_keys().map(|name| format!("{kind}/{name}")));
        }
        all
    };
    let before = names().await;

    let mut bad = good;
    bad["env"] = json!({"LEVEL": "two"});
    spoil(&mut bad);
    let mut parameters = setup.parameters(&space, &[("web", bad), ("new", setup.web("new", "new"))]);
    parameters["environment"]["timeout"] = json!(12);
    let error = setup.roll_out(&parameters).await.unwrap_err();
    let DeployError::Failed { diagnoses, rollback } = error else { panic!("{error}") };
    assert!(matches!(rollback, Rollback::Done { .. }), "{rollback}");
    assert_eq!(names().await, before, "nothing of the failed release is left");
    setup.clean_up(&space).await;
    (diagnoses[0].kind, diagnoses[0].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_names_what_blocks_and_the_release_before_comes_back() {
    let probe = fails_and_returns("wrong-probe", |web| web["probe"]["path"] = json!("/absent"));
    let memory = fails_and_returns("no-node", |web| web["resources"]["cpu"] = json!("900"));
    let (probe, memory) = tokio::join!(probe, memory);
    assert_eq!(probe.0, CauseKind::Deadline, "{}", probe.1);
    assert!(probe.1.contains("started, its probe does not pass yet"), "{}", probe.1);
    assert!(probe.1.contains("statuscode: 404") && probe.1.contains("//services/web:web probe"), "{}", probe.1);
    assert_eq!(memory.0, CauseKind::Unschedulable, "{}", memory.1);
    assert!(memory.1.contains("Insufficient cpu") && memory.1.contains("//services/web:web resources"), "{}", memory.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_half_way_brings_the_release_before_back() {
    let setup = setup().await;
    let space = namespace("half");
    let mut web = setup.web("web", "one");
    web["env"] = json!({"LEVEL": "one"});
    setup.roll_out(&setup.parameters(&space, &[("web", web.clone())])).await.unwrap();
    let maps = setup.versions(&space, "", "ConfigMap").await.into_keys().collect::<Vec<_>>();
    web["env"] = json!({"LEVEL": "two"});
    let both = [("web", web), ("new", setup.web("new", "new"))];
    let mut rollout = setup.prepare(&setup.parameters(&space, &both)).await.unwrap();
    // Since the plan was made, there is no room for another Service.
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"services": 1}}});
    create(&setup, &space, "", quota).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let error = rollout.apply(&Loud, &Cancel::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("exceeded quota") && text.contains("runs again"), "{text}");
    assert!(matches!(error, DeployError::HalfWay { rollback: Rollback::Done { .. }, .. }));
    assert_eq!(setup.versions(&space, "", "ConfigMap").await.into_keys().collect::<Vec<_>>(), maps);
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_pods_are_replaced() {
    const UPDATES: usize = 3;
    let setup = setup().await;
    let space = namespace("drain");
    let parameters = |round: usize| {
        let mut web = setup.web("web", &format!("round-{round}"));
        web["replicas"] = json!(2);
        setup.parameters(&space, &[("web", web)])
    };
    setup.roll_out(&parameters(0)).await.unwrap();
    let service = setup.api(&space, "", "Service").await.get("web").await.unwrap();
    let address: SocketAddr = format!("{}:8080", service.data["spec"]["clusterIP"].as_str().unwrap()).parse().unwrap();
    let (end, good, bad) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let client = tokio::spawn({
        let (end, good, bad) = (end.clone(), good.clone(), bad.clone());
        async move {
            while !end.load(Ordering::SeqCst) {
                let answered = try_get(address).await.is_some_and(|answer| answer.starts_with("round-"));
                if answered { &good } else { &bad }.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    for round in 1..=UPDATES {
        setup.roll_out(&parameters(round)).await.unwrap();
    }
    // The last pods end a while after the rollout is done.
    tokio::time::sleep(Duration::from_secs(8)).await;
    end.store(true, Ordering::SeqCst);
    client.await.unwrap();
    let (good, bad) = (good.load(Ordering::SeqCst), bad.load(Ordering::SeqCst));
    println!("{UPDATES} updates of 2 pods: {good} requests answered, {bad} failed");
    assert!(good > 500, "the client asked {good} times only");
    assert_eq!(bad, 0, "of {} requests", good + bad);
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_added_by_hand_are_told() {
    let setup = setup().await;
    let space = namespace("drift");
    let parameters = setup.parameters(&space, &[("web", setup.web("web", "x"))]);
    setup.roll_out(&parameters).await.unwrap();
    let containers = json!([
        {"name": "web", "env": [{"name": "DEBUG", "value": "1"}]},
        {"name": "side", "image": "127.0.0.1:5000/test/side:1", "securityContext": {"runAsUser": 1}},
    ]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let params = PatchParams { field_manager: Some("ann".into()), ..PatchParams::default() };
    setup.api(&space, "apps", "Deployment").await.patch("web", &params, &Patch::Strategic(&patch)).await.unwrap();
    let rollout = setup.prepare(&parameters).await.unwrap();
    assert_eq!(
        rollout.plan().notes(),
        [
            r#"Deployment/web: `ann` added .spec.template.spec.containers[name="side"], which no target declares"#,
            r#"Deployment/web: `ann` added .spec.template.spec.containers[name="web"].env[name="DEBUG"], which no target declares"#,
        ]
    );
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_deleted_and_what_cannot_be_read_is_no_base() {
    let setup = setup().await;
    let space = namespace("going");
    let parameters = setup.parameters(&space, &[("web", setup.web("web", "x"))]);
    setup.roll_out(&parameters).await.unwrap();
    merge(&setup, &space, ("", "ConfigMap", "build-minikube"), json!({"data": {"record": "{}"}})).await;
    let before = setup.versions(&space, "", "ConfigMap").await;
    let error = setup.roll_out(&parameters).await.unwrap_err();
    assert!(error.to_string().contains("the record of `minikube` (ConfigMap/build-minikube"), "{error}");
    assert!(error.diagnostics()[0].to_string().contains("kubectl delete configmap build-minikube"), "{error}");
    assert_eq!(setup.versions(&space, "", "ConfigMap").await, before, "it was replaced");
    // The way out that the message names.
    setup.api(&space, "", "ConfigMap").await.delete("build-minikube", &DeleteParams::default()).await.unwrap();
    setup.roll_out(&parameters).await.unwrap();

    merge(&setup, &space, ("apps", "Deployment", "web"), json!({"metadata": {"finalizers": ["test/stay"]}})).await;
    setup.api(&space, "apps", "Deployment").await.delete("web", &DeleteParams::default()).await.unwrap();
    let error = setup.prepare(&parameters).await.err().unwrap();
    assert_eq!(error.to_string(), "Deployment/web is being deleted");
    setup.clean_up(&space).await;
    let error = setup.prepare(&parameters).await.err().unwrap();
    assert_eq!(error.to_string(), format!("the namespace `{space}` is being deleted"));
    merge(&setup, &space, ("apps", "Deployment", "web"), json!({"metadata": {"finalizers": null}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_watch_is_told_so_and_asks_again() {
    let setup = setup().await;
    let space = namespace("watch");
    let parameters = setup.parameters(&space, &[("web", setup.web("web", "x"))]);
    let verbs = json!(["get", "list", "create", "update", "patch", "delete"]);
    let rules = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": verbs}]);
    let cluster = setup.as_user_with(&space, &rules).await;
    let heard = Heard::default();
    let cancel = Cancel::default();
    let mut rollout = Rollout::prepare(setup.bundle(&parameters), cluster, setup.options()).await.unwrap();
    rollout.apply(&heard, &cancel).await.unwrap();
    rollout.wait(&heard, &cancel).await.unwrap();
    rollout.finish(Smoke::Passed, &heard, &cancel).await.unwrap();
    let said = heard.lines();
    assert!(
        said.iter().any(|line| line.starts_with("the cluster does not tell of pods: ") && line.contains("forbidden")),
        "{said:?}"
    );
    setup.clean_up(&space).await;
    setup.clean_up_user(&space).await;
}
