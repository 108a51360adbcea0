//! The value kept for an action's key. Only successes are kept.

use model::{Digest, RelPath};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};

use crate::content::Content;

/// What a successful action made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActionResult {
    /// The content of each output.
    pub outputs: Vec<(RelPath, Content)>,
    /// The exit code of its process.
    pub exit_code: i32,
    /// What it wrote, if anything.
    pub log: Option<Digest>,
    /// Whether it saw declared inputs only. Results that are not hermetic stay on this machine.
    pub hermetic: bool,
}

/// The result kept for `key`, if all its outputs are in the store.
pub(crate) fn get(store: &Store, key: &Digest) -> Result<Option<ActionResult>, StoreError> {
    let Some(bytes) = store.memo_get(key)? else { return Ok(None) };
    // A value that cannot be read is of another version, and as good as none.
    let Ok(result) = serde_json::from_slice::<ActionResult>(&bytes) else { return Ok(None) };
    for (_, content) in &result.outputs {
        if !content.is_in(store)? {
            return Ok(None);
        }
    }
    Ok(Some(result))
}

/// Keeps a result.
pub(crate) fn put(store: &Store, key: &Digest, result: &ActionResult) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(result).expect("paths, digests and numbers always serialise");
    store.memo_put(key, &bytes)
}
