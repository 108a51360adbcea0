//! Which folders are packages.

use std::sync::{Mutex, PoisonError};

use model::{Diagnostics, PackageId};
use observation::Question;
use rayon::prelude::*;

use crate::glob::join;
use crate::loader::Loader;
use crate::source_tree::SourceTree;
use crate::workspace::WORKSPACE_FILE;

/// The name of the file that makes a folder a package.
pub(crate) const BUILD_FILE: &str = "BUILD.star";

/// The file names that the search for packages looks at.
pub const MARKS: [&str; 2] = [BUILD_FILE, WORKSPACE_FILE];

/// Folders of a repository in which no packages and no globbed files are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackageFilter<'a> {
    /// The ignored folders of WORKSPACE.star; empty for other repositories.
    pub(crate) ignored: &'a [std::sync::Arc<str>],
    /// Whether this is the main repository, whose root also holds outputs.
    pub(crate) main: bool,
}

impl PackageFilter<'_> {
    /// Whether a folder, relative to the repository's root, is left out.
    pub(crate) fn skips(&self, folder: &str) -> bool {
        let outputs = self.main && matches!(folder, "build-out" | "target");
        outputs || folder.rsplit('/').next() == Some(".git") || self.ignored_by(folder).is_some()
    }

    /// The entry of `workspace(ignore = ...)` that covers a folder.
    pub(crate) fn ignored_by(&self, folder: &str) -> Option<&str> {
        let covers = |ignored: &str| {
            let ignored = ignored.trim_end_matches('/');
            folder.strip_prefix(ignored).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.ignored.iter().map(|ignored| &**ignored).find(|ignored| covers(ignored))
    }
}

impl Loader {
    /// All packages at and below a folder of a repository, sorted. A folder that is a workspace of its own is not
    /// entered.
    pub fn packages_below(&self, folder: &PackageId) -> Result<Vec<PackageId>, Diagnostics> {
        let mut paths = match self.tree(folder.repository()) {
            Some(tree) => {
                let searched = Mutex::default();
                let found = folders_with_packages(tree, self.filter(folder.repository()), folder.path(), &searched)?;
                let searched = searched.into_inner().unwrap_or_else(PoisonError::into_inner);
                let questions = searched.iter().filter_map(|path| tree.question(Question::Folders, path));
                self.searched
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(questions.map(|(_, folder)| folder));
                found
            }
            None => self.external_packages(folder.repository())?,
        };
        let prefix = folder.path();
        let below = |path: &str| {
            prefix.is_empty() || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        paths.retain(|path| below(path));
        paths.sort();
        Ok(paths.iter().filter_map(|path| PackageId::new(folder.repository(), path).ok()).collect())
    }
}

fn folders_with_packages(
    tree: &SourceTree,
    filter: PackageFilter<'_>,
    folder: &str,
    searched: &Mutex<Vec<String>>,
) -> Result<Vec<String>, Diagnostics> {
    let entries = tree.folders(folder)?;
    searched.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
    let has = |name: &str| entries.iter().any(|entry| entry.name == name && !entry.folder);
    if !folder.is_empty() && has(WORKSPACE_FILE) {
        return Ok(Vec::new());
    }
    let own = has(BUILD_FILE).then(|| folder.to_owned());
    let below: Vec<Vec<String>> = entries
        .par_iter()
        .filter(|entry| entry.folder && !entry.symlink && !entry.odd)
        .map(|entry| join(folder, &entry.name))
        .filter(|path| !filter.skips(path))
        .map(|path| folders_with_packages(tree, filter, &path, searched))
        .collect::<Result<_, _>>()?;
    Ok(own.into_iter().chain(below.into_iter().flatten()).collect())
}
