//! Naming the step that failed.

use std::io;

use nix::errno::Errno;

use crate::spec::Failure;

/// Turns an error into a [`Failure`] that says what was attempted on what.
pub(super) trait Step<T> {
    /// `step` is a verb phrase that follows "cannot".
    fn step<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, Failure>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step: step().into(), errno: errno as i32 })
    }
}

impl<T> Step<T> for rustix::io::Result<T> {
    fn step<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step: step().into(), errno: errno.raw_os_error() })
    }
}

impl<T> Step<T> for io::Result<T> {
    fn step<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|error| Failure { step: step().into(), errno: error.raw_os_error().unwrap_or(Errno::EIO as i32) })
    }
}
