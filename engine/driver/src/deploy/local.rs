//! A deploy target on this machine: the same images in the engine's own sandbox, until the user stops them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deploy::{Local, LocalError, LocalOptions, LocalRequest, SecretKey, Smoke, StateLock, local_services};
use model::Reporter;

use super::Prepared;
use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;
use crate::outputs;
use crate::run::Ran;

/// Starts the system, runs the smoke tests, and keeps it until the user stops it.
pub(super) async fn run(prepared: &Prepared<'_>, request: &RunRequest) -> Result<Ran, Error> {
    if request.plan {
        let services = prepared.bundle.release.services.keys();
        return Ok(Ran::Done(services.map(|name| format!("+ {name}, on this machine\n")).collect()));
    }
    let options = LocalOptions { logs: request.logs, restart: !request.norestart, ..LocalOptions::default() };
    let mut system = System::start(prepared, options, Arc::clone(&prepared.session.reporter)).await?;
    let ended = serve(prepared, request, &mut system).await;
    let down = system.shutdown().await;
    ended.and(down).map(|()| Ran::Done(String::new()))
}

/// A running system, and the right to write its state.
pub(crate) struct System {
    local: Local,
    _state: Option<StateLock>,
}

impl System {
    /// Starts the system; every service is ready then.
    pub(super) async fn start(
        prepared: &Prepared<'_>,
        options: LocalOptions,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, Error> {
        let session = prepared.session;
        let mut images = BTreeMap::new();
        for image in &prepared.target.images {
            images.insert(image.service.clone(), prepared.image(image)?);
        }
        let state = state(prepared)?;
        let services = prepared.bundle.release.services.values();
        let keeps = prepared.bundle.environment.persistent && services.clone().any(|service| service.state.is_some());
        let lock = keeps.then(|| StateLock::take(&state)).transpose().map_err(|error| failed(&error))?;
        let request = LocalRequest {
            bundle: &prepared.bundle,
            images,
            store: &session.store,
            state: Some(state),
            secrets: secrets(prepared),
        };
        let services = local_services(&request).map_err(|error| failed(&error))?;
        let options = LocalOptions { timeout: Duration::from_secs(prepared.bundle.environment.timeout), ..options };
        let started = Local::start(services, options, reporter, &session.cancel).await;
        Ok(Self { local: started.map_err(|error| failed(&error))?, _state: lock })
    }

    /// Says where the ports are, and runs the smoke tests.
    pub(super) async fn check(&self, prepared: &Prepared<'_>) -> Result<(), Error> {
        for address in self.local.addresses() {
            prepared.say("local", format!("{} {} is at {}", address.service, address.protocol, address.address));
        }
        match prepared.smoke(self.local.env()).await? {
            Smoke::Failed => {
                let message = format!("the smoke tests of {} failed", prepared.target.label);
                Err(Error::new(ErrorKind::Rollout, message))
            }
            _ => Ok(()),
        }
    }

    /// Ends the system; nothing of it is left.
    pub(crate) async fn shutdown(self) -> Result<(), Error> {
        self.local.shutdown().await.map_err(|error| failed(&error))
    }
}

/// Where services keep what outlives them.
fn state(prepared: &Prepared<'_>) -> Result<PathBuf, Error> {
    let below = prepared.session.outputs()?;
    let folder = outputs::state_folder(&below).join(&prepared.bundle.environment.name);
    store::make_way(&below, &folder)?;
    Ok(folder)
}

async fn serve(prepared: &Prepared<'_>, request: &RunRequest, system: &mut System) -> Result<(), Error> {
    system.check(prepared).await?;
    prepared.say("done", format!("{} runs: {} actions", prepared.target.label, prepared.built.stats.ran));
    if request.exit_when_ready {
        return Ok(());
    }
    prepared.say("local", "Ctrl-C ends it");
    system.local.wait_until_cancelled().await.map_err(|error| failed(&error))
}

/// The secrets of this machine: `BUILD_SECRET_<NAME>_<KEY>` of the environment. They reach the process only.
fn secrets(prepared: &Prepared<'_>) -> BTreeMap<SecretKey, String> {
    let keys = prepared.bundle.release.services.values().flat_map(|service| service.secrets.values());
    keys.filter_map(|key| Some((key.clone(), host::env::var(&key.variable())?))).collect()
}

fn failed(error: &LocalError) -> Error {
    let failed = match error {
        LocalError::Cancelled => Error::new(ErrorKind::Interrupted, error.to_string()),
        LocalError::NoSecret { .. } | LocalError::StateInUse { .. } => Error::caused(ErrorKind::Environment, error),
        _ => Error::caused(ErrorKind::Rollout, error),
    };
    error.hints().into_iter().fold(failed, Error::hint)
}
