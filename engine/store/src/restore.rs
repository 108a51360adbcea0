//! Many contents put where people look for them, for the price of a link each.
//!
//! Folders are made once each; a file whose folder was just made cannot be there yet and is linked without a look. What
//! is there and the same file already stays.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use host::fs::{self, FileError, FileKind};
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
    /// Puts contents at paths below a folder as read-only files, hard links where possible. What is in the way goes, also
    /// where a folder is to be. A path must not be named twice.
    pub fn materialise_files(&self, below: &Path, files: &[Placement]) -> Result<Restored, StoreError> {
        while_folders_go(|| self.try_materialise(below, files))
    }

    fn try_materialise(&self, below: &Path, files: &[Placement]) -> Result<Restored, StoreError> {
        let mut folders: BTreeMap<&Path, Vec<&Placement>> = BTreeMap::new();
        for file in files {
            folders.entry(file.to.parent().unwrap_or(Path::new("/"))).or_default().push(file);
        }
        // One after the other: a folder is often the parent of the next.
        let mut ways = Ways::new(below);
        let made = folders.iter().map(|(folder, names)| Ok((ways.make(folder)?, names)));
        let made = made.collect::<Result<Vec<_>, StoreError>>()?;
        let results = made.par_iter().flat_map(|(new, names)| names.par_iter().map(move |file| (*new, *file)));
        let linked: Result<Vec<bool>, StoreError> = results.map(|(new, file)| self.put_in_place(new, file)).collect();
        let linked = linked?.into_iter().filter(|linked| *linked).count();
        Ok(Restored { linked, present: files.len() - linked })
    }

    /// Shows trees at paths below a folder, each as one symbolic link to its folder in the store. What is in the way goes.
    pub fn show_trees<'a>(
        &self,
        below: &Path,
        trees: impl IntoIterator<Item = (&'a Digest, &'a Path)>,
    ) -> Result<(), StoreError> {
        for (digest, to) in trees {
            while_folders_go(|| {
                Ways::new(below).make(to.parent().unwrap_or(Path::new("/")))?;
                let tree = self.tree_path(digest)?;
                if !fs::read_link(to).is_ok_and(|link| link == tree) {
                    remove(to)?;
                    fs::symlink(&tree.to_string_lossy(), to)?;
                }
                Ok(())
            })?;
        }
        Ok(())
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
            remove(to)?;
        }
        link_or_copy(&blob, to)?;
        Ok(true)
    }
}

/// Does work again whose folders somebody takes away meanwhile (`build clean`).
fn while_folders_go<T>(work: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut tries = 1;
    loop {
        match work() {
            Err(StoreError::File(error)) if error.is_not_found() && tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// Makes a folder below another one. A link or a file on the way makes room for a folder.
pub fn make_way(below: &Path, folder: &Path) -> Result<(), FileError> {
    Ways::new(below).make(folder).map(drop)
}

/// The folders that lead to paths below a folder. Each becomes a folder itself: a link that stands for a shown tree, which
/// lies in the store, must not be written through, and a file of an earlier build is in the way.
struct Ways<'a> {
    below: &'a Path,
    /// The folders that are there now, and whether they were made here.
    made: HashMap<PathBuf, bool>,
}

impl<'a> Ways<'a> {
    fn new(below: &'a Path) -> Self {
        Self { below, made: HashMap::new() }
    }

    /// Makes a folder; whether it is new, and so empty.
    fn make(&mut self, folder: &Path) -> Result<bool, FileError> {
        if let Some(new) = self.made.get(folder) {
            return Ok(*new);
        }
        let new = match folder.parent().filter(|_| folder != self.below && folder.starts_with(self.below)) {
            // Whether this one may be a link is the caller's business.
            None => fs::make_folder(folder)?,
            Some(parent) => {
                let in_new = self.make(parent)?;
                make_one(folder, in_new)?
            }
        };
        self.made.insert(folder.to_owned(), new);
        Ok(new)
    }
}

/// Makes a folder in one that is there. Others may put something in its place at the same time.
fn make_one(folder: &Path, in_new: bool) -> Result<bool, FileError> {
    let mut tries = 1;
    loop {
        // In a new folder there is nothing.
        let there = if in_new && tries == 1 { None } else { kind(folder)? };
        let made = match there {
            Some(FileKind::Folder) => return Ok(false),
            Some(_) => fs::remove_file(folder).and_then(|()| fs::make_folder(folder)),
            None => fs::make_folder(folder),
        };
        match made {
            Ok(true) => return Ok(true),
            Err(error) if tries >= TRIES || !(error.is_already_exists() || error.is_not_found()) => return Err(error),
            // Somebody was faster, with a folder or with something else.
            Ok(false) | Err(_) => tries += 1,
        }
    }
}

/// What is at a path, links not followed.
fn kind(path: &Path) -> Result<Option<FileKind>, FileError> {
    match fs::lstat(path) {
        Ok(stat) => Ok(Some(stat.kind)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes whatever is at a path.
fn remove(path: &Path) -> Result<(), FileError> {
    match kind(path)? {
        None => Ok(()),
        Some(FileKind::Folder) => fs::remove_tree(path),
        Some(_) => fs::remove_file(path),
    }
}
