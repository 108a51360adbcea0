//! Running one command to its end.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use model::Cancel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::channel::Channel;
use crate::command::{Command, Exit, Status};
use crate::error::SandboxError;
use crate::launcher::{Launcher, Session};
use crate::spec::{ProgramStatus, Report, Usage};

/// How often a request to stop is looked for.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// Runs a command in a sandbox. Blocks; when it returns, every process of the command is dead.
pub fn run(launcher: &Launcher, command: &Command, cancel: &Cancel) -> Result<Exit, SandboxError> {
    let (stdout, stderr) = outputs(command)?;
    let deadline = command.timeout.map(|timeout| Instant::now() + timeout);
    let session = launcher.start(&command.spec(), stdout, stderr)?;
    let ended = follow(&session, deadline, cancel);
    session.end();
    ended
}

/// The files for standard output and standard error.
pub(crate) fn outputs(command: &Command) -> Result<(File, File), SandboxError> {
    let stdout = open_log(&command.stdout)?;
    if command.stdout != command.stderr {
        return Ok((stdout, open_log(&command.stderr)?));
    }
    let stderr = stdout.try_clone().map_err(|source| file_error(&command.stderr, source))?;
    Ok((stdout, stderr))
}

fn open_log(path: &Path) -> Result<File, SandboxError> {
    host::fs::create(path)?;
    // Appending keeps lines of several writers whole.
    OpenOptions::new().append(true).open(path).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> SandboxError {
    host::fs::FileError { operation: "open", path: path.to_owned(), source }.into()
}

/// What init has said so far.
#[derive(Default)]
struct Progress {
    ended: Option<(ProgramStatus, Duration)>,
    usage: Usage,
    /// Why it was told to stop.
    stopped: Option<Status>,
}

fn follow(session: &Session, deadline: Option<Instant>, cancel: &Cancel) -> Result<Exit, SandboxError> {
    let started = Instant::now();
    let mut progress = Progress::default();
    loop {
        if progress.stopped.is_none() {
            progress.stopped = reason_to_stop(deadline, cancel);
            if progress.stopped.is_some() {
                session.channel.hang_up();
            }
        }
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
                Report::Started | Report::Listening(_) | Report::Connected { .. } => {}
            },
            None => return progress.exit(started.elapsed()),
        }
    }
}

fn reason_to_stop(deadline: Option<Instant>, cancel: &Cancel) -> Option<Status> {
    if cancel.is_cancelled() {
        return Some(Status::Cancelled);
    }
    deadline.filter(|deadline| Instant::now() >= *deadline).map(|_| Status::TimedOut)
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
    fn exit(self, elapsed: Duration) -> Result<Exit, SandboxError> {
        let (status, wall) = match (self.ended, self.stopped) {
            (Some((ProgramStatus::Code(code), wall)), _) => (Status::Code(code), wall),
            (Some((ProgramStatus::Signal(signal), wall)), _) => (Status::Signal(signal), wall),
            (None, Some(status)) => (status, elapsed),
            (None, None) => return Err(SandboxError::Lost(io::ErrorKind::UnexpectedEof.into())),
        };
        Ok(Exit { status, wall, user: self.usage.user, system: self.usage.system, max_rss: self.usage.max_rss })
    }
}
