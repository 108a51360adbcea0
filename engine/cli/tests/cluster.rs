//! `build run deploy:to-...` on a real Kubernetes. Run inside the namespaces of `ci/cluster/cluster`, by `ci/test cluster`.
//!
//! The tests share one cluster, and so run one at a time.

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use support::{Folder, Run, repository};

/// The tests share namespaces of one cluster: one at a time.
static CLUSTER: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    CLUSTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sample workspace whose kube contexts all are the test cluster's, and whose registries are the cluster's.
fn sample() -> Folder {
    let folder = Folder::sample();
    let admin = std::env::var("KUBECONFIG").expect("run inside the cluster: ci/cluster/cluster exec");
    let config = std::fs::read_to_string(admin).unwrap();
    let entry = "- {name: minikube, context: {cluster: minikube, user: minikube}}";
    assert!(config.contains(entry), "the test cluster writes its kubeconfig another way");
    let contexts: Vec<String> = ["minikube", "test", "staging", "production"]
        .iter()
        .map(|name| entry.replacen("name: minikube", &format!("name: {name}"), 1))
        .collect();
    let path = folder.path().with_extension("kubeconfig");
    std::fs::write(&path, config.replace(entry, &contexts.join("\n"))).unwrap();
    folder
        .with_env("KUBECONFIG", path.to_str().unwrap())
        .with_env("BUILD_REGISTRY_STAGING", "127.0.0.1:5000")
        .with_env("BUILD_REGISTRY_PRODUCTION", "127.0.0.1:5000")
}

fn kubectl(arguments: &[&str]) -> String {
    let program: PathBuf = repository().join("ci/cluster/bin/cluster");
    let output = Command::new(program).arg("kubectl").args(arguments).output().expect("kubectl starts");
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Ends what a test left, so that the next begins from nothing.
fn clear(namespaces: &[&str]) {
    for namespace in namespaces {
        // Nobody waits here for pods to drain.
        kubectl(&["-n", namespace, "delete", "deployments,replicasets", "--all", "--cascade=orphan", "--wait=false"]);
        kubectl(&["-n", namespace, "delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false"]);
        kubectl(&["delete", "namespace", namespace, "--ignore-not-found", "--wait=true", "--timeout=120s"]);
    }
}

fn images(namespace: &str) -> String {
    kubectl(&[
        "-n",
        namespace,
        "get",
        "deployments",
        "-o",
        "jsonpath={.items[*].spec.template.spec.containers[*].image}",
    ])
}

fn processes(run: &Run) -> Vec<(String, String)> {
    run.actions("Ran").into_iter().collect()
}

#[test]
fn the_main_job_on_minikube() {
    let _alone = alone();
    clear(&["prediction"]);
    let folder = sample();
    let labels = |expression: &str| folder.build(&["query", expression]).expect(0).stdout;

    // A plan shows what would come to be, and changes nothing.
    let plan = folder.build(&["run", "--plan", "deploy:to-minikube"]).expect(0);
    assert!(plan.stdout.contains("+ Deployment/controller"), "{}{}", plan.stdout, plan.stderr);
    let found = kubectl(&["get", "namespace", "prediction", "--ignore-not-found"]);
    assert_eq!(found, "", "a plan made the namespace");

    // From zero. The cluster's registry may have the images from another test, so one of them is made new.
    let server = folder.read("services/model/server.py");
    folder.write("services/model/server.py", &format!("{server}# by process {}\n", std::process::id()));
    let first = folder.build(&["run", "deploy:to-minikube"]).expect(0);
    let (blobs, writes) = first.rollout();
    assert!(blobs > 0 && writes > 0, "{}", first.stderr);
    let running = images("prediction");
    assert_eq!(running.matches("@sha256:").count(), 3, "{running}");

    // Nothing changed: nothing runs, nothing is sent, nothing is written.
    let again = folder.build(&["run", "deploy:to-minikube"]).expect(0);
    assert_eq!((again.count("Ran"), again.rollout()), (0, (0, 0)), "{}", again.stderr);
    let plan = folder.build(&["run", "--plan", "deploy:to-minikube"]).expect(0);
    assert_eq!(plan.stdout, "nothing to do\n", "{}", plan.stderr);
    folder
        .build(&["run", "deploy:to-minikube", "--", "--plan"])
        .expect(2)
        .says(&["`build run deploy:to-minikube --plan`"]);

    // A new field in a proto, used by two services: what depends on it is built again, and nothing else.
    folder.replace(
        "protos/prediction/v1/prediction.proto",
        "message Prediction {",
        "message Prediction {\n  // Who says so.\n  string origin = 15;\n",
    );
    folder.replace(
        "services/model/server.py",
        "prediction_pb2.Prediction(",
        "prediction_pb2.Prediction(origin=\"model\", ",
    );
    folder.replace(
        "services/controller/controller.go",
        "recorded, err := c.ledger.Record",
        "scored.Prediction.Origin += \", controller\"\n\trecorded, err := c.ledger.Record",
    );
    folder.replace(
        "services/controller/ask/main.go",
        "prediction.GetModelVersion())",
        "prediction.GetModelVersion()+\" \"+prediction.GetOrigin())",
    );
    let field = folder.build(&["run", "deploy:to-minikube"]).expect(0);
    let dependents = labels("rdeps(//..., //protos/prediction/v1:all)");
    for (label, mnemonic) in processes(&field) {
        let label = label.trim_end_matches(".interface");
        let known = dependents.lines().any(|line| line == label) || mnemonic == "Test";
        assert!(known, "{mnemonic} of {label} ran, which does not depend on the proto:\n{dependents}");
    }
    assert!(field.count("Ran") > 0);
    assert_ne!(images("prediction"), running, "the pods still run the old images");
    let answer = ask(&folder);
    assert!(answer.contains("model, controller"), "{answer}");

    // A syntax error in Python: nothing is deployed.
    let running = images("prediction");
    let good = folder.read("services/model/server.py");
    folder.write("services/model/server.py", &format!("{good}\ndef broken(:\n"));
    let broken = folder.build(&["run", "deploy:to-minikube"]).expect(1).says(&["server.py", "SyntaxError"]);
    assert!(!broken.stderr.contains("API writes"));
    assert_eq!(images("prediction"), running);

    // A service that ends itself: the cause and the exit code are named, and the old version still answers.
    folder.write("services/model/server.py", &format!("raise SystemExit(\"no weights\")\n{good}"));
    folder.build(&["run", "deploy:to-minikube"]).expect(5).says(&["model", "exit code 1", "no weights"]);
    assert!(ask(&folder).contains("model, controller"));
    folder.write("services/model/server.py", &good);
    folder.build(&["run", "deploy:to-minikube"]).expect(0);
    clear(&["prediction"]);
}

/// What the system answers to a client outside the cluster's pods.
fn ask(folder: &Folder) -> String {
    let address = kubectl(&["-n", "prediction", "get", "service", "controller", "-o", "jsonpath={.spec.clusterIP}"]);
    let address = format!("{address}:8081");
    let run = folder.build(&["run", "services/controller:ask", "--", "--address", &address, "--text", "a good day"]);
    run.expect(0).stdout
}

#[test]
fn a_service_that_left_the_set_is_pruned() {
    let _alone = alone();
    clear(&["prediction"]);
    let folder = sample();
    folder.build(&["run", "deploy:to-minikube"]).expect(0);
    let without_model = "_SERVICES = [\"//services/controller\", \"//services/ledger\"]";
    folder.replace("deploy/BUILD.star", "_SERVICES = [\"//services/...\"]", without_model);
    folder.replace("services/controller/BUILD.star", "        \"//services/model\",\n", "");
    folder.replace("deploy/BUILD.star", "_SMOKE_TESTS = [\"//services/controller:smoke\"]", "_SMOKE_TESTS = []");
    folder.build(&["run", "deploy:to-minikube"]).expect(0);
    let left = kubectl(&["-n", "prediction", "get", "deployments,services,serviceaccounts", "-o", "name"]);
    assert!(!left.contains("/model"), "{left}");
    assert!(left.contains("/ledger"), "{left}");
    clear(&["prediction"]);
}

#[test]
fn production_takes_only_what_staging_verified_from_a_clean_tree() {
    let _alone = alone();
    clear(&["prediction"]);
    let folder = sample();
    folder.write("deploy/BUILD.star", &separate_namespaces(&folder.read("deploy/BUILD.star")));
    clear(&["staging", "production"]);
    folder.commit();
    folder.build(&["run", "deploy:to-production"]).expect(5).says(&["staging"]);
    folder.build(&["run", "deploy:to-staging"]).expect(0);
    folder.write("services/model/notes.txt", "not committed");
    folder.build(&["run", "deploy:to-production"]).expect(5).says(&["services/model/notes.txt"]);
    std::fs::remove_file(folder.path().join("services/model/notes.txt")).unwrap();
    folder.build(&["run", "deploy:to-production"]).expect(0);
    assert_eq!(images("staging"), images("production"));
    clear(&["staging", "production"]);
}

/// One test cluster stands for several: each environment gets a namespace of its own name, and one replica will do.
fn separate_namespaces(text: &str) -> String {
    let mut name = String::new();
    let mut result = String::new();
    for line in text.lines() {
        if let Some(rest) = line.trim().strip_prefix("name = \"") {
            name = rest.trim_end_matches("\",").to_owned();
        }
        let line = match line.trim() {
            "namespace = \"prediction\"," if name != "minikube" => format!("    namespace = \"{name}\","),
            "\"//services/controller\": 2,"
            | "\"//services/model\": 2,"
            | "\"//services/controller\": 3,"
            | "\"//services/model\": 3," => line.replace(": 2", ": 1").replace(": 3", ": 1"),
            // The test cluster provides no volumes.
            "persistent = True," => continue,
            _ => line.to_owned(),
        };
        result.push_str(&line);
        result.push('\n');
    }
    result
}

#[test]
fn the_commands_of_continuous_integration_in_order() {
    let _alone = alone();
    let text = std::fs::read_to_string(repository().join(".circleci/config.yml")).unwrap();
    let folder = sample();
    folder.write("deploy/BUILD.star", &separate_namespaces(&folder.read("deploy/BUILD.star")));
    clear(&["staging", "production", "test-main"]);
    folder.commit();
    for job in jobs_in_order(&text) {
        for command in commands_of(&text, &job) {
            let arguments: Vec<&str> = command.split_whitespace().collect();
            assert_eq!(arguments[0], "./build", "{job} runs something else than `build`: {command}");
            folder.build(&arguments[1..]).expect(0);
        }
    }
    for namespace in ["test-main", "staging", "production"] {
        assert_eq!(images(namespace).matches("@sha256:").count(), 3, "{namespace}");
    }
    clear(&["staging", "production", "test-main"]);
}

/// Starts a rollout, sends it a signal `delay` after it said `phase`, and returns its exit code as a shell tells it.
fn stopped(folder: &Folder, phase: &str, delay: Duration, signal: &str) -> i32 {
    let mut child = folder.start(&["run", "deploy:to-minikube"]);
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let said = lines.by_ref().map_while(Result::ok).any(|line| line.contains(phase));
    assert!(said, "the rollout never said {phase:?}");
    std::thread::sleep(delay);
    send(signal, child.id());
    // Read on, or the program would wait for its reader.
    lines.for_each(drop);
    let status = child.wait().expect("it was started");
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[test]
fn a_rollout_can_be_stopped_anywhere_and_the_next_one_goes_on() {
    let _alone = alone();
    clear(&["prediction"]);
    let folder = sample();
    let test = "services/controller/smoke/smoke_test.go";
    folder.replace(test, "\tdefer cancel()", "\tdefer cancel()\n\ttime.Sleep(4 * time.Second)");
    let lease = || kubectl(&["-n", "prediction", "get", "lease", "-o", "jsonpath={.items[*].spec.holderIdentity}"]);
    let server = folder.read("services/model/server.py");
    let (at_once, later) = (Duration::ZERO, Duration::from_millis(1500));
    for (number, (phase, delay, signal, code)) in [
        ("plan ", at_once, "INT", 8),
        ("apply ", at_once, "TERM", 8),
        ("model: ready", later, "INT", 8),
        ("apply ", at_once, "KILL", 137),
        ("model: ready", later, "KILL", 137),
    ]
    .into_iter()
    .enumerate()
    {
        folder.write("services/model/server.py", &format!("{server}# {number}\n"));
        assert_eq!(stopped(&folder, phase, delay, signal), code, "{phase} {signal}");
        if signal != "KILL" && number > 0 {
            assert_eq!(lease(), "", "{phase} {signal}: the lock is still held");
        }
    }
    folder.build(&["run", "deploy:to-minikube"]).expect(0);
    let again = folder.build(&["run", "deploy:to-minikube"]).expect(0);
    assert_eq!(again.rollout(), (0, 0), "{}", again.stderr);
    clear(&["prediction"]);
}

/// A laptop whose lid was closed in the middle of a rollout: meanwhile another one was made.
#[test]
fn a_rollout_that_slept_changes_nothing_of_a_later_one() {
    let _alone = alone();
    clear(&["prediction"]);
    let folder = sample();
    folder.build(&["run", "deploy:to-minikube"]).expect(0);
    let server = folder.read("services/model/server.py");
    let phases = [
        ("~ Deployment/model", "began after this one was planned"),
        ("changed Deployment/model", "nothing more is changed"),
    ];
    for (number, (phase, end)) in phases.into_iter().enumerate() {
        folder.write("services/model/server.py", &format!("import time\ntime.sleep(60)\n{server}# {number}\n"));
        let mut asleep = folder.start(&["run", "deploy:to-minikube"]);
        let mut lines = BufReader::new(asleep.stderr.take().expect("piped")).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains(phase)), "it never said {phase}");
        send("STOP", asleep.id());

        folder.write("services/model/server.py", &format!("{server}# later than {number}\n"));
        folder.build(&["run", "deploy:to-minikube"]).expect(0);
        let (running, before) = (images("prediction"), record());
        send("CONT", asleep.id());
        let said: Vec<String> = lines.map_while(Result::ok).collect();
        assert_eq!(asleep.wait().expect("it was started").code(), Some(5), "{phase}: {said:?}");
        assert!(said.iter().any(|line| line.contains(end)), "{phase}: {said:?}");
        assert_eq!((images("prediction"), record()), (running, before), "{phase}: it changed the later release");
    }
    let again = folder.build(&["run", "deploy:to-minikube"]).expect(0);
    assert_eq!(again.rollout(), (0, 0), "{}", again.stderr);
    clear(&["prediction"]);
}

fn record() -> String {
    kubectl(&["-n", "prediction", "get", "configmap", "build-minikube", "-o", "jsonpath={.data.record}"])
}

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status().expect("kill");
    assert!(sent.success());
}

#[test]
fn a_setting_restarts_only_the_service_that_has_it() {
    let _alone = alone();
    clear(&["prediction"]);
    let folder = sample();
    let setting = "    image = \":image\",\n    env = {\"GREETING\": var(\"greeting\", default = \"hello\")},";
    folder.replace("services/ledger/BUILD.star", "    image = \":image\",", setting);
    folder.build(&["run", "deploy:to-minikube"]).expect(0);
    let pods = |service: &str| {
        let selector = format!("app.kubernetes.io/name={service}");
        kubectl(&["-n", "prediction", "get", "pods", "-l", &selector, "-o", "jsonpath={.items[*].metadata.name}"])
    };
    let before = ["controller", "model", "ledger"].map(pods);
    let environment = "    cluster = \"minikube\",\n";
    folder.replace(
        "deploy/BUILD.star",
        environment,
        &format!("{environment}    values = {{\"greeting\": \"good day\"}},\n"),
    );
    let changed = folder.build(&["run", "deploy:to-minikube"]).expect(0);
    assert_eq!(changed.rollout().0, 0, "a setting is in no image: {}", changed.stderr);
    let after = ["controller", "model", "ledger"].map(pods);
    assert_eq!(before[..2], after[..2], "pods of other services were replaced");
    assert_ne!(before[2], after[2], "the ledger still has its old setting");
    let maps = kubectl(&["-n", "prediction", "get", "configmaps", "-o", "name"]);
    assert_eq!(maps.matches("/ledger-").count(), 2, "the old settings are kept for a rollback: {maps}");
    clear(&["prediction"]);
}

type Yaml = serde_json::Value;

fn parse(text: &str) -> Yaml {
    serde_saphyr::from_str(text).expect("the configuration is YAML")
}

/// The jobs of the only workflow so that each follows those it requires.
fn jobs_in_order(text: &str) -> Vec<String> {
    let configuration = parse(text);
    let mut waiting: Vec<(String, Vec<String>)> = configuration["workflows"]["every-branch"]["jobs"]
        .as_array()
        .expect("jobs")
        .iter()
        .map(|entry| match entry {
            Yaml::String(name) => (name.clone(), Vec::new()),
            Yaml::Object(map) => {
                let (name, settings) = map.iter().next().expect("a job");
                let required = settings["requires"].as_array().cloned().unwrap_or_default();
                (name.clone(), required.iter().map(|name| name.as_str().unwrap().to_owned()).collect())
            }
            other => panic!("not a job: {other}"),
        })
        .collect();
    let mut order: Vec<String> = Vec::new();
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|(_, required)| required.iter().all(|name| order.contains(name)));
        order.push(waiting.remove(ready.expect("the jobs require each other in a circle")).0);
    }
    order
}

fn commands_of(text: &str, job: &str) -> Vec<String> {
    let steps = parse(text)["jobs"][job]["steps"].as_array().expect("steps").clone();
    let commands: Vec<String> = steps.iter().filter_map(|step| step["run"].as_str().map(str::to_owned)).collect();
    assert!(!commands.is_empty(), "{job} runs nothing");
    commands
}
