//! Faults put in on purpose: what a crash, a torn write or a full disk does at each call that changes what is on disk.
//!
//! Every function of this crate that changes files, or opens one to be read, asks here first. In the product nobody
//! answers: no option and no variable of the environment installs a [`Hook`], only code that links this crate and calls
//! [`install`], as the program does that tests reliability. Without a hook a question costs one load of a pointer.

use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Makes a file, or opens one to be written.
    Create,
    /// Writes bytes to an open file.
    Write,
    /// Cuts a file.
    Truncate,
    /// Gives a file or folder another name.
    Rename,
    /// Gives a file a further name, or makes a symbolic link.
    Link,
    /// Removes a name.
    Remove,
    /// Makes a folder.
    MakeFolder,
    /// Sets permission bits or times.
    SetAttributes,
    /// Waits until something is on the disk.
    Sync,
    /// Opens a file or folder to read it. The only one that changes nothing.
    Read,
}

impl Operation {
    /// Whether it changes what is on disk.
    pub fn persists(self) -> bool {
        self != Self::Read
    }
}

/// A call that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// What it does.
    pub operation: Operation,
    /// On what.
    pub path: &'a Path,
    /// How many bytes it writes.
    pub bytes: usize,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is made.
    GoOn,
    /// It fails. Of a write so many bytes are written before.
    Fail {
        /// The number of the error.
        errno: i32,
        /// How much of a write goes through.
        written: usize,
    },
}

/// Decides about calls. Threads ask at once.
pub trait Hook: Send + Sync {
    /// Before a call.
    fn before(&self, call: &Call<'_>) -> Answer;

    /// After a call, or after what went through of one that fails.
    fn after(&self, call: &Call<'_>);
}

static HOOK: OnceLock<Box<dyn Hook>> = OnceLock::new();

/// Lets a hook decide about all further calls of this process. `false` if there is one already.
pub fn install(hook: Box<dyn Hook>) -> bool {
    HOOK.set(hook).is_ok()
}

/// Whether somebody decides. What is one call otherwise may then be made in its steps.
pub(crate) fn is_installed() -> bool {
    HOOK.get().is_some()
}

/// Makes a call, if it may be made.
pub(crate) fn call<T>(operation: Operation, path: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(hook) = HOOK.get() else { return work() };
    let call = Call { operation, path, bytes: 0 };
    let result = match hook.before(&call) {
        Answer::GoOn => work(),
        Answer::Fail { errno, .. } => Err(io::Error::from_raw_os_error(errno)),
    };
    hook.after(&call);
    result
}

/// Writes bytes, as many as may be written.
pub(crate) fn write(mut file: impl Write, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(hook) = HOOK.get() else { return file.write_all(bytes) };
    let call = Call { operation: Operation::Write, path, bytes: bytes.len() };
    let result = match hook.before(&call) {
        Answer::GoOn => file.write_all(bytes),
        Answer::Fail { errno, written } => {
            file.write_all(&bytes[..written.min(bytes.len())]).and(Err(io::Error::from_raw_os_error(errno)))
        }
    };
    hook.after(&call);
    result
}
