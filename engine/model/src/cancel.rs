//! A request to stop, shared by all tasks of a command.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Set by Ctrl-C or by the first failure without `--keep_going`; tasks look at it between steps.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicU8>);

const ASKED: u8 = 1;
const INSISTED: u8 = 2;

impl Cancel {
    /// Asks everything to stop.
    pub fn cancel(&self) {
        self.0.fetch_max(ASKED, Ordering::SeqCst);
    }

    /// Asks a second time: what is given time to end has had enough of it.
    pub fn insist(&self) {
        self.0.fetch_max(INSISTED, Ordering::SeqCst);
    }

    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= ASKED
    }

    /// Whether to stop without waiting for anybody.
    pub fn is_insisted(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= INSISTED
    }
}
