//! Rollouts on a real Kubernetes. Built only with `--features cluster-tests`, and then a missing cluster is a failure:
//!
//!     ci/cluster/cluster exec cargo test -p deploy --features cluster-tests --test cluster
//!
//! `BUILD_TEST_KUBECONFIG` (else `KUBECONFIG`) names the cluster, `BUILD_TEST_REGISTRY` the registry that its nodes
//! pull from.

mod faults;
mod setup;

use std::time::{Duration, Instant};

use deploy::{CauseKind, ChangeAction, Cluster, ClusterError, DeployError, PlanError, Rollback, Smoke, read_record};
use kube::api::{Patch, PatchParams, PostParams};
use model::Cancel;
use serde_json::{Value, json};
use setup::{Loud, Setup, http_get, namespace, serve, setup};

#[tokio::test(flavor = "multi_thread")]
async fn from_zero_then_unchanged_then_changed() {
    let setup = setup().await;
    let space = namespace("zero");
    let parameters = |level: &str, answer: &str| {
        let mut web = setup.web("web", answer);
        web["env"] = json!({"LEVEL": level});
        setup.parameters(&space, &[("web", web), ("other", setup.web("other", "other"))])
    };
    let report = setup.roll_out(&parameters("info", "one")).await.unwrap();
    assert!(!report.up_to_date && report.unchanged == 0, "{report:?}");

    let versions = |kind: &'static str, group: &'static str| setup.versions(&space, group, kind);
    let before = (versions("ConfigMap", "").await, versions("Lease", "coordination.k8s.io").await);
    let deployments = versions("Deployment", "apps").await;
    let began = Instant::now();
    let report = setup.roll_out(&parameters("info", "one")).await.unwrap();
    println!("unchanged: {:?} in {:?}", report, began.elapsed());
    assert_eq!((report.up_to_date, report.api_writes, report.written), (true, 0, 0), "{report:?}");
    let after = (versions("ConfigMap", "").await, versions("Lease", "coordination.k8s.io").await);
    assert_eq!(before, after);
    assert_eq!(deployments, versions("Deployment", "apps").await);

    let rollout = setup.prepare(&parameters("debug", "one")).await.unwrap();
    let plan = rollout.plan();
    println!("{plan}");
    assert_eq!((plan.count(ChangeAction::Create), plan.count(ChangeAction::Update)), (1, 1), "{plan}");
    assert!(plan.to_string().lines().any(|line| line.trim().starts_with("+") && line.contains("name: web-")), "{plan}");
    let report = setup.roll_out(&parameters("debug", "two")).await.unwrap();
    assert_eq!((report.written, report.pruned), (2, 0), "the ConfigMap before is kept: {report:?}");
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_ports_reach_the_new_pods() {
    let setup = setup().await;
    let space = namespace("forward");
    let cancel = Cancel::default();
    for answer in ["one", "two"] {
        let parameters = setup.parameters(&space, &[("web", setup.web("web", answer))]);
        let mut rollout = setup.prepare(&parameters).await.unwrap();
        rollout.apply(&Loud, &cancel).await.unwrap();
        rollout.wait(&Loud, &cancel).await.unwrap();
        let forwards = rollout.forward(&[]).await.unwrap();
        let address = forwards.addresses()["web"]["http"];
        assert_eq!(forwards.env()["WEB_ADDR"], address.to_string());
        for _ in 0..3 {
            assert_eq!(http_get(address).await, answer);
        }
        rollout.finish(Smoke::Passed, &Loud, &cancel).await.unwrap();
    }
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_is_explained_and_the_old_release_serves_on() {
    let setup = setup().await;
    let space = namespace("crash");
    let good = setup.parameters(&space, &[("web", setup.web("web", "good"))]);
    setup.roll_out(&good).await.unwrap();

    let crashing = setup.service("web", "echo reading the model; echo no such model; exit 3");
    let mut rollout = setup.prepare(&setup.parameters(&space, &[("web", crashing)])).await.unwrap();
    let cancel = Cancel::default();
    rollout.apply(&Loud, &cancel).await.unwrap();
    let forwards = rollout.forward(&[]).await.unwrap();
    assert_eq!(http_get(forwards.addresses()["web"]["http"]).await, "good");
    let error = rollout.wait(&Loud, &cancel).await.unwrap_err();
    println!("{}", error.diagnostics().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let DeployError::Failed { diagnoses, rollback } = error else { panic!("{error}") };
    let diagnosis = &diagnoses[0];
    assert_eq!(diagnosis.kind, CauseKind::CrashLoop);
    assert!(diagnosis.exit.as_deref().unwrap().contains("ended with exit code 3"), "{diagnosis}");
    assert_eq!(diagnosis.log, ["reading the model", "no such model"]);
    assert!(diagnosis.to_string().contains("set by: //services/web:web image"), "{diagnosis}");
    assert!(matches!(rollback, Rollback::Done { .. }), "{rollback:?}");
    assert_eq!(http_get(forwards.addresses()["web"]["http"]).await, "good");
    drop(forwards);

    // The good release is what runs, but the last rollout was not it: once more, with its smoke tests.
    let report = setup.roll_out(&good).await.unwrap();
    assert_eq!(report.written, 0, "{report:?}");
    assert!(setup.prepare(&good).await.unwrap().is_current());
    setup.clean_up(&space).await;
}

async fn fails_with(setup: &Setup, test: &str, change: impl FnOnce(&mut Value)) -> (CauseKind, String, Duration) {
    let space = namespace(test);
    let mut web = setup.web("web", "x");
    change(&mut web);
    let began = Instant::now();
    let error = setup.roll_out(&setup.parameters(&space, &[("web", web)])).await.unwrap_err();
    setup.clean_up(&space).await;
    let DeployError::Failed { diagnoses, rollback } = error else { panic!("{error}") };
    assert_eq!(rollback, Rollback::NothingBefore);
    (diagnoses[0].kind, diagnoses[0].to_string(), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_apart_and_early() {
    let setup = setup().await;
    let missing_image = fails_with(&setup, "image", |web| web["image"]["repository"] = json!("test/absent")).await;
    assert_eq!(missing_image.0, CauseKind::Image, "{}", missing_image.1);
    assert!(missing_image.1.contains("//services/web:web image") && missing_image.1.contains("not found"));
    let memory = "x=y; while true; do x=$x$x; done";
    let memory = fails_with(&setup, "memory", |web| web["args"] = json!(["sh", "-c", memory])).await;
    println!("{}", memory.1);
    assert_eq!(memory.0, CauseKind::OutOfMemory, "{}", memory.1);
    assert!(memory.1.contains("resources"), "{}", memory.1);
    let program = fails_with(&setup, "start", |web| {
        web["args"] = json!(["sh", "-c", "/bin/busybox sh -c 'kill -SEGV $$'; exit $?"])
    })
    .await;
    assert!(program.1.contains("signal 11 SIGSEGV"), "{}", program.1);
    for (kind, text, took) in [missing_image, memory, program] {
        assert!(took < Duration::from_secs(150), "{kind} took {took:?}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_a_plan_error_and_a_missing_key_a_diagnosis() {
    let setup = setup().await;
    let space = namespace("secret");
    let mut web = setup.web("web", "x");
    web["secrets"] = json!({"TOKEN": {"name": "web", "key": "token"}});
    let parameters = setup.parameters(&space, &[("web", web)]);
    let error = setup.prepare(&parameters).await.err().unwrap();
    let text = error.diagnostics()[0].to_string();
    assert!(text.contains("the secret `web` that //services/web:web (attribute `secrets`) needs"), "{text}");
    assert!(text.contains("kubectl create secret generic web"), "{text}");

    setup.roll_out(&setup.parameters(&space, &[("web", setup.web("web", "x"))])).await.unwrap();
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web"}, "stringData": {"other": "1"}});
    let secret = serde_json::from_value(secret).unwrap();
    setup.api(&space, "", "Secret").await.create(&PostParams::default(), &secret).await.unwrap();
    let error = setup.roll_out(&parameters).await.unwrap_err();
    let DeployError::Failed { diagnoses, rollback } = error else { panic!("{error}") };
    assert_eq!(diagnoses[0].kind, CauseKind::Configuration, "{}", diagnoses[0]);
    assert!(diagnoses[0].to_string().contains("//services/web:web secrets"), "{}", diagnoses[0]);
    assert!(matches!(rollback, Rollback::Done { .. }), "{rollback:?}");
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_without_storage_is_a_plan_error() {
    let setup = setup().await;
    let mut web = setup.web("web", "x");
    web["state"] = json!({"path": "/data", "size": "1Gi"});
    let mut parameters = setup.parameters(&namespace("state"), &[("web", web)]);
    setup.prepare(&parameters).await.unwrap();
    parameters["environment"]["persistent"] = json!(true);
    let has_storage = setup.has_default_storage().await;
    match setup.prepare(&parameters).await.err() {
        Some(error) => {
            assert!(!has_storage && error.to_string().contains("no default storage class"), "{error}");
            assert!(error.diagnostics()[0].hints[0].contains("persistent = False"));
        }
        None => assert!(has_storage),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_release_is_removed_and_nothing_else() {
    let setup = setup().await;
    let space = namespace("prune");
    let web = || ("web", setup.web("web", "x"));
    setup.roll_out(&setup.parameters(&space, &[web(), ("gone", setup.web("gone", "x"))])).await.unwrap();
    let labels = json!({"app.kubernetes.io/managed-by": "build", "app.kubernetes.io/instance": "minikube"});
    let stranger = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "stranger", "labels": labels},
        "spec": {"ports": [{"port": 80}]}});
    let stranger = serde_json::from_value(stranger).unwrap();
    setup.api(&space, "", "Service").await.create(&PostParams::default(), &stranger).await.unwrap();

    let report = setup.roll_out(&setup.parameters(&space, &[web()])).await.unwrap();
    assert_eq!((report.written, report.pruned), (0, 4), "{report:?}");
    let services = setup.versions(&space, "", "Service").await;
    assert_eq!(services.keys().map(String::as_str).collect::<Vec<_>>(), ["stranger", "web"]);
    assert!(!setup.versions(&space, "apps", "Deployment").await.contains_key("gone"));
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_and_objects_of_others_are_left_alone() {
    let setup = setup().await;
    let space = namespace("conflict");
    let parameters = |memory: &str| {
        let mut web = setup.web("web", "x");
        web["resources"]["memory_limit"] = json!(memory);
        setup.parameters(&space, &[("web", web)])
    };
    setup.roll_out(&parameters("32Mi")).await.unwrap();
    let deployments = setup.api(&space, "apps", "Deployment").await;
    let limits = json!([{"name": "web", "resources": {"limits": {"memory": "48Mi"}}}]);
    let patch = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": limits}}}});
    let params = PatchParams::apply("ann").force();
    deployments.patch("web", &params, &Patch::Apply(&patch)).await.unwrap();
    let error = setup.prepare(&parameters("40Mi")).await.err().unwrap();
    println!("{}", error.diagnostics()[0]);
    let DeployError::Plan(errors) = error else { panic!("{error}") };
    assert!(
        matches!(&errors[0], PlanError::Conflict { manager, field, origin, .. }
            if manager == "ann" && field.contains("resources.limits.memory") && origin == "//services/web:web resources"),
        "{:?}",
        errors[0]
    );

    // Scaling is not a conflict: whoever scales keeps the number.
    let parameters = parameters("48Mi");
    let scale = json!({"spec": {"replicas": 2}});
    deployments.patch_scale("web", &PatchParams::default(), &Patch::Merge(&scale)).await.unwrap();
    let rollout = setup.prepare(&parameters).await.unwrap();
    let plan = rollout.plan().to_string();
    assert!(plan.contains("replicas are left to"), "{plan}");
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_was_killed_is_taken_over() {
    let setup = setup().await;
    let space = namespace("killed");
    let parameters = setup.parameters(&space, &[("web", setup.web("web", "x"))]);
    let cancel = Cancel::default();
    let mut killed = setup.prepare(&parameters).await.unwrap();
    killed.apply(&Loud, &cancel).await.unwrap();

    // Another process finds it locked, as long as this one renews the lock.
    let mut options = setup.options();
    options.who = "bob@ci".into();
    let changed = setup.parameters(&space, &[("web", setup.web("web", "y"))]);
    let mut other = deploy::Rollout::prepare(setup.bundle(&changed), setup.cluster.clone(), options).await.unwrap();
    let error = other.apply(&Loud, &cancel).await.unwrap_err();
    assert!(error.to_string().starts_with("test@here is rolling out"), "{error}");
    drop(killed);

    let report = setup.roll_out(&parameters).await.unwrap();
    assert_eq!((report.up_to_date, report.written), (false, 0), "{report:?}");
    assert!(setup.prepare(&parameters).await.unwrap().is_current());

    // The plan made before that is no longer the plan.
    let error = other.apply(&Loud, &cancel).await.unwrap_err();
    assert!(matches!(error, DeployError::PlanOutdated(_)), "{error}");
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_others_during_the_wait_is_no_success() {
    let setup = setup().await;
    let space = namespace("superseded");
    let cancel = Cancel::default();
    let slow = setup.service("web", &format!("/bin/busybox sleep 8; {}", serve("x")));
    let mut rollout = setup.prepare(&setup.parameters(&space, &[("web", slow)])).await.unwrap();
    rollout.apply(&Loud, &cancel).await.unwrap();
    let patch =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "args": ["sh", "-c", serve("z")]}]}}}});
    let params = PatchParams { field_manager: Some("ann".into()), ..PatchParams::default() };
    setup.api(&space, "apps", "Deployment").await.patch("web", &params, &Patch::Strategic(&patch)).await.unwrap();
    let DeployError::Failed { diagnoses, .. } = rollout.wait(&Loud, &cancel).await.unwrap_err() else { panic!() };
    assert_eq!(diagnoses[0].kind, CauseKind::Superseded, "{}", diagnoses[0]);
    assert!(diagnoses[0].cause.contains("`ann`"), "{}", diagnoses[0]);
    setup.clean_up(&space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_takes_what_staging_verified() {
    let setup = setup().await;
    let (staging, production) = (namespace("staging"), namespace("production"));
    let services = [("web", setup.web("web", "x"))];
    let to_staging = setup.parameters(&staging, &services);
    let mut to_production = setup.parameters(&production, &services);
    to_production["environment"]["name"] = json!("production");
    to_production["environment"]["requires"] =
        json!({"label": "//deploy:minikube", "name": "minikube", "cluster": "minikube", "namespace": staging});
    let refused = |state: &'static str| {
        let (setup, to_production) = (&setup, &to_production);
        async move {
            let error = setup.prepare(to_production).await.err().unwrap();
            assert!(error.to_string().ends_with(state), "{error}");
        }
    };
    refused("never ran there").await;
    let mut rollout = setup.prepare(&to_staging).await.unwrap();
    let cancel = Cancel::default();
    rollout.apply(&Loud, &cancel).await.unwrap();
    rollout.wait(&Loud, &cancel).await.unwrap();
    rollout.finish(Smoke::NotRun, &Loud, &cancel).await.unwrap();
    refused("ran there without its smoke tests").await;
    setup.roll_out(&to_staging).await.unwrap();
    setup.roll_out(&to_production).await.unwrap();
    let recorded = read_record(&setup.cluster, &production, "production").await.unwrap();
    assert_eq!(recorded.record.current().unwrap().images["web"], setup.digest);

    let mut dirty = setup.options();
    dirty.source.dirty = Some(true);
    to_production["environment"]["clean"] = json!(true);
    let bundle = setup.bundle(&to_production);
    let error = deploy::Rollout::prepare(bundle, setup.cluster.clone(), dirty).await.err().unwrap();
    assert!(error.to_string().contains("has local changes"), "{error}");
    setup.clean_up(&staging).await;
    setup.clean_up(&production).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_that_cannot_be_used_say_what_to_type() {
    let setup = setup().await;
    let error = Cluster::connect(Some(&setup.kubeconfig), "minikub").await.err().unwrap();
    assert!(matches!(error, ClusterError::MissingContext { .. }), "{error}");
    assert_eq!(error.hints()[0], "did you mean `minikube`?");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&setup.kubeconfig).unwrap()).unwrap();
    config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:9");
    let path = setup.kubeconfig.with_extension("closed");
    std::fs::write(&path, config.to_string()).unwrap();
    let began = Instant::now();
    let error = Cluster::connect(Some(&path), "minikube").await.err().unwrap();
    assert!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    println!("{}", DeployError::from(error).diagnostics()[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_the_one_the_cluster_announces() {
    let setup = setup().await;
    let maps = setup.api("kube-public", "", "ConfigMap").await;
    let name = "local-registry-hosting";
    let announce = async |text: &str| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"localRegistryHosting.v1": text}});
        maps.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&map)).await.unwrap();
        setup.cluster.announced_registry().await.unwrap()
    };
    let before = maps.get_opt(name).await.unwrap();
    let registry = announce("host: \"localhost:5001\"\nhostFromContainerRuntime: \"registry:5000\"\n").await.unwrap();
    assert_eq!((registry.push.as_str(), registry.pull.as_str()), ("localhost:5001", "registry:5000"));
    let registry = announce("host: localhost:5001\n").await.unwrap();
    assert_eq!((registry.push.as_str(), registry.pull.as_str()), ("localhost:5001", "localhost:5001"));
    assert_eq!(announce("help: nobody\n").await, None);
    maps.delete(name, &Default::default()).await.unwrap();
    assert_eq!(setup.cluster.announced_registry().await.unwrap(), None);
    // Other tests of this cluster stand on what it announces.
    if let Some(before) = before {
        announce(before.data["data"]["localRegistryHosting.v1"].as_str().unwrap()).await;
    }
}
