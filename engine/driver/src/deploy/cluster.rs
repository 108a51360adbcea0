//! A deploy target on a cluster: plan, push, apply, wait, smoke tests, prune, record.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use deploy::{Cluster, DeployError, Registry, Rollback, Rollout, Smoke, Source};

use super::target::ImageOf;
use super::{Prepared, failed};
use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;
use crate::push;
use crate::run::Ran;
use crate::session::Session;

/// How long to wait for another rollout to the same environment.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often the user's wish to stop is looked at.
const TICK: Duration = Duration::from_millis(50);

/// Rolls out; or only tells the plan.
pub(super) async fn run(prepared: &Prepared<'_>, request: &RunRequest) -> Result<Ran, Error> {
    let (rollout, registry) = stoppable(prepared.session, plan(prepared, request)).await?;
    if request.plan {
        let plan = rollout.plan();
        let nothing = plan.is_empty() && plan.notes().is_empty();
        return Ok(Ran::Done(if nothing { "nothing to do\n".to_owned() } else { format!("{plan}\n") }));
    }
    if !rollout.is_current() {
        say_plan(prepared, &rollout);
    }
    carry_out(prepared, rollout, &registry).await.map(|()| Ran::Done(String::new()))
}

/// Looks at the cluster; changes nothing.
async fn plan(prepared: &Prepared<'_>, request: &RunRequest) -> Result<(Rollout, Registry), Error> {
    let connected = Cluster::connect(None, &prepared.bundle.environment.cluster).await;
    let cluster = connected.map_err(|error| failed(&DeployError::from(error)))?;
    let registry = registry(prepared, &cluster).await?;
    let options = options(prepared, request, registry.clone());
    let planned = Rollout::prepare(prepared.bundle.clone(), cluster, options).await;
    Ok((planned.map_err(|error| refused(prepared, &error))?, registry))
}

async fn carry_out(prepared: &Prepared<'_>, rollout: Rollout, registry: &Registry) -> Result<(), Error> {
    let session = prepared.session;
    let reporter = &*session.reporter;
    let mut times = Times::default();
    let blobs = match rollout.is_current() {
        true => 0,
        false => stoppable(session, push_images(prepared, registry)).await?,
    };
    times.lap("pushed");
    let mut rollout = apply(prepared, rollout).await?;
    times.lap("applied");
    rollout.wait(reporter, &session.cancel).await.map_err(|error| failed(&error))?;
    times.lap("waited");
    let smoke = match smoke(prepared, &rollout).await {
        Ok(smoke) => smoke,
        Err(error) => {
            rollout.abandon().await;
            return Err(error);
        }
    };
    times.lap("tested");
    let finished = rollout.finish(smoke, reporter, &session.cancel).await.map_err(|error| failed(&error))?;
    if finished.smoke == Smoke::Failed {
        return Err(smoke_failed(prepared, finished.rollback.as_ref()));
    }
    let (label, actions, writes) = (&prepared.target.label, prepared.built.stats.ran, finished.api_writes);
    let (state, times) = match finished.up_to_date {
        true => ("is up to date", String::new()),
        false => ("is rolled out", format!("; {times}")),
    };
    prepared.say("done", format!("{label} {state}: {actions} actions, {blobs} blobs, {writes} API writes{times}"));
    Ok(())
}

/// How long each part of a rollout took.
struct Times {
    begun: Instant,
    laps: Vec<String>,
}

impl Default for Times {
    fn default() -> Self {
        Self { begun: Instant::now(), laps: Vec::new() }
    }
}

impl Times {
    /// Ends a part; the next one begins.
    fn lap(&mut self, what: &str) {
        let now = Instant::now();
        let seconds = (now - std::mem::replace(&mut self.begun, now)).as_secs_f64();
        self.laps.push(format!("{what} {seconds:.1} s"));
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.laps.join(", "))
    }
}

fn say_plan(prepared: &Prepared<'_>, rollout: &Rollout) {
    let cluster = &prepared.bundle.environment.cluster;
    prepared.say("plan", format!("the namespace {} of {cluster}\n{}", rollout.namespace(), rollout.plan()));
}

/// Applies the plan. If the environment has changed since it was made, for one by a rollout that had to be waited for,
/// a new one is made, once: what changes all the time is not ours to fight for.
async fn apply(prepared: &Prepared<'_>, mut rollout: Rollout) -> Result<Rollout, Error> {
    let (reporter, cancel) = (&*prepared.session.reporter, &prepared.session.cancel);
    match rollout.apply(reporter, cancel).await {
        Ok(()) => return Ok(rollout),
        Err(DeployError::PlanOutdated(why)) => prepared.say("plan", format!("made anew: {why}")),
        Err(error) => return Err(failed(&error)),
    }
    let mut rollout = rollout.replan().await.map_err(|error| refused(prepared, &error))?;
    say_plan(prepared, &rollout);
    rollout.apply(reporter, cancel).await.map_err(|error| failed(&error))?;
    Ok(rollout)
}

/// The work, given up as soon as the user wishes to stop. For work that can be dropped at any point.
async fn stoppable<T>(session: &Session, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let stopped = async {
        while !session.cancel.is_cancelled() {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = stopped => Err(failed(&DeployError::Cancelled)),
    }
}

/// Sends what the registry lacks, one image beside the other; returns how many blobs that were.
async fn push_images(prepared: &Prepared<'_>, registry: &Registry) -> Result<usize, Error> {
    let pushes = prepared.target.images.iter().map(|image| push_image(prepared, registry, image));
    Ok(futures::future::try_join_all(pushes).await?.into_iter().sum())
}

async fn push_image(prepared: &Prepared<'_>, registry: &Registry, image: &ImageOf) -> Result<usize, Error> {
    let tree = prepared.image(image)?;
    let pushed = push::image(prepared.session, &tree, &registry.push, &image.repository, &[]).await?;
    if pushed.uploaded > 0 {
        let (service, sent, there) = (&image.service, pushed.uploaded, pushed.skipped);
        let megabytes = pushed.bytes as f64 / 1e6;
        prepared.say("push", format!("{service}: {sent} blobs sent ({megabytes:.1} MB), {there} there already"));
    }
    Ok(pushed.uploaded)
}

async fn smoke(prepared: &Prepared<'_>, rollout: &Rollout) -> Result<Smoke, Error> {
    if rollout.is_current() {
        return Ok(Smoke::Passed);
    }
    if prepared.target.smoke_tests.is_empty() {
        return Ok(Smoke::NotRun);
    }
    let forwards = rollout.forward(&[]).await.map_err(|error| failed(&error))?;
    prepared.smoke(forwards.env()).await
}

fn smoke_failed(prepared: &Prepared<'_>, rollback: Option<&Rollback>) -> Error {
    let what_then = rollback.map(|rollback| format!("; {rollback}")).unwrap_or_default();
    Error::new(ErrorKind::Rollout, format!("the smoke tests of {} failed{what_then}", prepared.target.label))
}

/// A refusal, with the paths of local changes where those are the reason.
fn refused(prepared: &Prepared<'_>, error: &DeployError) -> Error {
    let mut refused = failed(error);
    let changed = prepared.revision.iter().flat_map(|revision| &revision.changed);
    if let (DeployError::NotClean { .. }, Some(diagnostic)) = (error, refused.diagnostics.last_mut()) {
        diagnostic.notes.extend(changed.take(10).map(|path| format!("changed: {path}")));
    }
    refused
}

/// The registry of the environment: by the name it gives, else the one that the cluster announces.
async fn registry(prepared: &Prepared<'_>, cluster: &Cluster) -> Result<Registry, Error> {
    let environment = &prepared.bundle.environment;
    if !environment.registry.is_empty() {
        let registry = prepared.session.registry(&environment.registry)?;
        return Ok(Registry { push: registry.endpoint(), pull: registry.address.clone() });
    }
    let announced = cluster.announced_registry().await.map_err(|error| failed(&DeployError::from(error)))?;
    announced.ok_or_else(|| {
        let message =
            format!("{} names no registry, and the cluster `{}` announces none", environment.label, cluster.context());
        Error::new(ErrorKind::Environment, message)
            .hint(format!("name one: `registry = \"...\"` in {}", environment.label))
            .hint("or announce the cluster's own in the ConfigMap kube-public/local-registry-hosting (KEP-1755)")
    })
}

fn options(prepared: &Prepared<'_>, request: &RunRequest, registry: Registry) -> deploy::Options {
    let revision = prepared.revision.as_ref();
    let user = host::env::var("USER").unwrap_or_else(|| "somebody".to_owned());
    let machine = host::env::hostname().unwrap_or_else(|| "somewhere".to_owned());
    deploy::Options {
        registry,
        branch: request.branch.clone().or_else(|| revision.and_then(|revision| revision.branch.clone())),
        source: Source {
            revision: revision.map(|revision| revision.commit.clone()),
            dirty: revision.map(|revision| !revision.changed.is_empty()),
        },
        who: format!("{user}@{machine}"),
        patience: PATIENCE,
        take_over: request.take_over,
    }
}
