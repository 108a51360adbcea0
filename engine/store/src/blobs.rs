//! Blobs: contents by digest, as read-only files.
//!
//! `blobs/xx/<digest>` has mode 0444, `blobs/xx/<digest>.x` is its executable twin with mode 0555; either suffices for
//! the content to be there. A blob's modification time is always `SEALED`, so that one stat tells a file that was
//! written to in place (through a hard link, by a fault) from one that was not; only suspicious files are hashed again
//! before use.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use host::fs::{self, FileError, FileKind, FileStat};
use model::Digest;

use crate::damage::Damage;
use crate::epoch::{Epoch, Recovery};
use crate::error::StoreError;
use crate::files::{SEALED, failed, hash, is_as_put, mode};
use crate::gate::Gate;
use crate::memo::Memo;
use crate::scratch::{Scratch, TempDir};
use crate::sources::Sources;
use crate::waiting::{Tell, Waiting};

const CROSS_DEVICE: i32 = 18;

/// A content-addressed store with a memo table in one folder. Cheap to clone; many processes may share the folder.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    /// The user whom its files belong to.
    pub(crate) owner: u32,
    pub(crate) scratch: Scratch,
    pub(crate) sources: Sources,
    pub(crate) damage: Damage,
    pub(crate) memo: Memo,
    pub(crate) epoch: Epoch,
    pub(crate) waiting: Waiting,
    /// Trees whose folder this process has checked.
    pub(crate) checked_trees: Mutex<HashSet<Digest>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.0.root).finish()
    }
}

impl Store {
    /// Opens the store in `root`, which is made if it is missing. The layout's version is a folder below it.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_telling(root, Arc::new(|_| ()))
    }

    /// The same for a process that may have to wait for others: then somebody is told whom for.
    pub fn open_telling(root: &Path, tell: Tell) -> Result<Self, StoreError> {
        Ok(Self::open_as(root, &host::env::boot_id(), tell)?.0)
    }

    /// Opens the store on a machine whose present run has the name `boot`. Under a new name contents that may not have
    /// reached the disk before are looked at.
    pub fn open_after_start(root: &Path, boot: &str) -> Result<(Self, Recovery), StoreError> {
        Self::open_as(root, boot, Arc::new(|_| ()))
    }

    fn open_as(root: &Path, boot: &str, tell: Tell) -> Result<(Self, Recovery), StoreError> {
        let root = root.join("v1");
        let new = !fs::exists(&root);
        for folder in ["blobs", "trees", "results"] {
            fs::create_dir_all(&root.join(folder))?;
        }
        let root = fs::canonicalize(&root)?;
        let owner = fs::stat(&root)?.owner;
        let epoch = Epoch::new(&root, boot);
        if new {
            epoch.begin()?;
        }
        let waiting = Waiting::new(tell);
        let gate = Gate::pass(&root, &waiting)?;
        let scratch = Scratch::open(&root.join("tmp"))?;
        drop(gate);
        let sources = Sources::new(root.join("sources"), waiting.clone());
        let damage = Damage::new(root.join("damaged"));
        let memo = Memo::new(&root.join("results"), &waiting);
        let shared =
            Shared { root, owner, scratch, sources, damage, memo, epoch, waiting, checked_trees: Mutex::default() };
        let store = Self(Arc::new(shared));
        let recovery = store.recover()?;
        Ok((store, recovery))
    }

    /// The folder of the store, with the version of its layout.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// A temporary folder on the store's file system.
    pub fn scratch(&self) -> Result<TempDir, StoreError> {
        Ok(self.0.scratch.folder()?)
    }

    /// Stores bytes.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if !self.keep(&digest, bytes.len() as u64)? {
            let temporary = self.0.scratch.path();
            let file = fs::create(&temporary)?;
            fs::write_all(&file, &temporary, bytes)?;
            self.place(&file, &temporary, &digest, false)?;
        }
        Ok(digest)
    }

    /// Stores all that `reader` gives; the size comes with the digest.
    pub fn put_reader(&self, reader: impl Read) -> Result<(Digest, u64), StoreError> {
        self.put_stream(reader, false)
    }

    pub(crate) fn put_stream(&self, mut reader: impl Read, executable: bool) -> Result<(Digest, u64), StoreError> {
        let temporary = self.0.scratch.path();
        let file = fs::create(&temporary)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 128 * 1024];
        let mut size = 0;
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    fs::remove_file(&temporary)?;
                    return Err(StoreError::Reader(error));
                }
            };
            hasher.update(&buffer[..count]);
            fs::write_all(&file, &temporary, &buffer[..count])?;
            size += count as u64;
        }
        let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
        if self.keep_whole(&digest, executable, size)? {
            fs::remove_file(&temporary)?;
        } else {
            self.0.epoch.settle(&file, &temporary, &fs::stat_open(&file, &temporary)?)?;
            self.place(&file, &temporary, &digest, executable)?;
        }
        Ok((digest, size))
    }

    /// Moves a regular file into the store: afterwards `path` no longer exists. Nobody may be writing to it.
    pub fn put_file(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        let stat = fs::lstat(path)?;
        if stat.kind != FileKind::File {
            return Err(StoreError::NotAFile(path.to_owned()));
        }
        if stat.mode & 0o400 == 0 {
            fs::set_mode(path, stat.mode | 0o400)?;
        }
        let executable = stat.mode & 0o111 != 0;
        let file = fs::open(path)?;
        // Renamed into place, it would stay what others have by other names, and keep capabilities and other attributes,
        // which are no content.
        if stat.links > 1 || fs::has_attributes(&file) {
            let stored = self.put_stream(file, executable)?;
            fs::remove_file(path)?;
            return Ok(stored);
        }
        let digest = hash(&file, path)?;
        if self.keep_whole(&digest, executable, stat.size)? {
            fs::remove_file(path)?;
        } else {
            self.0.epoch.settle(&file, path, &stat)?;
            self.adopt(&file, path, &digest, executable)?;
        }
        Ok((digest, stat.size))
    }

    /// Renames a file of unknown origin into place; copies it where that is not possible.
    fn adopt(&self, file: &File, path: &Path, digest: &Digest, executable: bool) -> Result<(), StoreError> {
        match self.place(file, path, digest, executable) {
            Err(StoreError::File(error))
                if error.source.raw_os_error() == Some(CROSS_DEVICE)
                    || error.source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                self.put_stream(fs::open(path)?, executable)?;
                Ok(fs::remove_file(path)?)
            }
            other => other,
        }
    }

    /// Whether the content is there, in one form or the other.
    pub fn contains(&self, digest: &Digest) -> bool {
        matches!(self.find(digest), Ok(Some(_)))
    }

    /// Whether content of this size is there. What a crash of the machine cut short has another one, and is removed.
    pub(crate) fn has(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        while let Some((path, actual)) = self.find(digest)? {
            if actual == size {
                return Ok(true);
            }
            self.discard(&path)?;
        }
        Ok(false)
    }

    /// Whether content of this size is there; then no collection of garbage removes it while this process is at work.
    fn keep(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        if !self.has(digest, size)? {
            return Ok(false);
        }
        match self.find(digest)? {
            Some((path, _)) => Ok(self.keep_file(&path, digest)? == Some(size)),
            None => Ok(false),
        }
    }

    /// The same for one form of the content. What has another size is damage, and known as such from now on.
    fn keep_whole(&self, digest: &Digest, executable: bool, size: u64) -> Result<bool, StoreError> {
        let path = self.blob_file(digest, executable);
        match self.keep_file(&path, digest)? {
            Some(actual) if actual != size => self.discard(&path).map(|()| false),
            found => Ok(found.is_some()),
        }
    }

    /// The same for one file: its size. A collection goes by the time of the last change, so a file that is older than
    /// this process is changed: sealed again. Not while a collection runs, which may have seen the old time.
    fn keep_file(&self, path: &Path, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let Some(stat) = self.sound(path, digest)? else { return Ok(None) };
        if stat.ctime > self.0.scratch.start() {
            return Ok(Some(stat.size));
        }
        let _gate = Gate::pass(self.root(), &self.0.waiting)?;
        match fs::open(path) {
            Ok(file) => fs::seal(&file, path, stat.mode, SEALED)?,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(stat.size))
    }

    /// The whole content, checked against the digest. Damaged content is removed and reported as
    /// [`StoreError::Corrupt`].
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let (path, _) = self.find(digest)?.ok_or_else(|| self.missing(digest))?;
        let bytes = fs::read(&path).map_err(|error| self.lost(digest, error))?;
        if Digest::of(&bytes) == *digest {
            return Ok(bytes);
        }
        self.discard(&path)?;
        Err(StoreError::Corrupt(*digest))
    }

    /// Opens the content for reading, without hashing it.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let (path, _) = self.find(digest)?.ok_or_else(|| self.missing(digest))?;
        fs::open(&path).map_err(|error| self.lost(digest, error))
    }

    /// The size of a content that is there.
    pub fn size(&self, digest: &Digest) -> Result<u64, StoreError> {
        self.find(digest)?.map(|(_, size)| size).ok_or(StoreError::Missing(*digest))
    }

    /// A read-only file with the content, mode 0444 or 0555, to be mounted or hard-linked and never written to.
    pub fn blob_path(&self, digest: &Digest, executable: bool) -> Result<PathBuf, StoreError> {
        Ok(self.blob_stat(digest, executable)?.0)
    }

    /// The same for content of a known size: a file that has become shorter or longer is not it, whatever its time says.
    pub fn sized_blob_path(&self, digest: &Digest, executable: bool, size: u64) -> Result<PathBuf, StoreError> {
        Ok(self.sized_blob_stat(digest, executable, size)?.0)
    }

    /// The same with the state of the file.
    pub(crate) fn sized_blob_stat(
        &self,
        digest: &Digest,
        executable: bool,
        size: u64,
    ) -> Result<(PathBuf, FileStat), StoreError> {
        loop {
            let (path, stat) = self.blob_stat(digest, executable)?;
            if stat.size == size {
                return Ok((path, stat));
            }
            // The other form of the content may be whole; else it is missing in the next round.
            self.discard(&path)?;
        }
    }

    /// A file with the content, and its state.
    pub(crate) fn blob_stat(&self, digest: &Digest, executable: bool) -> Result<(PathBuf, FileStat), StoreError> {
        let wanted = self.blob_file(digest, executable);
        if let Some(stat) = self.sound(&wanted, digest)? {
            return Ok((wanted, stat));
        }
        let other = self.blob_file(digest, !executable);
        if self.sound(&other, digest)?.is_none() {
            return Err(self.missing(digest));
        }
        let file = fs::open(&other).map_err(|error| self.lost(digest, error))?;
        let (copied, _) = self.put_stream(file, executable)?;
        if copied == *digest {
            let stat = fs::lstat(&wanted).map_err(|error| self.lost(digest, error))?;
            return Ok((wanted, stat));
        }
        self.discard(&other)?;
        Err(StoreError::Corrupt(*digest))
    }

    /// Hashes the content again. Damaged content is removed, `false` returned; absent content is `false` as well.
    pub fn verify(&self, digest: &Digest) -> Result<bool, StoreError> {
        let mut found = false;
        for executable in [false, true] {
            let path = self.blob_file(digest, executable);
            found |= self.sound(&path, digest)?.is_some() && self.rehash(&path, digest)?;
        }
        Ok(found)
    }

    /// Path and size of a sound file with the content, if there is one.
    fn find(&self, digest: &Digest) -> Result<Option<(PathBuf, u64)>, StoreError> {
        for executable in [false, true] {
            let path = self.blob_file(digest, executable);
            if let Some(stat) = self.sound(&path, digest)? {
                return Ok(Some((path, stat.size)));
            }
        }
        Ok(None)
    }

    /// The state of the file if it holds the content: it is as it was put, or it was hashed again and made so. Removes it
    /// otherwise.
    fn sound(&self, path: &Path, digest: &Digest) -> Result<Option<FileStat>, StoreError> {
        let stat = match fs::lstat(path) {
            Ok(stat) => stat,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if is_as_put(&stat, is_executable(path), self.0.owner) {
            return Ok(Some(stat));
        }
        if !self.put_right(path, digest, &stat)? {
            return Ok(None);
        }
        match fs::lstat(path) {
            Err(error) if error.is_not_found() => Ok(None),
            stat => Ok(Some(stat?)),
        }
    }

    /// Makes a file as it was put that somebody has changed; whether it holds the content. A further name of it may be
    /// shown to a user who changed its mode in order to write to it, so the store gets a file of its own.
    pub(crate) fn put_right(&self, path: &Path, digest: &Digest, stat: &FileStat) -> Result<bool, StoreError> {
        if stat.kind == FileKind::File && stat.links == 1 && stat.owner == self.0.owner && stat.mode & 0o400 != 0 {
            return self.rehash(path, digest);
        }
        if stat.kind == FileKind::File {
            if stat.mode & 0o400 == 0 {
                // Who may not change the mode cannot read the file either, and it is lost.
                let _ = fs::set_mode(path, stat.mode | 0o400);
            }
            let temporary = self.0.scratch.path();
            match copy(path, &temporary) {
                Ok((file, found)) if found == *digest => {
                    self.place(&file, &temporary, digest, is_executable(path))?;
                    return Ok(true);
                }
                Err(error) if error.path == temporary => return Err(error.into()),
                Err(error) if error.is_not_found() => return Ok(false),
                Ok(_) | Err(_) => fs::remove_tree(&temporary)?,
            }
        }
        self.discard(path)?;
        Ok(false)
    }

    pub(crate) fn rehash(&self, path: &Path, digest: &Digest) -> Result<bool, StoreError> {
        let file = match fs::open(path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if hash(&file, path).is_ok_and(|actual| actual == *digest) {
            fs::seal(&file, path, mode(is_executable(path)), SEALED)?;
            return Ok(true);
        }
        self.discard(path)?;
        Ok(false)
    }

    /// Removes damaged content and forgets that trees were checked, since they may share it.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), StoreError> {
        self.set_damaged();
        self.0.checked_trees.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        match fs::lstat(path) {
            Ok(stat) if stat.kind == FileKind::Folder => Ok(fs::remove_tree(path)?),
            Ok(_) => match fs::remove_file(path) {
                Err(error) if !error.is_not_found() => Err(error.into()),
                _ => Ok(()),
            },
            Err(_) => Ok(()),
        }
    }

    /// Seals a file that holds the content and renames it to where the content belongs.
    fn place(&self, file: &File, temporary: &Path, digest: &Digest, executable: bool) -> Result<(), StoreError> {
        self.0.epoch.note_write();
        fs::seal(file, temporary, mode(executable), SEALED)?;
        self.rename(temporary, &self.blob_file(digest, executable))
    }

    /// Removes a folder so that nobody sees a part of it.
    pub(crate) fn remove_aside(&self, path: &Path) -> Result<(), StoreError> {
        let aside = self.0.scratch.path();
        match fs::rename(path, &aside) {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(fs::remove_tree(&aside)?),
        }
    }

    /// Renames; makes the parent folder if it is missing.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        match fs::rename(from, to) {
            Err(error) if error.is_not_found() => {
                fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
                Ok(fs::rename(from, to)?)
            }
            other => Ok(other?),
        }
    }

    pub(crate) fn blob_file(&self, digest: &Digest, executable: bool) -> PathBuf {
        let hex = digest.to_hex();
        let name = if executable { format!("{hex}.x") } else { hex.clone() };
        self.0.root.join("blobs").join(&hex[..2]).join(name)
    }

    /// `<kind>/xx/<digest>`.
    pub(crate) fn entry(&self, kind: &str, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        self.0.root.join(kind).join(&hex[..2]).join(hex)
    }
}

/// Whether a file of the store is the executable form of its content, by its name.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.extension().is_some()
}

/// Copies a file to a new one, and hashes what was copied.
fn copy(from: &Path, to: &Path) -> Result<(File, Digest), FileError> {
    let mut source = fs::open(from)?;
    let file = fs::create(to)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok((file, Digest::from_bytes(*hasher.finalize().as_bytes()))),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                fs::write_all(&file, to, &buffer[..count])?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", from, error)),
        }
    }
}
