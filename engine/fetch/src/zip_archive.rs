//! Zip files: Go modules and wheels.

use std::fs::File;
use std::io::Read;

use model::Tree;
use sha2::{Digest as _, Sha256};
use store::Store;
use zip::ZipArchive;

use crate::archive::{ArchiveError, Limits, Unpacker};
use crate::transport::hex;
use crate::zip_directory;

const LINK: u32 = 0o120_000;
const KIND: u32 = 0o170_000;

/// A file of the archive, as the name mapping sees it.
pub(crate) struct Entry<'a> {
    pub name: &'a str,
    pub executable: bool,
}

/// Where an entry goes: a path and whether it is executable.
pub(crate) type Place = (String, bool);

/// The tree and, for each file in the archive, its name and SHA-256.
pub(crate) struct Unpacked {
    pub tree: Tree,
    pub sums: Vec<(String, String)>,
}

/// Unpacks, placing each file where `place` says; folders are implied by files.
pub(crate) fn unpack(
    mut file: File,
    store: &Store,
    exclude: &[String],
    limits: Limits,
    place: &dyn Fn(&Entry<'_>) -> Result<Place, ArchiveError>,
) -> Result<Unpacked, ArchiveError> {
    let declared = zip_directory::check(&mut file, limits)?;
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    // The library keeps the last of two entries with one name without a word.
    if declared != archive.len() {
        return Err(ArchiveError::Layout("its directory lists a name twice".to_owned()));
    }
    let mut unpacker = Unpacker::new(store, exclude, limits);
    let mut sums = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let name = std::str::from_utf8(entry.name_raw())
            .map_err(|_| ArchiveError::Damaged(format!("the name {:?} is not UTF-8", entry.name())))?
            .to_owned();
        let mode = entry.unix_mode().unwrap_or(0);
        if mode & KIND == LINK {
            return Err(ArchiveError::Special(name, "symbolic link"));
        }
        if name.ends_with('/') {
            continue;
        }
        let (to, executable) = place(&Entry { name: &name, executable: mode & 0o111 != 0 })?;
        let path = unpacker.path(&to)?;
        let declared = entry.size();
        let mut hashing = Hashing { inner: &mut entry, hash: Sha256::new() };
        unpacker.file(path, declared, &mut hashing, executable)?;
        sums.push((name, hex(&hashing.hash.finalize())));
    }
    Ok(Unpacked { tree: unpacker.finish()?, sums })
}

fn damaged(error: zip::result::ZipError) -> ArchiveError {
    ArchiveError::Damaged(error.to_string())
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}
