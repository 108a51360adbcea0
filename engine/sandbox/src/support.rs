//! Whether this machine lets the engine make sandboxes.

use std::sync::OnceLock;

use model::Network;

use crate::command::Limits;
use crate::error::SandboxError;
use crate::launcher::Launcher;
use crate::obstacle::Obstacle;
use crate::spec::{Report, Spec, Stream};

/// Whether sandboxes can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// They can.
    Available,
    /// They cannot, and this is why.
    Missing(Obstacle),
}

/// Tries once whether a sandbox can be set up on this machine by the running program.
pub fn support() -> &'static Support {
    static SUPPORT: OnceLock<Support> = OnceLock::new();
    SUPPORT.get_or_init(|| Launcher::current().support())
}

/// Whether an error tells of the machine's state just now (no descriptors, memory or processes left) and not of what it
/// can do.
fn is_passing(error: &SandboxError) -> bool {
    use nix::libc::{EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOMEM};
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error
                .raw_os_error()
                .is_some_and(|code| [EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOMEM].contains(&code));
        }
        cause = error.source();
    }
    false
}

impl Launcher {
    /// Tries whether a sandbox can be set up: all of it, but without a program.
    pub fn support(&self) -> Support {
        match self.probe() {
            Ok(()) => Support::Available,
            // Nothing was found out; a command that cannot be started now fails with this, and must not run unprotected.
            Err(error) if is_passing(&error) => Support::Available,
            Err(error) => Support::Missing(Obstacle::of(&error)),
        }
    }

    fn probe(&self) -> Result<(), SandboxError> {
        let session = self.start(&Spec::probe(), Vec::new())?;
        let result = loop {
            match session.channel.receive::<Report>().map_err(SandboxError::Lost)? {
                Some(received) => match received.message {
                    Report::Failed(failure) => {
                        break Err(SandboxError::Setup { source: failure.source(), step: failure.step });
                    }
                    Report::Ended { .. } => break Ok(()),
                    _ => {}
                },
                None => break Err(SandboxError::Lost(std::io::ErrorKind::UnexpectedEof.into())),
            }
        };
        session.end();
        result
    }
}

impl Spec {
    /// A sandbox without a program: everything is set up, then it ends.
    fn probe() -> Self {
        Self {
            hostname: "sandbox".to_owned(),
            user: 1000,
            group: 1000,
            network: Network::Loopback,
            root: None,
            files: Vec::new(),
            memory: vec!["/tmp".to_owned()],
            binds: Vec::new(),
            shelf: None,
            streams: [Stream::nothing(), Stream::nothing(), Stream::nothing()],
            logs: None,
            argv: Vec::new(),
            env: Vec::new(),
            cwd: "/".to_owned(),
            search_path: false,
            limits: Limits::default(),
            groups: Vec::new(),
            wire: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_machine_refuses_means_that_it_cannot() {
        let refused = |code| {
            let source = std::io::Error::from_raw_os_error(code);
            !is_passing(&SandboxError::Setup { step: "make namespaces".to_owned(), source })
        };
        use nix::libc::{EAGAIN, EINVAL, EMFILE, ENOMEM, ENOSPC, EPERM};
        // ENOSPC is what the kernel says where the number of user namespaces is limited to none.
        assert!([EPERM, EINVAL, ENOSPC].into_iter().all(refused));
        assert!(![EAGAIN, EMFILE, ENOMEM].into_iter().any(refused));
    }
}
