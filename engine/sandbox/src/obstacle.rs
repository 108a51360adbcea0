//! Why this machine lets the engine make no sandboxes, in the words of the setting that is at work, and what to type against it.
//!
//! The kernel says little: "no space left on device" is a limit on namespaces, "operation not permitted" may be a seccomp
//! filter, an AppArmor profile, a sysctl or a chroot. What the machine says of itself tells them apart.

use std::path::Path;

use nix::libc::{EACCES, ENOSPC, EPERM, EUSERS};

use crate::error::SandboxError;

/// What is in the way of sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The failed step, and the setting that made it fail.
    pub reason: String,
    /// What to type or to set.
    pub hint: String,
}

/// What the machine says of itself.
#[derive(Debug, Clone, Default)]
struct Machine {
    /// Kinds of namespaces of which there may be none: `user.max_KIND_namespaces` is 0.
    limited: Vec<&'static str>,
    /// `kernel.unprivileged_userns_clone` is 0.
    is_forbidden: bool,
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1.
    is_restricted: bool,
    /// System calls of this process are filtered.
    is_filtered: bool,
    /// Its root folder is not that of its mounts.
    is_chrooted: bool,
}

const KINDS: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

impl Obstacle {
    /// What an error that stopped a sandbox without a program says of this machine.
    pub(crate) fn of(error: &SandboxError) -> Self {
        Self::on(error, &Machine::look())
    }

    fn on(error: &SandboxError, machine: &Machine) -> Self {
        let source = std::error::Error::source(error);
        let errno = source.and_then(|source| source.downcast_ref::<std::io::Error>()?.raw_os_error()).unwrap_or(0);
        let said = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        let (why, hint) = machine.explain(&error.to_string(), errno);
        Self { reason: if why.is_empty() { said } else { format!("{said}; {why}") }, hint }
    }
}

impl Machine {
    fn look() -> Self {
        let read = |path: String| host::fs::read_to_string(Path::new(&path)).unwrap_or_default();
        let setting = |name: &str| read(format!("/proc/sys/{name}")).trim().to_owned();
        let limit = |kind: &&str| setting(&format!("user/max_{kind}_namespaces")) == "0";
        let mounts = read("/proc/self/mountinfo".to_owned());
        Self {
            limited: KINDS.into_iter().filter(limit).collect(),
            is_forbidden: setting("kernel/unprivileged_userns_clone") == "0",
            is_restricted: setting("kernel/apparmor_restrict_unprivileged_userns") == "1",
            is_filtered: read("/proc/self/status".to_owned()).lines().any(|line| line == "Seccomp:\t2"),
            is_chrooted: is_chrooted(&mounts),
        }
    }

    /// The setting that made a step fail, and what to do about it.
    fn explain(&self, step: &str, errno: i32) -> (String, String) {
        let (why, hint) = match errno {
            ENOSPC if !self.limited.is_empty() => {
                let names: Vec<String> =
                    self.limited.iter().map(|kind| format!("user.max_{kind}_namespaces")).collect();
                let set: Vec<String> = names.iter().map(|name| format!("{name}=15000")).collect();
                return (
                    format!("not a full disk, but the limit of namespaces: {} is 0", names.join(", ")),
                    format!("as root of the machine (not in a container): sysctl -w {}", set.join(" ")),
                );
            }
            ENOSPC | EUSERS => (
                "not a full disk, but the limit of namespaces: too many are in use, or one in another too deep",
                "as root of the machine: sysctl -w user.max_user_namespaces=15000 user.max_mnt_namespaces=15000",
            ),
            EPERM | EACCES if step.contains("mount /proc") => (
                "a container that hides parts of its /proc lets no other be mounted",
                "start the container with `--security-opt systempaths=unconfined` (docker), `--security-opt unmask=ALL` \
                 (podman), or `procMount: Unmasked` with `hostUsers: false` (Kubernetes)",
            ),
            EPERM | EACCES if self.is_forbidden => (
                "kernel.unprivileged_userns_clone is 0",
                "as root of the machine: sysctl -w kernel.unprivileged_userns_clone=1",
            ),
            EPERM | EACCES if self.is_restricted => (
                "AppArmor lets no program without a profile use user namespaces (Ubuntu from 23.10 on)",
                "as root of the machine: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            EPERM if self.is_chrooted => (
                "in a chroot the kernel makes no user namespaces",
                "enter the folder by `systemd-nspawn -D`, `bwrap` or a container instead of chroot",
            ),
            EPERM if self.is_filtered => (
                "a seccomp filter, as containers have one, refuses the system call",
                "start the container with `--security-opt seccomp=unconfined` (docker, podman) or `seccompProfile: \
                 {type: Unconfined}` (Kubernetes); on CircleCI use `machine:` instead of `docker:`",
            ),
            _ => (
                "",
                "allow user namespaces: in a container by its security options, on a machine by sysctl; a chroot has none",
            ),
        };
        (why.to_owned(), hint.to_owned())
    }
}

/// Whether the root folder is no mount, or another one than that of the first process, as far as that can be seen.
fn is_chrooted(mounts: &str) -> bool {
    let is_no_mount = !mounts.is_empty() && !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/"));
    let [own, first] = ["/", "/proc/1/root/"].map(|path| host::fs::stat(Path::new(path)).ok());
    let differs = own.zip(first).is_some_and(|(own, first)| (own.device, own.inode) != (first.device, first.inode));
    is_no_mount || differs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(step: &str, errno: i32, machine: &Machine) -> (String, String) {
        let source = std::io::Error::from_raw_os_error(errno);
        let Obstacle { reason, hint } = Obstacle::on(&SandboxError::Setup { step: step.to_owned(), source }, machine);
        (reason, hint)
    }

    #[test]
    fn the_setting_at_work_is_named() {
        let none = Machine::default;
        let make = "make namespaces (user, mount)";
        let limited = Machine { limited: vec!["user", "net"], ..none() };
        let cases = [
            (
                make,
                ENOSPC,
                limited,
                "user.max_user_namespaces, user.max_net_namespaces is 0",
                "user.max_net_namespaces=15000",
            ),
            (make, ENOSPC, none(), "not a full disk", "sysctl"),
            ("mount /proc", EPERM, none(), "hides parts of its /proc", "systempaths=unconfined"),
            (make, EPERM, Machine { is_forbidden: true, ..none() }, "unprivileged_userns_clone", "sysctl"),
            ("map users and groups (uid_map)", EACCES, Machine { is_restricted: true, ..none() }, "AppArmor", "sysctl"),
            (make, EPERM, Machine { is_filtered: true, ..none() }, "seccomp", "seccomp=unconfined"),
            (make, EPERM, Machine { is_chrooted: true, is_filtered: true, ..none() }, "chroot", "systemd-nspawn"),
        ];
        for (step, errno, machine, why, hint) in cases {
            let (said, told) = on(step, errno, &machine);
            assert!(said.starts_with(&format!("sandbox: cannot {step}: ")) && said.contains(why), "{said}");
            assert!(told.contains(hint), "{told}");
        }
        assert!(on(make, EPERM, &none()).1.contains("security options"));
    }
}
