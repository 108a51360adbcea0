//! Requests to the API server, on plain JSON objects. Every write passes through one function, which counts it, and lets
//! nothing pass once the lock under which it is made is lost.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, Status};
use kube::{Api, Error};
use serde_json::Value as Json;

use crate::cluster::Cluster;
use crate::kinds::Kind;
use crate::lock::{Permit, Refusal};
use crate::names::MANAGER;

/// How long a single request may take; the client itself sets no limit.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a write waits for a lock that has lapsed to be renewed.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether it was.
const RENEWAL_POLL: Duration = Duration::from_millis(50);

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server said no.
    #[error("cannot {verb} {what}: {}", status.message)]
    Refused {
        /// What was attempted: `get`, `apply`.
        verb: &'static str,
        /// On what: `Deployment/model`.
        what: String,
        /// Its answer.
        status: Box<Status>,
    },
    /// The API server did not answer.
    #[error("cannot {verb} {what}: the cluster does not answer")]
    Transport {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        what: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The API server took too long.
    #[error("cannot {verb} {what}: no answer in {seconds} s")]
    TimedOut {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        what: String,
        /// How long it was waited.
        seconds: u64,
    },
    /// The lock under which this would be written is lost; nothing was sent.
    #[error("nothing more is changed: {why}")]
    LockLost {
        /// How it was lost.
        why: String,
    },
}

/// How an object is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ApplyMode {
    /// Whether the server only says what would be.
    pub dry_run: bool,
    /// Whether fields of other managers are taken over.
    pub force: bool,
}

impl Cluster {
    /// An object, if it exists.
    pub(crate) async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Json>, ApiError> {
        let api = self.api(kind, namespace);
        let found = attempt("get", format!("{}/{name}", kind.name), api.get_opt(name)).await?;
        Ok(found.map(|object| plain(&object)))
    }

    /// Whether an object exists. Its content is not asked for, so this is fit for secrets.
    pub(crate) async fn exists(&self, kind: &Kind, namespace: &str, name: &str) -> Result<bool, ApiError> {
        let api = self.api(kind, namespace);
        let found = attempt("look for", format!("{}/{name}", kind.name), api.get_metadata_opt(name)).await?;
        Ok(found.is_some())
    }

    /// All objects with the labels (a selector; empty for all) and fields.
    pub(crate) async fn list(
        &self,
        kind: &Kind,
        namespace: &str,
        labels: &str,
        fields: &str,
    ) -> Result<Vec<Json>, ApiError> {
        let api = self.api(kind, namespace);
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let params =
            ListParams { label_selector: given(labels), field_selector: given(fields), ..ListParams::default() };
        let found = attempt("list", kind.plural.to_owned(), api.list(&params)).await?;
        Ok(found.items.iter().map(plain).collect())
    }

    /// Server-side apply: creates or changes the object; the answer is the object as it is (or would be) then.
    pub(crate) async fn apply(
        &self,
        kind: &Kind,
        namespace: &str,
        object: &Json,
        mode: ApplyMode,
    ) -> Result<Json, ApiError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let mut params = PatchParams::apply(MANAGER).validation_strict();
        params.dry_run = mode.dry_run;
        params.force = mode.force;
        let api = self.api(kind, namespace);
        let patch = Patch::Apply(object);
        let what = format!("{}/{name}", kind.name);
        let verb = if mode.dry_run { "plan" } else { "apply" };
        let limit = if mode.dry_run { REQUEST_TIMEOUT } else { self.admit().await? };
        attempt_within(limit, verb, what, api.patch(name, &params, &patch)).await.map(|object| plain(&object))
    }

    /// Changes the fields given, and no others; with `metadata.resourceVersion`, only in that very version.
    pub(crate) async fn merge(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        fields: &Json,
    ) -> Result<Json, ApiError> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api(kind, namespace);
        let patch = Patch::Merge(fields);
        let limit = self.admit().await?;
        let what = format!("{}/{name}", kind.name);
        attempt_within(limit, "mark", what, api.patch(name, &params, &patch)).await.map(|object| plain(&object))
    }

    /// Creates an object that must not exist.
    pub(crate) async fn create(&self, kind: &Kind, namespace: &str, object: &Json) -> Result<Json, ApiError> {
        let (what, object) = typed("create", kind, object)?;
        let limit = self.admit().await?;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let api = self.api(kind, namespace);
        attempt_within(limit, "create", what, api.create(&params, &object)).await.map(|object| plain(&object))
    }

    /// Replaces an object as it was read: `metadata.resourceVersion` must be set, and a change by others is refused.
    pub(crate) async fn replace(&self, kind: &Kind, namespace: &str, object: &Json) -> Result<Json, ApiError> {
        let (what, object) = typed("replace", kind, object)?;
        let name = object.metadata.name.clone().unwrap_or_default();
        let limit = self.admit().await?;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let api = self.api(kind, namespace);
        attempt_within(limit, "replace", what, api.replace(&name, &params, &object)).await.map(|object| plain(&object))
    }

    /// Deletes an object exactly as it was read. `false` when it is gone already.
    pub(crate) async fn delete(&self, kind: &Kind, namespace: &str, object: &Json) -> Result<bool, ApiError> {
        let field = |name: &str| object["metadata"][name].as_str().map(str::to_owned);
        let preconditions = Preconditions { uid: field("uid"), resource_version: field("resourceVersion") };
        let params = DeleteParams::background().preconditions(preconditions);
        let name = field("name").unwrap_or_default();
        let what = format!("{}/{name}", kind.name);
        let limit = self.admit().await?;
        match attempt_within(limit, "delete", what, self.api(kind, namespace).delete(&name, &params)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The last lines of a container's log; of its previous instance if asked for.
    pub(crate) async fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> Result<String, ApiError> {
        let params = LogParams {
            container: Some(container.to_owned()),
            previous,
            tail_lines: Some(crate::diagnosis::LOG_LINES),
            limit_bytes: Some(64 * 1024),
            ..LogParams::default()
        };
        attempt("read the log of", format!("Pod/{pod}"), self.pods(namespace).logs(pod, &params)).await
    }

    /// How many requests so far may have changed something.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    pub(crate) fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) fn api(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = resource(kind);
        match kind.namespaced {
            true => Api::namespaced_with(self.client.clone(), namespace, &resource),
            false => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Lets a write pass, and counts it: how long it may take. A request that is under way when the lock ends would be
    /// one without it, so none outlives it.
    async fn admit(&self) -> Result<Duration, ApiError> {
        let limit = match &self.permit {
            None => REQUEST_TIMEOUT,
            Some(permit) => {
                let began = host::clock::boot();
                loop {
                    let now = host::clock::boot();
                    match permit.check(now) {
                        Ok(left) => break left.min(REQUEST_TIMEOUT),
                        Err(Refusal::Lapsed) if now - began < RENEWAL_PATIENCE => {
                            tokio::time::sleep(RENEWAL_POLL).await
                        }
                        Err(refusal) => return Err(ApiError::LockLost { why: refusal.to_string() }),
                    }
                }
            }
        };
        self.writes.fetch_add(1, Ordering::SeqCst);
        Ok(limit)
    }

    /// Refuses when the lock is lost, as a write would be.
    pub(crate) fn check_lock(&self) -> Result<(), ApiError> {
        match self.permit.as_ref().and_then(Permit::loss) {
            Some(why) => Err(ApiError::LockLost { why }),
            None => Ok(()),
        }
    }
}

/// A kind as kube names it.
pub(crate) fn resource(kind: &Kind) -> ApiResource {
    ApiResource {
        group: kind.group.to_owned(),
        version: kind.version.to_owned(),
        api_version: kind.api_version(),
        kind: kind.name.to_owned(),
        plural: kind.plural.to_owned(),
    }
}

/// An object as plain JSON.
pub(crate) fn plain(object: &DynamicObject) -> Json {
    serde_json::to_value(object).unwrap_or(Json::Null)
}

fn typed(verb: &'static str, kind: &Kind, object: &Json) -> Result<(String, DynamicObject), ApiError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let what = format!("{}/{name}", kind.name);
    let parsed = serde_json::from_value(object.clone());
    parsed.map(|parsed| (what.clone(), parsed)).map_err(|error| ApiError::Transport {
        verb,
        what,
        source: Box::new(Error::SerdeError(error)),
    })
}

async fn attempt<T>(
    verb: &'static str,
    what: String,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, ApiError> {
    attempt_within(REQUEST_TIMEOUT, verb, what, request).await
}

async fn attempt_within<T>(
    limit: Duration,
    verb: &'static str,
    what: String,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Error::Api(status))) => Err(ApiError::Refused { verb, what, status }),
        Ok(Err(source)) => Err(ApiError::Transport { verb, what, source: Box::new(source) }),
        Err(_) => Err(ApiError::TimedOut { verb, what, seconds: limit.as_secs() }),
    }
}

impl ApiError {
    fn code(&self) -> u16 {
        match self {
            Self::Refused { status, .. } => status.code,
            _ => 0,
        }
    }

    /// Whether there is no such object.
    pub fn is_not_found(&self) -> bool {
        self.code() == 404
    }

    /// Whether another writer was first.
    pub fn is_conflict(&self) -> bool {
        self.code() == 409
    }

    /// Whether the object is no longer in the version that was to be written; field managers in each other's way are
    /// another kind of conflict, which reading again does not solve.
    pub(crate) fn is_stale(&self) -> bool {
        let details = self.status().and_then(|status| status.details.as_ref());
        let managers = details.is_some_and(|details| !details.causes.is_empty());
        self.is_conflict() && !managers
    }

    /// Whether the same request may succeed a little later: no answer, too many requests, a webhook or server that is
    /// being replaced.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::TimedOut { .. } => true,
            // A webhook that cannot be called is an internal error; 500 without a reason is an object that cannot be read.
            Self::Refused { status, .. } if status.code == 500 => status.reason == "InternalError",
            Self::Refused { .. } => matches!(self.code(), 429 | 502 | 503 | 504),
            Self::LockLost { .. } => false,
        }
    }

    /// Whether the user may not do this.
    pub fn is_forbidden(&self) -> bool {
        self.code() == 403
    }

    /// Whether nothing was sent, since the lock is lost.
    pub fn is_lock_lost(&self) -> bool {
        matches!(self, Self::LockLost { .. })
    }

    /// The server's answer, if it gave one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { status, .. } => Some(status),
            _ => None,
        }
    }
}
