//! A folder that another, untrusted process may change at any moment: it is read and emptied without following a link.
//!
//! A path that was looked at may be something else when it is used, so nothing here is opened by a path: each folder is
//! opened in the one above it, and what is opened is what is looked at.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, readlinkat, statat, unlinkat};

use crate::faults::{self, Operation};
use crate::fs::FileError;

/// Folders nested deeper are a trick to use up memory.
const DEEPEST: usize = 200;

/// What becomes of an entry of a folder that is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is removed.
    Nothing,
    /// It stays, but what is in it is looked at.
    Folder,
    /// It stays as it is.
    All,
}

/// Copies files, folders and links to an existing folder, without those below `folder` that are left out.
pub fn copy(folder: &Path, to: &Path, leave_out: &dyn Fn(&Path) -> bool) -> Result<(), FileError> {
    let copy = |at: &Path, entry: &Entry| match leave_out(at) {
        true => Ok(false),
        false => unless_gone(entry.copy(&to.join(at))),
    };
    walk(folder, &copy, &|_, _| Ok(())).map_err(|source| failed("copy", folder, source))
}

/// Removes everything below `folder` but what is kept.
pub fn empty(folder: &Path, keep: &dyn Fn(&Path) -> Keep) -> Result<(), FileError> {
    let enter = |at: &Path, entry: &Entry| match (entry.kind, keep(at)) {
        (_, Keep::All) => Ok(false),
        (FileType::Directory, _) => Ok(true),
        _ => unless_gone(entry.remove(AtFlags::empty(), at).map(|()| false)),
    };
    let leave = |at: &Path, entry: &Entry| match keep(at) {
        Keep::Nothing => entry.remove(AtFlags::REMOVEDIR, at),
        Keep::Folder | Keep::All => Ok(()),
    };
    walk(folder, &enter, &leave).map_err(|source| failed("empty", folder, source))
}

/// The other process may remove an entry just now.
fn unless_gone(result: io::Result<bool>) -> io::Result<bool> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        result => result,
    }
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> FileError {
    FileError { operation, path: path.to_owned(), source }
}

/// A name in an open folder.
struct Entry<'a> {
    folder: &'a OwnedFd,
    name: OsString,
    kind: FileType,
}

impl Entry<'_> {
    /// Copies it, without what is in a folder. Whether it is a folder.
    fn copy(&self, to: &Path) -> io::Result<bool> {
        match self.kind {
            FileType::Directory => faults::call(Operation::MakeFolder, to, || std::fs::create_dir(to)).map(|()| true),
            FileType::Symlink => {
                let target = readlinkat(self.folder, &self.name, Vec::new())?;
                faults::call(Operation::Link, to, || Ok(rustix::fs::symlink(target, to)?))?;
                Ok(false)
            }
            // Opening a pipe would wait for its writer.
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let mut from = File::from(openat(self.folder, &self.name, flags, Mode::empty())?);
                let metadata = from.metadata()?;
                if metadata.is_file() {
                    let executable = metadata.permissions().mode() & 0o111 != 0;
                    write_copy(&mut from, to, if executable { 0o755 } else { 0o644 })?;
                }
                Ok(false)
            }
            // A device, socket or pipe is nothing that could be taken.
            _ => Ok(false),
        }
    }

    /// Removes its name.
    fn remove(&self, flags: AtFlags, at: &Path) -> io::Result<()> {
        faults::call(Operation::Remove, at, || Ok(unlinkat(self.folder, &self.name, flags)?))
    }

    /// Opens it as a folder, whatever its mode.
    fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(self.folder, &self.name, flags, Mode::empty())?;
        let own = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
        if std::fs::metadata(&own)?.permissions().mode() & 0o700 != 0o700 {
            std::fs::set_permissions(&own, Permissions::from_mode(0o755))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&found, ".", flags, Mode::empty())?)
    }
}

/// Copies an open file to a new one.
fn write_copy(from: &mut File, to: &Path, mode: u32) -> io::Result<()> {
    let mut file = faults::call(Operation::Create, to, || File::create(to))?;
    faults::call(Operation::Write, to, || io::copy(from, &mut file))?;
    faults::call(Operation::SetAttributes, to, || file.set_permissions(Permissions::from_mode(mode)))
}

/// Called on entries with their paths below the folder.
type Visit<'a> = dyn Fn(&Path, &Entry<'_>) -> io::Result<bool> + 'a;
type Leave<'a> = dyn Fn(&Path, &Entry<'_>) -> io::Result<()> + 'a;

/// Visits everything below a folder: `enter` says whether to go into a folder, after which `leave` is called.
fn walk(folder: &Path, enter: &Visit<'_>, leave: &Leave<'_>) -> io::Result<()> {
    let top = openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    walk_open(&top, Path::new(""), DEEPEST, enter, leave)
}

fn walk_open(folder: &OwnedFd, at: &Path, depth: usize, enter: &Visit<'_>, leave: &Leave<'_>) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its folders are nested too deeply"));
    }
    // The names are read before anything changes, as removing entries while listing may skip some.
    let names: Vec<OsString> = Dir::read_from(folder)?
        .map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()))
        .collect::<io::Result<_>>()?;
    for name in names.into_iter().filter(|name| name != "." && name != "..") {
        let stat = match statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => continue,
            stat => stat?,
        };
        let entry = Entry { folder, name, kind: FileType::from_raw_mode(stat.st_mode) };
        let path = at.join(&entry.name);
        if enter(&path, &entry)? {
            walk_open(&entry.open()?, &path, depth - 1, enter, leave)?;
            leave(&path, &entry)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_copied_and_removed_and_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["work/a/b", "to", "outside"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::fs::write(path("outside/secret"), "s").unwrap();
        std::fs::write(path("work/a/b/file"), "x").unwrap();
        std::fs::write(path("work/left"), "out").unwrap();
        std::fs::write(path("work").join(OsStr::from_bytes(b"no\xffutf8")), "x").unwrap();
        symlink(path("outside"), path("work/a/link")).unwrap();
        std::fs::set_permissions(path("work/a"), Permissions::from_mode(0o000)).unwrap();

        copy(&path("work"), &path("to"), &|at| at == Path::new("left")).unwrap();
        assert_eq!(std::fs::read_to_string(path("to/a/b/file")).unwrap(), "x");
        assert_eq!(std::fs::read_link(path("to/a/link")).unwrap(), path("outside"));
        assert!(!path("to/left").exists());

        empty(&path("work"), &|at| if at == Path::new("a") { Keep::Folder } else { Keep::Nothing }).unwrap();
        let left: Vec<_> =
            walkdir::WalkDir::new(path("work")).into_iter().map(|entry| entry.unwrap().into_path()).collect();
        assert_eq!(left, [path("work"), path("work/a")]);
        assert_eq!(std::fs::read_to_string(path("outside/secret")).unwrap(), "s");
    }
    /// What another process does between the look at an entry and its use.
    #[test]
    fn an_entry_that_has_become_a_link_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("outside")).unwrap();
        std::fs::write(path("outside/secret"), "s").unwrap();
        symlink("outside", path("folder")).unwrap();
        symlink("outside/secret", path("file")).unwrap();
        let top = OwnedFd::from(File::open(folder.path()).unwrap());
        let entry = |name: &str, kind| Entry { folder: &top, name: name.into(), kind };
        assert!(entry("folder", FileType::Directory).open().is_err());
        assert!(entry("file", FileType::RegularFile).copy(&path("copied")).is_err());
        assert!(!path("copied").exists());
        assert!(entry("outside", FileType::Directory).open().is_ok());
    }

    #[test]
    fn folders_without_end_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("d/".repeat(DEEPEST + 1))).unwrap();
        assert!(empty(folder.path(), &|_| Keep::Nothing).unwrap_err().source.to_string().contains("too deeply"));
    }
}
