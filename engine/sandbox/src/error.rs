//! What can go wrong around a process, as opposed to in it.

use std::io;
use std::path::PathBuf;

/// A process that could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine's own program could not be started again as the sandbox's init.
    #[error("cannot start {} as the sandbox's init", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `main` of the running program does not call [`crate::init_if_requested`], so it cannot serve as init.
    #[error("this program cannot be the sandbox's init: its main() does not call sandbox::init_if_requested()")]
    NotAnInit,
    /// A step of the set-up failed: which, on what, why.
    #[error("sandbox: cannot {step}")]
    Setup {
        /// The step with its subject, as a verb phrase: `mount the input a/b.go`.
        step: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the engine's side (log, scratch folder) failed.
    #[error(transparent)]
    File(#[from] host::fs::FileError),
    /// The channel to the init process broke.
    #[error("the sandbox's init ended without a report")]
    Lost(#[source] io::Error),
}
