//! Process 1 of the sandbox. It ends when the program has ended or the engine hangs up; the kernel then kills
//! everything that is left in its process namespace.

use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};

use super::namespaces::Identity;
use super::shelf::Shelf;
use super::step::Step;
use super::{network, program, raw, root};
use crate::channel::Channel;
use crate::spec::{Failure, ProgramStatus, Report, Request, Spec};

/// The life of process 1; its exit code is of no interest.
pub(super) fn run(spec: &Spec, identity: Identity, channel: &Channel) -> i32 {
    let report = match supervise(spec, identity, channel) {
        Ok(Some(report)) => report,
        Ok(None) => return 0,
        Err(failure) => Report::Failed(failure),
    };
    i32::from(channel.send(&report, &[]).is_err())
}

fn supervise(spec: &Spec, identity: Identity, channel: &Channel) -> Result<Option<Report>, Failure> {
    set_pdeathsig(Signal::SIGKILL).step(|| "tie the sandbox to its parent")?;
    let mut shelf = root::build(spec)?;
    if let Some(wire) = &spec.wire {
        network::connect_wire(wire, channel)?;
        network::allow_low_ports()?;
    }
    root::seal(identity.is_root())?;
    let signals = child_signals()?;
    let started = Instant::now();
    if spec.argv.is_empty() {
        return Ok(Some(Report::Ended { status: ProgramStatus::Code(0), wall: started.elapsed() }));
    }
    if spec.wire.is_some() {
        // Only who starts a container waits for this.
        channel.send(&Report::Started, &[]).step(|| "report the start")?;
    }
    let main = start(spec)?;
    let status = watch(main, channel, &signals, shelf.as_mut())?;
    Ok(status.map(|status| Report::Ended { status, wall: started.elapsed() }))
}

/// Starts the program.
fn start(spec: &Spec) -> Result<Pid, Failure> {
    let mut failure = None;
    let steps = || {
        failure = Some(program::become_program(spec));
        1
    };
    let main = raw::become_beside(steps).step(|| "start the program")?;
    failure.map_or(Ok(main), Err)
}

/// A descriptor that becomes readable when a child ends.
pub(super) fn child_signals() -> Result<SignalFd, Failure> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_swap_mask(SigmaskHow::SIG_BLOCK).step(|| "block SIGCHLD")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).step(|| "watch children")
}

/// Reaps orphans and answers the engine until the program has ended (its status) or the engine hung up (`None`).
fn watch(
    main: Pid,
    channel: &Channel,
    signals: &SignalFd,
    mut shelf: Option<&mut Shelf>,
) -> Result<Option<ProgramStatus>, Failure> {
    loop {
        let mut ready = [
            PollFd::new(channel, PollFlags::IN | PollFlags::RDHUP),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).step(|| "wait for the program"),
        }
        let [engine, child] = ready.map(|descriptor| descriptor.revents());
        if child.contains(PollFlags::IN) {
            while let Ok(Some(_)) = signals.read_signal() {}
            if let Some(status) = reap(main) {
                return Ok(Some(status));
            }
        }
        if engine.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
            return Ok(None);
        }
        if engine.contains(PollFlags::IN) {
            match channel.receive::<Request>() {
                Ok(Some(received)) => answer(&received.message, main, channel, shelf.as_deref_mut()),
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
}

/// Collects ended children; the program's status if it is among them.
fn reap(main: Pid) -> Option<ProgramStatus> {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => return Some(ProgramStatus::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                return Some(ProgramStatus::Signal(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn answer(request: &Request, main: Pid, channel: &Channel, shelf: Option<&mut Shelf>) {
    // An engine that cannot be answered has hung up, which the next poll reports.
    let _ = match request {
        Request::Connect { id, port } => match network::connect(*port) {
            Ok(stream) => channel.send(&Report::Connected { id: *id, errno: None }, &[stream.as_fd()]),
            Err(error) => {
                let errno = Some(error.raw_os_error().unwrap_or(nix::errno::Errno::EIO as i32));
                channel.send(&Report::Connected { id: *id, errno }, &[])
            }
        },
        Request::Show { folders, binds } => {
            let shown = shelf.map_or_else(no_shelf, |shelf| shelf.show(folders, binds));
            channel.send(&Report::Arranged(shown), &[])
        }
        Request::Hide => {
            let hidden = shelf.map_or_else(no_shelf, Shelf::hide);
            channel.send(&Report::Arranged(hidden), &[])
        }
        Request::Terminate => kill(main, Signal::SIGTERM).map_err(Into::into),
        Request::Quit => kill(main, Signal::SIGQUIT).map_err(Into::into),
    };
}

fn no_shelf() -> Result<(), Failure> {
    Err(Errno::ENOENT).step(|| "mount what was not announced")
}
