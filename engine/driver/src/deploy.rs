//! `build run` of a deploy target: build the bundle and all it names, then hand it to a cluster or to this machine.
//!
//! The build is pure and cached like any other; only what follows it touches the world.

mod arguments;
mod cluster;
mod local;
mod smoke;
mod target;

use std::sync::Arc;

use deploy::{Bundle, DeployError, LocalOptions, LockError, Smoke};
use execution::Outcome;
use model::{Digest, Event, Reporter, Tree};

use crate::build;
use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;
use crate::plan::{Plan, Request};
use crate::revision::Revision;
use crate::run::Ran;
use crate::session::Session;

pub(crate) use local::System;
pub(crate) use target::DeployTarget;

/// A deploy target after its build.
struct Prepared<'a> {
    session: &'a Session,
    plan: &'a Plan<'a>,
    target: &'a DeployTarget,
    bundle: Bundle,
    built: Outcome,
    revision: Option<Revision>,
}

/// Builds and rolls out; success when everything runs and its smoke tests passed.
pub(crate) async fn run(
    session: &Session,
    plan: &Plan<'_>,
    target: &DeployTarget,
    request: &RunRequest,
) -> Result<Ran, Error> {
    arguments::check(&target.label, target.local, request)?;
    let prepared = prepare(session, plan, target).await?;
    match target.local {
        true => local::run(&prepared, request).await,
        false => cluster::run(&prepared, request).await,
    }
}

/// Builds a deploy target and starts it on this machine, for `build watch --run`. `None` when it is what runs already, of
/// which `running` is the identity; `before` is called before anything is started.
pub(crate) async fn start(
    session: &Session,
    plan: &Plan<'_>,
    target: &DeployTarget,
    running: &mut Option<Digest>,
    reporter: Arc<dyn Reporter>,
    before: impl AsyncFnOnce(),
) -> Result<Option<System>, Error> {
    if !target.local {
        let message = format!("{} rolls out to a cluster, which is not done again at each change", target.label);
        let error = Error::new(ErrorKind::CommandLine, message);
        return Err(error.hint(format!("`build run {}` does it once", target.label)));
    }
    let prepared = prepare(session, plan, target).await?;
    // The bundle names the images by their digests.
    let identity = Digest::of(&prepared.bundle.to_bytes());
    if *running == Some(identity) {
        return Ok(None);
    }
    before().await;
    let system = System::start(&prepared, LocalOptions::default(), reporter).await?;
    if let Err(error) = system.check(&prepared).await {
        system.shutdown().await?;
        return Err(error);
    }
    *running = Some(identity);
    Ok(Some(system))
}

/// The YAML of a deploy target's objects, with the attribute that each field comes from.
pub async fn show(session: &Session, text: &str) -> Result<String, Error> {
    let label = session.label(text)?;
    let plan = Plan::open(session, &Request::program(&label))?;
    let target = match plan.requested(0) {
        Some(target) => DeployTarget::of(&target)?,
        None => None,
    };
    let Some(target) = target else {
        let error = Error::new(ErrorKind::CommandLine, format!("{label} is not a deploy target"));
        return Err(error.hint("`build query 'kind(deploy, //...)'` lists them"));
    };
    let prepared = prepare(session, &plan, &target).await?;
    let branch = prepared.revision.as_ref().and_then(|revision| revision.branch.clone());
    let namespace = deploy::namespace(&prepared.bundle, branch.as_deref());
    // The registry's address is the machine's business; its name stands for it here.
    let registry = match prepared.bundle.environment.registry.as_str() {
        "" => "<registry>",
        name => name,
    };
    let place = deploy::Place { namespace, registry: registry.to_owned() };
    let objects = deploy::render(&prepared.bundle, &place).map_err(|error| failed(&DeployError::from(error)))?;
    Ok(deploy::show(&objects))
}

async fn prepare<'a>(
    session: &'a Session,
    plan: &'a Plan<'a>,
    target: &'a DeployTarget,
) -> Result<Prepared<'a>, Error> {
    let mut wanted = target.artifacts();
    wanted.extend(smoke::inputs(session, plan, target)?);
    let built = plan.execute(&[], &wanted).await?;
    build::fail_if_failed(&built)?;
    let execution::Content::File { digest, .. } = &built.contents[target.bundle.path()] else {
        return Err(Error::new(ErrorKind::Internal, format!("the bundle of {} is not a file", target.label)));
    };
    let bytes = session.store.read(digest)?;
    let bundle = Bundle::from_bytes(&bytes).map_err(|error| failed(&DeployError::from(error)))?;
    Ok(Prepared { session, plan, target, bundle, built, revision: Revision::of(&session.root, session.trusted) })
}

impl Prepared<'_> {
    /// The tree of an image, in the OCI image layout.
    fn image(&self, image: &target::ImageOf) -> Result<Tree, Error> {
        match &self.built.contents[image.tree.path()] {
            execution::Content::Tree(digest) => Ok(self.session.store.tree(digest)?),
            execution::Content::File { .. } => {
                Err(Error::new(ErrorKind::Internal, format!("the image of {} is not a tree", image.service)))
            }
        }
    }

    fn say(&self, phase: &str, message: impl Into<String>) {
        let message = Arc::from(message.into());
        self.session.reporter.report(Event::Progress { phase: Arc::from(phase), message });
    }

    /// Runs the smoke tests with the addresses of the services in their environment.
    async fn smoke(&self, env: std::collections::BTreeMap<String, String>) -> Result<Smoke, Error> {
        smoke::run(self, env).await
    }
}

/// A rollout that ended early, as an error of the command.
fn failed(error: &DeployError) -> Error {
    let kind = match error {
        error if error.is_environment() => ErrorKind::Environment,
        DeployError::Cancelled | DeployError::Lock(LockError::Cancelled(_)) => ErrorKind::Interrupted,
        DeployError::NoBranch(_) => ErrorKind::CommandLine,
        _ => ErrorKind::Rollout,
    };
    Error::of(kind, model::Diagnostics(error.diagnostics()))
}
