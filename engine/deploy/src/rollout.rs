//! A rollout from plan to record. Idempotent at every step: whatever end it meets, the same command goes on from there.
//!
//! ```text
//! prepare -> (show the plan) -> apply -> wait -> (smoke tests) -> finish
//! ```
//!
//! When nothing is to be done, no step writes anything: neither lock nor record.

mod finish;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Cancel, Diagnostic, Event, Reporter};

use crate::api::ApiError;
use crate::apply::{Application, Applied, ApplyRequest, Stop, apply, mark};
use crate::bundle::{Bundle, Kind as EnvironmentKind, Service};
use crate::cluster::{Cluster, Registry};
use crate::diagnosis::{Diagnosis, diagnose};
use crate::error::DeployError;
use crate::kinds::POD;
use crate::lock::{self, Lock, LockRequest, Terms};
use crate::names;
use crate::object::{Object, ObjectKey};
use crate::plan::{Change, ChangeAction, Plan, PlanRequest, plan};
use crate::port_forward::{ForwardError, Forwards};
use crate::prune;
use crate::record::{self, Journal, Recorded, Smoke};
use crate::render::{Place, render};
use crate::requirement::{self, Source};
use crate::wait::{Cause, Expected, Past, Pods, Verdict, WaitRequest, Waited, look, wait};

pub use finish::Report;

/// What a rollout needs to know besides the bundle.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the images are; they must have been pushed before `apply`.
    pub registry: Registry,
    /// The branch, for environments with a namespace for each.
    pub branch: Option<String>,
    /// The checkout the bundle was made from.
    pub source: Source,
    /// Who rolls out, for people: `ann@laptop`.
    pub who: String,
    /// How long to wait for another rollout to the same environment.
    pub patience: Duration,
    /// Whether fields and objects of others are taken over.
    pub take_over: bool,
}

/// A rollout under way.
pub struct Rollout {
    bundle: Bundle,
    cluster: Cluster,
    options: Options,
    place: Place,
    objects: Vec<Object>,
    plan: Plan,
    recorded: Recorded,
    /// How the rollout before ended.
    recorded_end: Journal,
    current: bool,
    writes_before: u64,
    lock: Option<Lock>,
    applied: BTreeMap<ObjectKey, Applied>,
    written: usize,
    /// The pods that were there before the first write.
    pods: Pods,
}

impl Rollout {
    /// Checks the environment's demands and plans. Reads only.
    pub async fn prepare(bundle: Bundle, cluster: Cluster, options: Options) -> Result<Self, DeployError> {
        let environment = &bundle.environment;
        if environment.kind != EnvironmentKind::Cluster {
            return Err(DeployError::NotACluster(environment.label.clone()));
        }
        if environment.per_branch && options.branch.as_deref().is_none_or(|branch| branch.trim().is_empty()) {
            return Err(DeployError::NoBranch(environment.label.clone()));
        }
        let writes_before = cluster.writes();
        requirement::check(&bundle, &cluster, &options.source).await?;
        let namespace = names::namespace(&bundle, options.branch.as_deref());
        let place = Place { namespace, registry: options.registry.pull.clone() };
        let objects = render(&bundle, &place)?;
        let recorded = record::read(&cluster, &place.namespace, &environment.name).await?;
        let request = PlanRequest {
            cluster: &cluster,
            namespace: &place.namespace,
            bundle: &bundle,
            take_over: options.take_over,
            generation: None,
        };
        let changes = plan(&request, objects.clone()).await.map_err(DeployError::Plan)?;
        let record = &recorded.record;
        let removals = prune::removals(&record.inventory, &objects, record.generation + 1);
        let plan = Plan { changes, removals };
        let current = plan.is_empty() && is_recorded(&recorded, &bundle);
        Ok(Self {
            bundle,
            cluster,
            options,
            place,
            objects,
            plan,
            recorded_end: recorded.record.journal.clone(),
            recorded,
            current,
            writes_before,
            lock: None,
            applied: BTreeMap::new(),
            written: 0,
            pods: Pods::default(),
        })
    }

    /// The same rollout with a new plan, after `DeployError::PlanOutdated`: over a rollout that was under way when this
    /// one was planned and has ended since, or over a change by others. Not over a rollout that began later: whoever
    /// slept between plan and application would undo it.
    pub async fn replan(self) -> Result<Self, DeployError> {
        let (writes_before, known) = (self.writes_before, self.recorded.record.generation);
        let next = Self::prepare(self.bundle, self.cluster, self.options).await?;
        match next.recorded.record.generation > known {
            true => Err(DeployError::Overtaken),
            false => Ok(Self { writes_before, ..next }),
        }
    }

    /// What will change.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether nothing is to be done: all is applied, was ready, passed its smoke tests and is recorded.
    pub fn is_current(&self) -> bool {
        self.current
    }

    /// The objects as rendered, for `show`.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The namespace that is rolled out to.
    pub fn namespace(&self) -> &str {
        &self.place.namespace
    }

    /// Takes the lock, notes the begin in the record, and applies the plan.
    pub async fn apply(&mut self, reporter: &dyn Reporter, cancel: &Cancel) -> Result<(), DeployError> {
        if self.current {
            return Ok(());
        }
        if cancel.is_cancelled() {
            return Err(DeployError::Cancelled);
        }
        self.make_namespace(reporter, cancel).await?;
        let request = LockRequest {
            cluster: &self.cluster,
            namespace: &self.place.namespace,
            environment: &self.bundle.environment.name,
            who: &self.options.who,
            patience: self.options.patience,
            terms: Terms::default(),
        };
        let lock = lock::acquire(&request, reporter, cancel).await?;
        // From here on nothing is written without the lock.
        self.cluster = self.cluster.under(lock.permit());
        self.lock = Some(lock);
        match self.apply_locked(reporter, cancel).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.end_half_way(error, reporter, cancel).await),
        }
    }

    async fn apply_locked(&mut self, reporter: &dyn Reporter, cancel: &Cancel) -> Result<(), DeployError> {
        // Who may not look at pods could not tell what becomes of them, so this comes before anything is written.
        self.pods = pods(&self.cluster, &self.place.namespace, &selector(&self.bundle)).await?;
        self.begin().await?;
        let changes = self.plan.changes.clone();
        self.write(&changes, reporter, cancel).await
    }

    /// The namespace comes before the lock, which lives in it: where it is missing, there is nobody to lock out.
    async fn make_namespace(&mut self, reporter: &dyn Reporter, cancel: &Cancel) -> Result<(), DeployError> {
        let missing = |change: &&Change| !change.object.kind.namespaced && change.action == ChangeAction::Create;
        let changes: Vec<Change> = self.plan.changes.iter().filter(missing).cloned().collect();
        self.write(&changes, reporter, cancel).await?;
        for change in self.plan.changes.iter_mut().filter(|change| !change.object.kind.namespaced) {
            if self.applied.contains_key(&change.object.key()) {
                change.action = ChangeAction::Unchanged;
            }
        }
        Ok(())
    }

    async fn write(&mut self, changes: &[Change], reporter: &dyn Reporter, cancel: &Cancel) -> Result<(), DeployError> {
        let request = ApplyRequest { cluster: &self.cluster, changes, force: self.options.take_over };
        let Application { applied, written, stop } = apply(&request, reporter, cancel).await;
        self.applied.extend(applied);
        self.written += written;
        match stop {
            None => Ok(()),
            Some(Stop::Cancelled) => Err(DeployError::Cancelled),
            Some(Stop::Refused(error)) if error.is_conflict() => Err(DeployError::PlanOutdated(error.to_string())),
            Some(Stop::Refused(error)) => Err(error.into()),
        }
    }

    /// Gives the lock up after an application that did not come to its end. What was refused half way would leave a
    /// mixture of two releases, so the one before comes back; where the plan is only outdated, the next one converges.
    async fn end_half_way(&mut self, error: DeployError, reporter: &dyn Reporter, cancel: &Cancel) -> DeployError {
        match error {
            DeployError::Api(cause) if self.written > 0 => {
                let rollback = match self.give_up(&cause.to_string(), reporter, cancel).await {
                    Ok(rollback) => rollback,
                    Err(error) => return error,
                };
                DeployError::HalfWay { cause, rollback }
            }
            error => {
                self.release_lock().await;
                error
            }
        }
    }

    /// Notes in the record that this rollout begins, and all it may make, so that nothing is forgotten if it is killed.
    async fn begin(&mut self) -> Result<(), DeployError> {
        let mut next = self.recorded.clone();
        let record = &mut next.record;
        // A record that was begun anew counts on from what the objects know.
        record.generation = record.generation.max(self.plan.fence()) + 1;
        record.journal = Journal::Rolling { holder: self.options.who.clone(), bundle: self.bundle.digest().to_hex() };
        record.inventory = prune::inventory(&record.inventory, &self.objects, record.generation);
        self.write_record(next).await?;
        if self.lock.as_ref().is_some_and(|lock| lock.was_taken_over) {
            self.fence_off().await?;
        }
        Ok(())
    }

    /// Whoever held the lock before may only be asleep: what it planned over is made another version.
    async fn fence_off(&mut self) -> Result<(), DeployError> {
        let (cluster, generation) = (&self.cluster, self.recorded.record.generation);
        let exists = |change: &&mut Change| change.live.is_some() && change.object.kind.namespaced;
        let marks = self.plan.changes.iter_mut().filter(exists).map(|change| mark(cluster, change, generation));
        match futures::future::try_join_all(marks).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Err(DeployError::PlanOutdated(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    async fn write_record(&mut self, next: Recorded) -> Result<(), DeployError> {
        let environment = &self.bundle.environment.name;
        match record::write(&self.cluster, &self.place.namespace, environment, &next).await {
            Ok(written) => {
                self.recorded = written;
                Ok(())
            }
            Err(error) if error.is_conflict() => Err(DeployError::PlanOutdated("another rollout went first".into())),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until every service is ready. If one will never be, says why and, where the environment wants it, brings
    /// the release before back.
    pub async fn wait(&mut self, reporter: &dyn Reporter, cancel: &Cancel) -> Result<(), DeployError> {
        if self.current {
            return self.look(reporter).await;
        }
        let expected = self.to_wait_for();
        let timeout = Duration::from_secs(self.bundle.environment.timeout);
        let selector = selector(&self.bundle);
        let request = self.wait_request(&selector, &expected, timeout);
        let failures = match wait(&request, reporter, cancel).await {
            Waited::Ready => return self.look_at_unchanged(reporter).await,
            Waited::Cancelled => {
                self.release_lock().await;
                return Err(DeployError::Cancelled);
            }
            Waited::LockLost(why) => {
                self.release_lock().await;
                return Err(DeployError::LockLost(why));
            }
            Waited::Failed(failures) => failures,
        };
        let diagnoses = self.diagnose(&failures).await;
        let cause = diagnoses.first().map(|first| format!("{}: {}", first.service, first.cause)).unwrap_or_default();
        let rollback = self.give_up(&cause, reporter, cancel).await?;
        Err(DeployError::Failed { diagnoses, rollback })
    }

    fn wait_request<'a>(&'a self, selector: &'a str, expected: &'a [Expected], timeout: Duration) -> WaitRequest<'a> {
        WaitRequest { cluster: &self.cluster, namespace: &self.place.namespace, selector, expected, timeout }
    }

    /// What this rollout answers for. After a rollout that came to its end, objects that stay as they are were ready then:
    /// whatever became of them since is no fault of this one.
    fn to_wait_for(&self) -> Vec<Expected> {
        let all = expected(&self.applied, &self.pods);
        let proven = self.recorded_end == Journal::Done;
        all.into_iter().filter(|expected| !proven || expected.past.written.is_some()).collect()
    }

    async fn look_at_unchanged(&self, reporter: &dyn Reporter) -> Result<(), DeployError> {
        let waited_for = self.to_wait_for();
        let unchanged: Vec<Expected> =
            expected(&self.applied, &self.pods).into_iter().filter(|expected| !waited_for.contains(expected)).collect();
        self.warn_of(&unchanged, "was not changed", reporter).await
    }

    /// Nothing was changed, so nothing can fail; but what is not well is said.
    async fn look(&self, reporter: &dyn Reporter) -> Result<(), DeployError> {
        let as_planned = |change: &Change| (change.object.key(), Applied::as_planned(change));
        let unchanged = expected(&self.plan.changes.iter().map(as_planned).collect(), &Pods::default());
        for note in self.plan.notes() {
            warn(note, reporter);
        }
        self.warn_of(&unchanged, "is as it should be", reporter).await
    }

    async fn warn_of(&self, expected: &[Expected], why: &str, reporter: &dyn Reporter) -> Result<(), DeployError> {
        let selector = selector(&self.bundle);
        for (service, verdict) in look(&self.wait_request(&selector, expected, Duration::ZERO)).await? {
            let state = match verdict {
                Verdict::Ready => continue,
                Verdict::Waiting(wait) => format!("is not ready: {}", wait.how_far),
                Verdict::Failed(cause) => format!("is not well: {}", cause.message),
            };
            warn(format!("{service} {why}, but it {state}"), reporter);
        }
        Ok(())
    }

    async fn diagnose(&self, failures: &[(Expected, Cause)]) -> Vec<Diagnosis> {
        let mut diagnoses = Vec::new();
        for failure in failures {
            diagnoses.push(diagnose(&self.cluster, &self.place.namespace, failure, &self.objects).await);
        }
        diagnoses
    }

    /// Local ports that lead to the services, for smoke tests. All services when `services` is empty.
    pub async fn forward(&self, services: &[String]) -> Result<Forwards, DeployError> {
        let all = &self.bundle.release.services;
        if let Some(unknown) = services.iter().find(|name| !all.contains_key(*name)) {
            return Err(ForwardError::Unknown(unknown.clone()).into());
        }
        let wanted: Vec<(&str, &Service)> = all
            .iter()
            .filter(|(name, _)| services.is_empty() || services.contains(name))
            .map(|(name, service)| (name.as_str(), service))
            .collect();
        let environment = &self.bundle.environment.name;
        Ok(Forwards::open(&self.cluster, &self.place.namespace, environment, &wanted).await?)
    }
}

/// Whether the record says that exactly this bundle is done.
fn is_recorded(recorded: &Recorded, bundle: &Bundle) -> bool {
    let record = &recorded.record;
    let tested = |smoke: Smoke| smoke == Smoke::Passed || bundle.smoke_tests.is_empty();
    record.journal == Journal::Done
        && record
            .current()
            .is_some_and(|current| current.bundle_digest == bundle.digest().to_hex() && tested(current.smoke))
}

fn warn(message: String, reporter: &dyn Reporter) {
    let mut warning = Diagnostic::error(message);
    warning.severity = model::Severity::Warning;
    reporter.report(Event::Diagnosed(warning));
}

/// The labels that all objects of an environment carry, pods included.
pub(crate) fn selector(bundle: &Bundle) -> String {
    format!("{}={},{}={}", names::MANAGED_BY, names::MANAGER, names::INSTANCE, bundle.environment.name)
}

/// The pods of an environment as they are.
pub(crate) async fn pods(cluster: &Cluster, namespace: &str, selector: &str) -> Result<Pods, ApiError> {
    Ok(Pods::of(&cluster.list(&POD, namespace, selector, "").await?))
}

/// What to wait for: the Deployments among what was applied.
pub(crate) fn expected(applied: &BTreeMap<ObjectKey, Applied>, pods: &Pods) -> Vec<Expected> {
    let deployments = applied.iter().filter(|(key, _)| key.kind == "Deployment");
    let expect = |(key, applied): (&ObjectKey, &Applied)| Expected {
        name: key.name.clone(),
        uid: applied.uid.clone(),
        generation: applied.generation,
        template: applied.template.clone(),
        past: Past { pods: pods.clone(), ..applied.past.clone() },
    };
    deployments.map(expect).collect()
}
