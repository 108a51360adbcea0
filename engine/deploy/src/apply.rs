//! Applies a plan, as it was shown, in the order of kinds. Each object is written in the very version that was planned
//! for, or not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use model::{Cancel, Event, Reporter};
use serde_json::{Value as Json, json};

use crate::api::{ApiError, ApplyMode};
use crate::cluster::Cluster;
use crate::names;
use crate::object::ObjectKey;
use crate::plan::{Change, ChangeAction, normalise};
use crate::wait::Past;

/// How often an object is written again whose status alone moved on meanwhile.
const TRIES: usize = 20;
/// How long a refusal that may pass is taken for one: a webhook that is being replaced, a server that restarts.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before the next try.
const RETRY: Duration = Duration::from_millis(500);

/// An object after its application.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Applied {
    /// Its identity.
    pub uid: String,
    /// Its generation: status that is older does not count.
    pub generation: i64,
    /// Its pod template, for workloads.
    pub template: Json,
    /// How it was before.
    pub past: Past,
}

/// What is written where.
pub(crate) struct ApplyRequest<'a> {
    pub cluster: &'a Cluster,
    pub changes: &'a [Change],
    /// Whether fields of other managers are taken over.
    pub force: bool,
}

/// How far an application came.
#[derive(Debug, Default)]
pub(crate) struct Application {
    /// What is as planned now.
    pub applied: BTreeMap<ObjectKey, Applied>,
    /// How many objects were written.
    pub written: usize,
    /// Why it ended early.
    pub stop: Option<Stop>,
}

/// Why an application ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The user stopped it.
    Cancelled,
    /// An object was not written.
    Refused(ApiError),
}

/// Writes what changes; objects that do not are only noted. After a refusal, what is under way is brought to its end, so
/// that it is known what was written.
pub(crate) async fn apply(request: &ApplyRequest<'_>, reporter: &dyn Reporter, cancel: &Cancel) -> Application {
    let mut application = Application::default();
    let mut rest = request.changes;
    while let Some(first) = rest.first() {
        if cancel.is_cancelled() {
            application.stop = Some(Stop::Cancelled);
            return application;
        }
        let rank = first.object.kind.rank();
        let end = rest.iter().position(|change| change.object.kind.rank() != rank).unwrap_or(rest.len());
        let (group, after) = rest.split_at(end);
        let results = join_all(group.iter().map(|change| apply_one(request, change, reporter, cancel))).await;
        for (change, result) in group.iter().zip(results) {
            match result {
                Ok(applied) => {
                    application.written += usize::from(change.action != ChangeAction::Unchanged);
                    application.applied.insert(change.object.key(), applied);
                }
                Err(error) => {
                    application.stop.get_or_insert(Stop::Refused(error));
                }
            }
        }
        if application.stop.is_some() {
            return application;
        }
        rest = after;
    }
    application
}

async fn apply_one(
    request: &ApplyRequest<'_>,
    change: &Change,
    reporter: &dyn Reporter,
    cancel: &Cancel,
) -> Result<Applied, ApiError> {
    if change.action == ChangeAction::Unchanged {
        return Ok(Applied::as_planned(change));
    }
    let key = change.object.key();
    let began = tokio::time::Instant::now();
    let mut said = false;
    let answer = loop {
        match write(request, change).await {
            Err(error) if error.may_pass() && began.elapsed() < PATIENCE && !cancel.is_cancelled() => {
                if !std::mem::replace(&mut said, true) {
                    let message = format!("trying again: {error}");
                    reporter.report(Event::Progress { phase: "apply".into(), message: message.into() });
                }
                tokio::time::sleep(RETRY).await;
            }
            answer => break answer?,
        }
    };
    let verb = if change.action == ChangeAction::Create { "created" } else { "changed" };
    reporter.report(Event::Progress { phase: "apply".into(), message: format!("{verb} {key}").into() });
    Ok(Applied::of(&answer))
}

/// Writes an object over the version that was planned for. Its controllers write its status all the time, which makes
/// new versions; what is compared then is all the rest of it.
async fn write(request: &ApplyRequest<'_>, change: &Change) -> Result<Json, ApiError> {
    let (kind, key) = (change.object.kind, change.object.key());
    let mode = ApplyMode { dry_run: false, force: request.force };
    let mut body = change.body.clone();
    let mut tries = 0;
    loop {
        let error = match request.cluster.apply(kind, &key.namespace, &body, mode).await {
            Err(error) if error.is_stale() && tries < TRIES => error,
            answer => return answer,
        };
        tries += 1;
        let Some(live) = request.cluster.get(kind, &key.namespace, &key.name).await? else { return Err(error) };
        match change.live.as_ref() {
            Some(planned_over) if *planned_over == normalise(&live) => {
                body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            }
            // An earlier try of ours, whose answer was lost.
            _ if normalise(&live) == change.planned => return Ok(live),
            _ => return Err(error),
        }
    }
}

/// Makes a new version of an object that stays as it is, so that nobody who planned over the old one can write it: the
/// fence against a rollout that lost its lock and does not know it yet.
pub(crate) async fn mark(cluster: &Cluster, change: &mut Change, generation: u64) -> Result<(), ApiError> {
    let (kind, key) = (change.object.kind, change.object.key());
    let mut tries = 0;
    loop {
        let version = change.body["metadata"]["resourceVersion"].clone();
        let fields = json!({"metadata": {
            "resourceVersion": version,
            "annotations": {names::FENCE: generation.to_string()},
        }});
        match cluster.merge(kind, &key.namespace, &key.name, &fields).await {
            Ok(marked) => {
                change.pin(&marked);
                // What changes is still what was planned, beside the mark.
                change.planned["metadata"]["annotations"][names::FENCE] = json!(generation.to_string());
                return Ok(());
            }
            Err(error) if error.is_stale() && tries < TRIES => {
                tries += 1;
                match cluster.get(kind, &key.namespace, &key.name).await? {
                    Some(live) if change.live.as_ref() == Some(&normalise(&live)) => change.pin(&live),
                    _ => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

impl Applied {
    /// An object that is as it should be.
    pub(crate) fn as_planned(change: &Change) -> Self {
        let template = change.planned["spec"]["template"].clone();
        Self { uid: change.uid.clone(), generation: change.generation, template, past: Past::default() }
    }

    fn of(object: &Json) -> Self {
        Self {
            uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            generation: object["metadata"]["generation"].as_i64().unwrap_or_default(),
            template: object["spec"]["template"].clone(),
            past: Past::of_answer(object),
        }
    }
}
