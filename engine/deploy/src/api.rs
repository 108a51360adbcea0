//! Requests to the API server, on plain JSON objects. Every write passes through one function, which counts it.

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
use crate::names::MANAGER;

/// How long a single request may take; the client itself sets no limit.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

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
    #[error("cannot {verb} {what}: no answer in {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        what: String,
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
        self.count(mode.dry_run);
        attempt(verb, what, api.patch(name, &params, &patch)).await.map(|object| plain(&object))
    }

    /// Creates an object that must not exist.
    pub(crate) async fn create(&self, kind: &Kind, namespace: &str, object: &Json) -> Result<Json, ApiError> {
        let (what, object) = typed("create", kind, object)?;
        self.count(false);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        attempt("create", what, self.api(kind, namespace).create(&params, &object)).await.map(|object| plain(&object))
    }

    /// Replaces an object as it was read: `metadata.resourceVersion` must be set, and a change by others is refused.
    pub(crate) async fn replace(&self, kind: &Kind, namespace: &str, object: &Json) -> Result<Json, ApiError> {
        let (what, object) = typed("replace", kind, object)?;
        let name = object.metadata.name.clone().unwrap_or_default();
        self.count(false);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let api = self.api(kind, namespace);
        attempt("replace", what, api.replace(&name, &params, &object)).await.map(|object| plain(&object))
    }

    /// Deletes exactly the object with this uid. `false` when it is gone already.
    pub(crate) async fn delete(&self, kind: &Kind, namespace: &str, name: &str, uid: &str) -> Result<bool, ApiError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::background().preconditions(preconditions);
        self.count(false);
        let what = format!("{}/{name}", kind.name);
        match attempt("delete", what, self.api(kind, namespace).delete(name, &params)).await {
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

    fn count(&self, dry_run: bool) {
        if !dry_run {
            self.writes.fetch_add(1, Ordering::SeqCst);
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
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Error::Api(status))) => Err(ApiError::Refused { verb, what, status }),
        Ok(Err(source)) => Err(ApiError::Transport { verb, what, source: Box::new(source) }),
        Err(_) => Err(ApiError::TimedOut { verb, what }),
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

    /// Whether the user may not do this.
    pub fn is_forbidden(&self) -> bool {
        self.code() == 403
    }

    /// The server's answer, if it gave one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { status, .. } => Some(status),
            _ => None,
        }
    }
}
