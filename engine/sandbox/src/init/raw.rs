//! The few calls that the wrapper crates leave unsafe. All `unsafe` of this crate is here.
#![expect(unsafe_code, reason = "system calls without a safe wrapper; each block says why it is sound here")]

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::ForkResult;

/// Forks. Only init calls it, which has one thread from its start to its end.
pub(super) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: this process has one thread, so no lock can be held by another one and the child may do anything.
    unsafe { nix::unistd::fork() }
}

/// Sets a signal's default disposition.
pub(super) fn reset_signal(number: Signal) -> nix::Result<()> {
    // SAFETY: the default disposition runs no code of this process.
    unsafe { signal(number, SigHandler::SigDfl) }.map(drop)
}

/// Marks all descriptors from 3 on to be closed on exec.
pub(super) fn close_on_exec() -> nix::Result<()> {
    // SAFETY: the call takes plain numbers, and closes nothing that this process still uses.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(result).map(drop)
}
