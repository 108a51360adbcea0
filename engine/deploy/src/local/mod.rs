//! The local system: the same images, names, ports, calls and environment as in a cluster, on this machine without one.
//!
//! Each service runs in a container of `sandbox`, one of each whatever the replicas. A call goes from a listener inside
//! the caller to a connection made inside the callee; only declared calls have one, as a NetworkPolicy would have it.
//! Every port is published on the machine's loopback, under its own number where that is free.

mod error;
mod health;
mod logs;
mod network;
mod rootfs;
mod service;
mod system;

pub use error::LocalError;
pub use rootfs::unpack;
pub use service::{LocalCall, LocalRequest, LocalService, LocalState, local_services};
pub use system::{Local, LocalAddress, LocalOptions};
