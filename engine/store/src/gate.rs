//! Who is at work on the store, so that a collection of garbage takes nothing away from them.
//!
//! A process that opens the store passes the gate; a collection closes it, so that nobody begins while it removes.
//! Those who were there before are known by their locks on scratch folders, whose names say when they began.

use std::fs::File;
use std::path::Path;

use host::fs::{self, FileError};

use crate::waiting::Waiting;

const NAME: &str = "gate";

/// Holds the gate until it is dropped.
pub(crate) struct Gate(#[expect(dead_code, reason = "the lock ends with the file")] File);

impl Gate {
    /// Waits until no collection runs, and keeps the next one from beginning.
    pub(crate) fn pass(root: &Path, waiting: &Waiting) -> Result<Self, FileError> {
        let path = root.join(NAME);
        let file = fs::open_append(&path)?;
        waiting.lock_shared(&file, &path)?;
        Ok(Self(file))
    }

    /// Waits until those who are opening the store have done so, and keeps others from it.
    pub(crate) fn close(root: &Path, waiting: &Waiting) -> Result<Self, FileError> {
        let path = root.join(NAME);
        let file = fs::open_append(&path)?;
        waiting.lock(&file, &path)?;
        Ok(Self(file))
    }
}
