//! The local system: the same images, names, ports, calls and environment as in a cluster, on this machine without one.
//!
//! Each service runs in a container of `sandbox`, one of each whatever the replicas. A call goes from a listener inside
//! the caller to a connection made inside the callee; only declared calls have one, as a NetworkPolicy would have it, and
//! it refuses while the callee is not ready. Every port is published on the machine's loopback, under its own number where
//! that is free. What ends by itself is started again; what a cluster would give and this does not is said at the start.

mod error;
mod health;
mod logs;
mod network;
mod order;
mod rootfs;
mod service;
mod state;
mod system;
mod unit;

pub use error::LocalError;
pub use rootfs::unpack;
pub use service::{LocalCall, LocalRequest, LocalService, LocalState, local_services};
pub use state::StateLock;
pub use system::{Local, LocalAddress, LocalOptions};
