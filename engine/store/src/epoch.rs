//! Durability: what was stored before the machine lost its power is whole, or is found out before it is used.
//!
//! Syncing each file costs more than making it, and syncing the file system at the end of a command makes the command
//! wait for what other programs wrote. So nothing waits: the kernel writes contents back within a minute, and the store
//! remembers up to when it did. The file `epoch` says in which run of the machine it was written (the kernel's boot id)
//! and before which moment everything is on disk. The first process after a new start reads every blob that was made
//! after that moment and removes what does not have its digest: cut short, empty, zeroed. Names may be missing, but the
//! file system keeps their order, and a result without its contents counts as absent. Records of the logs have checks
//! of their own. So a null build syncs nothing, a build waits for nothing, and a crash costs one reading of what was
//! new.
//!
//! The moment moves on when a command stores something and it is `INTERVAL` old: a thread then syncs the file system
//! beside the command. When a file was made is its birth time, which linking, unlinking and sealing leave alone. A file
//! that took so long to make that its birth is no measure (`MARGIN`) is synced by itself.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use host::fs::{self, FileError, FileStat};
use model::Digest;
use rayon::prelude::*;

use crate::blobs::Store;
use crate::error::StoreError;
use crate::files::hash;

/// Clocks are set, files take time to be made: so long before the moment a birth is doubted.
const MARGIN: i128 = 600 * 1_000_000_000;
const INTERVAL: i128 = 600 * 1_000_000_000;

/// Up to when contents are on disk.
pub(crate) struct Epoch {
    path: PathBuf,
    boot: String,
    /// Whether this process need not look at the moment again.
    settled: AtomicBool,
}

/// What was done after the machine had started anew.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Blobs that might not have reached the disk, and were read.
    pub read: usize,
    /// Those of them that had not, and were removed.
    pub removed: usize,
}

impl Epoch {
    pub(crate) fn new(root: &Path, boot: &str) -> Self {
        Self { path: root.join("epoch"), boot: boot.to_owned(), settled: AtomicBool::new(false) }
    }

    /// The boot and the moment written down. Something unreadable stands for the beginning of time.
    fn read(&self) -> (String, i128) {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let (boot, moment) = text.trim().split_once(' ').unwrap_or_default();
        moment.parse().map_or_else(|_| (String::new(), 0), |moment| (boot.to_owned(), moment))
    }

    fn write(path: &Path, boot: &str, moment: i128) -> Result<(), FileError> {
        fs::write_atomic(path, format!("{boot} {moment}\n").as_bytes())
    }

    /// Notes that a new store holds nothing that could be lost.
    pub(crate) fn begin(&self) -> Result<(), FileError> {
        Self::write(&self.path, &self.boot, host::clock::now())
    }

    /// Something is stored: sees to it that the moment moves on.
    pub(crate) fn note_write(&self) {
        if self.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        let now = host::clock::now();
        if self.read().1 + INTERVAL > now {
            return;
        }
        let (path, boot) = (self.path.clone(), self.boot.clone());
        std::thread::spawn(move || {
            // Without the new moment the next start reads more than it must.
            let _ = fs::open(&path)
                .and_then(|file| fs::sync_file_system(&file, &path))
                .and_then(|()| Self::write(&path, &boot, now));
        });
    }

    /// Syncs a file whose birth does not tell when it was stored.
    pub(crate) fn settle(&self, file: &File, path: &Path, stat: &FileStat) -> Result<(), FileError> {
        let slow = stat.born.is_some_and(|born| host::clock::now() - born > MARGIN / 2);
        if slow { fs::sync_file(file, path) } else { Ok(()) }
    }
}

impl Store {
    /// Looks at what may not have reached the disk, if the machine was started since the last process looked.
    pub(crate) fn recover(&self) -> Result<Recovery, StoreError> {
        let epoch = &self.0.epoch;
        if epoch.read().0 == epoch.boot {
            return Ok(Recovery::default());
        }
        let path = self.root().join("epoch.lock");
        let lock = fs::open_append(&path)?;
        self.0.waiting.lock(&lock, &path)?;
        let (boot, moment) = epoch.read();
        if boot == epoch.boot {
            return Ok(Recovery::default());
        }
        let now = host::clock::now();
        let recovery = self.read_since(moment - MARGIN)?;
        Epoch::write(&epoch.path, &epoch.boot, now)?;
        Ok(recovery)
    }

    fn read_since(&self, moment: i128) -> Result<Recovery, StoreError> {
        let (read, removed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        self.entries("blobs")?.par_iter().try_for_each(|(path, name)| -> Result<(), StoreError> {
            let Ok(digest) = name.strip_suffix(".x").unwrap_or(name).parse::<Digest>() else { return Ok(()) };
            let known = |stat: FileStat| stat.born.is_some_and(|born| born < moment);
            // One that is gone was removed by somebody else.
            if fs::lstat(path).map_or(true, known) {
                return Ok(());
            }
            read.fetch_add(1, Ordering::Relaxed);
            if !hash(&fs::open(path)?, path).is_ok_and(|actual| actual == digest) {
                removed.fetch_add(1, Ordering::Relaxed);
                self.discard(path)?;
            }
            Ok(())
        })?;
        let recovery = Recovery { read: read.into_inner(), removed: removed.into_inner() };
        if recovery.removed > 0 {
            // Folders of trees hold further names of the damaged files. They are links, and made again.
            let trees = self.entries("trees")?;
            trees.par_iter().try_for_each(|(path, _)| self.remove_aside(path))?;
        }
        Ok(recovery)
    }
}
