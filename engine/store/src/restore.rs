//! Many contents put where people look for them, for the price of a link each.
//!
//! Folders are made once each; a file whose folder was just made cannot be there yet and is linked without a look. What
//! is there and the same file already stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use host::fs::{self, FileKind};
use model::Digest;
use rayon::prelude::*;

use crate::blobs::Store;
use crate::error::StoreError;
use crate::files::{TRIES, link_or_copy};

/// How many files were put in place, and how many were there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Linked now.
    pub linked: usize,
    /// There before.
    pub present: usize,
}

/// A content and where it is to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The content.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Whether the file can be run.
    pub executable: bool,
    /// The path of the file.
    pub to: PathBuf,
}

impl Store {
    /// Puts contents at paths as read-only files, hard links where possible; replaces what is there. A path must not be
    /// named twice.
    pub fn materialise_files(&self, files: &[Placement]) -> Result<Restored, StoreError> {
        let mut folders: BTreeMap<&Path, Vec<&Placement>> = BTreeMap::new();
        for file in files {
            folders.entry(file.to.parent().unwrap_or(Path::new("/"))).or_default().push(file);
        }
        // One after the other: a folder is often the parent of the next.
        let made = folders.iter().map(|(folder, names)| Ok((self.make_way(folder)?, names)));
        let made = made.collect::<Result<Vec<_>, StoreError>>()?;
        let results = made.par_iter().flat_map(|(new, names)| names.par_iter().map(move |file| (*new, *file)));
        let linked: Result<Vec<bool>, StoreError> = results.map(|(new, file)| self.put_in_place(new, file)).collect();
        let linked = linked?.into_iter().filter(|linked| *linked).count();
        Ok(Restored { linked, present: files.len() - linked })
    }

    /// Makes a folder; whether it was missing. A link to a folder of the store stands for a tree that was shown there,
    /// and must not be written through.
    fn make_way(&self, folder: &Path) -> Result<bool, StoreError> {
        if fs::make_folder(folder)? {
            return Ok(true);
        }
        if fs::read_link(folder).is_ok_and(|target| target.starts_with(self.root())) {
            fs::remove_file(folder)?;
            return Ok(fs::make_folder(folder)?);
        }
        Ok(false)
    }

    /// Whether a link was made. Another process may be putting the same output there: each finds what the other has just
    /// linked or taken away, and looks again.
    fn put_in_place(&self, new: bool, file: &Placement) -> Result<bool, StoreError> {
        let mut tries = 1;
        loop {
            match self.try_to_put(new && tries == 1, file) {
                Err(error) if tries < TRIES && !error.is_missing() => tries += 1,
                result => return result,
            }
        }
    }

    fn try_to_put(&self, new: bool, file: &Placement) -> Result<bool, StoreError> {
        let to = &file.to;
        let (blob, stat) = self.sized_blob_stat(&file.digest, file.executable, file.size)?;
        if !new && let Ok(there) = fs::lstat(to) {
            if (there.inode, there.device) == (stat.inode, stat.device) {
                return Ok(false);
            }
            match there.kind {
                FileKind::Folder => fs::remove_tree(to)?,
                _ => fs::remove_file(to)?,
            }
        }
        link_or_copy(&blob, to)?;
        Ok(true)
    }
}
