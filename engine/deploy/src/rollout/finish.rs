//! How a rollout ends: with a record of what runs, or with the release before.

use std::collections::BTreeMap;

use model::{Cancel, Event, Reporter};

use super::Rollout;
use crate::api::ApiError;
use crate::apply::Applied;
use crate::error::DeployError;
use crate::lock::now;
use crate::object::{Object, ObjectKey};
use crate::prune::{self, RemoveRequest};
use crate::record::{Deployed, Journal, Member, Recorded, Smoke};
use crate::rollback::{Returned, Rollback, RollbackRequest, roll_back};

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
        if let Err(error) = self.cluster.check_lock() {
            self.release_lock().await;
            return Err(error.into());
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
        let removals = self.plan.removals.clone();
        let pruned = self.prune(&removals, reporter).await?;
        let mut next = self.recorded.clone();
        next.record.journal = Journal::Done;
        settle(&mut next, &self.objects, &removals, &self.applied);
        next.record.push(self.deployed(smoke));
        self.write_last(next).await?;
        Ok(pruned)
    }

    async fn prune(&self, removals: &[Member], reporter: &dyn Reporter) -> Result<usize, ApiError> {
        let request = RemoveRequest {
            cluster: &self.cluster,
            environment: &self.bundle.environment.name,
            members: removals,
            generation: self.recorded.record.generation,
        };
        let pruned = prune::remove(&request).await?;
        for member in removals {
            let message = format!("removed {}/{}", member.kind, member.name);
            reporter.report(Event::Progress { phase: "prune".into(), message: message.into() });
        }
        Ok(pruned)
    }

    /// The record was ours when the rollout began, so who wrote it since took the lock.
    async fn write_last(&mut self, next: Recorded) -> Result<(), DeployError> {
        self.write_record(next).await.map_err(|error| match error {
            DeployError::PlanOutdated(why) => DeployError::LockLost(why),
            error => error,
        })
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
    pub(super) async fn give_up(
        &mut self,
        cause: &str,
        reporter: &dyn Reporter,
        cancel: &Cancel,
    ) -> Result<Rollback, DeployError> {
        let given_up = self.give_up_locked(cause, reporter, cancel).await;
        self.release_lock().await;
        given_up
    }

    async fn give_up_locked(
        &mut self,
        cause: &str,
        reporter: &dyn Reporter,
        cancel: &Cancel,
    ) -> Result<Rollback, DeployError> {
        self.cluster.check_lock()?;
        let request = RollbackRequest {
            cluster: &self.cluster,
            namespace: &self.place.namespace,
            failed: &self.bundle,
            previous: self.recorded.record.current(),
            generation: self.recorded.record.generation,
        };
        let Returned { mut rollback, applied } = roll_back(&request, reporter, cancel).await;
        self.cluster.check_lock()?;
        let mut next = self.recorded.clone();
        next.record.journal = Journal::Failed { bundle: self.bundle.digest().to_hex(), cause: cause.to_owned() };
        if let Some((objects, application)) = applied {
            let removals = prune::leftovers(&next.record.inventory, &objects, next.record.generation);
            match self.prune(&removals, reporter).await {
                Ok(_) => settle(&mut next, &objects, &removals, &application.applied),
                Err(error) if error.is_lock_lost() => return Err(error.into()),
                // What stays is still in the inventory; the next rollout removes it.
                Err(error) => rollback = rollback.leaving(&error.to_string()),
            }
        }
        self.write_last(next).await.map(|()| rollback)
    }

    /// Ends a rollout early, leaving what was applied; the next one goes on from there.
    pub async fn abandon(mut self) {
        self.release_lock().await;
    }

    pub(super) async fn release_lock(&mut self) {
        if let Some(lock) = self.lock.take() {
            lock.release().await;
            self.cluster = self.cluster.free();
        }
    }

    fn report(&self, pruned: usize, smoke: Smoke, rollback: Option<Rollback>) -> Report {
        Report {
            up_to_date: self.current,
            release: self.bundle.release.digest().to_hex(),
            written: self.written,
            unchanged: self.plan.changes.len() - self.written,
            pruned,
            api_writes: self.cluster.writes() - self.writes_before,
            smoke,
            rollback,
        }
    }
}

/// The inventory after a rollout to `objects`, without what was removed and with the uids of what was applied.
fn settle(next: &mut Recorded, objects: &[Object], removed: &[Member], applied: &BTreeMap<ObjectKey, Applied>) {
    let record = &mut next.record;
    record.inventory = prune::inventory(&record.inventory, objects, record.generation);
    record.inventory.retain(|member| !removed.iter().any(|gone| gone.key() == member.key()));
    for member in &mut record.inventory {
        if let Some(applied) = applied.get(&member.key()) {
            member.uid.clone_from(&applied.uid);
        }
    }
}
