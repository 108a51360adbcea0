//! Waits until every Deployment of a rollout is ready, or one will never be. Driven by watches, bounded in time.

mod endpoints;
mod snapshot;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Api;
use kube::core::DynamicObject;
use kube::runtime::utils::WatchStreamExt;
use kube::runtime::watcher::{self, Event as WatcherEvent};
use model::{Cancel, Event, Reporter};
use tokio::time::Instant;

pub use snapshot::{Snapshot, WatchEvent, Watched};
pub(crate) use verdict::how_it_ended;
pub(crate) use verdict::is_ready;
pub use verdict::{Cause, CauseKind, Expected, Verdict, verdict};

use crate::api::{ApiError, plain, resource};
use crate::cluster::Cluster;
use crate::kinds::{Kind, POD, REPLICA_SET};

/// How often the clock and the user's wish to stop are looked at while nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// A state that passes sooner is not worth a line.
const WORTH_SAYING: Duration = Duration::from_secs(1);

/// How the wait ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Waited {
    /// All are ready.
    Ready,
    /// These will not be.
    Failed(Vec<(Expected, Cause)>),
    /// The user stopped.
    Cancelled,
}

/// What is waited for and where.
pub(crate) struct WaitRequest<'a> {
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
    /// The labels of the environment's objects.
    pub selector: &'a str,
    pub expected: &'a [Expected],
    pub timeout: Duration,
}

/// Waits. The watches are resumed by themselves when they end; while they cannot be, nothing is judged.
pub(crate) async fn wait(request: &WaitRequest<'_>, reporter: &dyn Reporter, cancel: &Cancel) -> Waited {
    let mut events = Box::pin(watches(request));
    let mut progress = Progress::new(request.expected);
    let mut snapshot = Snapshot::default();
    let deadline = Instant::now() + request.timeout;
    loop {
        if cancel.is_cancelled() {
            return Waited::Cancelled;
        }
        if let Ok(Some((kind, event))) = tokio::time::timeout(TICK, events.next()).await {
            snapshot.update(kind, event);
            // Events come in bursts, and a list is only whole at its end: judge what is there once there is no more.
            while let Some(Some((kind, event))) = futures::FutureExt::now_or_never(events.next()) {
                snapshot.update(kind, event);
            }
        }
        if let Some(waited) = progress.judge(&snapshot, reporter) {
            if waited == Waited::Ready {
                endpoints::wait_for_endpoints(request, cancel).await;
            }
            return waited;
        }
        if Instant::now() >= deadline {
            return progress.out_of_time(request.timeout);
        }
    }
}

/// Looks once, without watching.
pub(crate) async fn look(request: &WaitRequest<'_>) -> Result<BTreeMap<String, Verdict>, ApiError> {
    let mut snapshot = Snapshot::default();
    for (watched, kind) in watched_kinds() {
        for object in request.cluster.list(kind, request.namespace, request.selector, "").await? {
            snapshot.update(watched, WatchEvent::Listed(object));
        }
        snapshot.update(watched, WatchEvent::Complete);
    }
    let judge = |expected: &Expected| (expected.name.clone(), verdict(expected, &snapshot));
    Ok(request.expected.iter().map(judge).collect())
}

fn watched_kinds() -> [(Watched, &'static Kind); 3] {
    let deployment = Kind::named("Deployment").expect("Deployment is a kind of the table");
    [(Watched::Deployment, deployment), (Watched::ReplicaSet, &REPLICA_SET), (Watched::Pod, &POD)]
}

fn watches<'a>(request: &WaitRequest<'_>) -> impl Stream<Item = (Watched, WatchEvent)> + use<'a> {
    let streams = watched_kinds().map(|(watched, kind)| {
        let api: Api<DynamicObject> =
            Api::namespaced_with(request.cluster.client.clone(), request.namespace, &resource(kind));
        let config = watcher::Config::default().labels(request.selector);
        let stream = watcher::watcher(api, config).default_backoff();
        Box::pin(stream.filter_map(move |event| async move {
            let event = match event.ok()? {
                WatcherEvent::Init => WatchEvent::Restarted,
                WatcherEvent::InitApply(object) => WatchEvent::Listed(plain(&object)),
                WatcherEvent::InitDone => WatchEvent::Complete,
                WatcherEvent::Apply(object) => WatchEvent::Applied(plain(&object)),
                WatcherEvent::Delete(object) => WatchEvent::Deleted(plain(&object)),
            };
            Some((watched, event))
        }))
    });
    futures::stream::select_all(streams)
}

/// How each Deployment is, since when, and whether that was said.
struct Progress<'a> {
    expected: &'a [Expected],
    states: BTreeMap<String, State>,
}

struct State {
    verdict: Verdict,
    since: Instant,
    said: bool,
}

impl<'a> Progress<'a> {
    fn new(expected: &'a [Expected]) -> Self {
        Self { expected, states: BTreeMap::new() }
    }

    fn judge(&mut self, snapshot: &Snapshot, reporter: &dyn Reporter) -> Option<Waited> {
        if !snapshot.is_complete() {
            return None;
        }
        let mut failures = Vec::new();
        let mut ready = 0;
        for expected in self.expected {
            let verdict = verdict(expected, snapshot);
            match &verdict {
                Verdict::Ready => ready += 1,
                Verdict::Failed(cause) => failures.push((expected.clone(), cause.clone())),
                Verdict::Waiting(_) => {}
            }
            self.tell(&expected.name, verdict, reporter);
        }
        match failures.is_empty() {
            false => Some(Waited::Failed(failures)),
            true => (ready == self.expected.len()).then_some(Waited::Ready),
        }
    }

    /// Says each state once: an end at once, unless it was there from the start; what is waited for once it lasts.
    fn tell(&mut self, name: &str, verdict: Verdict, reporter: &dyn Reporter) {
        let now = Instant::now();
        let known = self.states.entry(name.to_owned()).or_insert_with(|| {
            let said = verdict == Verdict::Ready;
            State { verdict: verdict.clone(), since: now, said }
        });
        if known.verdict != verdict {
            *known = State { verdict, since: now, said: false };
        }
        let message = match &known.verdict {
            _ if known.said => return,
            Verdict::Waiting(_) if now - known.since < WORTH_SAYING => return,
            Verdict::Waiting(how_far) => format!("{name}: {how_far}"),
            Verdict::Ready => format!("{name}: ready"),
            Verdict::Failed(cause) => format!("{name}: failed, {}", cause.message),
        };
        known.said = true;
        reporter.report(Event::Progress { phase: "wait".into(), message: message.into() });
    }

    fn out_of_time(&self, timeout: Duration) -> Waited {
        let late = |expected: &Expected| {
            let how_far = match self.states.get(&expected.name).map(|state| &state.verdict) {
                Some(Verdict::Waiting(how_far)) => how_far.as_str(),
                Some(_) => return None,
                None => "the cluster did not answer",
            };
            let message = format!("not ready after {} s: {how_far}", timeout.as_secs());
            Some((expected.clone(), Cause { kind: CauseKind::Deadline, message, pod: None, container: None }))
        };
        Waited::Failed(self.expected.iter().filter_map(late).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Reporter for Lines {
        fn report(&self, event: Event) {
            if let Event::Progress { message, .. } = event {
                self.0.lock().unwrap().push(message.to_string());
            }
        }
    }

    #[tokio::test]
    async fn what_passes_quickly_is_not_said() {
        let (lines, mut progress) = (Lines::default(), Progress::new(&[]));
        let waiting = |text: &str| Verdict::Waiting(text.into());
        progress.tell("same", Verdict::Ready, &lines);
        progress.tell("new", waiting("its pods to be made"), &lines);
        progress.tell("new", waiting("0 of 1 ready"), &lines);
        progress.states.get_mut("new").unwrap().since -= WORTH_SAYING;
        progress.tell("new", waiting("0 of 1 ready"), &lines);
        progress.tell("new", waiting("0 of 1 ready"), &lines);
        progress.tell("new", Verdict::Ready, &lines);
        assert_eq!(*lines.0.lock().unwrap(), ["new: 0 of 1 ready", "new: ready"]);
    }
}
