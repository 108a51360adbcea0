//! What a command saw of the workspace's files, and whether a later command would see the same.
//!
//! Loading, analysis and execution are pure functions of these answers. An [`Observer`] asks the file system, each
//! question once, and keeps the answers with a [`Fingerprint`]; [`verify`] looks which of them may have changed, by stat
//! alone wherever a stat can tell. What the answers are used for is not known here.

mod answer;
mod observer;
mod verify;

pub use answer::{Answer, Fingerprint, Observation, Question, SETTLED_AFTER};
pub use observer::look;
pub use observer::{Entry, Observer};
pub use verify::{Claim, Verdict, Verification, differing, shown, verify};
