//! What the tests against a real cluster share: the connection, an image, bundles, and a client of the API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deploy::{Bundle, Cluster, DeployError, Options, Registry, Report, Rollout, Smoke, Source, bundle};
use model::{Cancel, Event, NoReporter, Reporter};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A real cluster, and an image in its registry.
pub struct Setup {
    pub cluster: Cluster,
    pub kubeconfig: std::path::PathBuf,
    pub registry: String,
    pub digest: String,
    _folder: tempfile::TempDir,
}

/// Connects. These tests are only built when they are asked for, so a cluster that is missing is a failure.
pub async fn setup() -> Setup {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let path = env("BUILD_TEST_KUBECONFIG").or_else(|| env("KUBECONFIG"));
    let path = path.expect("set BUILD_TEST_KUBECONFIG to the kubeconfig of a test cluster");
    let registry = env("BUILD_TEST_REGISTRY").unwrap_or_else(|| "127.0.0.1:5000".into());
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, renamed(&std::fs::read_to_string(path).unwrap())).unwrap();
    let cluster = Cluster::connect(Some(&kubeconfig), "minikube").await.unwrap();
    // The registry does not take two pushes of one image at once.
    static PUSH: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let pushing = PUSH.lock().await;
    let digest = push_busybox(&registry).await;
    drop(pushing);
    Setup { cluster, kubeconfig, registry, digest, _folder: folder }
}

/// The kubeconfig with its current context named `minikube`.
fn renamed(text: &str) -> String {
    let mut config: Value = serde_saphyr::from_str(text).unwrap();
    let current = config["current-context"].as_str().unwrap_or_default().to_owned();
    for context in config["contexts"].as_array_mut().unwrap() {
        if context["name"] == current.as_str() {
            context["name"] = json!("minikube");
        }
    }
    config["current-context"] = json!("minikube");
    config.to_string()
}

/// Pushes an image that holds a static busybox only.
async fn push_busybox(registry: &str) -> String {
    let program = std::path::Path::new("/bin/busybox");
    assert!(program.exists(), "install Debian's busybox-static");
    let folder = tempfile::tempdir().unwrap();
    let store = store::Store::open(folder.path()).unwrap();
    let bytes = std::fs::read(program).unwrap();
    let digest = store.put_bytes(&bytes).unwrap();
    let content = oci::LayerContent::File { digest, size: bytes.len() as u64, executable: true };
    let entries = vec![oci::LayerEntry { target: "bin/busybox".into(), content }];
    let layer = oci::layer(&oci::LayerRequest { entries, owner: oci::Owner::default() }, &store).unwrap();
    let overrides = oci::Overrides { entrypoint: Some(vec!["/bin/busybox".into()]), ..oci::Overrides::default() };
    let platform = model::Platform { os: "linux".into(), arch: "amd64".into() };
    let request = oci::ImageRequest { base: None, layers: vec![layer], overrides, platform };
    let image = oci::image(&request, &store).unwrap();
    let registry = oci::Registry::from_machine(registry, "test/busybox").unwrap();
    let request = oci::PushRequest { image: &image.tree, registry: &registry, repository: "test/busybox", tags: &[] };
    let reporter: Arc<dyn Reporter> = Arc::new(NoReporter);
    oci::push(&request, &store, &reporter).await.unwrap().digest.to_string()
}

impl Setup {
    /// The parameters of a bundle with the services given, in a namespace of the test's own.
    pub fn parameters(&self, namespace: &str, services: &[(&str, Value)]) -> Value {
        let services: BTreeMap<&str, Value> = services.iter().map(|(name, value)| (*name, value.clone())).collect();
        json!({
            "target": "//deploy:to-minikube",
            "environment": {
                "label": "//deploy:minikube", "name": "minikube", "kind": "cluster", "cluster": "minikube",
                "namespace": namespace, "create_namespace": true, "values": {}, "timeout": 60,
            },
            "services": services,
            "smoke_tests": ["//services/web:smoke"],
        })
    }

    /// A service that runs a shell script.
    pub fn service(&self, name: &str, script: &str) -> Value {
        json!({
            "label": format!("//services/{name}:{name}"),
            "image": {"label": format!("//services/{name}:image"), "repository": "test/busybox", "digest": "digest"},
            "ports": {"http": 8080},
            "args": ["sh", "-c", script],
            "probe": {"kind": "http", "path": "/"},
            "resources": {"cpu": "5m", "memory": "8Mi", "memory_limit": "32Mi"},
        })
    }

    /// A service that answers with a text.
    pub fn web(&self, name: &str, answer: &str) -> Value {
        self.service(name, &serve(answer))
    }

    pub fn bundle(&self, parameters: &Value) -> Bundle {
        let inputs = BTreeMap::from([("digest".to_owned(), self.digest.clone().into_bytes())]);
        Bundle::from_bytes(&bundle(parameters, &inputs).unwrap()).unwrap()
    }

    pub fn options(&self) -> Options {
        Options {
            registry: Registry { push: self.registry.clone(), pull: self.registry.clone() },
            branch: None,
            source: Source { revision: Some("abc".into()), dirty: Some(false) },
            who: "test@here".into(),
            patience: Duration::ZERO,
            take_over: false,
        }
    }

    pub async fn prepare(&self, parameters: &Value) -> Result<Rollout, DeployError> {
        Rollout::prepare(self.bundle(parameters), self.cluster.clone(), self.options()).await
    }

    /// The whole rollout, with passing smoke tests.
    pub async fn roll_out(&self, parameters: &Value) -> Result<Report, DeployError> {
        let mut rollout = self.prepare(parameters).await?;
        let cancel = Cancel::default();
        rollout.apply(&Loud, &cancel).await?;
        rollout.wait(&Loud, &cancel).await?;
        rollout.finish(Smoke::Passed, &Loud, &cancel).await
    }

    /// Runs kubectl's part: a client that is not the engine.
    pub async fn client(&self) -> kube::Client {
        let config = kube::config::Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
        kube::Client::try_from(config).unwrap()
    }

    /// Name and resource version of all objects of a kind in a namespace.
    pub async fn versions(&self, namespace: &str, group: &str, kind: &str) -> BTreeMap<String, String> {
        let api = self.api(namespace, group, kind).await;
        let list = api.list(&Default::default()).await.unwrap();
        let entry = |object: kube::core::DynamicObject| {
            (object.metadata.name.unwrap_or_default(), object.metadata.resource_version.unwrap_or_default())
        };
        list.items.into_iter().map(entry).collect()
    }

    pub async fn api(&self, namespace: &str, group: &str, kind: &str) -> kube::Api<kube::core::DynamicObject> {
        let gvk = kube::core::GroupVersionKind::gvk(group, "v1", kind);
        let resource = kube::core::ApiResource::from_gvk(&gvk);
        kube::Api::namespaced_with(self.client().await, namespace, &resource)
    }

    /// Whether claims get a volume here.
    pub async fn has_default_storage(&self) -> bool {
        let api: kube::Api<k8s_openapi::api::storage::v1::StorageClass> = kube::Api::all(self.client().await);
        let classes = api.list(&Default::default()).await.unwrap();
        let default = "storageclass.kubernetes.io/is-default-class";
        classes.items.iter().any(|class| {
            class.metadata.annotations.as_ref().and_then(|all| all.get(default)).is_some_and(|value| value == "true")
        })
    }

    /// The cluster as a user of its own sees it, who may do just this.
    pub async fn as_user_with(&self, name: &str, rules: &Value) -> Cluster {
        let client = self.client().await;
        let accounts: kube::Api<k8s_openapi::api::core::v1::ServiceAccount> =
            kube::Api::namespaced(client.clone(), "default");
        let account = json!({"metadata": {"name": name}});
        accounts.create(&Default::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
        let role = json!({"metadata": {"name": name}, "rules": rules});
        let roles: kube::Api<k8s_openapi::api::rbac::v1::ClusterRole> = kube::Api::all(client.clone());
        roles.create(&Default::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
        });
        let bindings: kube::Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = kube::Api::all(client);
        bindings.create(&Default::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
        let token = accounts.create_token_request(name, &Default::default(), &Default::default()).await.unwrap();
        let mut config: Value = serde_json::from_slice(&std::fs::read(&self.kubeconfig).unwrap()).unwrap();
        for user in config["users"].as_array_mut().unwrap() {
            user["user"] = json!({"token": token.status.as_ref().unwrap().token});
        }
        let path = self.kubeconfig.with_extension(name);
        std::fs::write(&path, config.to_string()).unwrap();
        Cluster::connect(Some(&path), "minikube").await.unwrap()
    }

    /// Removes such a user.
    pub async fn clean_up_user(&self, name: &str) {
        let roles: kube::Api<k8s_openapi::api::rbac::v1::ClusterRole> = kube::Api::all(self.client().await);
        let bindings: kube::Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = kube::Api::all(self.client().await);
        roles.delete(name, &Default::default()).await.unwrap();
        bindings.delete(name, &Default::default()).await.unwrap();
    }

    /// Removes the namespace of a test; it goes in the background.
    pub async fn clean_up(&self, namespace: &str) {
        let api: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(self.client().await);
        let _ = api.delete(namespace, &Default::default()).await;
    }
}

/// Prints progress, which the harness shows when a test fails.
pub struct Loud;

impl Reporter for Loud {
    fn report(&self, event: Event) {
        if let Event::Progress { phase, message } = event {
            println!("{phase}: {message}");
        }
    }
}

/// Keeps what is said.
#[derive(Default)]
pub struct Heard(std::sync::Mutex<Vec<String>>);

impl Heard {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Reporter for Heard {
    fn report(&self, event: Event) {
        if let Event::Progress { message, .. } = event {
            self.0.lock().unwrap().push(message.to_string());
        }
    }
}

/// A script that serves a text over HTTP.
pub fn serve(answer: &str) -> String {
    format!("b=/bin/busybox; $b mkdir -p /tmp/w; echo {answer} >/tmp/w/index.html; exec $b httpd -f -p 8080 -h /tmp/w")
}

/// A namespace name of this run's own.
pub fn namespace(test: &str) -> String {
    format!("t-{test}-{}", std::process::id())
}

/// The body of an HTTP answer; tries again while there is none.
pub async fn http_get(address: std::net::SocketAddr) -> String {
    for _ in 0..50 {
        if let Some(body) = try_get(address).await {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no answer from {address}");
}

pub async fn try_get(address: std::net::SocketAddr) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(2), stream.read_to_string(&mut answer)).await.ok()?.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some(body.trim().to_owned())
}
