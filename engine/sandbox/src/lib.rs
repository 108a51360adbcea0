//!
//! The engine re-executes its own program ([`init_if_requested`]), so that namespaces are set up in a fresh process
//! with one thread. That process forks process 1 of each sandbox into new namespaces; process 1 builds the root
//! file system, starts the program, and takes everything in the namespace with it when it ends or when the engine is
//! gone. Nothing here knows of labels, keys or the store: a command is paths, arguments and limits.

mod cgroup;
mod channel;
mod command;
mod container;
mod debug;
mod disk;
mod error;
mod etc;
mod init;
mod last_words;
mod launcher;
mod obstacle;
mod persistent;
mod run;
mod spec;
mod support;
mod unsandboxed;

pub use command::{Command, Exceeded, Exit, Limits, Mount, Status, Together};
pub use container::{Call, Container, ContainerSpec, Handle, LogSink, StateFolder};
pub use debug::{enter, keep};
pub use error::SandboxError;
pub use init::init_if_requested;
pub use last_words::{LastWords, before_abort};
pub use launcher::Launcher;
pub use obstacle::Obstacle;
pub use persistent::{Patience, Persistent, Unanswered};
pub use run::run;
pub use support::{Support, support};
pub use unsandboxed::run_unsandboxed;
