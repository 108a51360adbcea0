//! The commands as functions on plain data: open a workspace, then build, test, run, query, fetch, deploy.
//!
//! Wires the crates together: the executor's built-in actions, the loader's external repositories, the rollout. Prints
//! nothing and never ends the process; what happens is told to a `Reporter`, what failed is an [`Error`].

mod build;
mod builtins;
mod debug;
mod deploy;
mod error;
mod external;
mod fetching;
mod maintenance;
mod options;
mod outputs;
mod plan;
mod push;
mod query;
mod revision;
mod run;
mod run_folder;
mod session;
mod sources;
mod test;
mod trust;
mod watch;

pub use build::{BuildReport, analyse, build};
pub use debug::debug_sandbox;
pub use deploy::show;
pub use error::{Error, ErrorKind};
pub use execution::Stats;
pub use fetching::fetch;
pub use loading::QueryFormat;
pub use maintenance::{clean, fsck, gc, gc_if_due, info, parse_age, parse_size, size_text};
pub use options::{Options, RunRequest, TestOptions};
pub use query::query;
pub use run::{Program, Ran, run};
pub use sandbox::{LastWords, before_abort, init_if_requested};
pub use script::{Running, running, running_here};
pub use session::Session;
pub use store::{Collected, Findings, Limits};
pub use test::{TestReport, TestResult, test};
pub use watch::{Rounds, WatchMode, WatchRequest, watch};
