//! Free space where a command writes: a command that would fill the disk is stopped before others feel it.
//!
//! What one command has written cannot be told from what others write, short of a file system with quotas. What is
//! left can be asked for at any time for a microsecond, so that is what is watched.

use std::path::{Path, PathBuf};

/// So much stays free on a large disk: logs and results of all that runs find a place.
const RESERVE: u64 = 1 << 30;

/// On a small one it is this part.
const PART: u64 = 20;

/// The file system in which a command works.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    /// Bytes that must stay free; 0 when nothing is known of it.
    reserve: u64,
}

impl Disk {
    /// The one that holds a folder, before the command starts.
    pub fn of(folder: &Path) -> Self {
        let reserve = host::fs::space(folder).map_or(0, |space| {
            // A disk that is nearly full already still serves small commands.
            RESERVE.min(space.total / PART).min(space.free / 2)
        });
        Self { folder: folder.to_owned(), reserve }
    }

    /// Whether less is free than must be.
    pub fn is_full(&self) -> bool {
        self.reserve > 0 && host::fs::space(&self.folder).is_ok_and(|space| space.free < self.reserve)
    }
}
