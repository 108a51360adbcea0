//! The memo table: small values by key, packed into a few logs.
//!
//! A file for each value would cost an inode, most of what a put costs. The logs are told apart by the key's first byte,
//! so that a command that asks for little reads little. A value carries its checksum; a damaged one counts as absent.
//! That a value was used is written down at most once a day, so that a build of what is there writes next to nothing.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use host::fs::FileError;
use model::Digest;
use rayon::prelude::*;

use crate::blobs::Store;
use crate::error::StoreError;
use crate::memo_shard::Shard;
use crate::waiting::Waiting;

const SHARDS: usize = 64;
/// Uses that wait in memory for each log.
const FLUSH: usize = 64;
/// The time of a use is known to this many seconds.
pub(crate) const PRECISION: u64 = 24 * 60 * 60;

/// The logs.
pub(crate) struct Memo(Vec<Mutex<Shard>>);

impl Memo {
    pub(crate) fn new(folder: &Path, waiting: &Waiting) -> Self {
        let shard = |n| Mutex::new(Shard::new(folder.join(format!("{n:02x}.log")), waiting.clone()));
        Self((0..SHARDS).map(shard).collect())
    }

    fn shard(&self, key: &Digest) -> MutexGuard<'_, Shard> {
        lock(&self.0[usize::from(key.as_bytes()[0]) % SHARDS])
    }

    fn flush(&self) {
        for shard in &self.0 {
            // A use that is not written down makes the value go earlier than it should; it is made again then.
            let _ = lock(shard).flush(seconds());
        }
    }

    /// What `look` makes of every key, the time of its last use and its value.
    pub(crate) fn map<T: Send>(&self, look: impl Fn(&Digest, u64, &[u8]) -> T + Sync) -> Result<Vec<T>, FileError> {
        let found: Result<Vec<Vec<T>>, FileError> = self.0.par_iter().map(|shard| lock(shard).map(&look)).collect();
        Ok(found?.into_iter().flatten().collect())
    }

    /// Bytes of all logs.
    pub(crate) fn size(&self) -> u64 {
        let size = |shard: &Mutex<Shard>| host::fs::stat(lock(shard).path()).map_or(0, |stat| stat.size);
        self.0.iter().map(size).sum()
    }

    /// Reads every value; writes the logs with damaged ones anew. How many there are, and how many were damaged.
    pub(crate) fn check(&self) -> Result<(usize, usize), FileError> {
        let counts: Result<Vec<(usize, usize)>, FileError> =
            self.0.par_iter().map(|shard| lock(shard).check()).collect();
        Ok(counts?.into_iter().fold((0, 0), |sum, of_one| (sum.0 + of_one.0, sum.1 + of_one.1)))
    }

    /// Removes keys and the room they took.
    pub(crate) fn remove_all(&self, keys: &[Digest]) -> Result<(), FileError> {
        self.0.par_iter().enumerate().try_for_each(|(n, shard)| {
            let of_shard = |key: &&Digest| usize::from(key.as_bytes()[0]) % SHARDS == n;
            let keys: Vec<Digest> = keys.iter().filter(of_shard).copied().collect();
            if keys.is_empty() {
                return Ok(());
            }
            let mut shard = lock(shard);
            shard.remove(&keys, seconds())?;
            shard.compact()
        })
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        self.flush();
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since the epoch.
pub(crate) fn seconds() -> u64 {
    u64::try_from(host::clock::now() / 1_000_000_000).unwrap_or(0)
}

impl Store {
    /// The value kept for `key`; `None` if there is none or it is damaged.
    pub fn memo_get(&self, key: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let mut shard = self.0.memo.shard(key);
        let Some(value) = shard.get(key)? else { return Ok(None) };
        let now = seconds();
        if shard.note_use(key, now) >= FLUSH {
            shard.flush(now)?;
        }
        Ok(Some(value))
    }

    /// Keeps `value` for `key`; the last writer wins.
    pub fn memo_put(&self, key: &Digest, value: &[u8]) -> Result<(), StoreError> {
        Ok(self.0.memo.shard(key).put(key, value, seconds())?)
    }

    /// Forgets the value of `key`.
    pub fn memo_remove(&self, key: &Digest) -> Result<(), StoreError> {
        Ok(self.0.memo.shard(key).remove(&[*key], seconds())?)
    }

    /// Notes that the values of keys are in use, for a caller that has a copy of them and does not ask.
    pub fn memo_used(&self, keys: &[Digest]) -> Result<(), StoreError> {
        keys.iter().try_for_each(|key| self.memo_get(key).map(drop))
    }

    pub(crate) fn flush_uses(&self) {
        self.0.memo.flush();
    }
}
