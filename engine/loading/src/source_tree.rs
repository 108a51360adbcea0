//! The files of a repository: a folder on disk, or the embedded rules. One small interface, so that packages, globs and
//! .star files need not know which.

use std::collections::BTreeMap;
use std::path::PathBuf;

use host::fs::FileKind;
use model::Diagnostics;

use crate::embedded::FILES;
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
            Self::Embedded => Ok(embedded(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())),
        }
    }

    /// What is at a path, links followed; `None` for nothing, a broken link or a special file.
    pub(crate) fn kind(&self, path: &str) -> Option<FileKind> {
        match self {
            Self::Disk(root) => host::fs::stat(&root.join(path)).ok().map(|stat| stat.kind),
            Self::Embedded if embedded(path).is_some() => Some(FileKind::File),
            Self::Embedded => (!embedded_entries(path).is_empty()).then_some(FileKind::Folder),
        }
    }

    /// The entries of a folder, sorted by name; empty when there is no such folder. Broken links are left out.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<Entry>, Diagnostics> {
        let Self::Disk(root) = self else { return Ok(embedded_entries(folder)) };
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

/// The content of an embedded file.
pub(crate) fn embedded(path: &str) -> Option<&'static [u8]> {
    FILES.binary_search_by(|(name, _)| (*name).cmp(path)).ok().map(|at| FILES[at].1)
}

fn embedded_entries(folder: &str) -> Vec<Entry> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let from = FILES.partition_point(|(name, _)| *name < prefix.as_str());
    let below = FILES[from..].iter().map_while(|(name, _)| name.strip_prefix(prefix.as_str()));
    let mut entries = BTreeMap::new();
    for rest in below {
        match rest.split_once('/') {
            Some((name, _)) => entries.insert(name, true),
            None => entries.insert(rest, false),
        };
    }
    entries.into_iter().map(|(name, folder)| Entry { name: name.to_owned(), folder, symlink: false }).collect()
}
