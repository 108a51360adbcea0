//! The plan: what a rollout will change, by server-side apply in dry run. A value: it is printed, and then applied as
//! it is.

mod error;
mod field;

use std::fmt;

use futures::StreamExt;
use kube::core::Status;
use kube::core::response::StatusCause;
use serde_json::{Value as Json, json};
use similar::TextDiff;

pub use error::PlanError;

use crate::api::{ApiError, ApplyMode};
use crate::bundle::Bundle;
use crate::cluster::Cluster;
use crate::kinds::Kind;
use crate::names;
use crate::object::Object;
use crate::prerequisites;
use crate::record::Member;
use crate::show::yaml;

/// Dry runs at the same time.
const PARALLEL: usize = 16;

/// What a rollout will do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Every object of the release, in the order of application.
    pub changes: Vec<Change>,
    /// What is removed at the end, since it left the release.
    pub removals: Vec<Member>,
}

/// What happens to one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The object as rendered.
    pub object: Object,
    /// What happens.
    pub action: ChangeAction,
    /// The object as it is, without what the server keeps for itself.
    pub live: Option<Json>,
    /// The object as it will be, likewise.
    pub planned: Json,
    /// What is left to others, in a line each.
    pub notes: Vec<String>,
    /// What is sent.
    pub(crate) body: Json,
    /// The live object's identity; empty for a new one.
    pub(crate) uid: String,
    /// The live object's generation.
    pub(crate) generation: i64,
}

/// Whether an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeAction {
    /// It is new.
    Create,
    /// It changes.
    Update,
    /// It is as it should be; nothing is written.
    Unchanged,
}

/// What the plan is made for.
pub(crate) struct PlanRequest<'a> {
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
    pub bundle: &'a Bundle,
    /// Whether fields of other managers and objects of others are taken over.
    pub take_over: bool,
    /// The rollout under way, if it is one that may have been overtaken.
    pub generation: Option<u64>,
}

/// Plans all objects; all errors are collected.
pub(crate) async fn plan(request: &PlanRequest<'_>, objects: Vec<Object>) -> Result<Vec<Change>, Vec<PlanError>> {
    let namespaces = Kind::named("Namespace").expect("Namespace is a kind of the table");
    let create = request.bundle.environment.create_namespace;
    let exists = match request.cluster.get(namespaces, "", request.namespace).await {
        // Who may not look can still have all rights within it.
        Err(error) if error.is_forbidden() && !create => true,
        found => match found.map_err(|error| vec![error.into()])? {
            Some(found) if is_going(&found) => {
                let (what, kind) = (format!("the namespace `{}`", request.namespace), "namespace");
                let name = request.namespace.to_owned();
                return Err(vec![PlanError::Going { what, kind, name, namespace: None }]);
            }
            found => found.is_some(),
        },
    };
    if !exists {
        if !create {
            return Err(vec![PlanError::NoNamespace(request.namespace.to_owned())]);
        }
        let missing = prerequisites::missing(request, &objects, false).await;
        if !missing.is_empty() {
            return Err(missing);
        }
        // The server runs nothing dry in a namespace that does not exist: all there is to say is that all is new.
        return Ok(objects.into_iter().map(Change::create).collect());
    }
    let mut errors = prerequisites::missing(request, &objects, true).await;
    let planned = futures::stream::iter(objects).map(|object| plan_object(request, object)).buffered(PARALLEL);
    let results: Vec<Result<Change, Vec<PlanError>>> = planned.collect().await;
    let mut changes = Vec::new();
    for result in results {
        match result {
            Ok(change) => changes.push(change),
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() { Ok(changes) } else { Err(errors) }
}

/// Whether an object is being deleted: it is still there, and will not be.
fn is_going(live: &Json) -> bool {
    live["metadata"]["deletionTimestamp"].is_string()
}

async fn plan_object(request: &PlanRequest<'_>, object: Object) -> Result<Change, Vec<PlanError>> {
    let key = object.key();
    let got = request.cluster.get(object.kind, request.namespace, &key.name).await;
    let live = got.map_err(|error| vec![error.into()])?;
    if live.as_ref().is_some_and(is_going) {
        let (kind, namespace) = (object.kind.plural, Some(request.namespace.to_owned()));
        return Err(vec![PlanError::Going { what: key.to_string(), kind, name: key.name, namespace }]);
    }
    if let Some(live) = live.as_ref().filter(|_| !request.take_over)
        && let Some(owner) = foreign_owner(live, request)
    {
        return Err(vec![PlanError::Foreign { object: key, namespace: request.namespace.to_owned(), owner }]);
    }
    let mut change = Change::create(object);
    if let Some(live) = &live {
        if request.generation.is_some_and(|ours| fence(live) > ours) {
            return Err(vec![ApiError::LockLost { why: "a later rollout went on without it".into() }.into()]);
        }
        change.pin(live);
        if change.object.kind.prunable {
            let added = field::added_by_others(live).into_iter();
            change.notes.extend(added.map(|(path, who)| format!("`{who}` added {path}, which no target declares")));
        }
        // The server writes some objects by itself; a dry run may go over any version.
        change.body["metadata"].as_object_mut().and_then(|metadata| metadata.remove("resourceVersion"));
    }
    let mode = ApplyMode { dry_run: true, force: request.take_over };
    let answer = match request.cluster.apply(change.object.kind, request.namespace, &change.body, mode).await {
        Err(error) if scaled_by_others(&error).is_some() => {
            let manager = scaled_by_others(&error).unwrap_or_default();
            change.leave_replicas(&manager);
            request.cluster.apply(change.object.kind, request.namespace, &change.body, mode).await
        }
        answer => answer,
    };
    let answer = answer.map_err(|error| refused(&change.object, error))?;
    if let Some(live) = &live {
        change.body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
    }
    change.planned = normalise(&answer);
    change.action = match &change.live {
        None => ChangeAction::Create,
        Some(live) if *live == change.planned => ChangeAction::Unchanged,
        Some(_) => ChangeAction::Update,
    };
    Ok(change)
}

/// The rollout that fenced an object off from earlier ones; 0 if none did.
pub(crate) fn fence(live: &Json) -> u64 {
    let mark = live["metadata"]["annotations"][names::FENCE].as_str();
    mark.and_then(|mark| mark.parse().ok()).unwrap_or(0)
}

/// To whom a live object belongs, if not to this environment.
fn foreign_owner(live: &Json, request: &PlanRequest<'_>) -> Option<String> {
    if live["kind"] == "Namespace" {
        return None;
    }
    let labels = &live["metadata"]["labels"];
    let environment = &request.bundle.environment.name;
    match (labels[names::MANAGED_BY].as_str(), labels[names::INSTANCE].as_str()) {
        (Some(names::MANAGER), Some(instance)) if instance == environment => None,
        (Some(names::MANAGER), Some(instance)) => Some(format!("the environment `{instance}`")),
        (Some(manager), _) => Some(format!("`{manager}`")),
        (None, _) => Some("nobody this engine knows (it was not made by a rollout)".into()),
    }
}

/// Who scales the object, if `replicas` is the only field in conflict and was set through the scale subresource: an
/// autoscaler, or a person's `kubectl scale`.
fn scaled_by_others(error: &ApiError) -> Option<String> {
    let causes = conflicts(error)?;
    let scaled =
        |cause: &&StatusCause| cause.field == ".spec.replicas" && cause.message.contains("subresource \"scale\"");
    causes.iter().all(|cause| scaled(&cause)).then(|| manager_of(&causes[0]))
}

fn conflicts(error: &ApiError) -> Option<Vec<StatusCause>> {
    let details = error.status()?.details.as_ref()?;
    let causes: Vec<StatusCause> =
        details.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict").cloned().collect();
    if causes.is_empty() { None } else { Some(causes) }
}

/// `conflict with "kubectl-edit" using apps/v1` names the manager in quotes.
fn manager_of(cause: &StatusCause) -> String {
    cause.message.split('"').nth(1).unwrap_or("another manager").to_owned()
}

/// Why the server refuses an object: each field that belongs to somebody else is an error of its own.
fn refused(object: &Object, error: ApiError) -> Vec<PlanError> {
    if let Some(causes) = conflicts(&error) {
        let conflict = |cause: &StatusCause| {
            let origin = object.origin(&field::pointer(&object.value, &cause.field));
            PlanError::Conflict {
                object: object.key(),
                manager: manager_of(cause),
                field: cause.field.clone(),
                origin: origin.map(ToString::to_string).unwrap_or_default(),
            }
        };
        return causes.iter().map(conflict).collect();
    }
    match error.status().filter(|status| is_immutable(status)) {
        Some(status) => vec![PlanError::Immutable { object: object.key(), message: status.message.clone() }],
        None => vec![PlanError::Api(error)],
    }
}

/// Whether a field can never change. The server quotes values, which may say anything; its own words come last.
fn is_immutable(status: &Status) -> bool {
    const WORDS: [&str; 3] =
        ["field is immutable", "field is immutable when `immutable` is set", "may not change once set"];
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let said = |cause: &StatusCause| {
        WORDS.iter().any(|words| cause.message.ends_with(words))
            || cause.message.starts_with("Forbidden: spec is immutable after creation")
    };
    status.code == 422 && causes.into_iter().any(said)
}

/// An object without what the server keeps for itself: only what an apply can mean.
pub(crate) fn normalise(object: &Json) -> Json {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.remove("deployment.kubernetes.io/revision");
        if annotations.is_empty() {
            object["metadata"].as_object_mut().and_then(|metadata| metadata.remove("annotations"));
        }
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"] {
            metadata.remove(field);
        }
    }
    object
}

impl Change {
    fn create(object: Object) -> Self {
        let body = object.value.clone();
        Self {
            action: ChangeAction::Create,
            live: None,
            planned: body.clone(),
            notes: Vec::new(),
            body,
            uid: String::new(),
            generation: 0,
            object,
        }
    }

    /// Binds the change to the live object: the body then applies to that very object in that very version.
    pub(crate) fn pin(&mut self, live: &Json) {
        let metadata = &live["metadata"];
        self.uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
        self.generation = metadata["generation"].as_i64().unwrap_or_default();
        self.body["metadata"]["uid"] = json!(self.uid);
        self.body["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
        self.live = Some(normalise(live));
    }

    fn leave_replicas(&mut self, manager: &str) {
        if let Some(spec) = self.body["spec"].as_object_mut() {
            spec.remove("replicas");
        }
        self.notes.push(format!("replicas are left to `{manager}`, which scales it"));
    }

    /// What changes, as a unified diff of YAML.
    pub fn diff(&self) -> String {
        let before = self.live.as_ref().map(yaml).unwrap_or_default();
        let after = yaml(&self.planned);
        let diff = TextDiff::from_lines(&before, &after);
        let hunks: Vec<String> =
            diff.unified_diff().context_radius(2).iter_hunks().map(|hunk| hunk.to_string()).collect();
        hunks.concat()
    }
}

impl Plan {
    /// Whether nothing is written at all.
    pub fn is_empty(&self) -> bool {
        self.removals.is_empty() && self.count(ChangeAction::Unchanged) == self.changes.len()
    }

    /// The last rollout that fenced any of the objects off.
    pub(crate) fn fence(&self) -> u64 {
        self.changes.iter().filter_map(|change| change.live.as_ref()).map(fence).max().unwrap_or(0)
    }

    /// How many objects are created, changed or left.
    pub fn count(&self, action: ChangeAction) -> usize {
        self.changes.iter().filter(|change| change.action == action).count()
    }

    /// What is left to others or was added by them, a line each with the object.
    pub fn notes(&self) -> Vec<String> {
        let notes = |change: &Change| {
            let key = change.object.key();
            change.notes.iter().map(|note| format!("{key}: {note}")).collect::<Vec<_>>()
        };
        self.changes.iter().flat_map(notes).collect()
    }

    /// One line: `3 to create, 1 to change, 8 unchanged, 1 to remove`.
    pub fn summary(&self) -> String {
        format!(
            "{} to create, {} to change, {} unchanged, {} to remove",
            self.count(ChangeAction::Create),
            self.count(ChangeAction::Update),
            self.count(ChangeAction::Unchanged),
            self.removals.len()
        )
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            match change.action {
                ChangeAction::Create => writeln!(f, "+ {}", change.object.key())?,
                ChangeAction::Update => {
                    writeln!(f, "~ {}", change.object.key())?;
                    for line in change.diff().lines() {
                        writeln!(f, "    {line}")?;
                    }
                }
                ChangeAction::Unchanged if change.notes.is_empty() => {}
                ChangeAction::Unchanged => writeln!(f, "= {}", change.object.key())?,
            }
            for note in &change.notes {
                writeln!(f, "    note: {note}")?;
            }
        }
        for member in &self.removals {
            writeln!(f, "- {}/{}", member.kind, member.name)?;
        }
        f.write_str(&self.summary())
    }
}
