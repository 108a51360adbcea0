//! The services of a bundle as they run locally: container and calls instead of Deployment and NetworkPolicy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Tree;
use oci::ContainerConfig;
use store::Store;

use super::error::LocalError;
use super::rootfs::unpack;
use super::unit::USER;
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
    /// The most bytes of memory that its processes may have together.
    pub memory_limit: Option<u64>,
    /// What a cluster would give it and this machine does not.
    pub remarks: Vec<String>,
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

/// The services of a bundle, with their images unpacked. One that the environment wants none of is left out.
pub fn local_services(request: &LocalRequest<'_>) -> Result<Vec<LocalService>, LocalError> {
    let services = request.bundle.release.services.iter();
    services
        .filter(|(name, service)| request.bundle.replicas(name, service) > 0)
        .map(|(name, service)| local_service(name, service, request))
        .collect()
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
    let remarks = remarks(name, service, &config.user, request.bundle);
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
        memory_limit: memory_limit(name, service)?,
        remarks,
    })
}

/// What is not as in a cluster.
fn remarks(name: &str, service: &Service, user: &str, bundle: &Bundle) -> Vec<String> {
    let mut remarks = Vec::new();
    let replicas = bundle.replicas(name, service);
    if replicas > 1 {
        remarks.push(format!("runs once here, and {replicas} times in a cluster"));
    }
    if service.internet {
        remarks.push("reaches no address outside the system here, and the internet in a cluster".to_owned());
    }
    if !service.resources.cpu_limit.is_empty() {
        remarks.push(format!("has no limit of CPU here, and {} in a cluster", service.resources.cpu_limit));
    }
    if !matches!(user.split(':').next(), Some("" | "65532" | "nonroot")) {
        remarks.push(format!("runs as user {USER}, here as in a cluster; its image names `{user}`"));
    }
    remarks
}

fn memory_limit(name: &str, service: &Service) -> Result<Option<u64>, LocalError> {
    let quantity = &service.resources.memory_limit;
    let wrong = || LocalError::Quantity { service: name.to_owned(), quantity: quantity.clone() };
    match quantity.as_str() {
        "" => Ok(None),
        text => bytes(text).map(Some).ok_or_else(wrong),
    }
}

/// The bytes of a quantity as Kubernetes writes them: `256Mi`, `1.5G`, `1e9`.
fn bytes(quantity: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 12] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("m", 1e-3),
        ("", 1.0),
    ];
    let (number, factor) = UNITS.into_iter().find_map(|(unit, factor)| Some((quantity.strip_suffix(unit)?, factor)))?;
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    Some((number * factor).ceil() as u64)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_bytes() {
        for (text, expected) in [
            ("256Mi", Some(256 << 20)),
            ("1.5Gi", Some(3 << 29)),
            ("1e9", Some(1_000_000_000)),
            ("64M", Some(64_000_000)),
            ("500m", Some(1)),
            ("12", Some(12)),
            ("-1", None),
            ("much", None),
            ("inf", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
