//! The files of a repository: a folder on disk, or the embedded rules. One small interface, so that packages, globs and
//! .star files need not know which.

use std::path::PathBuf;

use host::fs::FileKind;
use model::Diagnostics;

use crate::embedded;
use crate::workspace::file_error;

/// Where a repository's files are.
#[derive(Debug, Clone)]
pub(crate) enum SourceTree {
    /// A folder on disk.
    Disk(PathBuf),
    /// The files of `rules/` in the engine itself.
    Embedded,
}

/// An entry of a folder, links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) folder: bool,
    pub(crate) symlink: bool,
}

impl SourceTree {
    /// The text of a file; `None` when there is none.
    pub(crate) fn read(&self, path: &str) -> Result<Option<String>, Diagnostics> {
        match self {
            Self::Disk(root) => match host::fs::read_to_string(&root.join(path)) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(file_error(error)),
            },
            Self::Embedded => Ok(embedded::read(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())),
        }
    }

    /// What is at a path, links followed; `None` for nothing, a broken link or a special file.
    pub(crate) fn kind(&self, path: &str) -> Option<FileKind> {
        match self {
            Self::Disk(root) => host::fs::stat(&root.join(path)).ok().map(|stat| stat.kind),
            Self::Embedded if embedded::read(path).is_some() => Some(FileKind::File),
            Self::Embedded => (!embedded::list(path).is_empty()).then_some(FileKind::Folder),
        }
    }

    /// The entries of a folder, sorted by name; empty when there is no such folder. Broken links are left out.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<Entry>, Diagnostics> {
        let Self::Disk(root) = self else { return Ok(embedded::list(folder)) };
        let path = root.join(folder);
        let entries = match host::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(file_error(error)),
        };
        let resolve = |entry: host::fs::FolderEntry| {
            let folder = match entry.is_symlink {
                true => host::fs::stat(&path.join(&entry.name)).ok()?.kind == FileKind::Folder,
                false => entry.is_folder,
            };
            Some(Entry { name: entry.name, folder, symlink: entry.is_symlink })
        };
        Ok(entries.into_iter().filter_map(resolve).collect())
    }
}
