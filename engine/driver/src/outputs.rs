//! Puts outputs where people look for them: `build-out/` at the top of the workspace, and folders in which programs run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use execution::Content;
use model::{Artifact, Data, Depset, RelPath};
use store::{Placement, Store};

use crate::error::{Error, ErrorKind};

/// The folder of outputs at the top of a workspace.
pub(crate) const FOLDER: &str = "build-out";

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
    store.materialise_files(below, &files)?;
    Ok(store.show_trees(below, trees)?)
}

/// Makes a folder below `below` in which all `artifacts` lie at their paths, as actions see them. Replaces what was there.
pub(crate) fn runtime_folder(
    store: &Store,
    below: &Path,
    folder: &Path,
    artifacts: &[Artifact],
    contents: &BTreeMap<RelPath, Content>,
) -> Result<(), Error> {
    store::make_way(below, folder)?;
    host::fs::remove_tree(folder)?;
    store::make_way(below, folder)?;
    let mut placed = BTreeMap::new();
    for artifact in artifacts {
        let Some(content) = contents.get(artifact.path()) else {
            let message = format!("the artifact {} has no content after its build", artifact.path());
            return Err(Error::new(ErrorKind::Internal, message));
        };
        placed.insert(folder.join(artifact.path()), content);
    }
    place(store, folder, &placed)
}

/// Where the output `artifact` is shown to the user.
pub(crate) fn shown_at(root: &Path, artifact: &Artifact) -> PathBuf {
    root.join(FOLDER).join(artifact.short_path())
}
