//! Giving up everything a program could use to get out, and everything it would inherit by accident.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use super::raw;
use super::step::Step;
use crate::command::{Limits, PROCESSES};
use crate::spec::Failure;

/// The kernel knows at most this many capabilities.
const CAPABILITIES: u32 = 64;

/// Drops all capabilities for good: not even a set-user-ID program gets one back.
pub(super) fn drop_all() -> Result<(), Failure> {
    for number in 0..CAPABILITIES {
        // The kernel refuses the first number that it does not know.
        if remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)).is_err() {
            break;
        }
    }
    clear_ambient_capability_set().step(|| "drop ambient capabilities")?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).step(|| "drop capabilities")?;
    set_no_new_privs(true).step(|| "set no_new_privs")
}

/// Default signal handling and an empty mask, whatever the engine was started with.
pub(super) fn reset_signals() -> Result<(), Failure> {
    for number in Signal::iterator() {
        if !matches!(number, Signal::SIGKILL | Signal::SIGSTOP) {
            raw::reset_signal(number).step(|| format!("reset {number}"))?;
        }
    }
    SigSet::empty().thread_set_mask().step(|| "reset the signal mask")
}

/// Limits of every command, so that none sees those of the machine or of the shell that `build` was started from: soft,
/// hard.
const FIXED: [(Resource, u64, u64); 12] = [
    (Resource::RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY),
    (Resource::RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY),
    (Resource::RLIMIT_FSIZE, LARGEST_FILE, LARGEST_FILE),
    (Resource::RLIMIT_LOCKS, RLIM_INFINITY, RLIM_INFINITY),
    (Resource::RLIMIT_MEMLOCK, 64 << 10, 64 << 10),
    (Resource::RLIMIT_MSGQUEUE, 819_200, 819_200),
    (Resource::RLIMIT_NICE, 0, 0),
    (Resource::RLIMIT_NOFILE, 4096, 4096),
    (Resource::RLIMIT_NPROC, PROCESSES, PROCESSES),
    (Resource::RLIMIT_RSS, RLIM_INFINITY, RLIM_INFINITY),
    (Resource::RLIMIT_SIGPENDING, 4096, 4096),
    (Resource::RLIMIT_STACK, 8 << 20, RLIM_INFINITY),
];

/// Bytes of the largest file of a command. More is a mistake, or a file of holes that would fill the disk once copied.
const LARGEST_FILE: u64 = 64 << 30;

/// Sets what every command has of limits. One that the machine has lower cannot be raised, and stays.
pub(super) fn fix_limits() -> Result<(), Failure> {
    for (resource, soft, hard) in FIXED {
        let (_, most) = getrlimit(resource).step(|| format!("find the limit {resource:?}"))?;
        let (soft, hard) = (soft.min(most), hard.min(most));
        setrlimit(resource, soft, hard).step(|| format!("set the limit {resource:?} to {soft}"))?;
    }
    Ok(())
}

/// Sets the limits; no core dumps.
pub(super) fn limit(limits: &Limits) -> Result<(), Failure> {
    let set = |resource, value: u64| {
        let (_, most) = getrlimit(resource).step(|| format!("find the limit {resource:?}"))?;
        let value = value.min(most);
        setrlimit(resource, value, value).step(|| format!("set the limit {resource:?} to {value}"))
    };
    set(Resource::RLIMIT_CORE, 0)?;
    if let Some(seconds) = limits.together.cpu_time.map(|time| time.as_secs().max(1)) {
        // At the first the process gets SIGXCPU, which says why it ended; at the second SIGKILL, which does not.
        let step = || format!("set the limit of processor time to {seconds}");
        setrlimit(Resource::RLIMIT_CPU, seconds, seconds + 1).step(step)?;
    }
    let wanted = [
        (Resource::RLIMIT_NOFILE, limits.open_files),
        (Resource::RLIMIT_FSIZE, limits.file_size),
        (Resource::RLIMIT_AS, limits.address_space),
    ];
    // What a control group limits for all together was taken out.
    let together = &limits.together;
    let alone =
        [(Resource::RLIMIT_AS, together.memory), (Resource::RLIMIT_NPROC, together.processes.map(|most| most + 1))];
    wanted.into_iter().chain(alone).try_for_each(|(resource, value)| value.map_or(Ok(()), |value| set(resource, value)))
}

/// Marks every descriptor but the standard three to be closed when the program starts.
pub(super) fn close_descriptors() -> Result<(), Failure> {
    raw::close_on_exec().step(|| "close descriptors")
}
