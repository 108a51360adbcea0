//! A cluster by its kube context: the connection, and the registry it announces.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use serde::Deserialize;

use crate::api::ApiError;
use crate::kinds::Kind;
use crate::lock::Permit;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The first minor version of Kubernetes in which a pod may sleep before it ends, without a program for it: an older one
/// would drop requests at each rollout.
const OLDEST: u32 = 30;

/// A cluster that answers.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) client: Client,
    pub(crate) writes: Arc<AtomicU64>,
    /// What a write needs, where a lock is held.
    pub(crate) permit: Option<Permit>,
    context: Arc<str>,
    kubeconfig: Option<PathBuf>,
}

/// A cluster that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No kubeconfig could be read.
    #[error("cannot read the kubeconfig: {0}")]
    Kubeconfig(String),
    /// The context is not in the kubeconfig.
    #[error("the kubeconfig has no context `{context}`")]
    MissingContext {
        /// What was asked for.
        context: String,
        /// All that there are.
        known: Vec<String>,
    },
    /// The context is there, but incomplete.
    #[error("the context `{context}` of the kubeconfig cannot be used")]
    Context {
        /// The context.
        context: String,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// The API server does not answer.
    #[error("the cluster `{context}` does not answer at {server}")]
    Unreachable {
        /// The context.
        context: String,
        /// The address in the kubeconfig.
        server: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The cluster is older than what a rollout needs.
    #[error("the cluster `{context}` runs Kubernetes {version}; rollouts need 1.{OLDEST} or later")]
    TooOld {
        /// The context.
        context: String,
        /// What it runs.
        version: String,
    },
    /// The API server answers, but does not know the user.
    #[error("the cluster `{context}` refuses the credentials of its context: {message}")]
    Refused {
        /// The context.
        context: String,
        /// What it says.
        message: String,
    },
}

/// Where images are pushed to, and where the cluster's nodes pull them from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// `host:port`, with a path prefix where it has one, as this machine reaches it.
    pub push: String,
    /// The same as the nodes reach it.
    pub pull: String,
}

impl Cluster {
    /// Connects by a context of the kubeconfig: the file given, else those of `KUBECONFIG`, else `~/.kube/config`.
    pub async fn connect(kubeconfig: Option<&Path>, context: &str) -> Result<Self, ClusterError> {
        let loaded = match kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let loaded = loaded.map_err(|error| ClusterError::Kubeconfig(without_content(&error)))?;
        if !loaded.contexts.iter().any(|known| known.name == context) {
            let known = loaded.contexts.into_iter().map(|context| context.name).collect();
            return Err(ClusterError::MissingContext { context: context.to_owned(), known });
        }
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        let unusable = |source| ClusterError::Context { context: context.to_owned(), source: Box::new(source) };
        let mut config = Config::from_custom_kubeconfig(loaded, &options).await.map_err(unusable)?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|source| unreachable(context, &server, source))?;
        match tokio::time::timeout(CONNECT_TIMEOUT * 2, client.apiserver_version()).await {
            Ok(Ok(info)) if is_too_old(&info.major, &info.minor) => {
                return Err(ClusterError::TooOld { context: context.to_owned(), version: info.git_version });
            }
            Ok(Ok(_)) => {}
            Ok(Err(source)) => return Err(unreachable(context, &server, source)),
            Err(_) => return Err(unreachable(context, &server, timed_out())),
        }
        let kubeconfig = kubeconfig.map(Path::to_owned);
        Ok(Self { client, writes: Arc::default(), permit: None, context: Arc::from(context), kubeconfig })
    }

    /// Another cluster of the same kubeconfig.
    pub async fn other(&self, context: &str) -> Result<Self, ClusterError> {
        if *context == *self.context {
            return Ok(self.clone());
        }
        Self::connect(self.kubeconfig.as_deref(), context).await
    }

    /// The same cluster, to which nothing is written any more once the permit's lock is lost.
    pub(crate) fn under(&self, permit: Permit) -> Self {
        Self { permit: Some(permit), ..self.clone() }
    }

    /// The same cluster without a lock.
    pub(crate) fn free(&self) -> Self {
        Self { permit: None, ..self.clone() }
    }

    /// A cluster that is a function, for tests.
    #[cfg(test)]
    pub(crate) fn of(client: Client) -> Self {
        Self { client, writes: Arc::default(), permit: None, context: Arc::from("test"), kubeconfig: None }
    }

    /// The context's name.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The registry that the cluster announces for local development (KEP-1755), if it does.
    pub async fn announced_registry(&self) -> Result<Option<Registry>, ApiError> {
        let kind = Kind::named("ConfigMap").expect("ConfigMap is a kind of the table");
        let found = match self.get(kind, "kube-public", "local-registry-hosting").await {
            // The namespace is readable for everyone where it exists; elsewhere nothing is announced.
            Err(error) if error.is_forbidden() => None,
            other => other?,
        };
        let text = found.as_ref().and_then(|map| map["data"]["localRegistryHosting.v1"].as_str());
        let hosting = text.and_then(|text| serde_saphyr::from_str::<Hosting>(text).ok());
        Ok(hosting.and_then(|hosting| {
            let push = hosting.host?;
            let pull = hosting.host_from_container_runtime.unwrap_or_else(|| push.clone());
            Some(Registry { push, pull })
        }))
    }
}

/// `localRegistryHosting.v1` of KEP-1755.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hosting {
    host: Option<String>,
    host_from_container_runtime: Option<String>,
}

impl ClusterError {
    /// What to type next.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Kubeconfig(_) => {
                vec![
                    "set KUBECONFIG to a kubeconfig, or start a local cluster, which writes one: `minikube start`"
                        .into(),
                ]
            }
            Self::MissingContext { context, known } if known.is_empty() => {
                vec![format!(
                    "it has no contexts at all; start the cluster, which writes one: `minikube start -p {context}`"
                )]
            }
            Self::MissingContext { context, known } => {
                let mut hints = Vec::new();
                if let Some(nearest) = model::nearest(context, known.iter().map(String::as_str)).first() {
                    hints.push(format!("did you mean `{nearest}`?"));
                }
                hints.push(format!("the contexts are: {}", known.join(", ")));
                hints.push(format!(
                    "to give one of them this name: `kubectl config rename-context {} {context}`",
                    known[0]
                ));
                hints
            }
            Self::Context { context, .. } => vec![format!("see `kubectl config view --context {context}`")],
            Self::Unreachable { context, .. } => vec![
                format!("see whether it answers others: `kubectl --context {context} get nodes`"),
                format!("if it runs on this machine, start it: `minikube start -p {context}`"),
            ],
            Self::TooOld { context, .. } => {
                vec![format!(
                    "renew it: `minikube delete -p {context}`, then `minikube start -p {context}`, if it is one"
                )]
            }
            Self::Refused { context, .. } => {
                vec![format!("log in again, or see what is refused: `kubectl --context {context} auth whoami`")]
            }
        }
    }
}

/// Managed clusters call their minor version `30+`. One that does not say is believed.
fn is_too_old(major: &str, minor: &str) -> bool {
    let number = |text: &str| text.trim_end_matches('+').parse::<u32>().ok();
    number(major) == Some(1) && number(minor).is_some_and(|minor| minor < OLDEST)
}

/// What is wrong with a kubeconfig. A parser's message goes on with lines of the file, which hold credentials.
fn without_content(error: &KubeconfigError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn unreachable(context: &str, server: &str, source: kube::Error) -> ClusterError {
    match &source {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
            ClusterError::Refused { context: context.to_owned(), message: status.message.clone() }
        }
        _ => ClusterError::Unreachable {
            context: context.to_owned(),
            server: server.to_owned(),
            source: Box::new(source),
        },
    }
}

fn timed_out() -> kube::Error {
    kube::Error::Service("no answer in time".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_with_a_plus_at_times() {
        let cases = [("1", "34"), ("1", "30+"), ("1", "29"), ("1", "29+"), ("2", "0"), ("", "")];
        assert_eq!(cases.map(|(major, minor)| is_too_old(major, minor)), [false, false, true, true, false, false]);
    }

    #[test]
    fn a_kubeconfig_that_cannot_be_parsed_is_not_quoted() {
        for text in ["users: [{name: a, user: {token: hunter2}]", "users:\n  - token: hunter2\n bad", "token: hunter2"]
        {
            let Err(error) = Kubeconfig::from_yaml(text) else { continue };
            let said = without_content(&error);
            assert!(!said.contains("hunter2") && !said.is_empty(), "{said}");
        }
    }
}
