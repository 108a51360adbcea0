//! Puts outputs where people look for them: `build-out/` at the top of the workspace, and folders in which programs run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use execution::Content;
use model::{Artifact, Data, Depset, RelPath};
use store::Store;

use crate::error::{Error, ErrorKind};

/// The folder of outputs at the top of a workspace.
pub(crate) const FOLDER: &str = "build-out";

/// How often an output is placed that another command takes away meanwhile.
const TRIES: usize = 20;

/// The artifacts of a depset of files.
pub(crate) fn files(set: &Depset) -> Vec<Artifact> {
    set.to_list().iter().filter_map(|data| Data::as_file(data).cloned()).collect()
}

/// Places an artifact below `folder` at `path`, by hard link; what is there already and equal stays.
pub(crate) fn place(store: &Store, content: &Content, to: &Path) -> Result<(), Error> {
    if let Some(parent) = to.parent() {
        host::fs::create_dir_all(parent)?;
    }
    let mut tries = 1;
    loop {
        match try_to_place(store, content, to) {
            // Another command may be placing the same output: each finds what the other has just put there or taken away.
            Err(_) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

fn try_to_place(store: &Store, content: &Content, to: &Path) -> Result<(), Error> {
    match content {
        Content::File { digest, executable, .. } => {
            let blob = store.blob_path(digest, *executable)?;
            if is_same_file(&blob, to) {
                return Ok(());
            }
            remove(to)?;
            store.materialise_file(digest, *executable, to)?;
        }
        Content::Tree(digest) => {
            // Trees are immutable folders of the store: one link stands for all their files.
            let tree = store.tree_path(digest)?;
            let target = tree.to_string_lossy().into_owned();
            if host::fs::read_link(to).is_ok_and(|link| link == tree) {
                return Ok(());
            }
            remove(to)?;
            host::fs::symlink(&target, to)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Error> {
    match host::fs::lstat(path) {
        Err(_) => Ok(()),
        Ok(stat) if stat.kind == host::fs::FileKind::Folder => Ok(host::fs::remove_tree(path)?),
        Ok(_) => Ok(host::fs::remove_file(path)?),
    }
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    match (host::fs::lstat(a), host::fs::lstat(b)) {
        (Ok(a), Ok(b)) => a.inode == b.inode && a.device == b.device,
        _ => false,
    }
}

/// Makes a folder in which all `artifacts` lie at their paths, as actions see them. Replaces what was there.
pub(crate) fn runtime_folder(
    store: &Store,
    folder: &Path,
    artifacts: &[Artifact],
    contents: &BTreeMap<RelPath, Content>,
) -> Result<(), Error> {
    host::fs::remove_tree(folder)?;
    host::fs::create_dir_all(folder)?;
    for artifact in artifacts {
        let Some(content) = contents.get(artifact.path()) else {
            let message = format!("the artifact {} has no content after its build", artifact.path());
            return Err(Error::new(ErrorKind::Internal, message));
        };
        place(store, content, &folder.join(artifact.path()))?;
    }
    Ok(())
}

/// Where the output `artifact` is shown to the user.
pub(crate) fn shown_at(root: &Path, artifact: &Artifact) -> PathBuf {
    root.join(FOLDER).join(artifact.short_path())
}
