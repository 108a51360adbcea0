//! Damage: once content was found missing or changed, nothing is taken for granted until a build went through.
//!
//! Usually the folder of a tree is proof that the tree's files are there, which saves a look at each. After the first
//! damage this process looks at every file; so do the next ones, since a note of it lies in the store.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use host::fs::{self, FileError};
use model::Digest;

use crate::blobs::Store;
use crate::error::StoreError;

/// Whether damage was found and is not yet mended.
pub(crate) struct Damage {
    note: PathBuf,
    /// Grows by a byte with each damage.
    count: PathBuf,
    found: AtomicBool,
}

impl Damage {
    pub(crate) fn new(note: PathBuf) -> Self {
        let found = AtomicBool::new(fs::exists(&note));
        let count = note.with_extension("count");
        Self { note, count, found }
    }
}

impl Store {
    /// Whether damage was found, by this process or an earlier one, and no build has gone through since.
    pub fn is_damaged(&self) -> bool {
        self.0.damage.found.load(Ordering::SeqCst)
    }

    /// Everything that a build needed was looked at and is there.
    pub fn set_mended(&self) {
        if self.0.damage.found.swap(false, Ordering::SeqCst) {
            // A note that stays costs the next build a closer look, no more.
            let _ = fs::remove_file(&self.0.damage.note);
        }
    }

    /// How often damage was found since the store was made. Who remembers the number knows later whether to look at
    /// contents again.
    pub fn damages(&self) -> u64 {
        fs::lstat(&self.0.damage.count).map_or(0, |stat| stat.size)
    }

    pub(crate) fn set_damaged(&self) {
        // What cannot be noted is found again by those who use the content.
        let _ = fs::open_append(&self.0.damage.count).and_then(|file| fs::write_all(&file, &self.0.damage.count, b"."));
        if !self.0.damage.found.swap(true, Ordering::SeqCst) {
            // Without the note the next process finds the damage itself, as this one did.
            let _ = fs::write(&self.0.damage.note, b"");
        }
    }

    /// The error of using the file of a content that was there a moment ago.
    pub(crate) fn lost(&self, digest: &Digest, error: FileError) -> StoreError {
        if error.is_not_found() { self.missing(digest) } else { error.into() }
    }

    /// The error for content that somebody relied on.
    pub(crate) fn missing(&self, digest: &Digest) -> StoreError {
        self.set_damaged();
        StoreError::Missing(*digest)
    }
}
