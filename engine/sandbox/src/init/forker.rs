//! The process that forks: makes process 1 of a sandbox for each request, and tells the engine when the last process of
//! that sandbox is dead. It ends when the engine is gone, and the sandboxes with it.
//!
//! Process 1 is its direct child, made inside the new namespaces by one clone(2): each process saved is a copy of page
//! tables, their faults and a switch saved, for every action.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::exit;
use std::time::Duration;

use nix::libc::rusage;
use nix::sys::signalfd::SignalFd;
use nix::unistd::{ForkResult, Pid, setsid};
use rustix::event::{PollFd, PollFlags, poll};

use super::namespaces::{self, Identity};
use super::networks::{Network, Networks};
use super::step::Step;
use super::{raw, streams, supervisor};
use crate::channel::{Channel, Received};
use crate::spec::{Failure, Report, Spec, Usage};

/// Serves requests until the engine is gone. Returns an exit code, in which nobody is interested.
pub(super) fn serve(requests: Channel) -> i32 {
    // A session of its own: Ctrl-C is for the engine, which ends its sandboxes in order.
    let _ = setsid();
    let identity = namespaces::prepare();
    let Ok(signals) = supervisor::child_signals() else { return 1 };
    let mut forker = Forker { identity, networks: Networks::default(), running: HashMap::new() };
    while let Ok(ready) = wait(&requests, &signals) {
        if ready.ended {
            while let Ok(Some(_)) = signals.read_signal() {}
            forker.reap();
        }
        if ready.requested {
            match requests.receive::<Spec>() {
                Ok(Some(received)) => forker.start(received),
                Ok(None) | Err(_) => return 0,
            }
        }
    }
    1
}

/// What there is to do.
struct Ready {
    requested: bool,
    ended: bool,
}

fn wait(requests: &Channel, signals: &SignalFd) -> io::Result<Ready> {
    let mut ready = [PollFd::new(requests, PollFlags::IN), PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    match poll(&mut ready, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [requests, signals] = ready.map(|descriptor| descriptor.revents());
    Ok(Ready { requested: !requests.is_empty(), ended: signals.contains(PollFlags::IN) })
}

struct Forker {
    /// Who runs the engine, or why there can be no sandboxes.
    identity: Result<Identity, Failure>,
    networks: Networks,
    /// The first processes of all sandboxes.
    running: HashMap<Pid, Running>,
}

/// A sandbox: who wants to know when it ends, and the network that is free then.
struct Running {
    channel: Channel,
    network: Option<Network>,
}

impl Forker {
    fn start(&mut self, received: Received<Spec>) {
        let mut descriptors = received.descriptors.into_iter();
        let Some(channel) = descriptors.next() else { return };
        let channel = Channel::from(channel);
        if let Err(failure) = self.fork(&received.message, &channel, descriptors.collect()) {
            // An engine that cannot be told is gone.
            let _ = channel.send(&Report::Failed(failure), &[]);
        }
    }

    fn fork(&mut self, spec: &Spec, channel: &Channel, sent: Vec<OwnedFd>) -> Result<(), Failure> {
        let identity = self.identity.clone()?;
        let channel = channel.try_clone().step(|| "hold the channel")?;
        let network = namespaces::shares_network(spec).then(|| self.networks.enter()).transpose()?;
        match raw::clone(namespaces::flags(spec)).step(|| namespaces::STEP)? {
            ForkResult::Child => exit(first(spec, identity, &channel, sent)),
            ForkResult::Parent { child } => drop(self.running.insert(child, Running { channel, network })),
        }
        Ok(())
    }

    /// Reports sandboxes that have ended. The kernel lets process 1 be waited for when all others are dead.
    fn reap(&mut self) {
        while let Some((pid, usage)) = raw::wait() {
            if let Some(Running { channel, network }) = self.running.remove(&pid) {
                // An engine that cannot be told is gone.
                let _ = channel.send(&Report::Finished(usage_of(&usage)), &[]);
                drop(channel);
                network.into_iter().for_each(|network| self.networks.leave(network));
            }
        }
    }
}

/// The life of process 1, from its place in the namespaces on.
fn first(spec: &Spec, identity: Identity, channel: &Channel, sent: Vec<OwnedFd>) -> i32 {
    let ready = streams::take_sent(spec, channel, sent).and_then(|()| namespaces::take(spec));
    match ready {
        Ok(()) => supervisor::run(spec, identity, channel),
        Err(failure) => i32::from(channel.send(&Report::Failed(failure), &[]).is_err()),
    }
}

fn usage_of(usage: &rusage) -> Usage {
    let duration = |time: nix::libc::timeval| {
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    Usage {
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        max_rss: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    }
}
