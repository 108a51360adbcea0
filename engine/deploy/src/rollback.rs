//! Back to the release before, as the record holds it.

use std::fmt;
use std::time::Duration;

use model::{Cancel, Event, Reporter};

use crate::apply::{Application, ApplyRequest, Stop, apply};
use crate::bundle::Bundle;
use crate::cluster::Cluster;
use crate::object::Object;
use crate::plan::{PlanRequest, plan};
use crate::record::Deployed;
use crate::render::{Place, render};
use crate::rollout::{expected, pods, selector};
use crate::wait::{Pods, WaitRequest, Waited, wait};

/// What was done about a failed rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollback {
    /// The release before runs again.
    Done {
        /// Its digest.
        release: String,
    },
    /// The release before was brought back, but was not seen to get ready.
    NotReady {
        /// Its digest.
        release: String,
        /// Why.
        cause: String,
    },
    /// The release before could not be brought back as a whole.
    Failed {
        /// Its digest.
        release: String,
        /// Why.
        cause: String,
    },
    /// There was no release before.
    NothingBefore,
    /// The release that failed is the one that ran before.
    SameRelease,
    /// The environment does not want it.
    Disabled,
}

/// What a rollback works on.
pub(crate) struct RollbackRequest<'a> {
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
    /// The bundle that failed.
    pub failed: &'a Bundle,
    /// What ran before it.
    pub previous: Option<&'a Deployed>,
    /// The rollout that failed.
    pub generation: u64,
}

/// How a rollback ended.
pub(crate) struct Returned {
    pub rollback: Rollback,
    /// What is applied now, if that is the whole release before: its objects, and what the server said of them.
    pub applied: Option<(Vec<Object>, Application)>,
}

/// The release before, applied.
struct Back {
    objects: Vec<Object>,
    application: Application,
    /// The pods that were there before it was.
    pods: Pods,
}

/// Brings the previous release back and waits for it.
pub(crate) async fn roll_back(request: &RollbackRequest<'_>, reporter: &dyn Reporter, cancel: &Cancel) -> Returned {
    let nothing = |rollback| Returned { rollback, applied: None };
    if !request.failed.environment.rollback {
        return nothing(Rollback::Disabled);
    }
    let Some(previous) = request.previous else { return nothing(Rollback::NothingBefore) };
    if previous.bundle_digest == request.failed.digest().to_hex() {
        return nothing(Rollback::SameRelease);
    }
    let release = short(&previous.release).to_owned();
    let message = format!("back to release {release}");
    reporter.report(Event::Progress { phase: "rollback".into(), message: message.into() });
    let back = match bring_back(request, previous, reporter, cancel).await {
        Ok(back) => back,
        Err(cause) => return nothing(Rollback::Failed { release, cause }),
    };
    let rollback = match is_back(request, previous, &back, reporter, cancel).await {
        Ok(()) => Rollback::Done { release },
        Err(cause) => Rollback::NotReady { release, cause },
    };
    Returned { rollback, applied: Some((back.objects, back.application)) }
}

async fn bring_back(
    request: &RollbackRequest<'_>,
    previous: &Deployed,
    reporter: &dyn Reporter,
    cancel: &Cancel,
) -> Result<Back, String> {
    let bundle = &previous.bundle;
    let place = Place { namespace: request.namespace.to_owned(), registry: previous.registry.clone() };
    let objects = render(bundle, &place).map_err(|error| error.to_string())?;
    let plan_request = PlanRequest {
        cluster: request.cluster,
        namespace: request.namespace,
        bundle,
        take_over: false,
        generation: Some(request.generation),
    };
    let changes = plan(&plan_request, objects.clone()).await.map_err(|errors| errors[0].to_string())?;
    let pods = pods(request.cluster, request.namespace, &selector(bundle)).await.map_err(|error| error.to_string())?;
    let apply_request = ApplyRequest { cluster: request.cluster, changes: &changes, force: false };
    let application = apply(&apply_request, reporter, cancel).await;
    match &application.stop {
        None => Ok(Back { objects, application, pods }),
        Some(Stop::Cancelled) => Err("stopped".into()),
        Some(Stop::Refused(error)) => Err(error.to_string()),
    }
}

async fn is_back(
    request: &RollbackRequest<'_>,
    previous: &Deployed,
    back: &Back,
    reporter: &dyn Reporter,
    cancel: &Cancel,
) -> Result<(), String> {
    let wait_request = WaitRequest {
        cluster: request.cluster,
        namespace: request.namespace,
        selector: &selector(&previous.bundle),
        expected: &expected(&back.application.applied, &back.pods),
        timeout: Duration::from_secs(previous.bundle.environment.timeout),
    };
    match wait(&wait_request, reporter, cancel).await {
        Waited::Ready => Ok(()),
        Waited::Cancelled => Err("stopped".into()),
        Waited::LockLost(why) => Err(why),
        Waited::Failed(failures) => {
            let causes: Vec<String> =
                failures.iter().map(|(expected, cause)| format!("{}: {}", expected.name, cause.message)).collect();
            Err(causes.join("; "))
        }
    }
}

pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

impl Rollback {
    /// The same, where something of the failed release could not be removed.
    pub(crate) fn leaving(self, cause: &str) -> Self {
        match self {
            Self::Done { release } => {
                Self::NotReady { release, cause: format!("something of the failed release is left: {cause}") }
            }
            other => other,
        }
    }
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { release } => write!(f, "the release before ({release}) runs again"),
            Self::NotReady { release, cause } => {
                write!(f, "the release before ({release}) was brought back, but is not ready: {cause}")
            }
            Self::Failed { release, cause } => {
                write!(
                    f,
                    "the release before ({release}) could not be brought back, what runs may be a mixture: {cause}"
                )
            }
            Self::NothingBefore => f.write_str("there is no earlier release to return to"),
            Self::SameRelease => f.write_str("it is the very release that ran before, so there is none to return to"),
            Self::Disabled => f.write_str("the environment does not roll back"),
        }
    }
}
