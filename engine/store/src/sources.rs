//! Digests of workspace files, cached by stat; the content is put in the store, so that an action runs on a snapshot.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use host::fs::{self, FileError, FileKind, FileStat};
use model::Digest;

use crate::blobs::Store;
use crate::error::StoreError;
use crate::source_index::{Index, Record};
use crate::waiting::Waiting;

/// A file changed less than this before it was read may change again without a new time stamp: it is not recorded.
const RACY: i128 = 2_000_000_000;
const FLUSH: usize = 512;
const ATTEMPTS: usize = 5;
const SMALL: u64 = 1 << 20;
/// So many small files are sooner read than the index is.
const FEW: usize = 32;

/// The index, read when it is first asked.
pub(crate) struct Sources {
    path: PathBuf,
    waiting: Waiting,
    index: Mutex<Option<Index>>,
    /// How many small files were asked for so far.
    small: AtomicUsize,
    /// The file systems that files are looked at on, by a number; `None` where times tell nothing.
    view: OnceLock<Option<u64>>,
}

impl Sources {
    pub(crate) fn new(path: PathBuf, waiting: Waiting) -> Self {
        Self { path, waiting, index: Mutex::new(None), small: AtomicUsize::new(0), view: OnceLock::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Index>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state by which a file is known: on other file systems an equal one says nothing.
    fn known_by(&self, stat: &FileStat) -> Option<FileStat> {
        let view = self.view.get().copied().unwrap_or(Some(0))?;
        Some(FileStat { device: stat.device ^ view, ..*stat })
    }

    fn get(&self, stat: &FileStat) -> Option<Digest> {
        let stat = &self.known_by(stat)?;
        if stat.size <= SMALL && self.small.fetch_add(1, Ordering::Relaxed) < FEW {
            return None;
        }
        self.lock().get_or_insert_with(|| Index::load(&self.path)).get(stat)
    }

    /// The contents of all source files that are known.
    pub(crate) fn digests(&self) -> HashSet<Digest> {
        self.lock().get_or_insert_with(|| Index::load(&self.path)).digests()
    }

    /// How many records are whole, and how many pieces are none; then the log is written anew without them.
    pub(crate) fn check(&self) -> Result<(usize, usize), FileError> {
        self.flush();
        let (index, damaged) = Index::load_checked(&self.path);
        let whole = index.len();
        if damaged > 0 {
            index.rewrite(&self.path)?;
        }
        *self.lock() = Some(index);
        Ok((whole, damaged))
    }

    fn insert(&self, record: Record) {
        let mut guard = self.lock();
        let index = guard.get_or_insert_with(|| Index::load(&self.path));
        if index.insert(record) >= FLUSH {
            // The index only saves hashing: what cannot be written is hashed again.
            let _ = index.flush(&self.path, &self.waiting);
        }
    }

    fn flush(&self) {
        if let Some(index) = self.lock().as_mut() {
            // As above.
            let _ = index.flush(&self.path, &self.waiting);
        }
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Store {
    /// Says once which file systems the sources are on, by a number that other ones do not have; `None` if times of files do
    /// not tell whether they changed. Then each is read.
    pub fn set_view(&self, view: Option<u64>) {
        // Of two that say it, both say the same.
        let _ = self.0.sources.view.set(view);
    }

    /// Digest, size and executability of a workspace file (links are followed). The content is in the store afterwards.
    pub fn source_digest(&self, path: &Path) -> Result<(Digest, u64, bool), StoreError> {
        for _ in 0..ATTEMPTS {
            let stat = fs::stat(path)?;
            if stat.kind != FileKind::File {
                return Err(StoreError::NotAFile(path.to_owned()));
            }
            let executable = stat.mode & 0o111 != 0;
            if let Some(digest) = self.0.sources.get(&stat).filter(|digest| self.contains(digest)) {
                return Ok((digest, stat.size, executable));
            }
            if let Some(digest) = self.snapshot(path, &stat)? {
                return Ok((digest, stat.size, executable));
            }
        }
        Err(StoreError::Changing(path.to_owned()))
    }

    /// Writes new records of the index of sources and of what was used; also done when the store is dropped.
    pub fn flush(&self) {
        self.0.sources.flush();
        self.flush_uses();
    }

    /// Stores the content; `None` if the file changed while it was read.
    fn snapshot(&self, path: &Path, before: &FileStat) -> Result<Option<Digest>, StoreError> {
        let now = host::clock::now();
        let mut file = fs::open(path)?;
        let (digest, size) = if before.size <= SMALL {
            let mut bytes = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0) + 1);
            file.read_to_end(&mut bytes).map_err(StoreError::Reader)?;
            (self.put_bytes(&bytes)?, bytes.len() as u64)
        } else {
            self.put_reader(&file)?
        };
        if size != before.size || fs::stat_open(&file, path)? != *before || fs::stat(path)? != *before {
            return Ok(None);
        }
        let few = self.0.sources.small.load(Ordering::Relaxed) <= FEW && before.size <= SMALL;
        if !few
            && now - before.mtime.max(before.ctime) > RACY
            && let Some(stat) = self.0.sources.known_by(before)
        {
            self.0.sources.insert(Record { stat, digest });
        }
        Ok(Some(digest))
    }
}
