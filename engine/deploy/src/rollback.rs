//! Back to the release before, as the record holds it.

use std::fmt;
use std::time::Duration;

use model::{Cancel, Event, Reporter};

use crate::apply::{ApplyRequest, apply};
use crate::bundle::Bundle;
use crate::cluster::Cluster;
use crate::object::Object;
use crate::plan::{PlanRequest, plan};
use crate::record::Deployed;
use crate::render::{Place, render};
use crate::rollout::{expected, selector};
use crate::wait::{WaitRequest, Waited, wait};

/// What was done about a failed rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollback {
    /// The release before runs again.
    Done {
        /// Its digest.
        release: String,
    },
    /// The release before was brought back, but did not get ready either, or could not be applied.
    Failed {
        /// Its digest.
        release: String,
        /// Why.
        cause: String,
    },
    /// There was no release before.
    NothingBefore,
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
}

/// Brings the previous release back and waits for it. Also returns its objects, for the inventory.
pub(crate) async fn roll_back(
    request: &RollbackRequest<'_>,
    reporter: &dyn Reporter,
    cancel: &Cancel,
) -> (Rollback, Option<Vec<Object>>) {
    if !request.failed.environment.rollback {
        return (Rollback::Disabled, None);
    }
    let failed = request.failed.digest().to_hex();
    let Some(previous) = request.previous.filter(|previous| previous.bundle_digest != failed) else {
        return (Rollback::NothingBefore, None);
    };
    let message = format!("back to release {}", short(&previous.release));
    reporter.report(Event::Progress { phase: "rollback".into(), message: message.into() });
    let release = short(&previous.release).to_owned();
    match bring_back(request, previous, reporter, cancel).await {
        Ok(objects) => (Rollback::Done { release }, Some(objects)),
        Err(cause) => (Rollback::Failed { release, cause }, None),
    }
}

async fn bring_back(
    request: &RollbackRequest<'_>,
    previous: &Deployed,
    reporter: &dyn Reporter,
    cancel: &Cancel,
) -> Result<Vec<Object>, String> {
    let bundle = &previous.bundle;
    let place = Place { namespace: request.namespace.to_owned(), registry: previous.registry.clone() };
    let objects = render(bundle, &place).map_err(|error| error.to_string())?;
    let plan_request = PlanRequest { cluster: request.cluster, namespace: request.namespace, bundle, take_over: false };
    let changes = plan(&plan_request, objects.clone()).await.map_err(|errors| errors[0].to_string())?;
    let apply_request = ApplyRequest { cluster: request.cluster, changes: &changes, force: false };
    let applied = apply(&apply_request, reporter, cancel).await.map_err(|error| error.to_string())?;
    let applied = applied.ok_or("stopped")?;
    let wait_request = WaitRequest {
        cluster: request.cluster,
        namespace: request.namespace,
        selector: &selector(bundle),
        expected: &expected(&applied),
        timeout: Duration::from_secs(bundle.environment.timeout),
    };
    match wait(&wait_request, reporter, cancel).await {
        Waited::Ready => Ok(objects),
        Waited::Cancelled => Err("stopped".into()),
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

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { release } => write!(f, "the release before ({release}) runs again"),
            Self::Failed { release, cause } => write!(f, "the release before ({release}) did not come back: {cause}"),
            Self::NothingBefore => f.write_str("there is no earlier release to return to"),
            Self::Disabled => f.write_str("the environment does not roll back"),
        }
    }
}
