//! Waits until every Deployment of a rollout is ready, or one will never be. Driven by watches, bounded in time.

mod endpoints;
mod expected;
mod pull;
mod snapshot;
mod verdict;
mod watches;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use model::{Cancel, Event, Reporter};
use tokio::time::Instant;

pub use expected::{Expected, Past, Pods};
pub use snapshot::{Snapshot, WatchEvent, Watched};
pub(crate) use verdict::how_it_ended;
pub(crate) use verdict::is_ready;
pub use verdict::{Cause, CauseKind, Verdict, Wait, verdict};

use crate::api::ApiError;
use crate::cluster::Cluster;
use watches::{Silence, watched_kinds, watches};

/// How often the clock and the user's wish to stop are looked at while nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// A state that passes sooner is not worth a line.
const WORTH_SAYING: Duration = Duration::from_secs(1);
/// How long all must stay ready: what ends right after its start was never ready.
const SETTLE: Duration = Duration::from_secs(2);

/// How the wait ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Waited {
    /// All are ready.
    Ready,
    /// These will not be.
    Failed(Vec<(Expected, Cause)>),
    /// The user stopped.
    Cancelled,
    /// The lock is lost, in this way: what runs is no longer ours to judge.
    LockLost(String),
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

/// Waits. The watches are resumed by themselves when they end; while one cannot be, it is said, and lists take its place.
pub(crate) async fn wait(request: &WaitRequest<'_>, reporter: &dyn Reporter, cancel: &Cancel) -> Waited {
    if request.expected.is_empty() {
        return Waited::Ready;
    }
    let mut events = Box::pin(watches(request));
    let mut progress = Progress::new(request.expected);
    let (mut snapshot, mut silence) = (Snapshot::default(), Silence::default());
    let deadline = Instant::now() + request.timeout;
    let mut ready_since = None;
    loop {
        if cancel.is_cancelled() {
            return Waited::Cancelled;
        }
        if let Err(error) = request.cluster.check_lock() {
            return Waited::LockLost(error.to_string());
        }
        if let Ok(Some((kind, event))) = tokio::time::timeout(TICK, events.next()).await {
            silence.hear(kind, event, &mut snapshot);
            // Events come in bursts, and a list is only whole at its end: judge what is there once there is no more.
            while let Some(Some((kind, event))) = futures::FutureExt::now_or_never(events.next()) {
                silence.hear(kind, event, &mut snapshot);
            }
        }
        silence.ask(request, &mut snapshot, reporter).await;
        match progress.judge(&snapshot, reporter) {
            Some(Waited::Ready) => {
                let since: &mut Instant = ready_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= SETTLE {
                    endpoints::wait_for_endpoints(request, cancel).await;
                    return Waited::Ready;
                }
            }
            Some(waited) => return waited,
            None => ready_since = None,
        }
        if Instant::now() >= deadline && ready_since.is_none() {
            return progress.out_of_time(request.timeout, &silence);
        }
    }
}

/// Looks once, without watching.
pub(crate) async fn look(request: &WaitRequest<'_>) -> Result<BTreeMap<String, Verdict>, ApiError> {
    let mut snapshot = Snapshot::default();
    for (watched, kind) in watched_kinds() {
        let listed = request.cluster.list(kind, request.namespace, request.selector, "").await?;
        snapshot.replace(watched, listed);
    }
    let judge = |expected: &Expected| (expected.name.clone(), verdict(expected, &snapshot));
    Ok(request.expected.iter().map(judge).collect())
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
            Verdict::Waiting(wait) => format!("{name}: {}", wait.how_far),
            Verdict::Ready => format!("{name}: ready"),
            Verdict::Failed(cause) => format!("{name}: failed, {}", cause.message),
        };
        known.said = true;
        reporter.report(Event::Progress { phase: "wait".into(), message: message.into() });
    }

    /// Time is up: for what is not ready, the cause is what kept its new pods from being so.
    fn out_of_time(&self, timeout: Duration, silence: &Silence) -> Waited {
        let unheard = silence.told().map(|silence| format!("; {silence}")).unwrap_or_default();
        let late = |expected: &Expected| {
            let (how_far, blocked) = match self.states.get(&expected.name).map(|state| &state.verdict) {
                Some(Verdict::Waiting(wait)) => (wait.how_far.as_str(), wait.blocked.clone()),
                Some(_) => return None,
                None => ("the cluster did not answer", None),
            };
            let message = format!("not ready after {} s: {how_far}{unheard}", timeout.as_secs());
            let kind = CauseKind::Deadline;
            let blocked = blocked.unwrap_or(Cause { kind, message: String::new(), pod: None, container: None });
            Some((expected.clone(), Cause { message, ..blocked }))
        };
        Waited::Failed(self.expected.iter().filter_map(late).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

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
        let waiting = |text: &str| Verdict::Waiting(Wait { how_far: text.into(), blocked: None });
        progress.tell("same", Verdict::Ready, &lines);
        progress.tell("new", waiting("its pods to be made"), &lines);
        progress.tell("new", waiting("0 of 1 ready"), &lines);
        progress.states.get_mut("new").unwrap().since -= WORTH_SAYING;
        progress.tell("new", waiting("0 of 1 ready"), &lines);
        progress.tell("new", waiting("0 of 1 ready"), &lines);
        progress.tell("new", Verdict::Ready, &lines);
        assert_eq!(*lines.0.lock().unwrap(), ["new: 0 of 1 ready", "new: ready"]);
    }

    #[test]
    fn a_deadline_has_the_cause_that_blocks_the_new_pods() {
        let expected =
            Expected { name: "web".into(), uid: "u".into(), generation: 1, template: json!({}), past: Past::default() };
        let expected = [expected];
        let mut progress = Progress::new(&expected);
        let out_of_time =
            |progress: &Progress, silence: &Silence| match progress.out_of_time(Duration::from_secs(60), silence) {
                Waited::Failed(failures) => format!("{}: {}", failures[0].1.kind, failures[0].1.message),
                other => panic!("{other:?}"),
            };
        let silence = Silence::default();
        assert_eq!(out_of_time(&progress, &silence), "deadline: not ready after 60 s: the cluster did not answer");
        let blocked = Cause { kind: CauseKind::Unschedulable, message: "no node".into(), pod: None, container: None };
        let wait = Wait { how_far: "0 of 1 ready: no node".into(), blocked: Some(blocked) };
        progress.tell("web", Verdict::Waiting(wait), &Lines::default());
        assert_eq!(out_of_time(&progress, &silence), "unschedulable: not ready after 60 s: 0 of 1 ready: no node");
        let silence = Silence::broken(Watched::Pod, "pods is forbidden");
        assert_eq!(
            out_of_time(&progress, &silence),
            "unschedulable: not ready after 60 s: 0 of 1 ready: no node; the cluster does not tell of pods: pods is forbidden"
        );
    }
}
