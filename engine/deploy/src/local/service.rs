//! The services of a bundle as they run locally: container and calls instead of Deployment and NetworkPolicy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Tree;
use oci::ContainerConfig;
use store::Store;

use super::error::LocalError;
use super::rootfs::unpack;
use crate::bundle::{Bundle, Ports, Probe, SecretKey, Service};

/// A service to be run on this machine.
#[derive(Debug, Clone)]
pub struct LocalService {
    /// Its name, by which callers reach it.
    pub name: String,
    /// Its image's file system: a folder that is never changed.
    pub rootfs: PathBuf,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Where the program starts.
    pub workdir: String,
    /// Where it listens.
    pub ports: Ports,
    /// What it may call.
    pub calls: Vec<LocalCall>,
    /// The folder that it keeps state in.
    pub state: Option<LocalState>,
    /// How to see that it is ready.
    pub probe: Probe,
}

/// A service that another one may call, with the ports that callers may use.
#[derive(Debug, Clone)]
pub struct LocalCall {
    /// The called service.
    pub name: String,
    /// Its ports.
    pub ports: Vec<u16>,
}

/// A folder with state.
#[derive(Debug, Clone)]
pub struct LocalState {
    /// Where the service sees it.
    pub path: String,
    /// The folder of this machine that keeps it; without one it ends with the service.
    pub folder: Option<PathBuf>,
}

/// What local services are made from.
#[derive(Debug)]
pub struct LocalRequest<'a> {
    /// The bundle of a deploy target.
    pub bundle: &'a Bundle,
    /// The image of each service, as an OCI image layout in the store.
    pub images: BTreeMap<String, Tree>,
    /// Where the images are, and where their file systems are kept.
    pub store: &'a Store,
    /// The folder of this machine below which state is kept, one folder a service, if the environment is persistent.
    pub state: Option<PathBuf>,
    /// Values of secrets.
    pub secrets: BTreeMap<SecretKey, String>,
}

/// The services of a bundle, with their images unpacked.
pub fn local_services(request: &LocalRequest<'_>) -> Result<Vec<LocalService>, LocalError> {
    let services = request.bundle.release.services.iter();
    services.map(|(name, service)| local_service(name, service, request)).collect()
}

fn local_service(name: &str, service: &Service, request: &LocalRequest<'_>) -> Result<LocalService, LocalError> {
    let image = request.images.get(name).ok_or_else(|| LocalError::NoImage(name.to_owned()))?;
    let unreadable = |source| LocalError::Image { service: name.to_owned(), source };
    let config = oci::read_configuration(image, request.store).map_err(unreadable)?.config;
    let rootfs = request.store.tree_path(&unpack(name, image, request.store)?)?;
    let argv = argv(&config, &service.args);
    if argv.is_empty() {
        return Err(LocalError::NothingToRun(name.to_owned()));
    }
    Ok(LocalService {
        name: name.to_owned(),
        rootfs,
        argv,
        env: env(name, service, &config, request)?,
        workdir: if config.working_dir.is_empty() { "/".to_owned() } else { config.working_dir },
        ports: service.ports,
        calls: calls(service, request.bundle),
        state: state(name, service, request)?,
        probe: service.probe.clone(),
    })
}

/// As a kubelet does: `args` of the service take the place of the image's command.
fn argv(config: &ContainerConfig, args: &[String]) -> Vec<String> {
    let entrypoint = config.entrypoint.iter().flatten();
    let command = config.cmd.iter().flatten().filter(|_| args.is_empty());
    entrypoint.chain(command).chain(args).cloned().collect()
}

/// The image's variables, and over them those that a pod would have.
fn env(
    name: &str,
    service: &Service,
    config: &ContainerConfig,
    request: &LocalRequest<'_>,
) -> Result<BTreeMap<String, String>, LocalError> {
    let split = |variable: &String| variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut env: BTreeMap<String, String> = config.env.iter().flatten().filter_map(split).collect();
    env.entry("PATH".into()).or_insert_with(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    env.extend(request.bundle.process_env(name, service)?);
    env.insert("HOSTNAME".into(), name.to_owned());
    env.insert("POD_NAME".into(), name.to_owned());
    for (variable, secret) in &service.secrets {
        let value = request.secrets.get(secret);
        let missing = || LocalError::NoSecret { service: name.to_owned(), secret: secret.clone() };
        env.insert(variable.clone(), value.ok_or_else(missing)?.clone());
    }
    Ok(env)
}

fn calls(service: &Service, bundle: &Bundle) -> Vec<LocalCall> {
    let ports = |ports: &Ports| [ports.grpc, ports.http].into_iter().flatten().collect();
    let called = service.calls.iter().filter_map(|name| Some((name, bundle.release.services.get(name)?)));
    called.map(|(name, called)| LocalCall { name: name.clone(), ports: ports(&called.ports) }).collect()
}

fn state(name: &str, service: &Service, request: &LocalRequest<'_>) -> Result<Option<LocalState>, LocalError> {
    let Some(state) = &service.state else { return Ok(None) };
    let root = request.state.as_ref().filter(|_| request.bundle.environment.persistent);
    let folder = root.map(|root| root.join(name));
    if let (Some(root), Some(folder)) = (root, &folder) {
        store::make_way(root, folder)?;
    }
    Ok(Some(LocalState { path: state.path.clone(), folder }))
}
