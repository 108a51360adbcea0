//! Zip files: Go modules and wheels.

use std::fs::File;
use std::io::{Read, Write};

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

/// The name and the SHA-256 of each file. Nothing is written.
pub(crate) fn sums(file: File, limits: Limits) -> Result<Vec<(String, String)>, ArchiveError> {
    let mut archive = open(file, limits)?;
    let too_large = || ArchiveError::TooLarge(format!("{} bytes", limits.bytes));
    let (mut sums, mut left) = (Vec::new(), limits.bytes);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let name = name(&entry)?;
        if name.ends_with('/') {
            continue;
        }
        let mut sum = Sum(Sha256::new());
        left = left.checked_sub(std::io::copy(&mut (&mut entry).take(left + 1), &mut sum)?).ok_or_else(too_large)?;
        sums.push((name, hex(&sum.0.finalize())));
    }
    Ok(sums)
}

/// Unpacks, placing each file where `place` says; folders are implied by files.
pub(crate) fn unpack(
    file: File,
    store: &Store,
    exclude: &[String],
    limits: Limits,
    place: &dyn Fn(&Entry<'_>) -> Result<Place, ArchiveError>,
) -> Result<Tree, ArchiveError> {
    let mut archive = open(file, limits)?;
    let mut unpacker = Unpacker::new(store, exclude, limits);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let name = name(&entry)?;
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
        unpacker.file(path, declared, &mut entry, executable)?;
    }
    unpacker.finish()
}

fn open(mut file: File, limits: Limits) -> Result<ZipArchive<File>, ArchiveError> {
    let declared = zip_directory::check(&mut file, limits)?;
    let archive = ZipArchive::new(file).map_err(damaged)?;
    // The library keeps the last of two entries with one name without a word.
    if declared != archive.len() {
        return Err(ArchiveError::Layout("its directory lists a name twice".to_owned()));
    }
    Ok(archive)
}

fn name(entry: &zip::read::ZipFile<'_, File>) -> Result<String, ArchiveError> {
    let name = std::str::from_utf8(entry.name_raw());
    let name = name.map_err(|_| ArchiveError::Damaged(format!("the name {:?} is not UTF-8", entry.name())))?;
    Ok(name.to_owned())
}

fn damaged(error: zip::result::ZipError) -> ArchiveError {
    ArchiveError::Damaged(error.to_string())
}

struct Sum(Sha256);

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
