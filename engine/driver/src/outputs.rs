//! Puts outputs where people look for them: `build-out/` at the top of the workspace, and folders in which programs run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use execution::Content;
use model::{Artifact, Data, Depset, RelPath};
use store::{Placement, Store, StoreError};

use crate::error::{Error, ErrorKind};

/// The folder of outputs at the top of a workspace.
pub(crate) const FOLDER: &str = "build-out";

/// Where local environments keep the state of their services, which `build clean` spares. No package has this name.
pub(crate) const STATE: &str = ".state";

/// The folder of the state of local environments below that of outputs, one folder each.
pub(crate) fn state_folder(below: &Path) -> PathBuf {
    below.join(STATE)
}

/// The artifacts of a depset of files.
pub(crate) fn files(set: &Depset) -> Vec<Artifact> {
    set.to_list().iter().filter_map(|data| Data::as_file(data).cloned()).collect()
}

/// Places contents at paths below a folder, files by hard links; what is there already and equal stays, what is in the way
/// goes. A tree is one symbolic link: trees are immutable folders of the store.
pub(crate) fn place(store: &Store, below: &Path, contents: &BTreeMap<PathBuf, &Content>) -> Result<(), Error> {
    let mut files = Vec::new();
    let mut trees = Vec::new();
    for (to, content) in contents {
        match content {
            Content::File { digest, size, executable } => {
                files.push(Placement { digest: *digest, size: *size, executable: *executable, to: to.clone() });
            }
            Content::Tree(digest) => trees.push((digest, to.as_path())),
        }
    }
    store.materialise_files(below, &files).map_err(|error| unwritable(below, error))?;
    store.show_trees(below, trees).map_err(|error| unwritable(below, error))
}

/// The error of showing outputs, with what helps where their folder cannot be written to. What helps a store does not.
fn unwritable(below: &Path, error: StoreError) -> Error {
    use std::io::ErrorKind as System;
    let refused = match &error {
        StoreError::File(error) if error.path.starts_with(below) => Some(error.source.kind()),
        _ => None,
    };
    let is_refused = matches!(refused, Some(System::ReadOnlyFilesystem | System::PermissionDenied));
    let mut error = Error::from(error);
    if let Some(diagnostic) = error.diagnostics.last_mut().filter(|_| is_refused) {
        diagnostic.hints = vec![
            format!("outputs are shown in {}: make the workspace writable, or copy it elsewhere", below.display()),
            "`build query` and `build build --nobuild` write nothing there".to_owned(),
        ];
    }
    error
}

/// Puts all `artifacts` at their paths below a folder, as actions see them.
pub(crate) fn runtime_folder(
    store: &Store,
    folder: &Path,
    artifacts: &[Artifact],
    contents: &BTreeMap<RelPath, Content>,
) -> Result<(), Error> {
    let mut placed = BTreeMap::new();
    for artifact in artifacts {
        placed.insert(folder.join(artifact.path()), content_of(artifact, contents)?);
    }
    place(store, folder, &placed)
}

/// The content of an artifact that was built.
pub(crate) fn content_of<'a>(
    artifact: &Artifact,
    contents: &'a BTreeMap<RelPath, Content>,
) -> Result<&'a Content, Error> {
    contents.get(artifact.path()).ok_or_else(|| {
        let message = format!("the artifact {} has no content after its build", artifact.path());
        Error::new(ErrorKind::Internal, message)
    })
}

/// Where the output `artifact` is shown to the user.
pub(crate) fn shown_at(root: &Path, artifact: &Artifact) -> PathBuf {
    root.join(FOLDER).join(artifact.short_path())
}
