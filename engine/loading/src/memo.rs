//! Values computed at most once, also when many threads ask at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use model::Diagnostics;

type Cell<V> = Arc<OnceLock<Result<V, Diagnostics>>>;

/// A table of results by key. A computation may ask for other keys, as long as that makes no cycle.
pub(crate) struct Memo<K, V>(Mutex<HashMap<K, Cell<V>>>);

impl<K: Eq + Hash + Clone, V: Clone> Memo<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    pub(crate) fn get_or(&self, key: &K, compute: impl FnOnce() -> Result<V, Diagnostics>) -> Result<V, Diagnostics> {
        let cell = {
            // The table is whole even if a computation panicked: cells are only ever added.
            let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(table.entry(key.clone()).or_default())
        };
        cell.get_or_init(compute).clone()
    }

    /// The value, if it was computed already and without error.
    pub(crate) fn ready(&self, key: &K) -> Option<V> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(key)?.get()?.as_ref().ok().cloned()
    }

    /// All values that were computed without error, in no order.
    pub(crate) fn all(&self) -> Vec<V> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.values().filter_map(|cell| cell.get()?.as_ref().ok().cloned()).collect()
    }
}
