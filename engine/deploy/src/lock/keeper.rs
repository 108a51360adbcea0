//! Renews a held lock in the background, and tells the writers when it is lost.

use serde_json::{Value as Json, json};

use super::permit::{Loss, Permit};
use super::{Terms, micro_time, now, who};
use crate::api::ApiError;
use crate::cluster::Cluster;
use crate::kinds::LEASE;

/// Who renews what.
pub(super) struct Keeper {
    pub(super) cluster: Cluster,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) identity: String,
    pub(super) permit: Permit,
    pub(super) terms: Terms,
}

impl Keeper {
    /// Renews until aborted or until the lock is lost. While the cluster does not answer the lock may lapse, and be
    /// renewed later: as long as the Lease names us, nobody else has held it.
    pub(super) async fn keep(self, mut lease: Json) {
        let mut last = host::clock::boot();
        loop {
            tokio::time::sleep(self.terms.renewal).await;
            let now = host::clock::boot();
            // A request takes a renewal's time at most, so what is longer than a lease is a pause: others had reason to
            // believe that we are gone, whether or not one has taken the lock already.
            if now - last > self.terms.lease {
                return self.permit.lose(Loss::Paused(now - last));
            }
            last = now;
            match tokio::time::timeout(self.terms.renewal, self.renew(&mut lease)).await {
                Ok(Ok(())) => self.permit.extend(now + self.terms.lease),
                Ok(Err(Some(loss))) => return self.permit.lose(loss),
                // Not known; tried again at the next beat.
                Ok(Err(None)) | Err(_) => {}
            }
        }
    }

    async fn renew(&self, lease: &mut Json) -> Result<(), Option<Loss>> {
        match self.write(lease).await {
            Ok(written) => {
                *lease = written;
                Ok(())
            }
            Err(error) if error.is_not_found() => Err(Some(Loss::Gone)),
            Err(error) if error.is_conflict() => {
                *lease = self.read().await?;
                let written = self.write(lease).await.map_err(|_| None)?;
                *lease = written;
                Ok(())
            }
            Err(_) => Err(None),
        }
    }

    /// Renewed as it was last seen: a change by anyone else is refused.
    async fn write(&self, lease: &Json) -> Result<Json, ApiError> {
        let mut renewed = lease.clone();
        renewed["spec"]["renewTime"] = json!(micro_time(now()));
        self.cluster.replace(&LEASE, &self.namespace, &renewed).await
    }

    /// The Lease after a change that was not seen; it is ours still if it names us, as when the answer to an earlier
    /// renewal was lost.
    async fn read(&self) -> Result<Json, Option<Loss>> {
        let found = self.cluster.get(&LEASE, &self.namespace, &self.name).await.map_err(|_| None)?;
        let Some(lease) = found else { return Err(Some(Loss::Gone)) };
        match lease["spec"]["holderIdentity"].as_str() {
            Some(holder) if holder == self.identity => Ok(lease),
            Some(holder) if !holder.is_empty() => Err(Some(Loss::Taken(who(holder).to_owned()))),
            _ => Err(Some(Loss::Gone)),
        }
    }
}
