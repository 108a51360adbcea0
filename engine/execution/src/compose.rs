//! Actions that only arrange content: write, copy, tree. No bytes are copied; manifests are composed.

use std::collections::BTreeMap;

use model::{Absolute, Action, Artifact, Expansion, RelPath, Tree, TreeEntry};
use store::{Store, StoreError};

use crate::content::Content;
use crate::failure::{Failure, FailureKind};
use crate::worker::Stop;

/// The words of expansions, now that the directories are made: each with its place.
pub(crate) fn expand(
    store: &Store,
    action: &Action,
    expansions: &[Expansion],
    inputs: &BTreeMap<RelPath, Content>,
) -> Result<Vec<(usize, Vec<String>)>, Stop> {
    let files = |directory: &Artifact| {
        let path = directory.path();
        let Content::Tree(digest) = &inputs[path] else { return Ok(vec![path.to_string()]) };
        let tree = store.tree(digest).map_err(|error| Stop::store(action, path, error))?;
        let files = tree.entries.iter().filter(|(_, entry)| !matches!(entry, TreeEntry::EmptyFolder));
        Ok(files.map(|(below, _)| path.join_path(below).to_string()).collect())
    };
    expansions.iter().map(|expansion| Ok((expansion.at, expansion.words(files)?))).collect()
}

/// A text with words inserted into it, a line each.
pub(crate) fn inserted(text: &str, words: &[(usize, Vec<String>)]) -> String {
    let mut whole = text.to_owned();
    for (at, words) in words.iter().rev() {
        let lines: String = words.iter().map(|word| format!("{word}\n")).collect();
        whole.insert_str(*at, &lines);
    }
    whole
}

/// Writes a text.
pub(crate) fn write(store: &Store, content: &str, executable: bool) -> Result<Content, StoreError> {
    let digest = store.put_bytes(content.as_bytes())?;
    Ok(Content::File { digest, size: content.len() as u64, executable })
}

/// Composes a tree from artifacts.
pub(crate) fn tree(
    store: &Store,
    action: &Action,
    entries: &[(String, Artifact)],
    inputs: &BTreeMap<RelPath, Content>,
) -> Result<Content, Stop> {
    let fail = |message: String| Stop::failure(Failure::new(action, FailureKind::Builtin, message));
    let mut tree = Tree::default();
    for (place, artifact) in entries {
        let place = RelPath::new(place).map_err(|error| fail(error.to_string()))?;
        let added = match &inputs[artifact.path()] {
            Content::File { digest, size, executable } => {
                if place.as_str().is_empty() {
                    return Err(fail(format!("the file {} has no place in the tree", artifact.path())));
                }
                tree.insert(place, TreeEntry::File { digest: *digest, size: *size, executable: *executable })
            }
            Content::Tree(digest) => {
                let other = store.tree(digest).map_err(|error| Stop::store(action, artifact.path(), error))?;
                tree.insert_tree(&place, &other)
            }
        };
        added.map_err(|error| fail(format!("{error}, while placing {}", artifact.path())))?;
    }
    tree.check().and_then(|()| tree.check_links(Absolute::Machine)).map_err(|error| fail(error.to_string()))?;
    store.put_tree(&tree).map(Content::Tree).map_err(|error| Stop::failure(Failure::engine(action, &error)))
}
