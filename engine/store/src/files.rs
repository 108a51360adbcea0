//! Files of a store and links to them: sealed, hashed, put where they are wanted.

use std::fs::File;
use std::path::Path;

use host::fs::{self, FileError, FileKind};
use model::Digest;

/// Seconds since the epoch of 2000-01-01: late enough for every archive format.
pub(crate) const SEALED: u64 = 946_684_800;
/// How often something is put in place while others put the same there, or take it away.
pub(crate) const TRIES: usize = 20;

/// The permission bits of a content's file.
pub(crate) fn mode(executable: bool) -> u32 {
    if executable { 0o555 } else { 0o444 }
}

/// Whether a file is as it was put into a store of this user: not written to, and with the mode that is part of its content.
/// By its other names, which are shown to people, somebody may have changed either.
pub(crate) fn is_as_put(stat: &fs::FileStat, executable: bool, owner: u32) -> bool {
    stat.mtime == i128::from(SEALED) * 1_000_000_000
        && stat.kind == FileKind::File
        && stat.mode == mode(executable)
        && stat.owner == owner
}

/// Links, or copies where the file system has no (more) links to give.
pub(crate) fn link_or_copy(blob: &Path, to: &Path) -> Result<(), FileError> {
    let mut linked = fs::hard_link(blob, to);
    // Somebody put the same content over the file just when it was looked up; the kernel links no file without a name.
    for _ in 0..TRIES {
        match &linked {
            Err(error) if error.is_not_found() && fs::exists(blob) => linked = fs::hard_link(blob, to),
            _ => break,
        }
    }
    match linked {
        Err(error) if !error.is_already_exists() && !error.is_not_found() => {
            fs::copy(blob, to)?;
            let file = fs::open(to)?;
            let mode = fs::lstat(blob)?.mode;
            fs::seal(&file, to, mode, SEALED)
        }
        other => other,
    }
}

pub(crate) fn hash(file: &File, path: &Path) -> Result<Digest, FileError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(|source| failed("read", path, source))?;
    Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))
}

pub(crate) fn failed(operation: &'static str, path: &Path, source: std::io::Error) -> FileError {
    FileError { operation, path: path.to_owned(), source }
}
