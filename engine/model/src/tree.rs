//! Trees: the content of a directory as one sorted manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::path::RelPath;

/// A directory by content: paths of files and symbolic links (and empty folders) with what they hold. Folders are implied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Entries by path.
    pub entries: BTreeMap<RelPath, TreeEntry>,
}

/// What a path of a tree holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TreeEntry {
    /// A regular file.
    File {
        /// Its content.
        digest: Digest,
        /// Bytes.
        size: u64,
        /// Whether any execute bit is set.
        executable: bool,
    },
    /// A symbolic link with its target as written.
    Symlink {
        /// The target.
        target: String,
    },
    /// A folder without entries.
    EmptyFolder,
}

/// An entry that cannot be placed in a tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Two different entries want one path.
    #[error("two entries for `{0}`")]
    Duplicate(RelPath),
    /// A file stands where another entry needs a folder.
    #[error("`{0}` is both a file and a folder")]
    FileAndFolder(RelPath),
    /// A symbolic link leads out of the tree.
    #[error("`{path}` is a symbolic link to {target}, which leads out of the tree it is in")]
    LeadsOut {
        /// The link.
        path: RelPath,
        /// Its target as written.
        target: String,
    },
    /// The manifest cannot be read.
    #[error("not a tree manifest")]
    Malformed(#[source] serde_json::Error),
}

impl Tree {
    /// Adds an entry; the same entry twice is no error.
    pub fn insert(&mut self, path: RelPath, entry: TreeEntry) -> Result<(), TreeError> {
        match self.entries.get(&path) {
            Some(existing) if *existing == entry => Ok(()),
            Some(_) => Err(TreeError::Duplicate(path)),
            None => {
                self.entries.insert(path, entry);
                Ok(())
            }
        }
    }

    /// Places all entries of `other` below `prefix` (empty: merges at the root).
    pub fn insert_tree(&mut self, prefix: &RelPath, other: &Self) -> Result<(), TreeError> {
        other.entries.iter().try_for_each(|(path, entry)| self.insert(prefix.join_path(path), entry.clone()))
    }

    /// The files, links and empty folders below a folder, as a tree of their own.
    pub fn below(&self, folder: &RelPath) -> Self {
        let entries = self.entries.iter();
        let inside = entries.filter_map(|(path, entry)| Some((path.strip_prefix(folder.as_str())?, entry.clone())));
        Self { entries: inside.filter(|(path, _)| !path.as_str().is_empty()).collect() }
    }

    /// Checks that no file is used as a folder.
    pub fn check(&self) -> Result<(), TreeError> {
        for path in self.entries.keys() {
            let mut folder = path.parent();
            while let Some(parent) = folder {
                match self.entries.get(&parent) {
                    Some(TreeEntry::EmptyFolder) | None => {}
                    Some(_) => return Err(TreeError::FileAndFolder(parent)),
                }
                folder = parent.parent();
            }
        }
        Ok(())
    }

    /// The canonical manifest: what the store holds and what the tree's digest is of.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.entries).expect("paths and digests always serialise")
    }

    /// Reads a manifest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TreeError> {
        serde_json::from_slice(bytes).map(|entries| Self { entries }).map_err(TreeError::Malformed)
    }

    /// The digest of the manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }
}
