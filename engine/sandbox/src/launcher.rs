//! Starting the init of a sandbox: the engine's own program again, with a hidden first argument.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::channel::Channel;
use crate::error::SandboxError;
use crate::spec::Spec;

/// The first argument that turns a program into the sandbox's init.
pub(crate) const INIT_ARGUMENT: &str = "--sandbox-init";

/// Whether `main` of this program calls `init_if_requested`. Re-executing a program that does not would run it again.
pub(crate) static CAN_BE_INIT: AtomicBool = AtomicBool::new(false);

/// A program that can be the init of sandboxes.
#[derive(Debug, Clone)]
pub struct Launcher {
    program: Arc<Path>,
    current: bool,
}

/// A sandbox that was started: its channel, and the process to be waited for.
pub(crate) struct Session {
    pub channel: Channel,
    pub child: Child,
}

impl Launcher {
    /// The running program, which must call [`crate::init_if_requested`] first in `main`.
    pub fn current() -> Self {
        Self { program: Arc::from(Path::new("/proc/self/exe")), current: true }
    }

    /// Another program that calls [`crate::init_if_requested`] first in `main`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: Arc::from(program.into()), current: false }
    }

    /// Starts init and tells it what to run.
    pub(crate) fn start(&self, spec: &Spec, stdout: File, stderr: File) -> Result<Session, SandboxError> {
        if self.current && !CAN_BE_INIT.load(Ordering::SeqCst) {
            return Err(SandboxError::NotAnInit);
        }
        let start = |source| SandboxError::Start { program: self.program.to_path_buf(), source };
        let (channel, theirs) = Channel::pair().map_err(start)?;
        let child = Command::new(&*self.program)
            .arg(INIT_ARGUMENT)
            .env_clear()
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(start)?;
        let mut session = Session { channel, child };
        if let Err(error) = session.channel.send(spec, &[]) {
            session.end();
            return Err(SandboxError::Lost(error));
        }
        Ok(session)
    }
}

impl Session {
    /// Waits for init, after it reported its end or was told to stop.
    pub fn end(&mut self) {
        self.channel.hang_up();
        // Waiting fails only for a child that was waited for before.
        let _ = self.child.wait();
    }
}
