//! Locks by key: of all processes that share the store, one at a time does the work behind a key.

use std::path::PathBuf;

use host::lock::{self, Holder, Lock};
use model::Digest;

use crate::blobs::Store;
use crate::error::StoreError;

/// A held lock on a key. It is given back when dropped, or when the process ends.
#[derive(Debug)]
pub struct KeyLock(#[expect(dead_code, reason = "holding it is its use")] Lock);

impl Store {
    /// Locks `key`; `None` if another thread or process has it.
    pub fn try_lock(&self, key: &Digest) -> Result<Option<KeyLock>, StoreError> {
        Ok(lock::try_lock(&self.locks(), offset(key))?.map(KeyLock))
    }

    /// Which other process has `key`, as far as that can be known.
    pub fn holder(&self, key: &Digest) -> Option<Holder> {
        lock::holder(&self.locks(), Some(offset(key)))
    }

    fn locks(&self) -> PathBuf {
        self.0.root.join("locks")
    }
}

/// Two keys that agree in 62 bits would wait for each other without need, and do no other harm.
fn offset(key: &Digest) -> u64 {
    key.as_bytes()[..8].try_into().map(u64::from_le_bytes).unwrap_or_default() >> 2
}
