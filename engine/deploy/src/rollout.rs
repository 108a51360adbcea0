//! A rollout from plan to record. Idempotent at every step: whatever end it meets, the same command goes on from there.
//!
//!     prepare -> (show the plan) -> apply -> wait -> (smoke tests) -> finish
//!
//! When nothing is to be done, no step writes anything: neither lock nor record.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Cancel, Diagnostic, Event, Reporter};

use crate::apply::{Applied, ApplyRequest, apply};
use crate::bundle::{Bundle, Kind as EnvironmentKind, Service};
use crate::cluster::{Cluster, Registry};
use crate::diagnosis::{Diagnosis, diagnose};
use crate::error::DeployError;
use crate::lock::{self, Holder, Lock, LockRequest, now};
use crate::names;
use crate::object::{Object, ObjectKey};
use crate::plan::{Change, ChangeAction, Plan, PlanRequest, plan};
use crate::port_forward::{ForwardError, Forwards};
use crate::prune;
use crate::record::{self, Deployed, Journal, Recorded, Smoke};
use crate::render::{Place, render};
use crate::requirement::{self, Source};
use crate::rollback::{Rollback, RollbackRequest, roll_back};
use crate::wait::{Cause, Expected, Verdict, WaitRequest, Waited, look, wait};

/// What a rollout needs to know besides the bundle.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the images are; they must have been pushed before `apply`.
    pub registry: Registry,
    /// The branch, for environments with a namespace for each.
    pub branch: Option<String>,
    /// The checkout the bundle was made from.
    pub source: Source,
    /// Who rolls out.
    pub holder: Holder,
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
    current: bool,
    writes_before: u64,
    lock: Option<Lock>,
    applied: BTreeMap<ObjectKey, Applied>,
}

/// What a rollout did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether all was as it should be from the start.
    pub up_to_date: bool,
    /// The release's digest.
    pub release: String,
    /// Objects created and changed.
    pub written: usize,
    /// Objects left as they were.
    pub unchanged: usize,
    /// Objects removed.
    pub pruned: usize,
    /// Requests that may have changed something in the cluster, lock and record included.
    pub api_writes: u64,
    /// What the smoke tests said.
    pub smoke: Smoke,
    /// What was done when they failed.
    pub rollback: Option<Rollback>,
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
        };
        let changes = plan(&request, objects.clone()).await.map_err(DeployError::Plan)?;
        let record = &recorded.record;
        let removals = prune::removals(&record.inventory, &objects, record.generation + 1);
        let plan = Plan { changes, removals };
        let current = plan.is_empty() && is_recorded(&recorded, &bundle);
        let (lock, applied) = (None, BTreeMap::new());
        Ok(Self { bundle, cluster, options, place, objects, plan, recorded, current, writes_before, lock, applied })
    }

    /// The same rollout with a new plan, after `DeployError::PlanOutdated`.
    pub async fn replan(self) -> Result<Self, DeployError> {
        let writes_before = self.writes_before;
        Ok(Self { writes_before, ..Self::prepare(self.bundle, self.cluster, self.options).await? })
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
            holder: &self.options.holder,
            patience: self.options.patience,
        };
        self.lock = Some(lock::acquire(&request, reporter, cancel).await?);
        let applied = self.apply_locked(reporter, cancel).await;
        if applied.is_err() {
            self.release_lock().await;
        }
        applied
    }

    async fn apply_locked(&mut self, reporter: &dyn Reporter, cancel: &Cancel) -> Result<(), DeployError> {
        self.begin().await?;
        let changes: Vec<Change> =
            self.plan.changes.iter().filter(|change| change.object.kind.namespaced).cloned().collect();
        let applied = self.write(&changes, reporter, cancel).await?;
        self.applied.extend(applied);
        Ok(())
    }

    /// The namespace comes before the lock, which lives in it.
    async fn make_namespace(&mut self, reporter: &dyn Reporter, cancel: &Cancel) -> Result<(), DeployError> {
        let changes: Vec<Change> =
            self.plan.changes.iter().filter(|change| !change.object.kind.namespaced).cloned().collect();
        self.applied = self.write(&changes, reporter, cancel).await?;
        Ok(())
    }

    async fn write(
        &self,
        changes: &[Change],
        reporter: &dyn Reporter,
        cancel: &Cancel,
    ) -> Result<BTreeMap<ObjectKey, Applied>, DeployError> {
        let request = ApplyRequest { cluster: &self.cluster, changes, force: self.options.take_over };
        match apply(&request, reporter, cancel).await {
            Ok(Some(applied)) => Ok(applied),
            Ok(None) => Err(DeployError::Cancelled),
            Err(error) if error.is_conflict() => Err(DeployError::PlanOutdated(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes in the record that this rollout begins, and all it may make, so that nothing is forgotten if it is killed.
    async fn begin(&mut self) -> Result<(), DeployError> {
        let mut next = self.recorded.clone();
        let record = &mut next.record;
        record.generation += 1;
        record.journal =
            Journal::Rolling { holder: self.options.holder.who.clone(), bundle: self.bundle.digest().to_hex() };
        record.inventory = prune::inventory(&record.inventory, &self.objects, record.generation);
        self.write_record(next).await
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
        let expected = expected(&self.applied);
        let timeout = Duration::from_secs(self.bundle.environment.timeout);
        let selector = selector(&self.bundle);
        let request = self.wait_request(&selector, &expected, timeout);
        let failures = match wait(&request, reporter, cancel).await {
            Waited::Ready => return Ok(()),
            Waited::Cancelled => {
                self.release_lock().await;
                return Err(DeployError::Cancelled);
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

    /// Nothing was changed, so nothing can fail; but what is not well is said.
    async fn look(&self, reporter: &dyn Reporter) -> Result<(), DeployError> {
        let as_planned = |change: &Change| {
            let applied = Applied {
                uid: change.uid.clone(),
                generation: change.generation,
                template: change.planned["spec"]["template"].clone(),
            };
            (change.object.key(), applied)
        };
        let expected = expected(&self.plan.changes.iter().map(as_planned).collect());
        let selector = selector(&self.bundle);
        for (service, verdict) in look(&self.wait_request(&selector, &expected, Duration::ZERO)).await? {
            let state = match verdict {
                Verdict::Ready => continue,
                Verdict::Waiting(how_far) => format!("is not ready: {how_far}"),
                Verdict::Failed(cause) => format!("is not well: {}", cause.message),
            };
            let mut warning = Diagnostic::error(format!("nothing has changed, but {service} {state}"));
            warning.severity = model::Severity::Warning;
            reporter.report(Event::Diagnosed(warning));
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

    /// Ends the rollout: removes what left the release, records what runs, and gives the lock up. When smoke tests
    /// failed, the release before comes back instead, where the environment wants it.
    pub async fn finish(
        mut self,
        smoke: Smoke,
        reporter: &dyn Reporter,
        cancel: &Cancel,
    ) -> Result<Report, DeployError> {
        if self.current {
            return Ok(self.report(0, self.recorded.record.current().map_or(smoke, |current| current.smoke), None));
        }
        if !self.lock_is_ours().await? {
            return Err(DeployError::LockLost);
        }
        if smoke == Smoke::Failed {
            let rollback = self.give_up("smoke tests failed", reporter, cancel).await?;
            return Ok(self.report(0, smoke, Some(rollback)));
        }
        let finished = self.finish_locked(smoke, reporter).await;
        self.release_lock().await;
        Ok(self.report(finished?, smoke, None))
    }

    async fn finish_locked(&mut self, smoke: Smoke, reporter: &dyn Reporter) -> Result<usize, DeployError> {
        let pruned = self.prune(&self.plan.removals.clone(), reporter).await?;
        let mut next = self.recorded.clone();
        next.record.journal = Journal::Done;
        self.settle_inventory(&mut next, &self.objects);
        next.record.push(self.deployed(smoke));
        self.write_record(next).await?;
        Ok(pruned)
    }

    async fn prune(&self, removals: &[record::Member], reporter: &dyn Reporter) -> Result<usize, DeployError> {
        let pruned = prune::remove(&self.cluster, &self.bundle.environment.name, removals).await?;
        for member in removals {
            let message = format!("removed {}/{}", member.kind, member.name);
            reporter.report(Event::Progress { phase: "prune".into(), message: message.into() });
        }
        Ok(pruned)
    }

    /// The inventory after a rollout to `objects`, without what was pruned and with the uids of what was applied.
    fn settle_inventory(&self, next: &mut Recorded, objects: &[Object]) {
        let record = &mut next.record;
        let removed = prune::removals(&record.inventory, objects, record.generation);
        record.inventory = prune::inventory(&record.inventory, objects, record.generation);
        record.inventory.retain(|member| !removed.iter().any(|gone| gone.key() == member.key()));
        for member in &mut record.inventory {
            if let Some(applied) = self.applied.get(&member.key()) {
                member.uid.clone_from(&applied.uid);
            }
        }
    }

    fn deployed(&self, smoke: Smoke) -> Deployed {
        let services = &self.bundle.release.services;
        let images = services.iter().map(|(name, service)| (name.clone(), service.image.digest.clone())).collect();
        Deployed {
            generation: self.recorded.record.generation,
            release: self.bundle.release.digest().to_hex(),
            bundle_digest: self.bundle.digest().to_hex(),
            revision: self.options.source.revision.clone(),
            images,
            registry: self.place.registry.clone(),
            smoke,
            at: format!("{:.0}", now()),
            bundle: self.bundle.clone(),
        }
    }

    /// Records the failure, brings the release before back where that is wanted, and gives the lock up.
    async fn give_up(
        &mut self,
        cause: &str,
        reporter: &dyn Reporter,
        cancel: &Cancel,
    ) -> Result<Rollback, DeployError> {
        let request = RollbackRequest {
            cluster: &self.cluster,
            namespace: &self.place.namespace,
            failed: &self.bundle,
            previous: self.recorded.record.current(),
        };
        let (rollback, objects) = roll_back(&request, reporter, cancel).await;
        let mut next = self.recorded.clone();
        next.record.journal = Journal::Failed { bundle: self.bundle.digest().to_hex(), cause: cause.to_owned() };
        let settled = match objects {
            Some(objects) => {
                let removals = prune::removals(&next.record.inventory, &objects, next.record.generation);
                let pruned = self.prune(&removals, reporter).await;
                self.settle_inventory(&mut next, &objects);
                pruned.map(|_| ())
            }
            None => Ok(()),
        };
        let written = self.write_record(next).await;
        self.release_lock().await;
        settled.and(written).map(|()| rollback)
    }

    /// Ends a rollout early, leaving what was applied; the next one goes on from there.
    pub async fn abandon(mut self) {
        self.release_lock().await;
    }

    async fn lock_is_ours(&self) -> Result<bool, DeployError> {
        match &self.lock {
            Some(lock) => Ok(lock.is_ours().await?),
            None => Ok(false),
        }
    }

    async fn release_lock(&mut self) {
        if let Some(lock) = self.lock.take() {
            lock.release().await;
        }
    }

    fn report(&self, pruned: usize, smoke: Smoke, rollback: Option<Rollback>) -> Report {
        let unchanged = self.plan.count(ChangeAction::Unchanged);
        Report {
            up_to_date: self.current,
            release: self.bundle.release.digest().to_hex(),
            written: self.plan.changes.len() - unchanged,
            unchanged,
            pruned,
            api_writes: self.cluster.writes() - self.writes_before,
            smoke,
            rollback,
        }
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

/// The labels that all objects of an environment carry, pods included.
pub(crate) fn selector(bundle: &Bundle) -> String {
    format!("{}={},{}={}", names::MANAGED_BY, names::MANAGER, names::INSTANCE, bundle.environment.name)
}

/// What to wait for: the Deployments among what was applied.
pub(crate) fn expected(applied: &BTreeMap<ObjectKey, Applied>) -> Vec<Expected> {
    let deployments = applied.iter().filter(|(key, _)| key.kind == "Deployment");
    let expect = |(key, applied): (&ObjectKey, &Applied)| Expected {
        name: key.name.clone(),
        uid: applied.uid.clone(),
        generation: applied.generation,
        template: applied.template.clone(),
    };
    deployments.map(expect).collect()
}
