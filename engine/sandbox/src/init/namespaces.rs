//! The namespaces of a sandbox. The user namespace maps exactly one user and one group, so it works for every user.

use std::fs;
use std::path::PathBuf;

use model::Network;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid, sethostname};

use super::raw;
use super::step::Step;
use crate::spec::{Failure, Spec};

/// What is attempted by a clone with [`flags`].
pub(super) const STEP: &str = "make namespaces (user, mount, process, network, ipc, host name, cgroup)";

/// The engine's user and group, as the user namespace of the process that forks has them.
const OWN: u32 = 1000;

/// The kernel's own name for no domain.
const NO_DOMAIN: &str = "(none)";

/// Who runs the engine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    is_root: bool,
}

impl Identity {
    /// Whether files of the machine's root user can be written.
    pub fn is_root(self) -> bool {
        self.is_root
    }
}

/// Finds out who runs the engine, lets go of what would be visible of it inside, and enters a user namespace in which
/// networks can be made that no sandbox may configure.
pub(super) fn prepare() -> Result<Identity, Failure> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        // Root's further groups would be visible inside. Others may not drop theirs; they show up as nogroup.
        let _ = rustix::thread::set_thread_groups(&[]);
    }
    unshare(CloneFlags::CLONE_NEWUSER).step(|| STEP)?;
    map((OWN, user.as_raw()), (OWN, group.as_raw()))?;
    Ok(Identity { is_root: user.is_root() })
}

/// Maps one user and one group: number inside, number outside.
fn map(user: (u32, u32), group: (u32, u32)) -> Result<(), Failure> {
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).step(|| format!("map users and groups ({file})"))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{} {} 1", user.0, user.1))?;
    write("gid_map", format!("{} {} 1", group.0, group.1))
}

/// Whether the sandbox gets a network of those that are used again, instead of one that is made for it.
pub(super) fn shares_network(spec: &Spec) -> bool {
    spec.network == Network::Loopback && spec.wire.is_none()
}

/// The namespaces that a sandbox has for itself.
pub(super) fn flags(spec: &Spec) -> CloneFlags {
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    // A container configures its network itself.
    if spec.wire.is_some() { flags | CloneFlags::CLONE_NEWNET } else { flags }
}

/// Makes this process, the first one inside, the user and the host that the spec says.
pub(super) fn take(spec: &Spec) -> Result<(), Failure> {
    join(&spec.groups)?;
    map((spec.user, OWN), (spec.group, OWN))?;
    sethostname(&spec.hostname).step(|| format!("set the host name to {}", spec.hostname))?;
    // A new namespace begins with the names of the machine.
    raw::set_domain_name(NO_DOMAIN).step(|| "set the domain name")
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
