//! The content-addressed store and the memo table, on disk, shared by any number of processes.
//!
//! Everything is written aside and renamed into place, so that a process killed at any moment leaves a valid store;
//! nothing is ever changed in place. Contents are found by digest only; no path of the machine is part of a key.

mod blobs;
mod damage;
mod epoch;
mod error;
mod files;
mod fsck;
mod gate;
mod gc;
mod lock;
mod memo;
mod memo_record;
mod memo_shard;
mod references;
mod restore;
mod scratch;
mod source_index;
mod sources;
mod table_file;
mod trees;
mod waiting;

pub use blobs::Store;
pub use epoch::Recovery;
pub use error::StoreError;
pub use fsck::{Checked, Findings, Sizes};
pub use gc::{Collected, Limits};
pub use lock::KeyLock;
pub use restore::{Placement, Restored, make_way};
pub use scratch::TempDir;
pub use table_file::{RowChanges, Rows, TableFile};
pub use waiting::Tell;
