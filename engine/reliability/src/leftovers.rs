//! What must not stay in a store or a workspace, and damage for a check to find.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::workspace::{Entry, Workspace, entries};

/// After the end of all commands and a collection of garbage there is nothing temporary.
pub fn none(workspace: &Workspace) -> Result<(), String> {
    let store = entries(&workspace.store().join("v1"));
    let is_left = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        path.starts_with("tmp") && path != Path::new("tmp") || name.starts_with(".tmp-") || name.starts_with("tmp-")
    };
    let outputs = workspace.outputs();
    let left: Vec<&PathBuf> = store.keys().chain(outputs.keys()).filter(|path| is_left(path)).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("left over: {left:?}")) }
}

/// The files of all contents that are not empty and have no other name, in order: nobody sees them but the store.
fn contents(workspace: &Workspace) -> Vec<PathBuf> {
    let folder = workspace.store().join("v1/blobs");
    let is_content = |entry: &Entry| matches!(entry, Entry::File(bytes, _) if !bytes.is_empty());
    let all = entries(&folder).into_iter().filter(|(_, entry)| is_content(entry)).map(|(path, _)| folder.join(path));
    all.filter(|path| fs::metadata(path).is_ok_and(|file| file.nlink() == 1)).collect()
}

/// Cuts a content in half and leaves its time as it was, as a store would that writes in place.
pub fn tear_a_content(workspace: &Workspace) -> Result<(), String> {
    let path = contents(workspace).into_iter().next().ok_or("the store has no content")?;
    tear(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn tear(path: &Path) -> std::io::Result<()> {
    let before = fs::metadata(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))?;
    let file = File::options().write(true).open(path)?;
    file.set_len(before.len() / 2)?;
    file.set_modified(before.modified()?)?;
    fs::set_permissions(path, before.permissions())
}

/// Damages three contents, the log of results with the most in it, and the index of source files.
pub fn damage(workspace: &Workspace) -> Result<(), String> {
    let store = workspace.store().join("v1");
    let damage = || -> std::io::Result<()> {
        contents(workspace).iter().take(3).try_for_each(|path| tear(path))?;
        let logs = fs::read_dir(store.join("results"))?.filter_map(|entry| Some(entry.ok()?.path()));
        let log = logs.max_by_key(|path| fs::metadata(path).map_or(0, |log| log.len()));
        if let Some(log) = log {
            let mut bytes = fs::read(&log)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&log, bytes)?;
        }
        fs::write(store.join("sources"), [7; 100])
    };
    damage().map_err(|error| format!("damage: {error}"))
}

/// Writes another text of the same length into the files of a content, which keep their times and modes, so that nothing but
/// reading them tells.
pub fn replace_content(workspace: &Workspace, content: &[u8], other: &[u8]) -> Result<(), String> {
    let digest = model::Digest::of(content).to_hex();
    let folder = workspace.store().join("v1/blobs").join(&digest[..2]);
    let mut replaced = 0;
    // A content that can be executed has a file of its own.
    for path in [folder.join(&digest), folder.join(format!("{digest}.x"))].into_iter().filter(|path| path.exists()) {
        let replace = || -> std::io::Result<()> {
            let sealed = fs::metadata(&path)?.modified()?;
            fs::write(&path, other)?;
            File::open(&path)?.set_modified(sealed)
        };
        replace().map_err(|error| format!("{}: {error}", path.display()))?;
        replaced += 1;
    }
    if replaced > 0 { Ok(()) } else { Err(format!("the store does not have {digest}")) }
}
