//! How a rollout ends: with a record of what runs, or with the release before.

use model::{Cancel, Event, Reporter};

use super::Rollout;
use crate::error::DeployError;
use crate::lock::now;
use crate::object::Object;
use crate::plan::ChangeAction;
use crate::prune;
use crate::record::{self, Deployed, Journal, Recorded, Smoke};
use crate::rollback::{Rollback, RollbackRequest, roll_back};

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
    pub(super) async fn give_up(
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

    pub(super) async fn release_lock(&mut self) {
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
