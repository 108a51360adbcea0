//! A check of everything in the store.

use std::path::PathBuf;

use host::fs;
use model::Digest;
use rayon::prelude::*;

use crate::blobs::Store;
use crate::error::StoreError;

/// What a check of the whole store found. Damaged entries have been removed, so that they are made again.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Blob files that were checked.
    pub blobs: usize,
    /// Contents that were damaged.
    pub corrupt: Vec<Digest>,
    /// Folders of trees that were kept.
    pub trees: usize,
    /// Folders of trees that were damaged.
    pub corrupt_trees: usize,
    /// Memo entries that were checked.
    pub memos: usize,
    /// Memo entries that were damaged.
    pub corrupt_memos: usize,
}

impl Store {
    /// Hashes every blob and checks every tree and memo entry.
    pub fn fsck(&self) -> Result<Findings, StoreError> {
        let mut findings = Findings::default();
        let blobs = self.entries("blobs")?;
        findings.blobs = blobs.len();
        let results: Result<Vec<Option<Digest>>, StoreError> = blobs
            .par_iter()
            .map(|(path, name)| match name.strip_suffix(".x").unwrap_or(name).parse::<Digest>() {
                Ok(digest) => Ok((!self.rehash(path, &digest)?).then_some(digest)),
                Err(_) => self.discard(path).map(|()| None),
            })
            .collect();
        findings.corrupt = results?.into_iter().flatten().collect();
        self.forget_checked();
        for (path, name) in self.entries("trees")? {
            let sound = name.parse::<Digest>().is_ok_and(|digest| self.tree_path(&digest).is_ok());
            if sound {
                findings.trees += 1;
            } else {
                findings.corrupt_trees += 1;
                self.discard(&path)?;
            }
        }
        for (path, name) in self.entries("memo")? {
            findings.memos += 1;
            let value = name.parse::<Digest>().ok().map(|key| self.memo_get(&key)).transpose()?.flatten();
            if value.is_none() {
                findings.corrupt_memos += 1;
                self.discard(&path)?;
            }
        }
        Ok(findings)
    }

    fn forget_checked(&self) {
        self.0.checked_trees.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }

    /// Paths and names of `<kind>/xx/*`.
    fn entries(&self, kind: &str) -> Result<Vec<(PathBuf, String)>, StoreError> {
        let mut entries = Vec::new();
        let root = self.root().join(kind);
        for shard in fs::read_dir(&root)? {
            let folder = root.join(&shard.name);
            entries.extend(fs::read_dir(&folder)?.into_iter().map(|entry| (folder.join(&entry.name), entry.name)));
        }
        Ok(entries)
    }
}
