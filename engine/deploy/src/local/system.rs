//! The system as a whole: starting all services, waiting until they are ready, and ending them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Cancel, Event, Reporter};
use sandbox::Launcher;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::error::LocalError;
use super::network::{self, Ready};
use super::order;
use super::service::LocalService;
use super::unit::{Shared, Stop, Unit};

/// How often it is looked whether the command is to stop.
const LOOK: Duration = Duration::from_millis(50);
/// After how long it is said whom the end waits for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the system is run.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The program that can be the init of containers: the engine itself.
    pub launcher: Launcher,
    /// Whether every line of a log is reported, as a `Progress` event of the phase `log`: `name | line`.
    pub logs: bool,
    /// How long the system may take to become ready.
    pub timeout: Duration,
    /// How long a service may take to end when asked to.
    pub grace: Duration,
    /// Whether a service that ends by itself is started again; else it ends the system.
    pub restart: bool,
}

impl Default for LocalOptions {
    fn default() -> Self {
        let (timeout, grace) = (Duration::from_secs(300), Duration::from_secs(30));
        Self { launcher: Launcher::current(), logs: false, timeout, grace, restart: true }
    }
}

/// Where a port of a service is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAddress {
    /// The service.
    pub service: String,
    /// `grpc`, `http` or `metrics`.
    pub protocol: &'static str,
    /// Its port in the system.
    pub port: u16,
    /// Where it is reached from this machine.
    pub address: SocketAddr,
}

/// A running system. It ends when dropped, but [`Local::shutdown`] asks the services first.
pub struct Local {
    addresses: Vec<LocalAddress>,
    /// The services; each tells at its end whether it had to be killed.
    units: JoinSet<Option<String>>,
    /// Every service, while it is ready.
    ready: BTreeMap<String, Ready>,
    failed: mpsc::UnboundedReceiver<LocalError>,
    stop: watch::Sender<Stop>,
    /// Passes connections from this machine on; ended with the system.
    wires: JoinSet<()>,
    reporter: Arc<dyn Reporter>,
    cancel: Cancel,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Local {
    /// Starts all services and waits until every one is ready. On failure nothing is left.
    pub async fn start(
        services: Vec<LocalService>,
        options: LocalOptions,
        reporter: Arc<dyn Reporter>,
        cancel: &Cancel,
    ) -> Result<Self, LocalError> {
        let mut local = Self::begin(services, options, reporter, cancel).await?;
        match local.until_ready().await {
            Ok(()) => Ok(local),
            Err(error) => {
                local.shutdown().await?;
                Err(error)
            }
        }
    }

    /// Has every service start, and opens the ports.
    async fn begin(
        services: Vec<LocalService>,
        options: LocalOptions,
        reporter: Arc<dyn Reporter>,
        cancel: &Cancel,
    ) -> Result<Self, LocalError> {
        let mut senders: BTreeMap<String, watch::Sender<_>> =
            services.iter().map(|service| (service.name.clone(), watch::channel(None).0)).collect();
        let ready: BTreeMap<String, Ready> =
            senders.iter().map(|(name, sender)| (name.clone(), sender.subscribe())).collect();
        let (stop, stopped) = watch::channel(Stop::No);
        let (failures, failed) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            launcher: options.launcher,
            reporter: Arc::clone(&reporter),
            logs: options.logs,
            restart: options.restart,
            grace: options.grace,
            deadline: (Instant::now() + options.timeout, options.timeout),
            stop: stopped,
            failed: failures,
            ready: ready.clone(),
        });
        let (units, wires) = (JoinSet::new(), JoinSet::new());
        let cancel = cancel.clone();
        let mut local = Self { addresses: Vec::new(), units, ready, failed, stop, wires, reporter, cancel };
        local.publish_ports(&services).await?;
        let mut before = order::before(&calls(&services));
        for service in services {
            let Some(sender) = senders.remove(&service.name) else { continue };
            let after = before.remove(&service.name).unwrap_or_default();
            service.remarks.iter().for_each(|remark| local.say(format!("{}: {remark}", service.name)));
            local.units.spawn(Unit::new(service, after, sender, Arc::clone(&shared)).run());
        }
        Ok(local)
    }

    async fn until_ready(&mut self) -> Result<(), LocalError> {
        for mut ready in self.ready.clone().into_values() {
            loop {
                if self.cancel.is_cancelled() {
                    return Err(LocalError::Cancelled);
                }
                tokio::select! {
                    Some(error) = self.failed.recv() => return Err(error),
                    Ok(_) = ready.wait_for(Option::is_some) => break,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
        Ok(())
    }

    /// Every published port.
    pub fn addresses(&self) -> &[LocalAddress] {
        &self.addresses
    }

    /// The variables by which a program on this machine finds the services, as a caller in the system would:
    /// `<NAME>_ADDR`, and `<NAME>_HTTP_ADDR` where a service has gRPC and HTTP.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for local in self.addresses.iter().filter(|local| local.protocol != "metrics") {
            let name = local.service.to_uppercase().replace(['-', '.'], "_");
            let has_grpc =
                || self.addresses.iter().any(|other| other.service == local.service && other.protocol == "grpc");
            let suffix = if local.protocol == "http" && has_grpc() { "HTTP_ADDR" } else { "ADDR" };
            env.insert(format!("{name}_{suffix}"), local.address.to_string());
        }
        env
    }

    /// Waits until the command is asked to stop. What ends the system before is an error.
    pub async fn wait_until_cancelled(&mut self) -> Result<(), LocalError> {
        while !self.cancel.is_cancelled() {
            tokio::select! {
                Some(error) = self.failed.recv() => return Err(error),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        Ok(())
    }

    /// Asks all services to end, kills those that do not within their grace or when the command is asked to stop again,
    /// names them, and returns when nothing of them is left. Until then their connections stay.
    pub async fn shutdown(mut self) -> Result<(), LocalError> {
        // It only fails when every service has ended.
        let _ = self.stop.send(Stop::Asked);
        let began = Instant::now();
        let (mut told, mut killed) = (false, Vec::new());
        while !self.units.is_empty() {
            tokio::select! {
                Some(ended) = self.units.join_next() => killed.extend(ended?),
                () = tokio::time::sleep(LOOK) => {}
            }
            if self.cancel.is_insisted() {
                let _ = self.stop.send(Stop::Now);
            } else if !told && began.elapsed() >= PATIENCE {
                told = true;
                let running = self.ready.iter().filter(|(_, ready)| ready.borrow().is_some());
                let running: Vec<&str> = running.map(|(name, _)| name.as_str()).collect();
                self.say(format!("{} may take a while to end; Ctrl-C kills", running.join(", ")));
            }
        }
        self.wires.shutdown().await;
        killed.sort();
        for name in killed {
            self.say(format!("{name} did not end when asked to, and was killed"));
        }
        Ok(())
    }

    fn say(&self, message: String) {
        self.reporter.report(Event::Progress { phase: "local".into(), message: message.into() });
    }

    /// Opens every port on this machine's loopback.
    async fn publish_ports(&mut self, services: &[LocalService]) -> Result<(), LocalError> {
        for service in services {
            for (protocol, port) in service.ports.named() {
                let name = service.name.clone();
                let failed = |source| LocalError::Publish { service: name.clone(), port, source };
                let seed = format!("{name} {protocol}");
                let (listener, address) = network::publish(port, &seed).await.map_err(failed)?;
                if address.port() != port {
                    self.say(format!("port {port} of {name} ({protocol}) {}", self.taken(port)));
                }
                let ready = self.ready[&name].clone();
                self.wires.spawn(network::forward(listener, ready, port));
                self.addresses.push(LocalAddress { service: name, protocol, port, address });
            }
        }
        Ok(())
    }

    /// Who has a port.
    fn taken(&self, port: u16) -> String {
        if let Some(other) = self.addresses.iter().find(|other| other.address.port() == port) {
            return format!("is the one of {} on this machine", other.service);
        }
        match host::port::listener(port) {
            Some(listener) => format!("is taken by `{}` (process {})", listener.program, listener.pid),
            None => "is taken by a process that cannot be seen from here".to_owned(),
        }
    }
}

fn calls(services: &[LocalService]) -> BTreeMap<String, Vec<String>> {
    let callees = |service: &LocalService| service.calls.iter().map(|call| call.name.clone()).collect();
    services.iter().map(|service| (service.name.clone(), callees(service))).collect()
}
