//! Entering new namespaces. The user namespace maps exactly one user and one group, so it works for every user.

use std::fs;

use model::Network;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid, sethostname};

use super::step::Step;
use crate::spec::{Failure, Spec};

/// Enters new namespaces; the next child is process 1 of the new process namespace.
pub(super) fn enter(spec: &Spec) -> Result<(), Failure> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        // Root's further groups would be visible inside. Others may not drop theirs; they show up as nogroup.
        let _ = rustix::thread::set_thread_groups(&[]);
    }
    let mut flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    if spec.network == Network::Loopback {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    unshare(flags).step(|| "make namespaces (user, mount, process, network, ipc, host name, cgroup)")?;
    let map = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).step(|| format!("map users and groups ({file})"))
    };
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("{} {user} 1", spec.user))?;
    map("gid_map", format!("{} {group} 1", spec.group))?;
    sethostname(&spec.hostname).step(|| format!("set the host name to {}", spec.hostname))
}
