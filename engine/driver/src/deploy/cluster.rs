//! A deploy target on a cluster: plan, push, apply, wait, smoke tests, prune, record.

use std::time::Duration;

use deploy::{Cluster, DeployError, Holder, Registry, Rollback, Rollout, Smoke, Source};

use super::{Prepared, failed};
use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;
use crate::push;

/// How long to wait for another rollout to the same environment.
const PATIENCE: Duration = Duration::from_secs(600);

/// Rolls out.
pub(super) async fn run(prepared: &Prepared<'_>, request: &RunRequest) -> Result<i32, Error> {
    let environment = &prepared.bundle.environment;
    let connected = Cluster::connect(None, &environment.cluster).await;
    let cluster = connected.map_err(|error| failed(&DeployError::from(error)))?;
    let registry = registry(prepared, &cluster).await?;
    let options = options(prepared, request, registry.clone());
    let planned = Rollout::prepare(prepared.bundle.clone(), cluster, options).await;
    let rollout = planned.map_err(|error| refused(prepared, &error))?;
    if request.plan {
        let plan = if rollout.plan().is_empty() { "nothing to do".to_owned() } else { rollout.plan().to_string() };
        prepared.say("plan", plan);
        return Ok(0);
    }
    carry_out(prepared, rollout, &registry).await
}

async fn carry_out(prepared: &Prepared<'_>, mut rollout: Rollout, registry: &Registry) -> Result<i32, Error> {
    let session = prepared.session;
    let mut blobs = 0;
    if !rollout.is_current() {
        prepared.say("plan", rollout.plan().to_string());
        blobs = push_images(prepared, registry).await?;
    }
    let reporter = &*session.reporter;
    rollout.apply(reporter, &session.cancel).await.map_err(|error| failed(&error))?;
    rollout.wait(reporter, &session.cancel).await.map_err(|error| failed(&error))?;
    let smoke = if rollout.is_current() { Smoke::Passed } else { smoke(prepared, &mut rollout).await? };
    let finished = rollout.finish(smoke, reporter, &session.cancel).await.map_err(|error| failed(&error))?;
    if finished.smoke == Smoke::Failed {
        return Err(smoke_failed(prepared, finished.rollback.as_ref()));
    }
    let state = if finished.up_to_date { "is up to date" } else { "is rolled out" };
    prepared.say(
        "done",
        format!(
            "{} {state}: {} actions, {blobs} blobs, {} API writes",
            prepared.target.label, prepared.built.stats.ran, finished.api_writes
        ),
    );
    Ok(0)
}

/// Sends what the registry lacks; returns how many blobs that were.
async fn push_images(prepared: &Prepared<'_>, registry: &Registry) -> Result<usize, Error> {
    let mut blobs = 0;
    for image in &prepared.target.images {
        let tree = prepared.image(image)?;
        let pushed = push::image(prepared.session, &tree, &registry.push, &image.repository, &[]).await?;
        blobs += pushed.uploaded;
        if pushed.uploaded > 0 {
            let message = format!(
                "{}: {} blobs sent ({} bytes), {} there already",
                image.service, pushed.uploaded, pushed.bytes, pushed.skipped
            );
            prepared.say("push", message);
        }
    }
    Ok(blobs)
}

async fn smoke(prepared: &Prepared<'_>, rollout: &mut Rollout) -> Result<Smoke, Error> {
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
        let address = prepared.session.registry(&environment.registry)?.address.clone();
        return Ok(Registry { push: address.clone(), pull: address });
    }
    let announced = cluster.announced_registry().await.map_err(|error| failed(&DeployError::from(error)))?;
    announced.ok_or_else(|| {
        let message = format!(
            "{} names no registry, and the cluster `{}` announces none",
            environment.label,
            cluster.context()
        );
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
        holder: Holder { who: format!("{user}@{machine}"), process: std::process::id() },
        patience: PATIENCE,
        take_over: request.take_over,
    }
}
