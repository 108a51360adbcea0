//! What the watches have told so far: Deployments, ReplicaSets and Pods of one environment. Pure.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// Deployments.
    Deployment,
    /// ReplicaSets.
    ReplicaSet,
    /// Pods.
    Pod,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// A list begins, since the watch is new or had ended (`410 Gone`, a restart of the server).
    Restarted,
    /// An object of that list.
    Listed(Json),
    /// The list is complete: what it did not name is gone.
    Complete,
    /// An object is new or changed.
    Applied(Json),
    /// An object is gone.
    Deleted(Json),
}

/// The objects by name.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    kinds: BTreeMap<Watched, Objects>,
}

#[derive(Debug, Clone, Default)]
struct Objects {
    current: BTreeMap<String, Json>,
    listing: BTreeMap<String, Json>,
    complete: bool,
}

impl Snapshot {
    /// Takes one event.
    pub fn update(&mut self, kind: Watched, event: WatchEvent) {
        let objects = self.kinds.entry(kind).or_default();
        match event {
            WatchEvent::Restarted => objects.listing.clear(),
            WatchEvent::Listed(object) => {
                objects.listing.insert(name(&object).to_owned(), object);
            }
            WatchEvent::Complete => {
                objects.current = std::mem::take(&mut objects.listing);
                objects.complete = true;
            }
            WatchEvent::Applied(object) => {
                objects.current.insert(name(&object).to_owned(), object);
            }
            WatchEvent::Deleted(object) => {
                objects.current.remove(name(&object));
            }
        }
    }

    /// Takes a whole list.
    pub(super) fn replace(&mut self, kind: Watched, objects: Vec<Json>) {
        self.update(kind, WatchEvent::Restarted);
        objects.into_iter().for_each(|object| self.update(kind, WatchEvent::Listed(object)));
        self.update(kind, WatchEvent::Complete);
    }

    /// Whether each kind was listed once: before that, absence means nothing.
    pub fn is_complete(&self) -> bool {
        [Watched::Deployment, Watched::ReplicaSet, Watched::Pod]
            .iter()
            .all(|kind| self.kinds.get(kind).is_some_and(|objects| objects.complete))
    }

    /// A Deployment.
    pub fn deployment(&self, name: &str) -> Option<&Json> {
        self.kinds.get(&Watched::Deployment)?.current.get(name)
    }

    /// The objects of a kind that another object controls.
    pub fn owned_by<'a>(&'a self, kind: Watched, uid: &'a str) -> impl Iterator<Item = &'a Json> {
        let objects = self.kinds.get(&kind).into_iter().flat_map(|objects| objects.current.values());
        objects.filter(move |object| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
        })
    }
}

fn name(object: &Json) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
