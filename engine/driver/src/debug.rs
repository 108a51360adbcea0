//! Entering the kept sandbox of a failed action.

use std::path::Path;

use sandbox::{Launcher, Status};

use crate::error::{Error, ErrorKind};

/// Starts a shell in the sandbox that `--sandbox_debug` kept in `folder`. Returns its exit code; 128 + n for signal n.
pub fn debug_sandbox(folder: &Path) -> Result<i32, Error> {
    match sandbox::enter(&Launcher::current(), folder) {
        Ok(Status::Code(code)) => Ok(code),
        Ok(Status::Signal(signal)) => Ok(128 + signal),
        Ok(other) => Err(Error::new(ErrorKind::Environment, format!("the shell was ended: {other:?}"))),
        Err(error) => Err(Error::caused(ErrorKind::Environment, &error).hint(
            "it takes the folder that a build with --sandbox_debug named; actions without a shell have no /bin/sh",
        )),
    }
}
