//! The memo table: small values by key. A value carries its checksum, so that a damaged one counts as absent.

use host::fs;
use model::Digest;

use crate::blobs::Store;
use crate::error::StoreError;

const CHECKSUM: usize = 32;

impl Store {
    /// The value kept for `key`; `None` if there is none or it is damaged.
    pub fn memo_get(&self, key: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.entry("memo", key);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if bytes.len() >= CHECKSUM && checksum(key, &bytes[CHECKSUM..]).as_bytes()[..] == bytes[..CHECKSUM] {
            return Ok(Some(bytes[CHECKSUM..].to_vec()));
        }
        self.discard(&path)?;
        Ok(None)
    }

    /// Keeps `value` for `key`; the last writer wins.
    pub fn memo_put(&self, key: &Digest, value: &[u8]) -> Result<(), StoreError> {
        let temporary = self.0.scratch.path();
        let mut bytes = checksum(key, value).as_bytes().to_vec();
        bytes.extend_from_slice(value);
        fs::write(&temporary, &bytes)?;
        self.rename(&temporary, &self.entry("memo", key))
    }

    /// Forgets the value of `key`.
    pub fn memo_remove(&self, key: &Digest) -> Result<(), StoreError> {
        self.discard(&self.entry("memo", key))
    }
}

/// Covers the key too, so that an entry under a wrong name does not count.
fn checksum(key: &Digest, value: &[u8]) -> Digest {
    model::KeyBuilder::new("memo", 1).digest(key).bytes(value).finish()
}
