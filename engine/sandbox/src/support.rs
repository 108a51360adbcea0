//! Whether this machine lets the engine make sandboxes.

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;

use model::Network;

use crate::command::Limits;
use crate::error::SandboxError;
use crate::launcher::Launcher;
use crate::spec::{Report, Spec};

/// Whether sandboxes can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// They can.
    Available,
    /// They cannot, and this is why.
    Missing(String),
}

/// Tries once whether a sandbox can be set up on this machine by the running program.
pub fn support() -> &'static Support {
    static SUPPORT: OnceLock<Support> = OnceLock::new();
    SUPPORT.get_or_init(|| Launcher::current().support())
}

impl Launcher {
    /// Tries whether a sandbox can be set up: all of it, but without a program.
    pub fn support(&self) -> Support {
        match self.probe() {
            Ok(()) => Support::Available,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
                Support::Missing(format!("{error}{cause}"))
            }
        }
    }

    fn probe(&self) -> Result<(), SandboxError> {
        let null = || -> Result<File, SandboxError> { Ok(host::fs::open(Path::new("/dev/null"))?) };
        let session = self.start(&Spec::probe(), null()?, null()?)?;
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
            stdin: None,
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
