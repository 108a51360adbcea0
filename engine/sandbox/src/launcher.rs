//! Starting sandboxes: one process of the engine's own program waits for requests and forks the init of each.
//!
//! Starting a program as large as the engine costs milliseconds, forking a process that has done nothing yet a tenth of
//! one. That process leaves when the engine is gone, since it then reads the end of its channel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::Network;
use serde::de::IgnoredAny;

use crate::cgroup::Groups;
use crate::channel::Channel;
use crate::command::{PROCESSES, Together};
use crate::error::SandboxError;
use crate::spec::Spec;

/// The first argument that makes a program wait for requests to fork.
pub(crate) const INIT_ARGUMENT: &str = "--sandbox-init";

/// Whether `main` of this program calls `init_if_requested`. Re-executing a program that does not would run it again.
pub(crate) static CAN_BE_INIT: AtomicBool = AtomicBool::new(false);

/// Starts sandboxes. Clones share the process that forks them.
#[derive(Debug, Clone)]
pub struct Launcher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    program: PathBuf,
    /// Whether the program is the running one, of which it is known whether it can be init.
    is_current: bool,
    /// One for commands with a network of their own, and one for those with the machine's: a process that has left the
    /// machine's network without privileges cannot come back.
    forkers: [Mutex<Option<Forker>>; 2],
}

/// The process that forks, and the channel it takes requests from.
#[derive(Debug)]
struct Forker {
    channel: Channel,
    child: Child,
    /// Limits for all sandboxes together, so that none of them costs a group of its own.
    _groups: Groups,
}

/// A sandbox that was started.
pub(crate) struct Session {
    pub channel: Channel,
    /// Its processes die with the one that forked them, which ends with the last launcher.
    _launcher: Launcher,
}

impl Launcher {
    /// Uses the running program, which must call [`crate::init_if_requested`] first in `main`.
    pub fn current() -> Self {
        Self::of(PathBuf::from("/proc/self/exe"), true)
    }

    /// Uses another program that calls [`crate::init_if_requested`] first in `main`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self::of(program.into(), false)
    }

    fn of(program: PathBuf, is_current: bool) -> Self {
        Self(Arc::new(Shared { program, is_current, forkers: Default::default() }))
    }

    /// Starts the init of a sandbox and tells it what to run. `streams` are those that the spec says are sent.
    pub(crate) fn start(&self, spec: &Spec, streams: Vec<OwnedFd>) -> Result<Session, SandboxError> {
        if self.0.is_current && !CAN_BE_INIT.load(Ordering::SeqCst) {
            return Err(SandboxError::NotAnInit);
        }
        let start = |source| SandboxError::Start { program: self.0.program.clone(), source };
        let (channel, theirs) = Channel::pair().map_err(start)?;
        let descriptors: Vec<OwnedFd> = std::iter::once(theirs.into()).chain(streams).collect();
        self.fork(spec, &descriptors).map_err(start)?;
        Ok(Session { channel, _launcher: self.clone() })
    }

    /// Asks for a sandbox with these as its channel and the streams that are sent.
    fn fork(&self, spec: &Spec, descriptors: &[OwnedFd]) -> io::Result<()> {
        // The value is replaced as a whole, so a panic elsewhere leaves it sound.
        let forker = &self.0.forkers[usize::from(spec.network == Network::Host)];
        let mut forker = forker.lock().unwrap_or_else(PoisonError::into_inner);
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(OwnedFd::as_fd).collect();
        if let Some(running) = &*forker
            && running.channel.send(spec, &descriptors).is_ok()
        {
            return Ok(());
        }
        // There is none yet, or something killed it.
        *forker = None;
        let started = Forker::start(&self.0.program)?;
        started.channel.send(spec, &descriptors)?;
        *forker = Some(started);
        Ok(())
    }
}

impl Forker {
    fn start(program: &Path) -> io::Result<Self> {
        let (channel, theirs) = Channel::pair()?;
        let child = host::process::command(program)
            .arg(INIT_ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        let groups = Groups::new(&Together { processes: Some(PROCESSES), ..Together::default() });
        groups.add(child.id());
        Ok(Self { channel, child, _groups: groups })
    }
}

impl Drop for Forker {
    fn drop(&mut self) {
        self.channel.hang_up();
        // Waiting fails only for a child that was waited for before.
        let _ = self.child.wait();
    }
}

impl Session {
    /// Tells init to stop, if it has not, and waits until every process of the sandbox is dead: until then the process
    /// that forked it holds the other end of the channel.
    pub fn end(&self) {
        self.channel.hang_up();
        while let Ok(Some(_)) = self.channel.receive::<IgnoredAny>() {}
    }
}
