//! The init of a sandbox: what the engine's program does when it is started again with the hidden argument.
//!
//! One process waits for requests and forks. Then there are three processes a sandbox: the outer one makes the
//! namespaces and waits; process 1 of the namespaces builds the file system, supervises, and ends when the engine hangs
//! up; its child becomes the program. Only single-threaded code may live here, since it forks.
#![allow(clippy::disallowed_methods, reason = "init works inside the sandbox, and names the step in each error itself")]

mod namespaces;
mod netlink;
mod network;
mod privileges;
mod program;
mod raw;
mod root;
mod step;
mod supervisor;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::process::exit;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use crate::channel::Channel;
use crate::launcher::{CAN_BE_INIT, INIT_ARGUMENT};
use crate::spec::{Failure, Fork, Report, Spec, Usage};
use step::Step;

/// Serves as the init of sandboxes if the program was started for that, and then never returns. Must be the first
/// statement of `main`, while the program has one thread.
pub fn init_if_requested() {
    CAN_BE_INIT.store(true, Ordering::SeqCst);
    let requested = std::env::args_os().nth(1).is_some_and(|argument| argument == INIT_ARGUMENT);
    if requested {
        let code = match std::io::stdin().as_fd().try_clone_to_owned() {
            Ok(descriptor) => serve(Channel::from(descriptor)),
            Err(_) => 1,
        };
        exit(code);
    }
}

/// Forks an init for each request until the engine is gone. Returns an exit code, in which nobody is interested.
fn serve(requests: Channel) -> i32 {
    // A session of its own: Ctrl-C is for the engine, which ends its sandboxes in order.
    let _ = setsid();
    while let Ok(Some(received)) = requests.receive::<Fork>() {
        let Ok([channel, stdout, stderr]) = <[OwnedFd; 3]>::try_from(received.descriptors) else { return 1 };
        let channel = Channel::from(channel);
        match raw::fork().step(|| "start the sandbox's init") {
            Ok(ForkResult::Child) => {
                drop(requests);
                return one(&channel, &stdout, &stderr);
            }
            Ok(ForkResult::Parent { .. }) => {}
            // An engine that cannot be told is gone.
            Err(failure) => drop(channel.send(&Report::Failed(failure), &[])),
        }
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
    }
    0
}

/// The life of the outer process of one sandbox.
fn one(channel: &Channel, stdout: &OwnedFd, stderr: &OwnedFd) -> i32 {
    let Ok(Some(received)) = channel.receive::<Spec>() else { return 1 };
    let report = match contain(&received.message, channel, [stdout, stderr]) {
        Ok(first) => {
            // Fails only if there is no such child.
            let _ = waitpid(first, None);
            Report::Finished(usage())
        }
        Err(failure) => Report::Failed(failure),
    };
    i32::from(channel.send(&report, &[]).is_err())
}

/// Makes the namespaces and starts their process 1.
fn contain(spec: &Spec, channel: &Channel, output: [&OwnedFd; 2]) -> Result<Pid, Failure> {
    let stdin = spec.stdin.as_deref().unwrap_or("/dev/null".as_ref());
    let stdin: OwnedFd = File::open(stdin).step(|| format!("open standard input {}", stdin.display()))?.into();
    dup2_stdin(&stdin).step(|| "set standard input")?;
    drop(stdin);
    dup2_stdout(output[0]).and_then(|()| dup2_stderr(output[1])).step(|| "set standard output")?;
    let as_root = nix::unistd::geteuid().is_root();
    namespaces::enter(spec)?;
    match raw::fork().step(|| "start the first process")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => exit(supervisor::run(spec, as_root, channel)),
    }
}

/// Resources of the children that were waited for, with theirs.
fn usage() -> Usage {
    let duration = |time: TimeVal| {
        Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0))
            + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
    };
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Usage::default() };
    Usage {
        user: duration(usage.user_time()),
        system: duration(usage.system_time()),
        max_rss: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
    }
}
