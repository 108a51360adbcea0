//! The namespaces of a sandbox. The user namespace maps exactly one user and one group, so it works for every user.

use std::fs;
use std::path::PathBuf;

use model::Network;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid, sethostname};

use super::step::Step;
use crate::spec::{Failure, Spec};

/// What is attempted by a clone with [`flags`].
pub(super) const STEP: &str = "make namespaces (user, mount, process, network, ipc, host name, cgroup)";

/// Who runs the engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    user: u32,
    group: u32,
}

impl Identity {
    /// Whether files of the machine's root user can be written.
    pub fn is_root(self) -> bool {
        self.user == 0
    }
}

/// Finds out who runs the engine, which is not visible inside, and lets go of what would be visible of it.
pub(super) fn prepare() -> Identity {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        // Root's further groups would be visible inside. Others may not drop theirs; they show up as nogroup.
        let _ = rustix::thread::set_thread_groups(&[]);
    }
    Identity { user: user.as_raw(), group: group.as_raw() }
}

/// The namespaces that a sandbox has for itself.
pub(super) fn flags(spec: &Spec) -> CloneFlags {
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    match spec.network {
        Network::Loopback => flags | CloneFlags::CLONE_NEWNET,
        Network::Host => flags,
    }
}

/// Makes this process, the first one inside, the user and the host that the spec says.
pub(super) fn take(spec: &Spec, identity: Identity) -> Result<(), Failure> {
    join(&spec.groups)?;
    let map = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).step(|| format!("map users and groups ({file})"))
    };
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("{} {} 1", spec.user, identity.user))?;
    map("gid_map", format!("{} {} 1", spec.group, identity.group))?;
    sethostname(&spec.hostname).step(|| format!("set the host name to {}", spec.hostname))
}

/// Joins control groups, and makes them the root of what is visible of control groups inside.
fn join(groups: &[PathBuf]) -> Result<(), Failure> {
    if groups.is_empty() {
        return Ok(());
    }
    for group in groups {
        let procs = group.join("cgroup.procs");
        fs::write(&procs, "0").step(|| format!("join the control group {}", group.display()))?;
    }
    unshare(CloneFlags::CLONE_NEWCGROUP).step(|| "make a namespace of control groups")
}
