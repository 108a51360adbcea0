//! Scratch space: one folder a process under `tmp/`, removed with it, or by the next process if it was killed.
//!
//! A folder `tmp/<name>` belongs to whoever holds the lock on `tmp/<name>.lock`. Locks, not process ids: they end with
//! the process and hold across pid namespaces.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use host::fs::{self, FileError};

/// The scratch folder of this process.
pub(crate) struct Scratch {
    folder: PathBuf,
    lock: PathBuf,
    next: AtomicU64,
    start: i128,
    _held: File,
}

/// A temporary folder on the store's file system, removed when dropped, read-only folders in it included.
#[derive(Debug)]
pub struct TempDir(PathBuf);

/// The mode of the folder of all scratch folders.
const PRIVATE: u32 = 0o700;

impl Scratch {
    /// Removes what dead processes left in `tmp` and makes a folder of its own.
    pub(crate) fn open(tmp: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(tmp)?;
        // What an action makes is its user's until it is taken: no other user may start a program there that sets its user.
        if fs::lstat(tmp)?.mode & 0o777 != PRIVATE {
            fs::set_mode(tmp, PRIVATE)?;
        }
        remove_abandoned(tmp)?;
        let start = host::clock::now();
        let mut attempt = 0;
        loop {
            let name = format!("{}-{start}-{attempt}", std::process::id());
            let lock = tmp.join(format!("{name}.lock"));
            if let Some(held) = acquire(&lock)? {
                let folder = tmp.join(name);
                fs::create_dir_all(&folder)?;
                return Ok(Self { folder, lock, next: AtomicU64::new(0), start, _held: held });
            }
            attempt += 1;
        }
    }

    /// When the first of the other processes at work began, in nanoseconds since the epoch.
    pub(crate) fn oldest_other(&self) -> Result<Option<i128>, FileError> {
        let tmp = self.folder.parent().unwrap_or(&self.folder);
        let mut oldest = None;
        for entry in fs::read_dir(tmp)? {
            let Some(name) = entry.name.strip_suffix(".lock") else { continue };
            let lock = tmp.join(&entry.name);
            // A lock that is gone or can be had is nobody's.
            if lock == self.lock || fs::open(&lock).map_or(true, |file| file.try_lock().is_ok()) {
                continue;
            }
            let start = name.split('-').nth(1).and_then(|start| start.parse().ok()).unwrap_or(0);
            oldest = Some(oldest.map_or(start, |oldest: i128| oldest.min(start)));
        }
        Ok(oldest)
    }

    /// When this process began, in nanoseconds since the epoch.
    pub(crate) fn start(&self) -> i128 {
        self.start
    }

    /// A path that nobody uses.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A new empty folder.
    pub(crate) fn folder(&self) -> Result<TempDir, FileError> {
        let path = self.path();
        fs::create_dir_all(&path)?;
        Ok(TempDir(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.folder, &self.lock);
    }
}

/// Creates and locks `path`. `None` if another process was faster: one that took the new file for an abandoned one.
fn acquire(path: &Path) -> Result<Option<File>, FileError> {
    let file = match fs::create_new(path) {
        Ok(file) => file,
        Err(error) if error.is_already_exists() => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let same = fs::stat(path).is_ok_and(|now| fs::stat_open(&file, path).is_ok_and(|own| own.inode == now.inode));
    Ok(same.then_some(file))
}

fn remove_abandoned(tmp: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(tmp)? {
        let Some(name) = entry.name.strip_suffix(".lock") else { continue };
        let lock = tmp.join(&entry.name);
        let Ok(file) = fs::open(&lock) else { continue };
        if file.try_lock().is_ok() {
            remove(&tmp.join(name), &lock);
        }
    }
    Ok(())
}

/// Removes a folder and then its lock, by which the next process that opens the store finds what cannot be removed now.
/// Another process may remove the same leftovers at the same time; both aim at their absence.
fn remove(folder: &Path, lock: &Path) {
    if fs::remove_tree(folder).is_ok() {
        let _ = fs::remove_file(lock);
    }
}

impl TempDir {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What cannot be removed here goes with the process's scratch folder.
        let _ = fs::remove_tree(&self.0);
    }
}
