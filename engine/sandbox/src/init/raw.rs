//! The few calls that the wrapper crates leave unsafe. All `unsafe` of this crate is here and in `last_words.rs`;
//! `engine/reliability/sanitize` names the tests that cover each block, and runs them under AddressSanitizer.
#![expect(unsafe_code, reason = "system calls without a safe wrapper; each block says why it is sound here")]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid};

/// The ordinary personality (personality(2)).
const PER_LINUX: libc::c_ulong = 0;

/// Bytes of the stack on which the last steps before a program run.
const STACK: usize = 256 * 1024;

/// Forks a child into new namespaces. Only init calls it, which has one thread from its start to its end.
pub(super) fn clone(flags: CloneFlags) -> nix::Result<ForkResult> {
    let (flags, none) = (i64::from(flags.bits() | libc::SIGCHLD), 0_usize);
    // SAFETY: without CLONE_VM this is fork(2). This process has one thread, so no lock can be held by another one and
    // the child may do anything. No stack is given, so the child goes on with a copy of this one.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) };
    match Errno::result(result)? {
        0 => Ok(ForkResult::Child),
        pid => Ok(ForkResult::Parent { child: Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?) }),
    }
}

/// Runs `steps` in a child that shares this process's memory, and goes on when it has become a program or exited. What
/// `steps` writes is seen here, and no page table is copied.
pub(super) fn become_beside(mut steps: impl FnMut() -> i32) -> nix::Result<Pid> {
    let mut stack = vec![0; STACK];
    let steps = Box::new(|| steps() as isize);
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    // SAFETY: CLONE_VFORK suspends this process, which has one thread, until the child no longer uses the memory, so
    // nothing is touched from two sides. The child runs on a stack of its own, which lives until then.
    unsafe { nix::sched::clone(steps, &mut stack, flags, Some(libc::SIGCHLD)) }
}

/// A child that has ended, and what it and its waited-for children used; `None` when there is none yet.
pub(super) fn wait() -> Option<(Pid, libc::rusage)> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes at most one rusage to the place given, and no status.
    let pid = unsafe { libc::wait4(-1, std::ptr::null_mut(), libc::WNOHANG, usage.as_mut_ptr()) };
    // SAFETY: all fields are numbers, for which zero is a value.
    (pid > 0).then(|| (Pid::from_raw(pid), unsafe { usage.assume_init() }))
}

/// Brings the loopback device up in the network namespace of this socket, which may be of any kind.
pub(super) fn bring_up_loopback(socket: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: all fields are numbers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l'.cast_signed(), b'o'.cast_signed()]);
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP | libc::IFF_LOOPBACK).unwrap_or(0);
    // SAFETY: the request outlives the call, which reads name and flags and writes nothing outside of it.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) }).map(drop)
}

/// Makes this process an ordinary one: a personality is inherited, and shows in addresses and names.
pub(super) fn reset_personality() -> nix::Result<()> {
    // SAFETY: the call takes a plain number.
    Errno::result(unsafe { libc::personality(PER_LINUX) }).map(drop)
}

/// Sets the name of the NIS domain, which no wrapper crate that is used here does.
pub(super) fn set_domain_name(name: &str) -> nix::Result<()> {
    // SAFETY: the call reads so many bytes of a text that outlives it.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// Closes every descriptor but the standard three and one more.
pub(super) fn close_all_but(kept: BorrowedFd<'_>) -> nix::Result<()> {
    let kept = kept.as_raw_fd().cast_unsigned();
    let close = |first: u32, last: u32| {
        // SAFETY: the call takes plain numbers. Owners of the descriptors are forgotten: the caller never returns to
        // them, and no destructor runs at its exit.
        Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
    };
    if kept > 3 {
        close(3, kept - 1)?;
    }
    close(kept + 1, u32::MAX)
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
