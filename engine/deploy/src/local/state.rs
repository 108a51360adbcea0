//! The folder in which a persistent local environment keeps the state of its services. One system at a time has it.

use std::path::Path;

use host::lock::{Lock, holder, try_lock};

use super::error::LocalError;

/// A name that no service can have.
const LOCK: &str = ".lock";

/// The right to write the state of an environment. Dropping it gives it back.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "the lock is held for as long as it is there")] Lock);

impl StateLock {
    /// Takes a folder, unless another system has it.
    pub fn take(folder: &Path) -> Result<Self, LocalError> {
        host::fs::create_dir_all(folder)?;
        let file = folder.join(LOCK);
        match try_lock(&file, 0)? {
            Some(lock) => Ok(Self(lock)),
            None => {
                let holder = holder(&file, Some(0)).map(|holder| holder.pid);
                Err(LocalError::StateInUse { folder: folder.to_owned(), holder })
            }
        }
    }
}
