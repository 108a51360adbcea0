//! The lock of an environment: a Lease, held by one client at a time and given up when that client is gone.
//!
//! A Lease alone does not fence: a client that slept through its own expiry would go on. The record's resource
//! version does.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use model::{Cancel, Event, Reporter};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

use crate::api::ApiError;
use crate::cluster::Cluster;
use crate::kinds::LEASE;
use crate::names;

/// After this long without renewal a lock is anybody's.
const DURATION: Duration = Duration::from_secs(15);
/// How often a held lock is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// How often a lock held by another is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The user and machine: `ann@laptop`.
    pub who: String,
    /// The process.
    pub process: u32,
}

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

/// Where a lock is and who wants it.
pub(crate) struct LockRequest<'a> {
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
    pub environment: &'a str,
    pub holder: &'a Holder,
    /// How long to wait while another holds it.
    pub patience: Duration,
}

/// A held lock; renewed until it is released or dropped.
pub(crate) struct Lock {
    cluster: Cluster,
    namespace: String,
    name: String,
    holder: String,
    renewal: JoinHandle<()>,
}

/// What a Lease says about a claim to it.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    /// It may be taken.
    Free,
    /// It is held by another.
    Held { holder: String, since: String },
}

impl Holder {
    fn identity(&self) -> String {
        format!("{}/{}", self.who, self.process)
    }

    /// Whether an identity is that of a process of the same user on the same machine that is no more.
    fn is_ghost(&self, identity: &str) -> bool {
        let Some((who, process)) = identity.rsplit_once('/') else { return false };
        let proc = std::path::Path::new("/proc");
        who == self.who
            && (process == self.process.to_string()
                || (host::fs::is_dir(proc) && !host::fs::exists(&proc.join(process))))
    }
}

/// Takes the lock, waiting for another holder to finish.
pub(crate) async fn acquire(
    request: &LockRequest<'_>,
    reporter: &dyn Reporter,
    cancel: &Cancel,
) -> Result<Lock, LockError> {
    let name = names::record_name(request.environment);
    let started = tokio::time::Instant::now();
    let mut announced = false;
    loop {
        let lease = request.cluster.get(&LEASE, request.namespace, &name).await?;
        match claim(lease.as_ref(), request.holder, now()) {
            Claim::Free => match take(request, &name, lease).await {
                Ok(()) => return Ok(Lock::held(request, name)),
                // Another client was quicker; look again.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            },
            Claim::Held { holder, since } if started.elapsed() >= request.patience => {
                return Err(LockError::Held { environment: request.environment.to_owned(), holder, since });
            }
            Claim::Held { holder, .. } if cancel.is_cancelled() => return Err(LockError::Cancelled(holder)),
            Claim::Held { holder, since } => {
                if !announced {
                    let message = format!("waiting for {holder}, rolling out since {since}");
                    reporter.report(Event::Progress { phase: "lock".into(), message: message.into() });
                    announced = true;
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

async fn take(request: &LockRequest<'_>, name: &str, lease: Option<Json>) -> Result<(), ApiError> {
    let at = micro_time(now());
    let spec = json!({
        "holderIdentity": request.holder.identity(),
        "leaseDurationSeconds": DURATION.as_secs(),
        "acquireTime": at,
        "renewTime": at,
    });
    match lease {
        Some(mut lease) => {
            lease["spec"] = spec;
            request.cluster.replace(&LEASE, request.namespace, &lease).await?;
        }
        None => {
            let metadata = json!({
                "name": name,
                "namespace": request.namespace,
                "labels": {names::MANAGED_BY: names::MANAGER},
            });
            let lease = json!({"apiVersion": LEASE.api_version(), "kind": "Lease", "metadata": metadata, "spec": spec});
            request.cluster.create(&LEASE, request.namespace, &lease).await?;
        }
    }
    Ok(())
}

fn claim(lease: Option<&Json>, holder: &Holder, now: Timestamp) -> Claim {
    let Some(spec) = lease.map(|lease| &lease["spec"]) else { return Claim::Free };
    let identity = spec["holderIdentity"].as_str().unwrap_or_default();
    if identity.is_empty() || holder.is_ghost(identity) {
        return Claim::Free;
    }
    let renewed: Option<Timestamp> = spec["renewTime"].as_str().and_then(|text| text.parse().ok());
    let duration = spec["leaseDurationSeconds"].as_i64().unwrap_or(0);
    match renewed {
        Some(renewed) if now.as_second() - renewed.as_second() <= duration => {
            let since = spec["acquireTime"].as_str().unwrap_or("an unknown time").to_owned();
            Claim::Held { holder: identity.to_owned(), since }
        }
        _ => Claim::Free,
    }
}

impl Lock {
    fn held(request: &LockRequest<'_>, name: String) -> Self {
        let (cluster, namespace) = (request.cluster.clone(), request.namespace.to_owned());
        let holder = request.holder.identity();
        let renewal = tokio::spawn(renew(cluster.clone(), namespace.clone(), name.clone(), holder.clone()));
        Self { cluster, namespace, name, holder, renewal }
    }

    /// Whether the lock is still ours. It is lost when another client took it after an expiry.
    pub(crate) async fn is_ours(&self) -> Result<bool, ApiError> {
        let lease = self.cluster.get(&LEASE, &self.namespace, &self.name).await?;
        Ok(lease.is_some_and(|lease| lease["spec"]["holderIdentity"] == json!(self.holder)))
    }

    /// Gives the lock up. A failure to do so is no failure of the rollout: the lock expires.
    pub(crate) async fn release(self) {
        self.renewal.abort();
        let Ok(Some(mut lease)) = self.cluster.get(&LEASE, &self.namespace, &self.name).await else { return };
        if lease["spec"]["holderIdentity"] == json!(self.holder) {
            lease["spec"] = json!({"leaseDurationSeconds": DURATION.as_secs()});
            let _ = self.cluster.replace(&LEASE, &self.namespace, &lease).await;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews until aborted; stops by itself when another holds the lease.
async fn renew(cluster: Cluster, namespace: String, name: String, holder: String) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let Ok(Some(mut lease)) = cluster.get(&LEASE, &namespace, &name).await else { continue };
        if lease["spec"]["holderIdentity"] != json!(holder) {
            return;
        }
        lease["spec"]["renewTime"] = json!(micro_time(now()));
        // A refused renewal is tried again at the next beat.
        let _ = cluster.replace(&LEASE, &namespace, &lease).await;
    }
}

/// The time by the host's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanosecond(host::clock::now()).unwrap_or_default()
}

/// Kubernetes' MicroTime: RFC 3339 with six digits.
fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: &str) -> Json {
        json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15,
            "renewTime": renewed, "acquireTime": renewed}})
    }

    #[test]
    fn a_lock_is_free_when_nobody_alive_holds_it() {
        let me = Holder { who: "ann@laptop".into(), process: 42 };
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let state = |holder: &str, renewed: &str| claim(Some(&lease(holder, renewed)), &me, now) == Claim::Free;
        assert_eq!(claim(None, &me, now), Claim::Free);
        assert!(state("", "2026-01-01T00:00:59.000000Z"), "released");
        assert!(!state("bob@ci/1", "2026-01-01T00:00:50.000000Z"), "held by another");
        assert!(state("bob@ci/1", "2026-01-01T00:00:44.000000Z"), "expired");
        assert!(state("ann@laptop/42", "2026-01-01T00:00:59.000000Z"), "held by this very process");
        assert!(state("ann@laptop/999999999", "2026-01-01T00:00:59.000000Z"), "held by a process of mine that is dead");
        assert!(!state("ann@laptop/1", "2026-01-01T00:00:59.000000Z"), "held by a process of mine that lives");
    }

    #[test]
    fn micro_time_has_six_digits() {
        let time: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(micro_time(time), "2026-01-01T00:01:00.000000Z");
    }
}
