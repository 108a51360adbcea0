//! The folders in which `build run` starts programs: one for each target and content, so that two runs of one target do
//! not take each other's files away, whether they are of the same content or not.
//!
//! Whoever runs in a folder holds a shared lock on it, which ends with the last process that inherited it. A folder that
//! nobody holds is removed by the next run of the target, which locks the folder above meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use execution::Content;
use model::{Artifact, Digest, KeyBuilder, Label, RelPath};

use crate::error::Error;
use crate::outputs;
use crate::session::Session;

/// Places a program's files at their artifact paths below a folder; the folder, and the lock that keeps it.
pub(crate) fn place(
    session: &Session,
    label: &Label,
    artifacts: &[Artifact],
    contents: &BTreeMap<RelPath, Content>,
) -> Result<(PathBuf, File), Error> {
    let name = format!("{}-{}", label.name(), Digest::of(label.to_string().as_bytes()).short());
    let below = session.outputs()?;
    let of_target = below.join("run").join(name);
    store::make_way(&below, &of_target)?;
    let lock = host::fs::open(&of_target)?;
    // Where there are no locks, two runs that start in the same moment may disturb each other.
    let _ = host::lock::wait(&lock, &of_target, false, |_| ());
    remove_unused(&of_target)?;
    let folder = of_target.join(key(artifacts, contents)?.short());
    store::make_way(&below, &folder)?;
    let held = host::fs::open(&folder)?;
    // Nobody has it alone: that takes the lock of the target, which is ours.
    let _ = held.try_lock_shared();
    outputs::runtime_folder(&session.store, &folder, artifacts, contents)?;
    Ok((folder, held))
}

/// Removes the folders in which nothing runs, with what programs left in them.
fn remove_unused(of_target: &Path) -> Result<(), Error> {
    for entry in host::fs::read_dir(of_target)?.into_iter().filter(|entry| entry.is_folder) {
        let folder = of_target.join(entry.name);
        // One that is gone was removed by `build clean`.
        let Ok(file) = host::fs::open(&folder) else { continue };
        if file.try_lock().is_ok() {
            host::fs::remove_tree(&folder)?;
        }
    }
    Ok(())
}

/// What tells one content of the folder from another.
fn key(artifacts: &[Artifact], contents: &BTreeMap<RelPath, Content>) -> Result<Digest, Error> {
    let mut key = KeyBuilder::new("run folder", 1);
    for artifact in artifacts {
        let content = outputs::content_of(artifact, contents)?;
        key.text(artifact.path().as_str());
        match content {
            Content::File { digest, executable, .. } => key.digest(digest).number(u64::from(*executable)),
            Content::Tree(digest) => key.digest(digest).number(2),
        };
    }
    Ok(key.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_which_something_runs_stays() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["used", "unused"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let used = File::open(folder.path().join("used")).unwrap();
        used.try_lock_shared().unwrap();
        remove_unused(folder.path()).unwrap();
        assert!(folder.path().join("used").is_dir() && !folder.path().join("unused").exists());
        drop(used);
        remove_unused(folder.path()).unwrap();
        assert!(!folder.path().join("used").exists());
    }
}
