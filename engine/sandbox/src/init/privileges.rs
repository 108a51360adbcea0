//! Giving up everything a program could use to get out, and everything it would inherit by accident.

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use super::raw;
use super::step::Step;
use crate::command::Limits;
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

/// Sets the limits; no core dumps.
pub(super) fn limit(limits: &Limits) -> Result<(), Failure> {
    let set =
        |resource, value| setrlimit(resource, value, value).step(|| format!("set the limit {resource:?} to {value}"));
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
