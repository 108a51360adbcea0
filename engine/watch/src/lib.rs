//! Which files of a workspace may have changed: told by the kernel as it happens, instead of found out by looking at all.
//!
//! A [`Watcher`] lives in a `build watch` and answers other commands through a socket ([`ask`]). It only ever saves
//! looking: without one, after an overflow or a crash, the answer is [`Changes::Unknown`] or none, and everything is
//! looked at as if there had never been a watcher.
//!
//! An answer holds every edit that was made before the question: the kernel queues an event before the system call that
//! caused it returns, and the queue is read to its end after the question came and before it is answered. No cookie file
//! is needed for that, as it is where events arrive by way of another process.
//!
//! What inotify cannot see is in every answer, as if it always changed: what lies behind symbolic links, in folders that
//! are skipped or cannot be read, on other file systems, and in files that have or get further names, by which they may be
//! edited elsewhere (a watch on each file tells of those). Once something is mounted over the workspace, nothing is known
//! any more. Three things it does not see, and the one who asks has to mind: a file that had several names before may be
//! edited by one of them (its link count tells), writes through a shared memory map show when the map is closed, and a file
//! system that other machines write to is silent about them, which is why [`Watcher::start`] refuses the known ones.

mod changes;
mod error;
mod folders;
mod journal;
mod poller;
mod socket;
mod watcher;

pub use changes::{Changes, Token};
pub use error::WatchError;
pub use poller::Poller;
pub use socket::{ask, socket_name};
pub use watcher::{Skip, Watcher};
