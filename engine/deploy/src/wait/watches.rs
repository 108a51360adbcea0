//! The watches, and what is done where one tells nothing: it is said, and lists are asked for in its place.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Api;
use kube::core::DynamicObject;
use kube::runtime::utils::WatchStreamExt;
use kube::runtime::watcher::{self, Event as WatcherEvent};
use model::{Event, Reporter};
use tokio::time::Instant;

use super::WaitRequest;
use super::snapshot::{Snapshot, WatchEvent, Watched};
use crate::api::{plain, resource};
use crate::kinds::{Kind, POD, REPLICA_SET};

/// A watch that is silent for no longer has only ended, and is being resumed.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often lists are asked for in its place.
const POLL: Duration = Duration::from_secs(2);

pub(super) fn watched_kinds() -> [(Watched, &'static Kind); 3] {
    let deployment = Kind::named("Deployment").expect("Deployment is a kind of the table");
    [(Watched::Deployment, deployment), (Watched::ReplicaSet, &REPLICA_SET), (Watched::Pod, &POD)]
}

/// What the watches tell; an error where one cannot go on for now.
pub(super) fn watches<'a>(
    request: &WaitRequest<'_>,
) -> impl Stream<Item = (Watched, Result<WatchEvent, String>)> + use<'a> {
    let streams = watched_kinds().map(|(watched, kind)| {
        let api: Api<DynamicObject> =
            Api::namespaced_with(request.cluster.client.clone(), request.namespace, &resource(kind));
        let config = watcher::Config::default().labels(request.selector);
        let stream = watcher::watcher(api, config).default_backoff();
        Box::pin(stream.map(move |event| {
            let event = event.map(|event| match event {
                WatcherEvent::Init => WatchEvent::Restarted,
                WatcherEvent::InitApply(object) => WatchEvent::Listed(plain(&object)),
                WatcherEvent::InitDone => WatchEvent::Complete,
                WatcherEvent::Apply(object) => WatchEvent::Applied(plain(&object)),
                WatcherEvent::Delete(object) => WatchEvent::Deleted(plain(&object)),
            });
            (watched, event.map_err(|error| why(&error)))
        }))
    });
    futures::stream::select_all(streams)
}

/// The server's own words, where it gave any.
fn why(error: &watcher::Error) -> String {
    let of_kube = |error: &kube::Error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    };
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => of_kube(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// The kinds of which nothing is heard.
#[derive(Default)]
pub(super) struct Silence {
    kinds: BTreeMap<Watched, Broken>,
    asked: Option<Instant>,
}

struct Broken {
    why: String,
    since: Instant,
    said: bool,
    /// Whether lists tell what the watch does not.
    listed: bool,
}

impl Silence {
    /// Takes what a watch told, or that it cannot.
    pub(super) fn hear(&mut self, kind: Watched, event: Result<WatchEvent, String>, snapshot: &mut Snapshot) {
        match event {
            Ok(event) => {
                // A list that begins may yet be refused.
                if event != WatchEvent::Restarted {
                    self.kinds.remove(&kind);
                }
                snapshot.update(kind, event);
            }
            Err(why) => {
                let broken = Broken { why: String::new(), since: Instant::now(), said: false, listed: false };
                self.kinds.entry(kind).or_insert(broken).why = why;
            }
        }
    }

    /// Says what has been silent for long, and lists it.
    pub(super) async fn ask(&mut self, request: &WaitRequest<'_>, snapshot: &mut Snapshot, reporter: &dyn Reporter) {
        if self.kinds.values().all(|broken| broken.since.elapsed() < PATIENCE) {
            return;
        }
        if self.asked.is_some_and(|asked| asked.elapsed() < POLL) {
            return;
        }
        self.asked = Some(Instant::now());
        for (watched, kind) in watched_kinds() {
            let Some(broken) = self.kinds.get_mut(&watched) else { continue };
            if !std::mem::replace(&mut broken.said, true) {
                let message = format!("{}; asking again and again instead", silent(kind, &broken.why));
                reporter.report(Event::Progress { phase: "wait".into(), message: message.into() });
            }
            let listed = request.cluster.list(kind, request.namespace, request.selector, "").await;
            broken.listed = listed.is_ok();
            if let Ok(listed) = listed {
                snapshot.replace(watched, listed);
            }
        }
    }

    /// What is not known, for the end of the wait.
    pub(super) fn told(&self) -> Option<String> {
        let unheard = |(watched, kind): &(Watched, &Kind)| {
            let broken = self.kinds.get(watched).filter(|broken| !broken.listed)?;
            Some(silent(kind, &broken.why))
        };
        watched_kinds().iter().find_map(unheard)
    }

    #[cfg(test)]
    pub(super) fn broken(kind: Watched, why: &str) -> Self {
        let mut silence = Self::default();
        silence.hear(kind, Err(why.into()), &mut Snapshot::default());
        silence
    }
}

fn silent(kind: &Kind, why: &str) -> String {
    format!("the cluster does not tell of {}: {why}", kind.plural)
}
