//! Starting all services, waiting until they are ready, and ending them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use model::{Cancel, Event, Reporter};
use sandbox::{Call, Container, ContainerSpec, Handle, Launcher, LogSink, StateFolder, Status};
use tokio::task::JoinSet;

use super::error::LocalError;
use super::health::Check;
use super::logs::LastLines;
use super::network;
use super::service::LocalService;

/// The user and group of containers, as in the cluster.
const USER: u32 = 65532;

/// How long a service may take to end when asked to.
const GRACE: Duration = Duration::from_millis(600);

/// How often a service that is not ready is asked again, and a running system is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How the system is run.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The program that can be the init of containers: the engine itself.
    pub launcher: Launcher,
    /// Whether every line of a log is reported, as a `Progress` event of the phase `log`: `name | line`.
    pub logs: bool,
    /// How long a service may take to become ready.
    pub timeout: Duration,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self { launcher: Launcher::current(), logs: false, timeout: Duration::from_secs(120) }
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
#[derive(Debug)]
pub struct Local {
    services: Vec<Running>,
    addresses: Vec<LocalAddress>,
    /// Passes connections on; ended with the system.
    wires: JoinSet<()>,
    cancel: Cancel,
}

/// A service and its container.
#[derive(Debug)]
struct Running {
    service: LocalService,
    container: Container,
    lines: LastLines,
}

impl Local {
    /// Starts all services and waits until every one is ready. On failure nothing is left.
    pub async fn start(
        services: Vec<LocalService>,
        options: LocalOptions,
        reporter: Arc<dyn Reporter>,
        cancel: &Cancel,
    ) -> Result<Self, LocalError> {
        let logs = options.logs.then(|| Arc::clone(&reporter));
        let launcher = options.launcher.clone();
        let services = tokio::task::spawn_blocking(move || start_all(services, &launcher, logs.as_ref())).await??;
        let mut local = Self { services, addresses: Vec::new(), wires: JoinSet::new(), cancel: cancel.clone() };
        let up = async {
            local.connect_calls()?;
            local.publish_ports().await?;
            let ready = local.services.iter().map(|running| running.become_ready(&options, cancel, &*reporter));
            try_join_all(ready).await
        };
        match up.await {
            Ok(_) => Ok(local),
            Err(error) => {
                local.shutdown().await?;
                Err(error)
            }
        }
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

    /// Waits until the command is asked to stop. A service that ends by itself is an error.
    pub async fn wait_until_cancelled(&self) -> Result<(), LocalError> {
        while !self.cancel.is_cancelled() {
            self.services.iter().try_for_each(Running::check_alive)?;
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Asks all services to end, kills those that do not within a moment, and returns when nothing of them is left.
    pub async fn shutdown(mut self) -> Result<(), LocalError> {
        self.wires.shutdown().await;
        let end = move || {
            let handles: Vec<Handle> = self.services.iter().map(|running| running.container.handle()).collect();
            handles.iter().for_each(Handle::terminate);
            let deadline = Instant::now() + GRACE;
            for handle in &handles {
                handle.wait(Some(deadline.saturating_duration_since(Instant::now())));
            }
            // All are told before the first is waited for.
            handles.iter().for_each(Handle::kill);
            self.services.clear();
        };
        Ok(tokio::task::spawn_blocking(end).await?)
    }

    /// Serves the listeners inside the containers.
    fn connect_calls(&mut self) -> Result<(), LocalError> {
        let handles: BTreeMap<String, Handle> =
            self.services.iter().map(|running| (running.service.name.clone(), running.container.handle())).collect();
        for running in &mut self.services {
            let listeners = running.container.take_listeners();
            for (listener, (callee, port)) in listeners.into_iter().zip(targets(&running.service)) {
                let publish = |source| LocalError::Publish { service: callee.to_owned(), port, source };
                let listener = network::adopt(listener).map_err(publish)?;
                if let Some(handle) = handles.get(callee) {
                    self.wires.spawn(network::forward(listener, handle.clone(), port));
                }
            }
        }
        Ok(())
    }

    /// Opens every port on this machine's loopback.
    async fn publish_ports(&mut self) -> Result<(), LocalError> {
        for running in &self.services {
            for (protocol, port) in running.service.ports.named() {
                let service = running.service.name.clone();
                let failed = |source| LocalError::Publish { service: service.clone(), port, source };
                let (listener, address) = network::publish(port).await.map_err(failed)?;
                self.wires.spawn(network::forward(listener, running.container.handle(), port));
                self.addresses.push(LocalAddress { service, protocol, port, address });
            }
        }
        Ok(())
    }
}

/// What a service's outgoing listeners lead to, in their order.
fn targets(service: &LocalService) -> impl Iterator<Item = (&str, u16)> {
    service.calls.iter().flat_map(|call| call.ports.iter().map(|port| (call.name.as_str(), *port)))
}

fn start_all(
    services: Vec<LocalService>,
    launcher: &Launcher,
    logs: Option<&Arc<dyn Reporter>>,
) -> Result<Vec<Running>, LocalError> {
    let start = |service: LocalService| {
        let lines = LastLines::default();
        let log = lines.sink(&service.name, logs.cloned());
        match Container::start(launcher, container_spec(&service, log)) {
            Ok(container) => Ok(Running { service, container, lines }),
            Err(source) => Err(LocalError::Start { service: service.name, source }),
        }
    };
    services.into_iter().map(start).collect()
}

fn container_spec(service: &LocalService, log: LogSink) -> ContainerSpec {
    let calls = targets(service).map(|(name, port)| Call { name: name.to_owned(), port });
    let state = service.state.iter();
    let kept = state
        .clone()
        .filter_map(|state| Some(StateFolder { source: state.folder.clone()?, target: state.path.clone() }));
    ContainerSpec {
        name: service.name.clone(),
        rootfs: service.rootfs.clone(),
        argv: service.argv.clone(),
        env: service.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        workdir: service.workdir.clone(),
        user: USER,
        group: USER,
        calls: calls.collect(),
        writable: state.filter(|state| state.folder.is_none()).map(|state| state.path.clone()).collect(),
        state: kept.collect(),
        log,
    }
}

impl Running {
    /// Asks until the service is ready, it ends, the command is stopped or time is up.
    async fn become_ready(
        &self,
        options: &LocalOptions,
        cancel: &Cancel,
        reporter: &dyn Reporter,
    ) -> Result<(), LocalError> {
        let started = Instant::now();
        let check = Check::of(&self.service.probe, &self.service.ports);
        let handle = self.container.handle();
        loop {
            self.check_alive()?;
            if cancel.is_cancelled() {
                return Err(LocalError::Cancelled);
            }
            let answer = match &check {
                Some(check) => check.ask(&handle).await,
                None => Ok(()),
            };
            match answer {
                Ok(()) => break,
                Err(problem) if started.elapsed() >= options.timeout => {
                    let (service, log) = (self.service.name.clone(), self.lines.get());
                    return Err(LocalError::NotReady { service, waited: options.timeout, problem, log });
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
        let message = format!("{} is ready after {:.1} s", self.service.name, started.elapsed().as_secs_f64());
        reporter.report(Event::Progress { phase: "local".into(), message: message.into() });
        Ok(())
    }

    /// An error if the service ended by itself.
    fn check_alive(&self) -> Result<(), LocalError> {
        let how = match self.container.handle().status() {
            None => return Ok(()),
            Some(Ok(Status::Code(code))) => format!("exited with {code}"),
            Some(Ok(Status::Signal(signal))) => format!("was ended by signal {signal}"),
            Some(Ok(Status::TimedOut | Status::Cancelled | Status::Exceeded(_))) => "was killed".to_owned(),
            Some(Err(error)) => format!("did not start: {error}"),
        };
        Err(LocalError::Died { service: self.service.name.clone(), how, log: self.lines.get() })
    }
}
