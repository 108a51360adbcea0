//! What can go wrong in the store.

use std::path::PathBuf;

use host::fs::FileError;
use model::{Digest, TreeError};

/// A failed operation of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Reading from the given reader failed.
    #[error("cannot read the content to be stored")]
    Reader(#[source] std::io::Error),
    /// The content is not in the store.
    #[error("content {} is not in the store", .0.short())]
    Missing(Digest),
    /// The content was in the store, but damaged; it has been removed.
    #[error("content {} was damaged in the store and has been removed", .0.short())]
    Corrupt(Digest),
    /// A tree cannot be made.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A source file kept changing while it was read.
    #[error("{} is being written to; try again when it is complete", .0.display())]
    Changing(PathBuf),
    /// Neither a regular file, nor a folder, nor a symbolic link.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// A path or the target of a link that no tree can hold.
    #[error("{} cannot be part of a tree: {reason}", path.display())]
    Unrepresentable {
        /// Which path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// Whether making the content again helps.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Corrupt(_))
    }
}
