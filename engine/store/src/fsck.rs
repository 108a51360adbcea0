//! A check of everything in the store, and its sizes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use host::fs;
use model::Digest;
use rayon::prelude::*;

use crate::blobs::{Store, is_executable};
use crate::error::StoreError;
use crate::files::is_as_put;

/// How often a check says how far it is.
const STEPS: usize = 20;

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
    /// Records of source files that are whole.
    pub sources: usize,
    /// Pieces of the index of source files that are no records.
    pub corrupt_sources: usize,
}

/// How far a check is: contents that were checked, of all.
pub type Checked<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What the store holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Files of contents.
    pub blobs: usize,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Bytes of the memo table.
    pub memo_bytes: u64,
    /// Folders of trees. They are made of links and take little.
    pub trees: usize,
}

impl Findings {
    /// Whether nothing was damaged.
    pub fn is_sound(&self) -> bool {
        self.corrupt.is_empty() && self.corrupt_trees + self.corrupt_memos + self.corrupt_sources == 0
    }
}

impl Store {
    /// Hashes every blob and checks every tree, memo entry and record of a source file. A quick check hashes only those
    /// blobs that were written to since they were put.
    pub fn fsck(&self, quick: bool, checked: Checked<'_>) -> Result<Findings, StoreError> {
        let mut findings = Findings::default();
        self.check_blobs(quick, checked, &mut findings)?;
        self.check_trees(quick, &mut findings)?;
        (findings.memos, findings.corrupt_memos) = self.0.memo.check()?;
        (findings.sources, findings.corrupt_sources) = self.0.sources.check()?;
        Ok(findings)
    }

    fn check_blobs(&self, quick: bool, checked: Checked<'_>, findings: &mut Findings) -> Result<(), StoreError> {
        let blobs = self.entries("blobs")?;
        findings.blobs = blobs.len();
        let (done, step) = (AtomicUsize::new(0), (blobs.len() / STEPS).max(1));
        let check = |(path, name): &(PathBuf, String)| -> Result<Option<Digest>, StoreError> {
            let before = done.fetch_add(1, Ordering::Relaxed);
            if before > 0 && before.is_multiple_of(step) {
                checked(before, blobs.len());
            }
            let Ok(digest) = name.strip_suffix(".x").unwrap_or(name).parse::<Digest>() else {
                return self.discard(path).map(|()| None);
            };
            match fs::lstat(path) {
                // Removed meanwhile, by a collection of garbage.
                Err(error) if error.is_not_found() => return Ok(None),
                Ok(stat) if !is_as_put(&stat, is_executable(path), self.0.owner) => {
                    return Ok((!self.put_right(path, &digest, &stat)?).then_some(digest));
                }
                Ok(_) if quick => return Ok(None),
                _ => {}
            }
            Ok((!self.rehash(path, &digest)?).then_some(digest))
        };
        let results: Result<Vec<Option<Digest>>, StoreError> = blobs.par_iter().map(check).collect();
        findings.corrupt = results?.into_iter().flatten().collect();
        Ok(())
    }

    fn check_trees(&self, quick: bool, findings: &mut Findings) -> Result<(), StoreError> {
        self.0.checked_trees.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        let trees = self.entries("trees")?;
        let sound = |(path, name): &(PathBuf, String)| {
            let sound = name.parse::<Digest>().is_ok_and(|digest| self.folder_is_whole(&digest, !quick));
            if !sound {
                self.set_damaged();
                self.remove_aside(path)?;
            }
            Ok(sound)
        };
        let results: Result<Vec<bool>, StoreError> = trees.par_iter().map(sound).collect();
        let results = results?;
        findings.trees = results.iter().filter(|sound| **sound).count();
        findings.corrupt_trees = results.len() - findings.trees;
        Ok(())
    }

    /// How much there is. Looks at every file.
    pub fn sizes(&self) -> Result<Sizes, StoreError> {
        let blobs = self.entries("blobs")?;
        let size = |(path, _): &(PathBuf, String)| fs::lstat(path).map_or(0, |stat| stat.size);
        Ok(Sizes {
            blobs: blobs.len(),
            blob_bytes: blobs.par_iter().map(size).sum(),
            memo_bytes: self.0.memo.size(),
            trees: self.entries("trees")?.len(),
        })
    }

    /// Paths and names of `<kind>/xx/*`.
    pub(crate) fn entries(&self, kind: &str) -> Result<Vec<(PathBuf, String)>, StoreError> {
        let root = self.root().join(kind);
        let shards = fs::read_dir(&root)?;
        let list = |shard: &fs::FolderEntry| -> Result<Vec<(PathBuf, String)>, StoreError> {
            let folder = root.join(&shard.name);
            let entries = fs::read_dir(&folder)?.into_iter();
            Ok(entries.map(|entry| (folder.join(&entry.name), entry.name)).collect())
        };
        let lists: Result<Vec<_>, StoreError> = shards.par_iter().map(list).collect();
        Ok(lists?.into_iter().flatten().collect())
    }
}
