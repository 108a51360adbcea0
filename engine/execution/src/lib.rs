//! Runs an action graph: what is wanted and not in the store is made, in parallel, each action once.
//!
//! An action is a pure function of content. Its key ([`key`]) covers all that it can see; its result is kept in the
//! store's memo table. An action sees blobs of the store, never the workspace, so that an edit during the build cannot
//! give a result a wrong key. Labels are only for people here; no rule and no language is known.

mod admission;
mod complaint;
mod compose;
mod content;
mod durations;
mod executor;
mod failure;
mod graph;
mod key;
mod memo;
mod mounts;
mod outcome;
mod outputs;
mod persistent;
mod places;
mod priority;
mod process;
mod runner;
mod schedule;
mod undeclared;
mod unstarted;
mod worker;

pub use content::{Builtin, BuiltinCall, Content, Explained, Known, Made, Refused, Sources};
pub use executor::{ACTION_TIMEOUT, Executor};
pub use failure::{Failure, FailureKind};
pub use key::action_key;
pub use outcome::{ExecutionError, Outcome, Stats};
pub use persistent::PersistentWorkers;
pub use runner::{Runner, SandboxRunner};
