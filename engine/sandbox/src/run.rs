//! Running one command to its end.

use std::io;
use std::time::{Duration, Instant};

use model::Cancel;
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cgroup::Groups;
use crate::channel::Channel;
use crate::command::{Command, Exceeded, Exit, Status};
use crate::disk::Disk;
use crate::error::SandboxError;
use crate::launcher::{Launcher, Session};
use crate::spec::{ProgramStatus, Report, Request, Usage};

/// How often a request to stop is looked for.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// How long a program whose time is over may go on to say where it is. Go programs write the stacks of their
/// goroutines.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs a command in a sandbox. Blocks; when it returns, every process of the command is dead.
pub fn run(launcher: &Launcher, command: &Command, cancel: &Cancel) -> Result<Exit, SandboxError> {
    host::fs::create(&command.stdout)?;
    if command.stderr != command.stdout {
        host::fs::create(&command.stderr)?;
    }
    let deadline = command.timeout.map(|timeout| Instant::now() + timeout);
    let groups = Groups::new(&command.limits.together);
    let mut spec = command.spec();
    spec.groups = groups.folders();
    spec.limits.together = groups.without(command.limits.together);
    let session = launcher.start(&spec, Vec::new())?;
    let disk = Disk::of(&command.workdir);
    let watch = Watch { deadline, cancel, groups: &groups, disk: &disk, cpu_time: command.limits.together.cpu_time };
    let ended = follow(&session, &watch);
    session.end();
    ended
}

/// What may end a command before it ends itself.
pub(crate) struct Watch<'a> {
    pub deadline: Option<Instant>,
    pub cancel: &'a Cancel,
    pub groups: &'a Groups,
    pub disk: &'a Disk,
    pub cpu_time: Option<Duration>,
}

/// What init has said so far.
#[derive(Default)]
struct Progress {
    ended: Option<(ProgramStatus, Duration)>,
    usage: Usage,
    /// Why it was told to stop.
    stopped: Option<Status>,
    /// Until when it may say where it is, since its time is over.
    last_words: Option<Instant>,
    hung_up: bool,
}

/// Waits for the end of a command, or ends it.
pub(crate) fn follow(session: &Session, watch: &Watch<'_>) -> Result<Exit, SandboxError> {
    let started = Instant::now();
    let mut progress = Progress::default();
    loop {
        progress.stop(session, watch);
        let deadline = watch.deadline.filter(|_| progress.stopped.is_none());
        if !readable(&session.channel, deadline)? {
            continue;
        }
        match session.channel.receive::<Report>().map_err(SandboxError::Lost)? {
            Some(received) => match received.message {
                Report::Failed(failure) => {
                    return Err(SandboxError::Setup { source: failure.source(), step: failure.step });
                }
                Report::Ended { status, wall } => progress.ended = Some((status, wall)),
                Report::Finished(usage) => progress.usage = usage,
                Report::Started | Report::Listening(_) | Report::Arranged(_) | Report::Connected { .. } => {}
            },
            None => return progress.exit(started.elapsed()).map(|exit| watch.judge(exit)),
        }
    }
}

impl Watch<'_> {
    fn reason_to_stop(&self) -> Option<Status> {
        if self.cancel.is_cancelled() {
            return Some(Status::Cancelled);
        }
        if self.is_out_of_time() {
            return Some(Status::Exceeded(Exceeded::CpuTime));
        }
        if self.disk.is_full() {
            return Some(Status::Exceeded(Exceeded::Disk));
        }
        self.deadline.filter(|deadline| Instant::now() >= *deadline).map(|_| Status::TimedOut)
    }

    /// Whether more processor time was used than there may be.
    fn is_out_of_time(&self) -> bool {
        self.cpu_time.is_some_and(|limit| self.groups.used().is_some_and(|used| used >= limit))
    }

    /// Says of a command that ended badly whether a limit was why.
    fn judge(&self, exit: Exit) -> Exit {
        let stopped = |signal| self.cpu_time.is_some() && signal == Signal::SIGXCPU as i32;
        let status = match exit.status {
            Status::Signal(signal) if stopped(signal) => Status::Exceeded(Exceeded::CpuTime),
            Status::Signal(_) | Status::Code(1..) if self.is_out_of_time() => Status::Exceeded(Exceeded::CpuTime),
            Status::Signal(_) | Status::Code(1..) => self.groups.exceeded().map_or(exit.status, Status::Exceeded),
            other => other,
        };
        Exit { status, ..exit }
    }
}

/// Waits a moment for a message or the end of the channel.
fn readable(channel: &Channel, deadline: Option<Instant>) -> Result<bool, SandboxError> {
    let left = deadline.map_or(LOOK, |deadline| deadline.saturating_duration_since(Instant::now()));
    let wait = left.clamp(Duration::from_millis(1), LOOK);
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    match poll(&mut [PollFd::new(channel, PollFlags::IN)], Some(&wait)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(SandboxError::Lost(error.into())),
    }
}

impl Progress {
    /// Ends the command if there is a reason to. One whose time is over is asked first.
    fn stop(&mut self, session: &Session, watch: &Watch<'_>) {
        let Some(reason) = watch.reason_to_stop().filter(|_| !self.hung_up) else { return };
        self.stopped = Some(reason);
        match self.last_words {
            None if reason == Status::TimedOut => {
                self.last_words = Some(Instant::now() + LAST_WORDS);
                // A program that cannot be asked has ended, which is heard next.
                let _ = session.channel.send(&Request::Quit, &[]);
            }
            Some(end) if reason == Status::TimedOut && Instant::now() < end => {}
            _ => {
                session.channel.hang_up();
                self.hung_up = true;
            }
        }
    }

    fn exit(self, elapsed: Duration) -> Result<Exit, SandboxError> {
        let (status, wall) = match (self.ended, self.stopped) {
            (Some((_, wall)), Some(Status::TimedOut)) => (Status::TimedOut, wall),
            (Some((ProgramStatus::Code(code), wall)), _) => (Status::Code(code), wall),
            (Some((ProgramStatus::Signal(signal), wall)), _) => (Status::Signal(signal), wall),
            (None, Some(status)) => (status, elapsed),
            (None, None) => return Err(SandboxError::Lost(io::ErrorKind::UnexpectedEof.into())),
        };
        Ok(Exit { status, wall, user: self.usage.user, system: self.usage.system, max_rss: self.usage.max_rss })
    }
}
