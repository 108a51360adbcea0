//! A machine full of secrets: the home folder of a developer, an environment, registries and a cluster that want passwords.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;

use super::canary::Canary;
use crate::attempt::Attempt;
use crate::demo_packages::{Packages, hex};
use crate::http_server::{Answer, HttpServer, Request};
use crate::workspace::Workspace;

/// How the registries answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// With what they are asked for.
    Honest,
    /// With a status, and an error that repeats the credentials.
    Refusing(u16),
    /// With another content.
    Wrong,
    /// With a token for the password.
    Granting,
    /// With a redirect that has the credentials in its address.
    Redirecting,
}

/// The machine.
pub struct Machine {
    /// Its secrets.
    pub canaries: Vec<Canary>,
    /// The home folder.
    pub home: PathBuf,
    /// Where programs put temporary files.
    pub temporary: PathBuf,
    /// The registries of all kinds.
    pub registry: HttpServer,
    /// The API server of a cluster that knows nobody.
    pub cluster: HttpServer,
    /// What the registries serve.
    pub packages: Arc<Packages>,
    mood: Arc<Mutex<Mood>>,
}

/// Files with secrets, that are there on purpose: endings of their paths.
pub const PLANTED: [&str; 17] = [
    ".docker/config.json",
    "bin/docker-credential-vault",
    ".netrc",
    "pip.conf",
    "go/env",
    ".kube/config",
    ".ssh/id_ed25519",
    ".git-credentials",
    ".git/config",
    ".aws/credentials",
    ".npmrc",
    ".env",
    "build/config.toml",
    "broken/config.json",
    "broken/kubeconfig",
    "broken/build/config.toml",
    ".bash_history",
];

impl Machine {
    /// A machine of a try.
    pub fn new(attempt: &mut Attempt) -> Self {
        let canaries = super::canary::canaries(&mut attempt.dice);
        let packages = Arc::new(Packages::of(std::iter::repeat_with(|| attempt.dice.u8(..)).take(5000).collect()));
        let mood = Arc::new(Mutex::new(Mood::Honest));
        let (shared, content) = (Arc::clone(&mood), Arc::clone(&packages));
        let token = value_of(&canaries, "docker_token");
        let registry = HttpServer::start(move |request, answer| {
            let mood = *shared.lock().expect("no panic in it");
            serve(mood, &content, &token, request, answer);
        });
        let secret = value_of(&canaries, "kube_secret");
        let cluster = HttpServer::start(move |request, answer| serve_cluster(&secret, request, answer));
        let home = attempt.folder().join("home");
        let temporary = attempt.folder().join("tmp");
        std::fs::create_dir_all(&temporary).expect("a folder of the try");
        let machine = Self { canaries, home, temporary, registry, cluster, packages, mood };
        machine.plant();
        machine
    }

    /// Decides how the registries answer from now on.
    pub fn set_mood(&self, mood: Mood) {
        *self.mood.lock().expect("no panic in it") = mood;
    }

    /// A secret by its name.
    pub fn secret(&self, name: &str) -> &str {
        &self.canaries.iter().find(|canary| canary.name == name).unwrap_or_else(|| panic!("no secret {name}")).value
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.home.join(path);
        std::fs::create_dir_all(path.parent().expect("below home")).expect("a folder of the try");
        std::fs::write(&path, text).expect("a file of the try");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("a file of the try");
    }

    fn plant(&self) {
        let secret = |name: &str| self.secret(name).to_owned();
        let address = self.registry.address();
        let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let docker = serde_json::json!({
            "auths": {
                &address: {"auth": base64(format!("robot:{}", secret("docker_password")))},
                "token.example:5000": {"registrytoken": secret("docker_token")},
            },
            "credHelpers": {"vault.example": "vault"},
        });
        self.write(".docker/config.json", &docker.to_string());
        let helper = format!(
            "#!/bin/sh\necho '{}' >&2\necho '{{\"Username\": \"me\", \"Secret\": \"{}\"}}'\n",
            secret("docker_helper"),
            secret("docker_helper")
        );
        self.write("bin/docker-credential-vault", &helper);
        self.write(".netrc", &format!("machine 127.0.0.1 login me password {}\n", secret("netrc")));
        self.write(
            ".config/pip/pip.conf",
            &format!("[global]\nindex-url = https://me:{}@pip.example/simple\n", secret("pip_conf")),
        );
        self.write(".config/go/env", &format!("GOPROXY=https://me:{}@go.example\n", secret("go_env")));
        self.write(".kube/config", &self.kubeconfig());
        self.write(".ssh/id_ed25519", &format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n", secret("ssh_key")));
        self.write(".git-credentials", &format!("https://me:{}@git.example\n", secret("git_credentials")));
        self.write(".aws/credentials", &format!("[default]\naws_secret_access_key = {}\n", secret("aws_file")));
        self.write(".npmrc", &format!("//npm.example/:_authToken={}\n", secret("npmrc")));
        let endpoint = format!("http://me:{}@{address}/go", secret("config_endpoint"));
        let token = "[registries]\ntoken = \"token.example:5000\"\nvault = \"vault.example\"\n";
        self.write(".config/build/config.toml", &format!("[endpoints]\ngo = \"{endpoint}\"\n{token}"));
        self.write("broken/build/config.toml", &format!("[endpoints]\ngo = \"{endpoint}\n"));
        self.write(
            "broken/config.json",
            &format!("{{\"auths\": {{\"{address}\": {{\"auth\": \"{}\"", secret("docker_password")),
        );
        self.write("broken/kubeconfig", &self.kubeconfig().replace("token: ", "token: [\n  "));
        self.write(".bash_history", &format!("export NPM_TOKEN={}\n", secret("env_npm")));
    }

    fn kubeconfig(&self) -> String {
        let key = base64::engine::general_purpose::STANDARD.encode(self.secret("kube_key"));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: {{server: \"http://{}\"}}\n\
             contexts:\n- name: c\n  context: {{cluster: c, user: u}}\n- name: k\n  context: {{cluster: c, user: k}}\n\
             - name: p\n  context: {{cluster: c, user: p}}\n\
             users:\n- name: u\n  user:\n    token: {}\n\
             - name: k\n  user: {{client-key-data: {key}, client-certificate-data: {key}}}\n\
             - name: p\n  user: {{username: me, password: {}}}\n",
            self.cluster.address(),
            self.secret("kube_token"),
            self.secret("kube_password")
        )
    }

    /// A workspace on this machine, with a store that has the shell.
    pub fn workspace(&self, attempt: &Attempt) -> Workspace {
        let workspace = attempt.workspace("w");
        let address = self.registry.address();
        let endpoint = |name: &str, path: &str| format!("http://robot:{}@{address}/{path}", self.secret(name));
        let path = format!("{}:{}", self.home.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let variables = [
            ("HOME", self.home.display().to_string()),
            ("PATH", path),
            ("TMPDIR", self.temporary.display().to_string()),
            ("XDG_CONFIG_HOME", self.home.join(".config").display().to_string()),
            ("DOCKER_CONFIG", self.home.join(".docker").display().to_string()),
            ("KUBECONFIG", self.home.join(".kube/config").display().to_string()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
            ("RUST_LOG", "trace".to_owned()),
            ("RUST_BACKTRACE", "full".to_owned()),
            ("BUILD_NETWORK_TIMEOUT", "1".to_owned()),
            ("BUILD_REGISTRY_IMAGES", format!("http://{address}")),
            ("BUILD_REGISTRY_TARGET", format!("http://{address}")),
            ("BUILD_GO_ENDPOINT", endpoint("endpoint_go", "go")),
            ("BUILD_PYPI_ENDPOINT", endpoint("endpoint_pypi", "pypi")),
            ("BUILD_DEBIAN_ENDPOINT", endpoint("endpoint_debian", "debian")),
            ("AWS_SECRET_ACCESS_KEY", self.secret("env_aws").to_owned()),
            ("GITHUB_TOKEN", self.secret("env_github").to_owned()),
            ("DATABASE_URL", format!("postgres://me:{}@db/x", self.secret("env_database"))),
            ("NPM_TOKEN", self.secret("env_npm").to_owned()),
            ("CI_JOB_TOKEN", self.secret("env_ci").to_owned()),
            ("GOPROXY", format!("https://me:{}@proxy.example", self.secret("env_goproxy"))),
            ("PIP_INDEX_URL", format!("https://me:{}@pip.example/simple", self.secret("env_pip_index"))),
            ("PIP_EXTRA_INDEX_URL", format!("https://me:{}@pip.example/extra", self.secret("env_pip_extra"))),
        ];
        let workspace = variables.iter().fold(workspace, |workspace, (name, value)| workspace.with_env(name, value));
        workspace.write(".env", format!("PASSWORD={}\n", self.secret("dotenv")));
        let remote = format!("https://me:{}@git.example/x.git", self.secret("git_remote"));
        for arguments in [vec!["init", "-q", "-b", "main"], vec!["remote", "add", "origin", &remote]] {
            let _ = Command::new("git").args(arguments).current_dir(workspace.root()).output();
        }
        workspace
    }
}

fn value_of(canaries: &[Canary], name: &str) -> String {
    canaries.iter().find(|canary| canary.name == name).map(|canary| canary.value.clone()).unwrap_or_default()
}

/// An API server that has nothing but a namespace and a secret, and accepts whatever is applied.
fn serve_cluster(secret: &str, request: &Request, answer: &mut Answer) {
    let data = base64::engine::general_purpose::STANDARD.encode(secret);
    let missing = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"not found","reason":"NotFound","code":404}"#;
    let version = r#"{"major":"1","minor":"34","gitVersion":"v1.34.0","gitCommit":"","gitTreeState":"","buildDate":"",
        "goVersion":"","compiler":"","platform":""}"#;
    let namespace = r#"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"n","uid":"u"}}"#;
    let kept = format!(
        r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"db","uid":"s"}},"data":{{"password":"{data}"}}}}"#
    );
    let path = request.path.split('?').next().unwrap_or_default();
    let (status, body) = match (request.method.as_str(), path) {
        ("GET", "/version") => ("200 OK", version.as_bytes()),
        ("GET", "/api/v1/namespaces/n") => ("200 OK", namespace.as_bytes()),
        ("GET", "/api/v1/namespaces/n/secrets/db") => ("200 OK", kept.as_bytes()),
        ("GET", _) => ("404 Not Found", missing.as_bytes()),
        _ => ("200 OK", request.body.as_slice()),
    };
    answer.respond(status, &[("Content-Type", "application/json")], body);
}

fn serve(mood: Mood, packages: &Packages, token: &str, request: &Request, answer: &mut Answer) {
    let credentials = request.header("authorization").unwrap_or("none").to_owned();
    let clear =
        credentials.strip_prefix("Basic ").and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let clear = String::from_utf8_lossy(&clear.unwrap_or_default()).into_owned();
    let file = packages.files.get(&request.path);
    match (mood, request.method.as_str()) {
        (Mood::Refusing(status), _) => {
            let said = format!("no: {credentials} {clear}");
            let body = serde_json::json!({"errors": [{"code": "DENIED", "message": said}]}).to_string();
            let status = format!("{status} No");
            answer.respond(&status, &[("WWW-Authenticate", "Basic realm=\"x\"")], body.as_bytes());
        }
        (Mood::Redirecting, _) => {
            let to = format!("http://{clear}@127.0.0.1:9{}", request.path);
            answer.respond("302 Found", &[("Location", &to)], b"");
        }
        (Mood::Granting, "GET") if request.path == "/v2/" => {
            let own = request.header("host").unwrap_or_default();
            let challenge = format!("Bearer realm=\"http://{own}/token\",service=\"x\"");
            answer.respond("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"{}");
        }
        (Mood::Granting, "GET") if request.path.starts_with("/token") => {
            answer.respond("200 OK", &[], format!("{{\"token\": \"{token}\"}}").as_bytes());
        }
        (Mood::Granting, "GET") if credentials != format!("Bearer {token}") => {
            answer.respond("401 Unauthorized", &[], b"{}");
        }
        (_, "GET") if request.path == "/v2/" => {
            answer.respond("401 Unauthorized", &[("WWW-Authenticate", "Basic realm=\"x\"")], b"{}");
        }
        (Mood::Wrong, "GET") => _ = answer.respond("200 OK", &[], format!("wrong {credentials}").as_bytes()),
        (_, "GET") => match file {
            Some(file) => _ = answer.respond("200 OK", &[("Content-Type", file.content_type)], &file.bytes),
            None => _ = answer.respond("404 Not Found", &[], b""),
        },
        (_, "HEAD") => _ = answer.respond("404 Not Found", &[], b""),
        (_, "POST") => {
            answer.respond("202 Accepted", &[("Location", &format!("{}upload/1", request.path))], b"");
        }
        _ => {
            let digest = format!("sha256:{}", hex(&request.body));
            answer.respond("201 Created", &[("Location", "/x"), ("Docker-Content-Digest", &digest)], b"");
        }
    }
}
