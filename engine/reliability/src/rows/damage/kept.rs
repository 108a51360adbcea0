//! All files that the engine keeps, by what they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::workspace::{Entry, Workspace, entries};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A content of the store.
    Content,
    /// A file in the folder of a tree.
    TreeFolder,
    /// A log of results.
    Results,
    /// The tables of a request.
    State,
    /// Other tables and notes of the store: source files, durations, the epoch, when garbage was collected.
    Note,
    /// A file that is locked and holds nothing.
    Lock,
    /// A file in `build-out`.
    Output,
}

/// Files by class. Those of a class are in order.
pub struct Kept {
    /// The files.
    pub files: BTreeMap<Class, Vec<PathBuf>>,
    /// Where the workspace shows things.
    pub outputs: PathBuf,
}

impl Kept {
    /// All of a workspace and its store.
    pub fn of(workspace: &Workspace) -> Self {
        let (store, outputs) = (workspace.store().join("v1"), workspace.root().join("build-out"));
        let mut files: BTreeMap<Class, Vec<PathBuf>> = BTreeMap::new();
        for (path, entry) in entries(&store) {
            if let (Entry::File(..), Some(class)) = (entry, class(&path)) {
                files.entry(class).or_default().push(store.join(path));
            }
        }
        for (path, entry) in entries(&outputs) {
            if matches!(entry, Entry::File(..)) {
                files.entry(Class::Output).or_default().push(outputs.join(path));
            }
        }
        Self { files, outputs }
    }
}

fn class(path: &Path) -> Option<Class> {
    let top = path.components().next()?.as_os_str().to_str()?;
    Some(match top {
        "blobs" => Class::Content,
        "trees" => Class::TreeFolder,
        "results" => Class::Results,
        "requests" => Class::State,
        "gate" | "locks" => Class::Lock,
        name if name.ends_with(".lock") => Class::Lock,
        _ => Class::Note,
    })
}
