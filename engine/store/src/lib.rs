//! The content-addressed store and the memo table, on disk, shared by any number of processes.
//!
//! Everything is written aside and renamed into place, so that a process killed at any moment leaves a valid store;
//! nothing is ever changed in place. Contents are found by digest only; no path of the machine is part of a key.

mod blobs;
mod damage;
mod error;
mod fsck;
mod lock;
mod memo;
mod scratch;
mod source_index;
mod sources;
mod trees;

pub use blobs::Store;
pub use error::StoreError;
pub use fsck::Findings;
pub use lock::KeyLock;
pub use scratch::TempDir;
