//! The files of a repository: a folder on disk, or the embedded rules. One small interface, so that packages, globs and
//! .star files need not know which.

use std::path::PathBuf;
use std::sync::Arc;

use host::fs::FileKind;
use model::Diagnostics;
use observation::{Entry, Observer, Question};

use crate::embedded;
use crate::packages::MARKS;
use crate::workspace::{file_error, text_error};

/// Where a repository's files are.
#[derive(Debug, Clone)]
pub(crate) enum SourceTree {
    /// A folder on disk, and who looks at it.
    Disk(PathBuf, Arc<Observer>),
    /// The files of `rules/` in the engine itself.
    Embedded,
}

impl SourceTree {
    /// The text of a file; `None` when there is none.
    pub(crate) fn read(&self, path: &str) -> Result<Option<String>, Diagnostics> {
        match self {
            Self::Disk(root, observer) => observer.read(&root.join(path)).map_err(|error| text_error(error, path)),
            Self::Embedded => Ok(embedded::read(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())),
        }
    }

    /// What is at a path, links followed; `None` for nothing, a broken link or a special file.
    pub(crate) fn kind(&self, path: &str) -> Option<FileKind> {
        match self {
            Self::Disk(root, observer) => observer.kind(&root.join(path)),
            Self::Embedded if embedded::read(path).is_some() => Some(FileKind::File),
            Self::Embedded => (!embedded::list(path).is_empty()).then_some(FileKind::Folder),
        }
    }

    /// The entries of a folder, sorted by name; empty when there is no such folder. Broken links are left out.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<Entry>, Diagnostics> {
        match self {
            Self::Disk(root, observer) => observer.list(&root.join(folder)).map_err(file_error),
            Self::Embedded => Ok(embedded::list(folder)),
        }
    }

    /// Where a folder really is, links resolved; `None` for one that is not in the repository.
    pub(crate) fn real(&self, folder: &str) -> Option<PathBuf> {
        match self {
            Self::Disk(root, _) => {
                let root = host::fs::canonicalize(root).ok()?;
                host::fs::canonicalize(&root.join(folder)).ok().filter(|real| real.starts_with(&root))
            }
            Self::Embedded => Some(PathBuf::from(folder)),
        }
    }

    /// The entries of a folder that the search for packages looks at.
    pub(crate) fn folders(&self, folder: &str) -> Result<Vec<Entry>, Diagnostics> {
        match self {
            Self::Disk(root, observer) => observer.folders(&root.join(folder), &MARKS).map_err(file_error),
            Self::Embedded => Ok(embedded::list(folder)),
        }
    }

    /// A question to the disk as an observation names it; `None` for what cannot change.
    pub(crate) fn question(&self, question: Question, path: &str) -> Option<(Question, String)> {
        match self {
            Self::Disk(root, observer) => Some((question, observer.name(&root.join(path)))),
            Self::Embedded => None,
        }
    }
}
