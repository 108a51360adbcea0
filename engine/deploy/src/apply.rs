//! Applies a plan, as it was shown, in the order of kinds.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use model::{Cancel, Event, Reporter};
use serde_json::Value as Json;

use crate::api::{ApiError, ApplyMode};
use crate::cluster::Cluster;
use crate::object::ObjectKey;
use crate::plan::{Change, ChangeAction};

/// An object after its application.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Applied {
    /// Its identity.
    pub uid: String,
    /// Its generation: status that is older does not count.
    pub generation: i64,
    /// Its pod template, for workloads.
    pub template: Json,
}

/// What is written where.
pub(crate) struct ApplyRequest<'a> {
    pub cluster: &'a Cluster,
    pub changes: &'a [Change],
    /// Whether fields of other managers are taken over.
    pub force: bool,
}

/// Writes what changes; objects that do not are only noted. `None` when the user stopped it between two kinds.
pub(crate) async fn apply(
    request: &ApplyRequest<'_>,
    reporter: &dyn Reporter,
    cancel: &Cancel,
) -> Result<Option<BTreeMap<ObjectKey, Applied>>, ApiError> {
    let mut applied = BTreeMap::new();
    let mut rest = request.changes;
    while let Some(first) = rest.first() {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        let rank = first.object.kind.rank();
        let end = rest.iter().position(|change| change.object.kind.rank() != rank).unwrap_or(rest.len());
        let (group, after) = rest.split_at(end);
        applied.extend(try_join_all(group.iter().map(|change| apply_one(request, change, reporter))).await?);
        rest = after;
    }
    Ok(Some(applied))
}

async fn apply_one(
    request: &ApplyRequest<'_>,
    change: &Change,
    reporter: &dyn Reporter,
) -> Result<(ObjectKey, Applied), ApiError> {
    let key = change.object.key();
    if change.action == ChangeAction::Unchanged {
        let template = change.planned["spec"]["template"].clone();
        return Ok((key, Applied { uid: change.uid.clone(), generation: change.generation, template }));
    }
    let mode = ApplyMode { dry_run: false, force: request.force };
    let answer = request.cluster.apply(change.object.kind, &key.namespace, &change.body, mode).await?;
    let verb = if change.action == ChangeAction::Create { "created" } else { "changed" };
    reporter.report(Event::Progress { phase: "apply".into(), message: format!("{verb} {key}").into() });
    Ok((key, Applied::of(&answer)))
}

impl Applied {
    fn of(object: &Json) -> Self {
        Self {
            uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            generation: object["metadata"]["generation"].as_i64().unwrap_or_default(),
            template: object["spec"]["template"].clone(),
        }
    }
}
