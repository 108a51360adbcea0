//! Locks between processes, as many in one file as there are offsets in it. They end with the process that holds them,
//! however it ends, and leave nothing behind. Who waits for a lock for long is told whom for.

mod holder;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::fs::{self, FileError};

pub use holder::{Holder, holder};

/// Longer than anybody needs a lock who does nothing else meanwhile.
const LONG: Duration = Duration::from_secs(1);

/// Locks a whole file, shared with others or not, and waits for it if need be. Once that takes long, `tell` is told who
/// has it, as far as that is known.
pub fn wait(file: &File, path: &Path, shared: bool, tell: impl FnOnce(Option<Holder>) + Send) -> io::Result<()> {
    let tried = if shared { file.try_lock_shared() } else { file.try_lock() };
    if tried.is_ok() {
        return Ok(());
    }
    let (locked, changed) = (Mutex::new(false), Condvar::new());
    std::thread::scope(|scope| {
        let say = || {
            let guard = locked.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = changed.wait_timeout_while(guard, LONG, |locked| !*locked);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            drop(guard);
            if timeout.timed_out() {
                tell(holder(path, None));
            }
        };
        // Without a thread to say it the wait is silent.
        let _ = std::thread::Builder::new().spawn_scoped(scope, say);
        let result = if shared { file.lock_shared() } else { file.lock() };
        *locked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_one();
        result
    })
}

/// A held lock. Dropping it gives it back.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock is held for as long as its file is open")] File);

/// Locks one byte of a file, which is made if it is missing and need not be as long. `None` if somebody else holds that
/// lock, be it another thread of this process.
pub fn try_lock(path: &Path, offset: u64) -> Result<Option<Lock>, FileError> {
    // A lock of an open file description: each call opens the file for itself, so that threads exclude each other too.
    let file = fs::open_append(path)?;
    let offset = i64::try_from(offset).unwrap_or(i64::MAX - 1);
    let byte = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: offset,
        l_len: 1,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&byte)) {
        Ok(_) => Ok(Some(Lock(file))),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
        Err(error) => Err(FileError { operation: "lock", path: path.to_owned(), source: io::Error::from(error) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_locked_once_and_its_neighbours_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks");
        let held = try_lock(&path, 7).unwrap().unwrap();
        assert!(try_lock(&path, 7).unwrap().is_none());
        assert!(try_lock(&path, 6).unwrap().is_some() && try_lock(&path, 8).unwrap().is_some());
        drop(held);
        assert!(try_lock(&path, 7).unwrap().is_some());
        assert!(try_lock(&path, u64::MAX).unwrap().is_some(), "any offset can be locked");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }
}
