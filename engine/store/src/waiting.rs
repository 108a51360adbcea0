//! Waiting for other processes: locks of the store are held for milliseconds, but a process can be stopped with one.
//!
//! Nothing can be done without the lock then, so whoever waits says whom for, and what can be done about it.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use host::fs::FileError;
use host::lock::{self, Holder};

use crate::files::failed;

/// Takes a line for people.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// How this process waits for locks, and whom it tells.
#[derive(Clone)]
pub(crate) struct Waiting(Tell);

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

impl Waiting {
    pub(crate) fn new(tell: Tell) -> Self {
        Self(tell)
    }

    /// Locks a file for this process alone. The lock ends with the file.
    pub(crate) fn lock(&self, file: &File, path: &Path) -> Result<(), FileError> {
        self.wait(file, path, false)
    }

    /// Locks a file together with others.
    pub(crate) fn lock_shared(&self, file: &File, path: &Path) -> Result<(), FileError> {
        self.wait(file, path, true)
    }

    fn wait(&self, file: &File, path: &Path, shared: bool) -> Result<(), FileError> {
        let tell = |holder: Option<Holder>| (self.0)(&message(path, holder));
        lock::wait(file, path, shared, tell).map_err(|source| failed("lock", path, source))
    }
}

fn message(path: &Path, holder: Option<Holder>) -> String {
    let what = format!("which holds a lock of the store ({})", path.display());
    match holder {
        None => format!("waiting for another process, {what}"),
        Some(Holder { pid, is_stopped: false }) => format!("waiting for process {pid}, {what}"),
        Some(Holder { pid, is_stopped: true }) => format!(
            "waiting for process {pid}, {what} and is stopped: `kill -CONT {pid}` lets it go on, `kill -KILL {pid}` ends it"
        ),
    }
}
