//! The lock of an environment: a Lease, held by one rollout at a time and given up when that rollout is gone.
//!
//! A Lease alone does not fence: a client that slept through its own expiry would go on. So the lock hands out a
//! [`Permit`], without which the [`Cluster`] of a rollout writes nothing, and each write carries the version of what it
//! changes. Nobody's wall clock is compared with another's.

mod keeper;
mod permit;
mod sighting;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use model::{Cancel, Event, Reporter};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

pub(crate) use permit::{Permit, Refusal};

use crate::api::ApiError;
use crate::cluster::Cluster;
use crate::kinds::LEASE;
use crate::names;
use sighting::{Claim, Sighting};

/// A lock that was not obtained.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another rollout holds it.
    #[error("{holder} is rolling out to `{environment}` since {since}")]
    Held {
        /// The environment.
        environment: String,
        /// Who.
        holder: String,
        /// When it began.
        since: String,
    },
    /// The command was stopped while it waited.
    #[error("stopped while waiting for {0} to finish")]
    Cancelled(String),
    /// The Lease could not be read or written.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// The times of a lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// After this long without renewal a lock is anybody's.
    pub lease: Duration,
    /// How often a held lock is renewed.
    pub renewal: Duration,
    /// How often a lock held by another is looked at.
    pub poll: Duration,
}

/// Where a lock is and who wants it.
pub(crate) struct LockRequest<'a> {
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
    pub environment: &'a str,
    /// The user and machine, for people: `ann@laptop`.
    pub who: &'a str,
    /// How long to wait while another holds it and is alive.
    pub patience: Duration,
    pub terms: Terms,
}

/// A held lock; renewed until it is released or dropped.
pub(crate) struct Lock {
    cluster: Cluster,
    namespace: String,
    name: String,
    identity: String,
    permit: Permit,
    /// Whether its holder before was not heard of any more, and may believe that it still holds it.
    pub(crate) was_taken_over: bool,
    renewal: JoinHandle<()>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), renewal: Duration::from_secs(4), poll: Duration::from_millis(500) }
    }
}

/// A holder as a Lease names it. Process numbers and names of machines are given twice (a container has its own, and a
/// number is used again), so a random number tells holders apart; the rest is for people.
fn identity(who: &str) -> String {
    // The standard library seeds each state from the system's source of random numbers.
    let random = || RandomState::new().build_hasher().finish();
    format!("{who}/{:016x}{:016x}", random(), random())
}

/// The part of an identity that people know.
fn who(identity: &str) -> &str {
    identity.rsplit_once('/').map_or(identity, |(who, _)| who)
}

/// Takes the lock, waiting for another holder to finish or not to be heard of any more.
pub(crate) async fn acquire(
    request: &LockRequest<'_>,
    reporter: &dyn Reporter,
    cancel: &Cancel,
) -> Result<Lock, LockError> {
    let name = names::record_name(request.environment);
    let identity = identity(request.who);
    let started = host::clock::boot();
    let mut sighting = Sighting::new(identity.clone(), request.terms.lease);
    let mut announced = false;
    loop {
        let lease = request.cluster.get(&LEASE, request.namespace, &name).await?;
        match sighting.look(lease.as_ref(), host::clock::boot()) {
            Claim::Free { silent } => {
                let sent = host::clock::boot();
                match take(request, &name, &identity, lease).await {
                    Ok(lease) => return Ok(Lock::held(request, identity, lease, sent, silent)),
                    // Another client was quicker; look again.
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Claim::Held { holder, since, alive } => {
                if cancel.is_cancelled() {
                    return Err(LockError::Cancelled(holder));
                }
                if alive && host::clock::boot() - started >= request.patience {
                    return Err(LockError::Held { environment: request.environment.to_owned(), holder, since });
                }
                if !announced {
                    let message = format!("waiting for {holder}, rolling out since {since}");
                    reporter.report(Event::Progress { phase: "lock".into(), message: message.into() });
                    announced = true;
                }
                tokio::time::sleep(request.terms.poll).await;
            }
        }
    }
}

async fn take(request: &LockRequest<'_>, name: &str, identity: &str, lease: Option<Json>) -> Result<Json, ApiError> {
    let at = micro_time(now());
    let spec = json!({
        "holderIdentity": identity,
        "leaseDurationSeconds": request.terms.lease.as_secs().max(1),
        "acquireTime": at,
        "renewTime": at,
    });
    match lease {
        Some(mut lease) => {
            lease["spec"] = spec;
            request.cluster.replace(&LEASE, request.namespace, &lease).await
        }
        None => {
            let metadata = json!({
                "name": name,
                "namespace": request.namespace,
                "labels": {names::MANAGED_BY: names::MANAGER},
            });
            let lease = json!({"apiVersion": LEASE.api_version(), "kind": "Lease", "metadata": metadata, "spec": spec});
            request.cluster.create(&LEASE, request.namespace, &lease).await
        }
    }
}

impl Lock {
    fn held(request: &LockRequest<'_>, identity: String, lease: Json, sent: Duration, was_taken_over: bool) -> Self {
        let name = lease["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let (cluster, namespace) = (request.cluster.clone(), request.namespace.to_owned());
        let permit = Permit::until(sent + request.terms.lease);
        let keeper = keeper::Keeper {
            cluster: cluster.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            identity: identity.clone(),
            permit: permit.clone(),
            terms: request.terms,
        };
        let renewal = tokio::spawn(keeper.keep(lease));
        Self { cluster, namespace, name, identity, permit, was_taken_over, renewal }
    }

    /// What writers ask.
    pub(crate) fn permit(&self) -> Permit {
        self.permit.clone()
    }

    /// Gives the lock up. A failure to do so is no failure of the rollout: the lock expires.
    pub(crate) async fn release(self) {
        self.renewal.abort();
        let Ok(Some(mut lease)) = self.cluster.get(&LEASE, &self.namespace, &self.name).await else { return };
        if lease["spec"]["holderIdentity"] == json!(self.identity) {
            lease["spec"] = json!({"leaseDurationSeconds": lease["spec"]["leaseDurationSeconds"]});
            let _ = self.cluster.replace(&LEASE, &self.namespace, &lease).await;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// The time by the host's clock: for people, never compared.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanosecond(host::clock::now()).unwrap_or_default()
}

/// Kubernetes' MicroTime: RFC 3339 with six digits.
fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}
