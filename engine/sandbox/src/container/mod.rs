//! Containers of the local system: a program on an image's file system with a network of its own.
//!
//! A container has loopback and one device, and nothing is routed. What it may reach is a listener that init binds at
//! the device's other end, on an address for that name, and hands to the engine; what reaches it is a connection that
//! init makes inside and hands to the engine. So no privileges are needed, and exactly the declared calls exist.

mod log;
mod spec;

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use log::LogSink;
pub use spec::{Call, ContainerSpec, StateFolder};

use crate::cgroup::Groups;
use crate::channel::{Channel, Received};
use crate::command::{Status, Together};
use crate::error::SandboxError;
use crate::launcher::{Launcher, Session};
use crate::spec::{ProgramStatus, Report, Request};

/// A running container. Dropping it kills it and waits until all its processes are dead.
#[derive(Debug)]
pub struct Container {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    monitor: Option<JoinHandle<()>>,
    memory_is_limited: bool,
}

/// Asks and waits for a container from other threads.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: String,
    /// Locked while a message is sent, so that messages stay whole.
    sender: Mutex<Channel>,
    connections: Mutex<BTreeMap<u64, mpsc::Sender<io::Result<TcpStream>>>>,
    next_connection: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Listeners received so far, and whether the program was started.
    listeners: Vec<TcpListener>,
    started: bool,
    /// How the program ended, or why it could not start.
    status: Option<Result<Status, SandboxError>>,
    /// Whether all its processes are dead and its log is complete.
    gone: bool,
}

impl Container {
    /// Starts a container. Returns when its file system and listeners are there and its program is about to run.
    pub fn start(launcher: &Launcher, spec: ContainerSpec) -> Result<Self, SandboxError> {
        let start = |source| SandboxError::Setup { step: format!("make a pipe for the log of {}", spec.name), source };
        let (reader, writer) = io::pipe().map_err(start)?;
        let stderr = writer.try_clone().map_err(start)?;
        let together = Together { memory: spec.memory_limit, ..Together::default() };
        let groups = Groups::new(&together);
        let mut init = spec.init_spec();
        init.groups = groups.folders();
        let memory_is_limited = spec.memory_limit.is_none() || groups.without(together).memory.is_none();
        let session = launcher.start(&init, vec![writer.into(), stderr.into()])?;
        let sender = session.channel.try_clone().map_err(start)?;
        let shared = Arc::new(Shared {
            name: spec.name.clone(),
            sender: Mutex::new(sender),
            connections: Mutex::default(),
            next_connection: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let log = log::follow(reader, spec.log);
        let monitored = Arc::clone(&shared);
        let monitor = std::thread::spawn(move || monitored.monitor(session, log, groups));
        let mut container = Self { shared, listeners: Vec::new(), monitor: Some(monitor), memory_is_limited };
        container.listeners = container.shared.wait_for_start()?;
        Ok(container)
    }

    /// Sockets for its calls, in the order of [`ContainerSpec::calls`]. They are bound; those of calls that are not open do
    /// not listen. Given once.
    pub fn take_listeners(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.listeners)
    }

    /// Whether its limit of memory holds, if it has one. A machine may give the engine no control group for it, and a limit
    /// of each process's address space would stop programs that merely reserve much.
    pub fn memory_is_limited(&self) -> bool {
        self.memory_is_limited
    }

    /// What other threads use to connect to the container, to wait for it and to end it.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.handle().kill();
        if let Some(monitor) = self.monitor.take() {
            // A panic of the monitor was printed by its thread already.
            let _ = monitor.join();
        }
    }
}

impl Handle {
    /// The container's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Connects to a port on the container's loopback, as something inside it would. Blocks for a moment.
    pub fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let id = self.0.next_connection.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel();
        lock(&self.0.connections).insert(id, sender);
        let sent = lock(&self.0.sender).send(&Request::Connect { id, port }, &[]);
        if sent.is_err() || lock(&self.0.state).gone {
            lock(&self.0.connections).remove(&id);
        }
        // The sender is dropped unanswered when the container ends.
        receiver.recv().unwrap_or_else(|_| Err(io::ErrorKind::ConnectionRefused.into()))
    }

    /// How it ended, once every process of it is dead and its whole log was passed on; `None` before.
    pub fn status(&self) -> Option<Result<Status, String>> {
        let state = lock(&self.0.state);
        state.gone.then(|| state.outcome())
    }

    /// Blocks until it has ended and every process of it is dead, or for `timeout`.
    pub fn wait(&self, timeout: Option<Duration>) -> Option<Result<Status, String>> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = lock(&self.0.state);
        while !state.gone {
            state = match deadline {
                None => self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        Some(state.outcome())
    }

    /// Asks the program to end (SIGTERM).
    pub fn terminate(&self) {
        // A container that cannot be told has ended.
        let _ = lock(&self.0.sender).send(&Request::Terminate, &[]);
    }

    /// Kills every process of it; [`Handle::wait`] tells when they are dead.
    pub fn kill(&self) {
        lock(&self.0.sender).hang_up();
    }
}

impl Shared {
    /// Follows a container until nothing of it is left.
    fn monitor(&self, session: Session, log: JoinHandle<()>, groups: Groups) {
        while let Ok(Some(received)) = session.channel.receive::<Report>() {
            self.take(received);
        }
        session.end();
        // A panic of the log's reader was printed by its thread already.
        let _ = log.join();
        let mut state = lock(&self.state);
        if let (Some(Ok(status)), Some(limit)) = (&mut state.status, groups.exceeded())
            && !status.success()
        {
            *status = Status::Exceeded(limit);
        }
        drop(groups);
        state.gone = true;
        lock(&self.connections).clear();
        self.changed.notify_all();
    }

    fn take(&self, mut received: Received<Report>) {
        let mut state = lock(&self.state);
        match received.message {
            Report::Listening(_) => state.listeners.extend(received.descriptors.pop().map(TcpListener::from)),
            Report::Started => state.started = true,
            Report::Ended { status: ProgramStatus::Code(code), .. } => state.end(Ok(Status::Code(code))),
            Report::Ended { status: ProgramStatus::Signal(signal), .. } => state.end(Ok(Status::Signal(signal))),
            Report::Failed(failure) => {
                let source = failure.source();
                state.end(Err(SandboxError::Setup { step: failure.step, source }));
            }
            Report::Finished(_) | Report::Arranged(_) => {}
            Report::Connected { id, errno } => {
                let connection = received.descriptors.pop().map(TcpStream::from);
                let error = || io::Error::from_raw_os_error(errno.unwrap_or(0));
                if let Some(sender) = lock(&self.connections).remove(&id) {
                    // Nobody waits any more if the caller is gone.
                    let _ = sender.send(connection.ok_or_else(error));
                }
            }
        }
        self.changed.notify_all();
    }

    fn wait_for_start(&self) -> Result<Vec<TcpListener>, SandboxError> {
        let mut state = lock(&self.state);
        loop {
            if state.started {
                return Ok(std::mem::take(&mut state.listeners));
            }
            if let Some(Err(error)) = state.status.take_if(|status| status.is_err()) {
                return Err(error);
            }
            if state.gone {
                return Err(SandboxError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    /// The first report of an end counts: a program that could not start also exits.
    fn end(&mut self, status: Result<Status, SandboxError>) {
        self.status.get_or_insert(status);
    }

    fn outcome(&self) -> Result<Status, String> {
        match &self.status {
            Some(Ok(status)) => Ok(*status),
            Some(Err(error)) => {
                let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
                Err(format!("{error}{cause}"))
            }
            None => Ok(Status::Cancelled),
        }
    }
}

/// A panic elsewhere leaves these values whole, since each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
