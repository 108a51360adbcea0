//! One log of the memo table: appended to under a lock by whole records, indexed in memory.
//!
//! Whoever appends has read all that others appended, so a torn tail (a writer killed, a machine without power) is known
//! and cut off first. Rewriting the log replaces the file: readers go on with the one they have open, writers see that
//! it is no longer the one with the name and open the new one. Nothing here is synced: see `epoch.rs`.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::fs::{self, FileError};
use model::Digest;

use crate::files::failed;
use crate::memo::PRECISION;
use crate::memo_record::{HEADER, Kind, Record, is_unfinished, scan};
use crate::waiting::Waiting;

/// A log this much longer than twice what counts in it is rewritten.
const SLACK: u64 = 256 * 1024;

/// A log and its index.
pub(crate) struct Shard {
    path: PathBuf,
    waiting: Waiting,
    log: Option<Log>,
    /// Up to where the log has been read and is whole.
    end: u64,
    live: u64,
    /// Pieces between records that are no records.
    gaps: usize,
    entries: HashMap<Digest, Entry>,
    /// Keys whose use has not been written down.
    used: Vec<Digest>,
}

/// The open file.
#[derive(Clone)]
struct Log {
    file: Arc<File>,
    inode: u64,
    /// Its length when it was last looked at.
    size: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    at: u64,
    record: Record,
}

impl Shard {
    pub(crate) fn new(path: PathBuf, waiting: Waiting) -> Self {
        Self { path, waiting, log: None, end: 0, live: 0, gaps: 0, entries: HashMap::new(), used: Vec::new() }
    }

    /// The value of a key. Looks again at the log if the key is not known.
    pub(crate) fn get(&mut self, key: &Digest) -> Result<Option<Vec<u8>>, FileError> {
        if self.log.is_none() || !self.entries.contains_key(key) {
            self.refresh()?;
        }
        Ok(self.value(key).map(|(value, _)| value))
    }

    /// The value of a key in the index, and when it was last used. One that is damaged is forgotten.
    fn value(&mut self, key: &Digest) -> Option<(Vec<u8>, u64)> {
        let Entry { at, record } = self.entries.get(key).copied()?;
        let log = self.log.as_ref()?;
        // A log that became shorter is a damaged one: its values count as absent.
        let value = fs::read_at(&log.file, &self.path, at + HEADER as u64, record.length as usize).unwrap_or_default();
        if record.fits(&value) {
            return Some((value, record.stamp));
        }
        self.forget(key);
        None
    }

    /// Appends a value, unless the key has it already.
    pub(crate) fn put(&mut self, key: &Digest, value: &[u8], now: u64) -> Result<(), FileError> {
        self.locked(|shard| match shard.value(key) {
            Some((old, used)) if old == value && now <= used + PRECISION => Ok(()),
            Some((old, _)) if old == value => shard.append(&[(Record::of(Kind::Use, key, now), &[])]),
            _ => shard.append(&[(Record::put(key, now, value), value)]),
        })
    }

    /// Appends that keys have no value.
    pub(crate) fn remove(&mut self, keys: &[Digest], now: u64) -> Result<(), FileError> {
        self.locked(|shard| {
            let known = keys.iter().filter(|key| shard.entries.contains_key(key));
            let records: Vec<_> = known.map(|key| (Record::of(Kind::Remove, key, now), &[][..])).collect();
            shard.append(&records)
        })
    }

    /// Notes a use, unless one is known that is not long ago; returns how many wait to be written.
    pub(crate) fn note_use(&mut self, key: &Digest, now: u64) -> usize {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| now > entry.record.stamp + PRECISION) {
            entry.record.stamp = now;
            self.used.push(*key);
        }
        self.used.len()
    }

    /// Writes the uses down.
    pub(crate) fn flush(&mut self, now: u64) -> Result<(), FileError> {
        if self.used.is_empty() {
            return Ok(());
        }
        let used = std::mem::take(&mut self.used);
        let records: Vec<_> = used.iter().map(|key| (Record::of(Kind::Use, key, now), &[][..])).collect();
        self.locked(|shard| shard.append(&records))
    }

    /// What `look` makes of every key, the time of its last use and its value.
    pub(crate) fn map<T>(&mut self, look: impl Fn(&Digest, u64, &[u8]) -> T) -> Result<Vec<T>, FileError> {
        self.refresh()?;
        let keys: Vec<Digest> = self.entries.keys().copied().collect();
        let seen = keys.iter().filter_map(|key| self.value(key).map(|(value, used)| look(key, used, &value)));
        Ok(seen.collect())
    }

    /// Reads every value; how many there are, and how many were damaged. Values whose header is lost are not counted;
    /// what is left of them is a damaged piece, and counts as one.
    pub(crate) fn check(&mut self) -> Result<(usize, usize), FileError> {
        self.locked(|shard| {
            // From its start: what was read before the damage is not what is there now.
            shard.restart();
            shard.refresh()?;
            let keys: Vec<Digest> = shard.entries.keys().copied().collect();
            let damaged = keys.iter().filter(|key| shard.value(key).is_none()).count();
            let tail = shard.tail()?;
            let torn = !tail.is_empty() && !is_unfinished(&tail);
            let damaged = damaged + shard.gaps + usize::from(torn);
            if damaged > 0 || !tail.is_empty() {
                shard.rewrite()?;
            }
            Ok((keys.len(), damaged))
        })
    }

    /// What is behind the last whole record. Only under the lock.
    fn tail(&self) -> Result<Vec<u8>, FileError> {
        let Some(log) = &self.log else { return Ok(Vec::new()) };
        let length = usize::try_from(log.size.saturating_sub(self.end)).unwrap_or(usize::MAX);
        fs::read_at(&log.file, &self.path, self.end, length)
    }

    /// Writes the log anew with what counts in it.
    pub(crate) fn compact(&mut self) -> Result<(), FileError> {
        self.locked(Self::rewrite)
    }

    /// Reads what others appended.
    fn refresh(&mut self) -> Result<(), FileError> {
        let now = fs::stat(&self.path).ok();
        let same = |log: &Log| now.is_some_and(|now| now.inode == log.inode);
        let size = match &self.log {
            Some(log) if same(log) => now.map_or(0, |now| now.size),
            _ => self.open()?,
        };
        if size < self.end {
            self.restart();
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        log.size = size;
        if size > self.end {
            let length = usize::try_from(size - self.end).unwrap_or(usize::MAX);
            let bytes = fs::read_at(&log.file, &self.path, self.end, length)?;
            self.index(&bytes);
        }
        Ok(())
    }

    fn open(&mut self) -> Result<u64, FileError> {
        let file = match fs::open_append(&self.path) {
            // Somebody removed the whole table.
            Err(error) if error.is_not_found() => {
                fs::create_dir_all(self.path.parent().unwrap_or(Path::new("/")))?;
                fs::open_append(&self.path)?
            }
            other => other?,
        };
        let stat = fs::stat_open(&file, &self.path)?;
        self.log = Some(Log { file: Arc::new(file), inode: stat.inode, size: stat.size });
        self.restart();
        Ok(stat.size)
    }

    fn restart(&mut self) {
        (self.end, self.live, self.gaps) = (0, 0, 0);
        self.entries.clear();
    }

    fn index(&mut self, bytes: &[u8]) {
        let (records, end) = scan(bytes);
        let mut expected = 0;
        for (at, record) in records {
            self.gaps += usize::from(at != expected);
            expected = at + record.size();
            match record.kind {
                Kind::Put => {
                    self.forget(&record.key);
                    self.live += record.size();
                    self.entries.insert(record.key, Entry { at: self.end + at, record });
                }
                Kind::Use => {
                    if let Some(entry) = self.entries.get_mut(&record.key) {
                        entry.record.stamp = entry.record.stamp.max(record.stamp);
                    }
                }
                Kind::Remove => self.forget(&record.key),
            }
        }
        self.end += end;
    }

    fn forget(&mut self, key: &Digest) {
        if let Some(entry) = self.entries.remove(key) {
            self.live -= entry.record.size();
        }
    }

    /// Does `work` while nobody else writes, with everything that others wrote in the index.
    fn locked<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T, FileError>) -> Result<T, FileError> {
        loop {
            if self.log.is_none() {
                self.refresh()?;
            }
            let Some(Log { file, inode, .. }) = self.log.clone() else { continue };
            self.waiting.lock(&file, &self.path)?;
            let result = match self.refresh() {
                // Replaced while this one waited.
                Ok(()) if self.log.as_ref().is_none_or(|log| log.inode != inode) => None,
                Ok(()) => Some(work(self)),
                Err(error) => Some(Err(error)),
            };
            file.unlock().map_err(|source| failed("unlock", &self.path, source))?;
            if let Some(result) = result {
                return result;
            }
        }
    }

    /// Writes records at the end of what is whole. Only under the lock.
    fn append(&mut self, records: &[(Record, &[u8])]) -> Result<(), FileError> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut bytes = Vec::new();
        records.iter().for_each(|(record, value)| record.encode(value, &mut bytes));
        if log.size > self.end {
            fs::set_len(&log.file, &self.path, self.end)?;
        }
        fs::write_all(&log.file, &self.path, &bytes)?;
        self.index(&bytes);
        if self.end > 2 * self.live + SLACK { self.rewrite() } else { Ok(()) }
    }

    /// Only under the lock. Who waits for it finds that the log is another file.
    fn rewrite(&mut self) -> Result<(), FileError> {
        let keys: Vec<Digest> = self.entries.keys().copied().collect();
        let mut bytes = Vec::new();
        for key in keys {
            if let Some((value, stamp)) = self.value(&key) {
                Record::put(&key, stamp, &value).encode(&value, &mut bytes);
            }
        }
        fs::write_atomic(&self.path, &bytes)
    }

    /// Where the log lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
