//! The bundle: what a deploy target's build makes. One JSON document that holds a release, equal for every
//! environment, and the environment it is for.
//!
//! It is pure data. Nothing in it depends on the cluster, the machine or the time; registry addresses join at the
//! rollout.

use std::collections::BTreeMap;
use std::fmt;

use model::Digest;
use serde::{Deserialize, Serialize};

/// The version of the document's format.
pub const BUNDLE_FORMAT: u32 = 1;

/// A release for one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// [`BUNDLE_FORMAT`].
    pub format: u32,
    /// The deploy target.
    pub target: String,
    /// What is to run, the same for every environment.
    pub release: Release,
    /// Where and with which values.
    pub environment: Environment,
    /// Labels of the tests to run against the environment.
    #[serde(default)]
    pub smoke_tests: Vec<String>,
}

/// Services by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The definition of each service.
    pub services: BTreeMap<String, Service>,
}

/// A service as its BUILD.star defines it, with the content of its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The service target.
    pub label: String,
    /// What it runs.
    pub image: Image,
    /// Where it listens.
    #[serde(default)]
    pub ports: Ports,
    /// Names of the services it calls.
    #[serde(default)]
    pub calls: Vec<String>,
    /// Variables of its environment.
    #[serde(default)]
    pub env: BTreeMap<String, Setting>,
    /// Variables that are filled from secrets of the environment.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretKey>,
    /// Arguments added to the image's entry point.
    #[serde(default)]
    pub args: Vec<String>,
    /// What it may use.
    #[serde(default)]
    pub resources: Resources,
    /// How many run, unless the environment says otherwise.
    #[serde(default = "one")]
    pub replicas: u32,
    /// A folder whose content outlives the process.
    #[serde(default)]
    pub state: Option<State>,
    /// How to see that it is well.
    #[serde(default)]
    pub probe: Probe,
    /// Whether it may call addresses outside the environment.
    #[serde(default)]
    pub internet: bool,
    /// Digests of its proto descriptor sets.
    #[serde(default)]
    pub descriptors: Vec<String>,
}

/// An image by content, without a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The image target.
    pub label: String,
    /// The repository below the environment's registry.
    pub repository: String,
    /// `sha256:...` of the manifest.
    pub digest: String,
}

/// Ports by protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// gRPC, with the standard health service.
    #[serde(default)]
    pub grpc: Option<u16>,
    /// HTTP.
    #[serde(default)]
    pub http: Option<u16>,
    /// Prometheus metrics over HTTP.
    #[serde(default)]
    pub metrics: Option<u16>,
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// Written in the service.
    Text(String),
    /// Given by the environment.
    Var(Var),
}

/// A typed variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Var {
    /// Its name in `environment(values = ...)`.
    pub var: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: VarType,
    /// Its value where the environment gives none.
    #[serde(default)]
    pub default: Option<Value>,
}

/// The type of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VarType {
    /// Any text.
    String,
    /// A whole number.
    Int,
    /// `True` or `False`.
    Bool,
}

/// A value that an environment gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    String(String),
}

/// A key of a secret that the environment holds. The value is never seen here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretKey {
    /// The Secret object.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// Requests and limits in Kubernetes' quantities; empty for none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// CPU requested.
    pub cpu: String,
    /// Memory requested.
    pub memory: String,
    /// Memory above which it is killed.
    pub memory_limit: String,
    /// CPU above which it is throttled.
    pub cpu_limit: String,
}

/// A folder with state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where the service sees it.
    pub path: String,
    /// How much it holds, as a quantity.
    pub size: String,
}

/// How the service's health is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Probe {
    /// By what it has: gRPC health on the gRPC port, else a connection to the HTTP port.
    #[default]
    Auto,
    /// gRPC health, for one service name (empty for the server).
    Grpc {
        /// The name asked for.
        #[serde(default)]
        service: String,
    },
    /// An HTTP GET that answers with 200 to 399.
    Http {
        /// The path.
        path: String,
    },
    /// Never asked.
    None,
}

/// Where a release runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The environment target.
    pub label: String,
    /// Its name, in records and labels.
    pub name: String,
    /// A cluster, or this machine.
    pub kind: Kind,
    /// The kube context; empty for this machine.
    #[serde(default)]
    pub cluster: String,
    /// The namespace.
    #[serde(default)]
    pub namespace: String,
    /// Whether the rollout makes the namespace.
    #[serde(default)]
    pub create_namespace: bool,
    /// Whether each branch has a namespace of its own, `<namespace>-<branch>`.
    #[serde(default)]
    pub per_branch: bool,
    /// The registry's name in the machine's configuration; empty for the one that the cluster announces.
    #[serde(default)]
    pub registry: String,
    /// Values of variables.
    #[serde(default)]
    pub values: BTreeMap<String, Value>,
    /// Replicas by service name, over what the services say.
    #[serde(default)]
    pub replicas: BTreeMap<String, u32>,
    /// Whether state is kept on persistent volumes.
    #[serde(default)]
    pub persistent: bool,
    /// Whether a failed rollout returns to the release before it.
    #[serde(default = "yes")]
    pub rollback: bool,
    /// Whether only a clean checkout may be rolled out.
    #[serde(default)]
    pub clean: bool,
    /// The environment that must have run the release with passing smoke tests.
    #[serde(default)]
    pub requires: Option<Requirement>,
    /// How long the rollout may take, in seconds.
    #[serde(default = "five_minutes")]
    pub timeout: u64,
}

/// The kind of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// This machine, without a cluster.
    Local,
    /// A Kubernetes cluster.
    Cluster,
}

/// Where to look for the record of an earlier environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The environment target.
    pub label: String,
    /// Its name.
    pub name: String,
    /// Its kube context.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
}

/// A bundle that cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not the expected JSON.
    #[error("the bundle cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// Written by another version of the engine.
    #[error("the bundle has format {0}, this engine reads format {BUNDLE_FORMAT}; build the deploy target again")]
    Format(u32),
    /// A variable without a value, or with one of another type. The rules report these with both places.
    #[error("variable `{var}` of {service} {problem}")]
    Variable {
        /// The service target.
        service: String,
        /// The variable.
        var: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A call to a service that the release does not hold.
    #[error("{service} calls `{callee}`, which is not part of the release")]
    UnknownCall {
        /// The calling service target.
        service: String,
        /// The name of the called service.
        callee: String,
    },
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

fn five_minutes() -> u64 {
    300
}

impl Bundle {
    /// Reads a bundle.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        let bundle: Self = serde_json::from_slice(bytes).map_err(BundleError::Malformed)?;
        if bundle.format == BUNDLE_FORMAT { Ok(bundle) } else { Err(BundleError::Format(bundle.format)) }
    }

    /// The canonical document.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps have text keys, so a bundle always serialises")
    }

    /// The content of release and environment.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// The variables of a service's process, in order of their names: its own, the addresses of what it calls, its
    /// ports, and what it may know of itself (`VERSION`, `IMAGE_DIGEST`). Secrets are not among them.
    pub fn process_env(&self, name: &str, service: &Service) -> Result<BTreeMap<String, String>, BundleError> {
        let mut env = self.own_env(service)?;
        env.extend(self.derived_env(name, service)?);
        Ok(env)
    }

    /// The variables that the service sets itself, with values filled in.
    pub fn own_env(&self, service: &Service) -> Result<BTreeMap<String, String>, BundleError> {
        let resolve = |(key, setting): (&String, &Setting)| Ok((key.clone(), self.resolve(service, setting)?));
        service.env.iter().map(resolve).collect()
    }

    /// The variables that follow from calls, ports and image.
    pub fn derived_env(&self, name: &str, service: &Service) -> Result<BTreeMap<String, String>, BundleError> {
        let mut env = BTreeMap::new();
        for callee in &service.calls {
            let called = self
                .release
                .services
                .get(callee)
                .ok_or_else(|| BundleError::UnknownCall { service: service.label.clone(), callee: callee.clone() })?;
            env.extend(called.addresses(callee));
        }
        for (protocol, port) in service.ports.named() {
            env.insert(format!("{}_PORT", protocol.to_uppercase()), port.to_string());
        }
        env.insert("SERVICE".into(), name.into());
        env.insert("VERSION".into(), service.image.version().into());
        env.insert("IMAGE_DIGEST".into(), service.image.digest.clone());
        Ok(env)
    }

    /// How many of a service run here.
    pub fn replicas(&self, name: &str, service: &Service) -> u32 {
        self.environment.replicas.get(name).copied().unwrap_or(service.replicas)
    }

    fn resolve(&self, service: &Service, setting: &Setting) -> Result<String, BundleError> {
        let var = match setting {
            Setting::Text(text) => return Ok(text.clone()),
            Setting::Var(var) => var,
        };
        let fail =
            |problem: String| BundleError::Variable { service: service.label.clone(), var: var.var.clone(), problem };
        let given = self.environment.values.get(&var.var).or(var.default.as_ref());
        let value = given.ok_or_else(|| fail(format!("has no value in {}", self.environment.label)))?;
        match (var.kind, value) {
            (VarType::String, Value::String(_)) | (VarType::Int, Value::Int(_)) | (VarType::Bool, Value::Bool(_)) => {
                Ok(value.to_string())
            }
            (kind, value) => Err(fail(format!("is {kind:?}, not `{value}`").to_lowercase())),
        }
    }
}

impl Release {
    /// The content of the release, the same whatever environment runs it.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("maps have text keys, so a release always serialises"))
    }
}

impl Service {
    /// The variables by which callers find it: `<NAME>_ADDR`, and `<NAME>_HTTP_ADDR` where it has both protocols.
    pub fn addresses(&self, name: &str) -> Vec<(String, String)> {
        let prefix = name.to_uppercase().replace(['-', '.'], "_");
        let address = |port: u16| format!("{name}:{port}");
        match (self.ports.grpc, self.ports.http) {
            (Some(grpc), Some(http)) => {
                vec![(format!("{prefix}_ADDR"), address(grpc)), (format!("{prefix}_HTTP_ADDR"), address(http))]
            }
            (Some(port), None) | (None, Some(port)) => vec![(format!("{prefix}_ADDR"), address(port))],
            (None, None) => Vec::new(),
        }
    }
}

impl SecretKey {
    /// The variable that gives it to a local system.
    pub fn variable(&self) -> String {
        format!("BUILD_SECRET_{}_{}", self.name, self.key).to_uppercase().replace(['-', '.'], "_")
    }
}

impl Image {
    /// The first twelve digits of the digest, for people.
    pub fn version(&self) -> &str {
        let hex = self.digest.strip_prefix("sha256:").unwrap_or(&self.digest);
        hex.get(..12).unwrap_or(hex)
    }

    /// The whole reference for a registry.
    pub fn reference(&self, registry: &str) -> String {
        format!("{registry}/{}@{}", self.repository, self.digest)
    }
}

impl Ports {
    /// The ports that are set, with the protocol's name.
    pub fn named(&self) -> Vec<(&'static str, u16)> {
        let all = [("grpc", self.grpc), ("http", self.http), ("metrics", self.metrics)];
        all.into_iter().filter_map(|(name, port)| Some((name, port?))).collect()
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu: "20m".into(), memory: "64Mi".into(), memory_limit: "256Mi".into(), cpu_limit: String::new() }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::String(value) => f.write_str(value),
        }
    }
}
