//! One service of the running system: its container is started, asked until it is ready, watched, started again when it
//! ends by itself, and ended with the system.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Event, Reporter};
use sandbox::{Call, Container, ContainerSpec, Exceeded, Handle, Launcher, LogSink, StateFolder, Status};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::error::LocalError;
use super::health::Check;
use super::logs::LastLines;
use super::network::{self, Ready};
use super::service::LocalService;

/// The user and group of containers, as in the cluster.
pub(super) const USER: u32 = 65532;

/// How often a service that is not ready is asked again, and a running one is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is said what a service that is not ready lacks.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a service that ended is left alone before it is started again: it doubles with each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// One that ran for so long begins with the first pause again.
const STEADY: Duration = Duration::from_secs(60);
/// How often a service may end before it was ready once; then something is wrong with it.
const TRIES: u32 = 4;

/// Whether the system is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// It runs.
    No,
    /// Services are asked to end.
    Asked,
    /// They are killed.
    Now,
}

/// What all services of a system share.
pub(super) struct Shared {
    pub launcher: Launcher,
    pub reporter: Arc<dyn Reporter>,
    pub logs: bool,
    pub restart: bool,
    pub grace: Duration,
    /// When the system must be ready, and how long that is from its start.
    pub deadline: (Instant, Duration),
    pub stop: watch::Receiver<Stop>,
    /// Takes what ends the system.
    pub failed: mpsc::UnboundedSender<LocalError>,
    /// Every service, while it is ready.
    pub ready: BTreeMap<String, Ready>,
}

/// One service.
pub(super) struct Unit {
    service: LocalService,
    lines: LastLines,
    shared: Arc<Shared>,
    ready: watch::Sender<Option<Handle>>,
    /// Services that must be ready first.
    after: Vec<String>,
}

/// How the life of one container ended.
enum End {
    /// By itself.
    Itself(String),
    /// The system ends.
    Stopped,
}

impl Shared {
    fn say(&self, message: String) {
        self.reporter.report(Event::Progress { phase: "local".into(), message: message.into() });
    }

    fn stops(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }
}

impl Unit {
    pub(super) fn new(
        service: LocalService,
        after: Vec<String>,
        ready: watch::Sender<Option<Handle>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { service, lines: LastLines::default(), shared, ready, after }
    }

    /// Runs the service until the system ends. Its name, if it had to be killed.
    pub(super) async fn run(self) -> Option<String> {
        match self.keep_running().await {
            Ok(killed) => killed.then(|| self.service.name.clone()),
            Err(error) => {
                // Nobody listens any more when the system ends anyway.
                let _ = self.shared.failed.send(error);
                None
            }
        }
    }

    async fn keep_running(&self) -> Result<bool, LocalError> {
        let mut pause = FIRST_PAUSE;
        let (mut ended_early, mut was_ready) = (0, false);
        loop {
            if !self.callees_are_ready().await {
                return Ok(false);
            }
            let began = Instant::now();
            let mut container = self.start().await?;
            // Dropped with this round: the calls of a container end with it.
            let _calls = self.connect(container.container.take_listeners());
            let end = self.live(&container.handle, began, &mut was_ready).await;
            if let Ok(End::Stopped) = end {
                return Ok(self.end(container).await);
            }
            self.ready.send_replace(None);
            container.kill().await;
            let End::Itself(how) = end? else { return Ok(false) };
            let error = LocalError::Died { service: self.service.name.clone(), how, log: self.lines.get() };
            ended_early += u32::from(!was_ready);
            if !self.shared.restart || ended_early >= TRIES {
                return Err(error);
            }
            if began.elapsed() >= STEADY {
                pause = FIRST_PAUSE;
            }
            self.shared.say(format!("{} starts again in {} s: {error}", self.service.name, pause.as_secs()));
            if self.sleep(pause).await {
                return Ok(false);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for the callees that come first; false when the system ends meanwhile.
    async fn callees_are_ready(&self) -> bool {
        let mut stop = self.shared.stop.clone();
        for callee in &self.after {
            let Some(mut ready) = self.shared.ready.get(callee).cloned() else { continue };
            tokio::select! {
                // A callee that is gone for good ends the system.
                ready = ready.wait_for(Option::is_some) => if ready.is_err() { return false },
                _ = stop.wait_for(|stop| *stop != Stop::No) => return false,
            }
        }
        !self.shared.stops()
    }

    async fn start(&self) -> Result<Running, LocalError> {
        let reporter = self.shared.logs.then(|| Arc::clone(&self.shared.reporter));
        let is_ready = |callee: &str| self.shared.ready.get(callee).is_some_and(|ready| ready.borrow().is_some());
        let spec = container_spec(&self.service, self.lines.sink(&self.service.name, reporter), is_ready);
        let launcher = self.shared.launcher.clone();
        let started = tokio::task::spawn_blocking(move || Container::start(&launcher, spec)).await?;
        let container = started.map_err(|source| LocalError::Start { service: self.service.name.clone(), source })?;
        if !container.memory_is_limited() {
            let name = &self.service.name;
            self.shared.say(format!("{name} has no limit of memory here: this machine gives no control group for it"));
        }
        Ok(Running { handle: container.handle(), container })
    }

    /// Serves the listeners inside the container while their callees are ready.
    fn connect(&self, listeners: Vec<std::net::TcpListener>) -> JoinSet<()> {
        let mut calls = JoinSet::new();
        for (socket, (callee, port)) in listeners.into_iter().zip(targets(&self.service)) {
            let ready = self.shared.ready.get(callee).cloned();
            let (shared, name, callee) = (Arc::clone(&self.shared), self.service.name.clone(), callee.to_owned());
            calls.spawn(async move {
                // One that does not run here refuses.
                if let Some(ready) = ready
                    && let Err(error) = network::gate(&socket, ready, port).await
                {
                    shared.say(format!("{name} cannot call {callee} any more: {error}"));
                }
                // The network of the listeners is there for as long as they are.
                std::future::pending::<()>().await;
                drop(socket);
            });
        }
        calls
    }

    /// Follows a container until it ends or is to end.
    async fn live(&self, handle: &Handle, began: Instant, was_ready: &mut bool) -> Result<End, LocalError> {
        if let Some(end) = self.become_ready(handle, began, *was_ready).await? {
            return Ok(end);
        }
        *was_ready = true;
        self.shared.say(format!("{} is ready after {:.1} s", self.service.name, began.elapsed().as_secs_f64()));
        self.ready.send_replace(Some(handle.clone()));
        loop {
            if let Some(how) = ended(handle) {
                return Ok(End::Itself(how));
            }
            if self.sleep(LOOK).await {
                return Ok(End::Stopped);
            }
        }
    }

    /// Asks until the service is ready (`None`), it ends or is to end, or time is up.
    async fn become_ready(&self, handle: &Handle, began: Instant, again: bool) -> Result<Option<End>, LocalError> {
        let check = Check::of(&self.service.probe, &self.service.ports);
        let mut told = began;
        loop {
            if let Some(how) = ended(handle) {
                return Ok(Some(End::Itself(how)));
            }
            let problem = match &check {
                Some(check) => check.ask(handle).await.err(),
                None => None,
            };
            let Some(problem) = problem else { return Ok(None) };
            let (deadline, waited) = self.shared.deadline;
            if Instant::now() >= deadline && !again {
                let (service, log) = (self.service.name.clone(), self.lines.get());
                return Err(LocalError::NotReady { service, waited, problem, log });
            }
            if told.elapsed() >= PATIENCE {
                told = Instant::now();
                let (name, seconds) = (&self.service.name, began.elapsed().as_secs());
                self.shared.say(format!("{name} is not ready after {seconds} s: {problem}"));
            }
            if self.sleep(LOOK).await {
                return Ok(Some(End::Stopped));
            }
        }
    }

    /// Asks a container to end, waits for as long as it may take, and kills it then; whether it had to.
    async fn end(&self, container: Running) -> bool {
        container.handle.terminate();
        let mut stop = self.shared.stop.clone();
        let latest = Instant::now() + self.shared.grace;
        while container.handle.status().is_none() {
            let left = latest.saturating_duration_since(Instant::now());
            if left.is_zero() || *stop.borrow_and_update() == Stop::Now {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(left.min(LOOK)) => {}
                _ = stop.changed() => {}
            }
        }
        let killed = container.handle.status().is_none();
        container.kill().await;
        self.ready.send_replace(None);
        killed
    }

    /// Sleeps; true at once when the system is to end.
    async fn sleep(&self, time: Duration) -> bool {
        let mut stop = self.shared.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(time) => false,
            _ = stop.wait_for(|stop| *stop != Stop::No) => true,
        }
    }
}

/// A container and what others use of it.
struct Running {
    container: Container,
    handle: Handle,
}

impl Running {
    /// Kills it and waits until nothing of it is left.
    async fn kill(self) {
        // It only fails if the runtime ends, and then it is dropped all the same.
        let _ = tokio::task::spawn_blocking(move || drop(self.container)).await;
    }
}

/// How a container ended, if it has.
fn ended(handle: &Handle) -> Option<String> {
    Some(match handle.status()? {
        Ok(Status::Code(code)) => format!("exited with {code}"),
        Ok(Status::Signal(signal)) => format!("was ended by signal {signal}"),
        Ok(Status::Exceeded(Exceeded::Memory)) => "used more than its limit of memory and was killed".to_owned(),
        Ok(Status::TimedOut | Status::Cancelled | Status::Exceeded(_)) => "was killed".to_owned(),
        Err(error) => format!("did not start: {error}"),
    })
}

/// What a service's outgoing listeners lead to, in their order.
fn targets(service: &LocalService) -> impl Iterator<Item = (&str, u16)> {
    service.calls.iter().flat_map(|call| call.ports.iter().map(|port| (call.name.as_str(), *port)))
}

fn container_spec(service: &LocalService, log: LogSink, is_ready: impl Fn(&str) -> bool) -> ContainerSpec {
    let calls = targets(service).map(|(name, port)| Call { name: name.to_owned(), port, open: is_ready(name) });
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
        memory_limit: service.memory_limit,
        calls: calls.collect(),
        writable: state.filter(|state| state.folder.is_none()).map(|state| state.path.clone()).collect(),
        state: kept.collect(),
        log,
    }
}
