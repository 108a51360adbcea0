//! The calls that change what is on disk. Each asks [`crate::faults`] first, so that a test can fail or end the process
//! at every single one; nothing that persists goes past this file and `foreign.rs`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{FileError, attempt};
use crate::faults::{self, Operation};

/// How the names of files begin that [`write_atomic`] has not finished.
pub const TEMPORARY: &str = ".tmp-";

/// An error of a call names the operation and the path.
fn change<T>(
    operation: &'static str,
    kind: Operation,
    path: &Path,
    work: impl FnOnce() -> io::Result<T>,
) -> Result<T, FileError> {
    attempt(operation, path, faults::call(kind, path, work))
}

/// Writes everything that the file system of an open file holds in memory to its disk, and waits for it.
pub fn sync_file_system(file: &File, path: &Path) -> Result<(), FileError> {
    change("sync", Operation::Sync, path, || rustix::fs::syncfs(file).map_err(io::Error::from))
}

/// Writes one open file to its disk, and waits for it.
pub fn sync_file(file: &File, path: &Path) -> Result<(), FileError> {
    change("sync", Operation::Sync, path, || file.sync_all())
}

/// Creates or truncates for writing.
pub fn create(path: &Path) -> Result<File, FileError> {
    change("create", Operation::Create, path, || File::create(path))
}

/// Creates a file that must not exist yet.
pub fn create_new(path: &Path) -> Result<File, FileError> {
    change("create", Operation::Create, path, || File::create_new(path))
}

/// Opens for reading and for writing at the end; creates the file if it is missing.
pub fn open_append(path: &Path) -> Result<File, FileError> {
    let open = || OpenOptions::new().read(true).append(true).create(true).open(path);
    change("open", Operation::Create, path, open)
}

/// Writes all the bytes to an open file.
pub fn write_all(file: &File, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    attempt("write", path, faults::write(file, path, bytes))
}

/// Cuts or extends an open file.
pub fn set_len(file: &File, path: &Path, length: u64) -> Result<(), FileError> {
    change("write", Operation::Truncate, path, || file.set_len(length))
}

/// A new file that is written to piece by piece, for those who write to any [`Write`].
#[derive(Debug)]
pub struct Output {
    file: File,
    path: PathBuf,
}

impl Output {
    /// Creates or truncates the file.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        Ok(Self { file: create(path)?, path: path.to_owned() })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        faults::write(&self.file, &self.path, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a file in place.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let file = change("write", Operation::Create, path, || File::create(path))?;
    write_all(&file, path, bytes)
}

/// Writes a file so that a reader sees the old content or the new, never a part: a temporary file beside it, then a rename.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_parts_atomic(path, &[bytes])
}

/// Writes the parts of a file one after the other, as [`write_atomic`] does.
pub fn write_parts_atomic(path: &Path, parts: &[&[u8]]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let made = faults::call(Operation::Create, path, || {
            // The library's own way to make a file hides which error of the system it was.
            tempfile::Builder::new().prefix(TEMPORARY).make_in(folder, |path| File::create_new(path))
        })?;
        parts.iter().try_for_each(|part| faults::write(made.as_file(), made.path(), part))?;
        let readable = Permissions::from_mode(0o644);
        faults::call(Operation::SetAttributes, made.path(), || made.as_file().set_permissions(readable))?;
        faults::call(Operation::Rename, path, || made.persist(path).map(drop).map_err(|error| error.error))
    };
    attempt("write", path, write())
}

/// Writes to a file that exists, without truncating it: for files of the kernel, which are no files to be made.
pub fn write_in_place(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let write = || OpenOptions::new().write(true).open(path)?.write_all(bytes);
    attempt("write", path, write())
}

/// Removes one empty folder.
pub fn remove_dir(path: &Path) -> Result<(), FileError> {
    change("remove", Operation::Remove, path, || fs::remove_dir(path))
}

/// Makes one folder with these permission bits, whatever the umask of the process is.
pub fn create_dir_with_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    create_dir(path)?;
    set_mode(path, mode)
}

/// Makes one folder, which must not exist, in one that does.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    change("create", Operation::MakeFolder, path, || fs::create_dir(path))
}

/// Sets the modification time of a file to now.
pub fn touch(path: &Path) -> Result<(), FileError> {
    let touch = || File::options().append(true).open(path)?.set_modified(std::time::SystemTime::now());
    change("set the time of", Operation::SetAttributes, path, touch)
}

/// Creates a folder and its parents.
pub fn create_dir_all(path: &Path) -> Result<(), FileError> {
    attempt("create folder", path, create_parents_and(path))
}

fn create_parents_and(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let create = || faults::call(Operation::MakeFolder, path, || fs::create_dir(path));
    match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.parent().is_some() => {
            create_parents_and(path.parent().unwrap_or(path))?;
            create().or_else(|error| if path.is_dir() { Ok(()) } else { Err(error) })
        }
        Err(error) if !path.is_dir() => Err(error),
        _ => Ok(()),
    }
}

/// Creates a folder and its parents; whether it was missing. A file that stands where a folder belongs is an error.
pub fn make_folder(path: &Path) -> Result<bool, FileError> {
    match faults::call(Operation::MakeFolder, path, || fs::create_dir(path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_dir_all(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(source) => Err(FileError { operation: "create folder", path: path.to_owned(), source }),
    }
}

/// Sets permission bits and the modification time (seconds since the epoch) of an open file or folder.
pub fn seal(file: &File, path: &Path, mode: u32, mtime: u64) -> Result<(), FileError> {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(mtime);
    let times = fs::FileTimes::new().set_modified(time).set_accessed(time);
    change("seal", Operation::SetAttributes, path, || file.set_times(times))?;
    change("seal", Operation::SetAttributes, path, || file.set_permissions(Permissions::from_mode(mode)))
}

/// Removes a file.
pub fn remove_file(path: &Path) -> Result<(), FileError> {
    change("remove", Operation::Remove, path, || fs::remove_file(path))
}

/// Removes a folder with all it holds, read-only folders included; absent is fine. Of a link, only the link goes.
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    let is_folder = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.is_ok_and(|metadata| metadata.is_dir()),
    };
    if !is_folder {
        return remove_file(path);
    }
    match remove_folder(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => make_writable(path),
    }
    attempt("remove", path, remove_folder(path))
}

/// Removes a folder if nothing is in it; whether it is gone.
pub fn remove_if_empty(folder: &Path) -> Result<bool, FileError> {
    match change("remove", Operation::Remove, folder, || fs::remove_dir(folder)) {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) if error.is_in_the_way() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The library's way is safe against links that are put there meanwhile, but cannot be stopped in its midst; with a hook
/// each name is removed by a call of its own.
fn remove_folder(path: &Path) -> io::Result<()> {
    if !faults::is_installed() {
        return fs::remove_dir_all(path);
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => remove_folder(&entry.path())?,
            false => faults::call(Operation::Remove, &entry.path(), || fs::remove_file(entry.path()))?,
        }
    }
    faults::call(Operation::Remove, path, || fs::remove_dir(path))
}

fn make_writable(folder: &Path) {
    for entry in walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok) {
        if entry.file_type().is_dir() {
            // A folder that cannot be changed shows up as the error of the removal that follows.
            let _ = set_mode(entry.path(), 0o755);
        }
    }
}

/// Renames; replaces a file at the destination.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    change("move a file to", Operation::Rename, to, || fs::rename(from, to))
}

/// Makes a hard link.
pub fn hard_link(original: &Path, link: &Path) -> Result<(), FileError> {
    change("link", Operation::Link, link, || fs::hard_link(original, link))
}

/// Makes a symbolic link.
pub fn symlink(target: &str, link: &Path) -> Result<(), FileError> {
    change("link", Operation::Link, link, || std::os::unix::fs::symlink(target, link))
}

/// Copies content and permission bits.
pub fn copy(from: &Path, to: &Path) -> Result<u64, FileError> {
    let copy = || -> io::Result<u64> {
        if !faults::is_installed() {
            return fs::copy(from, to);
        }
        // In its steps, so that each can fail.
        let bytes = faults::call(Operation::Read, from, || fs::read(from))?;
        let file = faults::call(Operation::Create, to, || File::create(to))?;
        faults::write(&file, to, &bytes)?;
        let mode = fs::metadata(from)?.permissions();
        faults::call(Operation::SetAttributes, to, || file.set_permissions(mode))?;
        Ok(bytes.len() as u64)
    };
    attempt("copy to", to, copy())
}

/// Sets the permission bits.
pub fn set_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    let set = || fs::set_permissions(path, Permissions::from_mode(mode));
    change("set the mode of", Operation::SetAttributes, path, set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_link_only_the_link_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        create_dir_with_mode(&path("kept"), 0o700).unwrap();
        write(&path("kept/file"), b"x").unwrap();
        symlink("kept", &path("link")).unwrap();
        remove_tree(&path("link")).unwrap();
        assert!(path("kept/file").exists() && !path("link").exists());
        symlink("nowhere", &path("link")).unwrap();
        remove_tree(&path("link")).unwrap();
        remove_tree(&path("link")).unwrap();
        create_dir_with_mode(&path("kept/inner"), 0o755).unwrap();
        write(&path("kept/inner/file"), b"x").unwrap();
        set_mode(&path("kept/inner"), 0o555).unwrap();
        remove_tree(&path("kept")).unwrap();
        assert!(!path("kept").exists());
    }
}
