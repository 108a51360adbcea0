//! Files. Every error says what was attempted on which path. What changes files is in `fs/changes.rs`.

mod changes;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::faults::{self, Operation};

pub use changes::*;

/// A failed operation on a path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct FileError {
    /// What was attempted, as a verb: `read`, `create folder`.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// Whether the path does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }

    /// Whether a folder cannot be renamed since its new name is that of a folder with entries.
    pub fn is_in_the_way(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
    }

    /// Whether the path exists already.
    pub fn is_already_exists(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }
}

/// What identifies the state of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileStat {
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime: i128,
    /// Change time, nanoseconds since the epoch.
    pub ctime: i128,
    /// Inode number.
    pub inode: u64,
    /// Device number.
    pub device: u64,
    /// Permission bits.
    pub mode: u32,
    /// The user whom it belongs to.
    pub owner: u32,
    /// How many names the file has.
    pub links: u64,
    /// What it is.
    pub kind: FileKind,
    /// When the file was made, nanoseconds since the epoch, where the file system keeps it. Nothing changes it later.
    pub born: Option<i128>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderEntry {
    /// The name.
    pub name: String,
    /// Whether it is a folder itself (links are not followed).
    pub is_folder: bool,
    /// Whether it is a symbolic link.
    pub is_symlink: bool,
    /// Whether it is a device, a socket or a pipe.
    pub is_special: bool,
    /// Whether the name is not UTF-8; then it has a sign where it is not.
    pub is_odd: bool,
}

fn attempt<T>(operation: &'static str, path: &Path, result: io::Result<T>) -> Result<T, FileError> {
    result.map_err(|source| FileError { operation, path: path.to_owned(), source })
}

/// The whole content.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    attempt("read", path, faults::call(Operation::Read, path, || fs::read(path)))
}

/// `length` bytes of an open file from `offset` on; an error if there are fewer.
pub fn read_at(file: &File, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = vec![0; length];
    attempt("read", path, faults::call(Operation::Read, path, || file.read_exact_at(&mut bytes, offset)))?;
    Ok(bytes)
}

/// The last `limit` bytes of the content, and how many are before them.
pub fn read_end(path: &Path, limit: u64) -> Result<(Vec<u8>, u64), FileError> {
    let read = || -> io::Result<(Vec<u8>, u64)> {
        let mut file = File::open(path)?;
        let before = file.metadata()?.len().saturating_sub(limit);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(before))?;
        file.take(limit).read_to_end(&mut bytes)?;
        Ok((bytes, before))
    };
    attempt("read", path, faults::call(Operation::Read, path, read))
}

/// The whole content as text.
pub fn read_to_string(path: &Path) -> Result<String, FileError> {
    attempt("read", path, faults::call(Operation::Read, path, || fs::read_to_string(path)))
}

/// The most bytes of a file that people write and the engine reads as a whole.
pub const MOST_TEXT: u64 = 8 << 20;

/// Why a file is no text to be read, and where in it. Lines and columns count from 1.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct TextError {
    /// Line.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
    /// What is wrong.
    pub reason: String,
}

/// The whole content of a file that people write. A pipe or a device, which may have no end, is an error, as is what is
/// very large or no UTF-8; the error's source is a [`TextError`] then.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    attempt("read", path, text(path))
}

fn text(path: &Path) -> io::Result<String> {
    let wrong =
        |line, column, reason: String| io::Error::new(io::ErrorKind::InvalidData, TextError { line, column, reason });
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(wrong(1, 1, "it is not a regular file".to_owned()));
    }
    if metadata.len() > MOST_TEXT {
        return Err(wrong(1, 1, format!("it has {} bytes; at most {MOST_TEXT} can be read", metadata.len())));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_TEXT + 1).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        wrong(count(line), count(column), "it is not UTF-8 here".to_owned())
    })
}

/// Opens for reading.
pub fn open(path: &Path) -> Result<File, FileError> {
    attempt("open", path, faults::call(Operation::Read, path, || File::open(path)))
}

/// Bytes of names of attributes that are looked at.
const ATTRIBUTES: usize = 256;

/// Space of a file system.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// All bytes.
    pub total: u64,
    /// Bytes that this user may still write.
    pub free: u64,
}

/// The space of the file system that holds a path.
pub fn space(path: &Path) -> Result<Space, FileError> {
    let stat = attempt("ask for the space at", path, rustix::fs::statvfs(path).map_err(Into::into))?;
    Ok(Space { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize })
}

/// Whether nothing can be run from the file system that holds a path.
pub fn is_without_execution(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|stat| stat.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

/// Whether an open file has extended attributes: capabilities, access lists, a user's notes. The label that a machine's
/// policy gives every file does not count.
pub fn has_attributes(file: &File) -> bool {
    let mut names = Vec::with_capacity(ATTRIBUTES);
    match rustix::fs::flistxattr(file, rustix::buffer::spare_capacity(&mut names)) {
        // What is longer than the buffer is more than the label.
        Err(error) => error == rustix::io::Errno::RANGE,
        Ok(_) => names.split(|byte| *byte == 0).any(|name| !name.is_empty() && name != b"security.selinux"),
    }
}

/// The state of an open file.
pub fn stat_open(file: &File, path: &Path) -> Result<FileStat, FileError> {
    attempt("stat", path, file.metadata()).map(|metadata| to_stat(&metadata))
}

/// The target of a symbolic link.
pub fn read_link(path: &Path) -> Result<PathBuf, FileError> {
    attempt("read the link", path, fs::read_link(path))
}

/// The absolute path without links.
pub fn canonicalize(path: &Path) -> Result<PathBuf, FileError> {
    attempt("resolve", path, fs::canonicalize(path))
}

/// Whether the file system of a path has no room for another file, or none for a byte.
pub fn is_full(path: &Path) -> bool {
    // Where the file system does not count files, it has neither any nor free ones.
    rustix::fs::statvfs(path).is_ok_and(|room| room.f_bavail == 0 || (room.f_files > 0 && room.f_favail == 0))
}

/// Whether the path exists (following links).
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// Whether the path is a folder (following links).
pub fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

/// The state of a file, following links.
pub fn stat(path: &Path) -> Result<FileStat, FileError> {
    attempt("stat", path, fs::metadata(path)).map(|metadata| to_stat(&metadata))
}

/// The state of a path itself, not following a link.
pub fn lstat(path: &Path) -> Result<FileStat, FileError> {
    attempt("stat", path, fs::symlink_metadata(path)).map(|metadata| to_stat(&metadata))
}

fn to_stat(metadata: &fs::Metadata) -> FileStat {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let file_type = metadata.file_type();
    let kind = match () {
        () if file_type.is_file() => FileKind::File,
        () if file_type.is_dir() => FileKind::Folder,
        () if file_type.is_symlink() => FileKind::Symlink,
        () => FileKind::Other,
    };
    FileStat {
        size: metadata.len(),
        mtime: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        ctime: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        inode: metadata.ino(),
        device: metadata.dev(),
        mode: metadata.mode() & 0o7777,
        owner: metadata.uid(),
        links: metadata.nlink(),
        kind,
        born: metadata.created().ok().map(crate::clock::nanoseconds),
    }
}

/// A folder that is open, for many looks at its entries.
#[derive(Debug)]
pub struct OpenFolder(rustix::fd::OwnedFd);

impl OpenFolder {
    /// Opens a folder.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        attempt("open", path, rustix::fs::open(path, flags, Mode::empty()).map(Self).map_err(Into::into))
    }

    /// The state of an entry, following links; `None` when there is none.
    pub fn stat(&self, name: &str) -> io::Result<Option<FileStat>> {
        use rustix::fs::{AtFlags, FileType};
        use rustix::io::Errno;
        let stat = match rustix::fs::statat(&self.0, name, AtFlags::empty()) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let time = |seconds: i64, rest: u64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Ok(Some(FileStat {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
            device: stat.st_dev,
            mode: stat.st_mode & 0o7777,
            owner: stat.st_uid,
            links: stat.st_nlink,
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => FileKind::File,
                FileType::Directory => FileKind::Folder,
                FileType::Symlink => FileKind::Symlink,
                _ => FileKind::Other,
            },
            // This call of the system does not tell it, and is cheaper for that.
            born: None,
        }))
    }
}

/// The entries of a folder, sorted by name. Names that are not UTF-8 are an error: whoever asks needs all.
pub fn read_dir(path: &Path) -> Result<Vec<FolderEntry>, FileError> {
    let entries = read_dir_with_odd_names(path)?;
    match entries.iter().find(|entry| entry.is_odd) {
        None => Ok(entries),
        Some(entry) => {
            let reason = format!("the name {:?} is not UTF-8", entry.name);
            Err(FileError {
                operation: "list",
                path: path.to_owned(),
                source: io::Error::new(io::ErrorKind::InvalidData, reason),
            })
        }
    }
}

/// The entries of a folder, sorted by name, for those to whom a name that is not UTF-8 may mean nothing.
pub fn read_dir_with_odd_names(path: &Path) -> Result<Vec<FolderEntry>, FileError> {
    let list = || -> io::Result<Vec<FolderEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let file_type = entry.file_type()?;
            let (is_folder, is_symlink) = (file_type.is_dir(), file_type.is_symlink());
            let (name, is_odd) = match entry.file_name().into_string() {
                Ok(name) => (name, false),
                Err(name) => (name.to_string_lossy().into_owned(), true),
            };
            let is_special = !is_folder && !is_symlink && !file_type.is_file();
            entries.push(FolderEntry { name, is_folder, is_symlink, is_special, is_odd });
        }
        entries.sort();
        Ok(entries)
    };
    attempt("list", path, faults::call(Operation::Read, path, list))
}
