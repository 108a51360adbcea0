//! A deploy target on this machine: the same images in the engine's own sandbox, until the user stops them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use deploy::{Local, LocalError, LocalOptions, LocalRequest, SecretKey, Smoke, local_services};

use super::Prepared;
use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;
use crate::run::Ran;

/// Starts the system, runs the smoke tests, and keeps it until the user stops it.
pub(super) async fn run(prepared: &Prepared<'_>, request: &RunRequest) -> Result<Ran, Error> {
    let session = prepared.session;
    if request.plan {
        let services = prepared.bundle.release.services.keys();
        return Ok(Ran::Done(services.map(|name| format!("+ {name}, on this machine\n")).collect()));
    }
    let mut images = BTreeMap::new();
    for image in &prepared.target.images {
        images.insert(image.service.clone(), prepared.image(image)?);
    }
    let local_request = LocalRequest {
        bundle: &prepared.bundle,
        images,
        store: &session.store,
        state: Some(state(prepared)?),
        secrets: secrets(prepared),
    };
    let services = local_services(&local_request).map_err(|error| failed(&error))?;
    let options = LocalOptions { logs: request.logs, ..LocalOptions::default() };
    let started = Local::start(services, options, Arc::clone(&session.reporter), &session.cancel).await;
    let local = started.map_err(|error| failed(&error))?;
    let ended = serve(prepared, request, &local).await;
    let down = local.shutdown().await.map_err(|error| failed(&error));
    ended.and(down).map(|()| Ran::Done(String::new()))
}

/// Where services keep what outlives them.
fn state(prepared: &Prepared<'_>) -> Result<PathBuf, Error> {
    let below = prepared.session.outputs()?;
    let folder = below.join("local").join(&prepared.bundle.environment.name);
    store::make_way(&below, &folder)?;
    Ok(folder)
}

async fn serve(prepared: &Prepared<'_>, request: &RunRequest, local: &Local) -> Result<(), Error> {
    for address in local.addresses() {
        prepared.say("local", format!("{} {} is at {}", address.service, address.protocol, address.address));
    }
    let smoke = prepared.smoke(local.env()).await?;
    if smoke == Smoke::Failed {
        return Err(Error::new(ErrorKind::Rollout, format!("the smoke tests of {} failed", prepared.target.label)));
    }
    prepared.say("done", format!("{} runs: {} actions", prepared.target.label, prepared.built.stats.ran));
    if request.exit_when_ready {
        return Ok(());
    }
    prepared.say("local", "Ctrl-C ends it");
    local.wait_until_cancelled().await.map_err(|error| failed(&error))?;
    Ok(())
}

/// The secrets of this machine: `BUILD_SECRET_<NAME>_<KEY>` of the environment. They reach the process only.
fn secrets(prepared: &Prepared<'_>) -> BTreeMap<SecretKey, String> {
    let keys = prepared.bundle.release.services.values().flat_map(|service| service.secrets.values());
    let value = |key: &SecretKey| {
        let name = format!("BUILD_SECRET_{}_{}", key.name, key.key).to_uppercase().replace(['-', '.'], "_");
        Some((key.clone(), host::env::var(&name)?))
    };
    keys.filter_map(value).collect()
}

fn failed(error: &LocalError) -> Error {
    match error {
        LocalError::Cancelled => Error::new(ErrorKind::Interrupted, error.to_string()),
        _ => Error::caused(ErrorKind::Rollout, error),
    }
}
