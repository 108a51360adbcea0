//! A program that stays and answers requests: one sandbox for its whole life, other mounts for each request.
//!
//! A request is a line on its standard input, the answer a line on its standard output. What a line means is not known
//! here.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{Cancel, RelPath};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};

use crate::command::{Command, Mount, Status, WORK};
use crate::error::SandboxError;
use crate::launcher::{Launcher, Session};
use crate::run::LOOK;
use crate::spec::{Bind, Failure, ProgramStatus, Report, Request, Stream};

/// A longer answer is none.
const LONGEST: usize = 64 << 20;

/// A running program that answers requests. Dropping it kills it and waits until all its processes are dead.
pub struct Persistent {
    session: Session,
    requests: PipeWriter,
    answers: PipeReader,
    /// What it wrote and nobody has taken yet.
    received: Vec<u8>,
    /// Where mounts come from.
    shelf: PathBuf,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// The program ended.
    Ended(Status),
    /// It took longer than it may.
    TimedOut,
    /// The engine was asked to stop.
    Cancelled,
    /// It wrote something before it was asked.
    Unasked,
    /// What it was shown is not where it was: it removed or moved it.
    Moved,
    /// It wrote very much without a line end.
    TooLong,
    /// Its sandbox failed.
    Failed(SandboxError),
}

/// How long an answer is waited for.
pub struct Patience<'a> {
    /// Until then.
    pub deadline: Option<Instant>,
    /// Until this is set.
    pub cancel: &'a Cancel,
}

impl Persistent {
    /// Starts a program. Of the command, standard input and output and the limits are not used. `shelf` is a folder of the
    /// host that holds all sources of later mounts.
    pub fn start(launcher: &Launcher, command: &Command, shelf: &Path) -> Result<Self, SandboxError> {
        let pipe = |source| SandboxError::Setup { step: "make pipes to a persistent worker".to_owned(), source };
        let (stdin, requests) = io::pipe().map_err(pipe)?;
        let (answers, stdout) = io::pipe().map_err(pipe)?;
        ioctl_fionbio(&requests, true)
            .and_then(|()| ioctl_fionbio(&answers, true))
            .map_err(io::Error::from)
            .map_err(pipe)?;
        let mut spec = command.spec();
        spec.shelf = Some(shelf.to_owned());
        host::fs::create(&command.stderr)?;
        let [input, output, _] = &mut spec.streams;
        (*input, *output) = (Stream::Sent, Stream::Sent);
        let session = launcher.start(&spec, vec![stdin.into(), stdout.into()])?;
        Ok(Self { session, requests, answers, received: Vec::new(), shelf: shelf.to_owned() })
    }

    /// Makes folders and inputs appear in its working folder.
    pub fn show(&self, folders: &[RelPath], mounts: &[Mount]) -> Result<(), Unanswered> {
        let folders = folders.iter().map(|path| format!("{WORK}/{path}")).collect();
        let binds =
            mounts.iter().map(|mount| self.bind(mount)).collect::<Result<_, _>>().map_err(Unanswered::Failed)?;
        self.arrange(&Request::Show { folders, binds })
    }

    fn bind(&self, mount: &Mount) -> Result<Bind, SandboxError> {
        let source = mount.source.strip_prefix(&self.shelf).map_err(|_| SandboxError::Setup {
            step: format!("mount {}, which is not below {}", mount.source.display(), self.shelf.display()),
            source: io::ErrorKind::InvalidInput.into(),
        })?;
        let target = format!("{WORK}/{}", mount.target);
        Ok(Bind { source: source.to_owned(), target, folder: mount.folder, writable: false })
    }

    /// Takes away what was shown. Its namespace of mounts is another one than that in which it is shown something, so that it
    /// can remove or move the place of a mount, to its own harm alone.
    pub fn hide(&self) -> Result<(), Unanswered> {
        match self.arrange(&Request::Hide) {
            Err(Unanswered::Failed(SandboxError::Setup { .. })) => Err(Unanswered::Moved),
            hidden => hidden,
        }
    }

    /// Process 1 answers or is dead, so there is no need to look at the clock.
    fn arrange(&self, request: &Request) -> Result<(), Unanswered> {
        // One that cannot be told has ended, and has said so.
        let _ = self.session.channel.send(request, &[]);
        self.arranged(self.report()?)
    }

    fn arranged(&self, done: Result<(), Failure>) -> Result<(), Unanswered> {
        done.map_err(|failure| Unanswered::Failed(SandboxError::Setup { source: failure.source(), step: failure.step }))
    }

    /// The next answer of process 1.
    fn report(&self) -> Result<Result<(), Failure>, Unanswered> {
        loop {
            let received = self.session.channel.receive::<Report>();
            let received = received.map_err(|error| Unanswered::Failed(SandboxError::Lost(error)))?;
            match received.map(|received| received.message) {
                Some(Report::Arranged(done)) => return Ok(done),
                Some(Report::Failed(failure)) => return Ok(Err(failure)),
                Some(Report::Ended { status, .. }) => return Err(Unanswered::Ended(status_of(status))),
                Some(_) => {}
                None => return Err(Unanswered::Failed(SandboxError::Lost(io::ErrorKind::UnexpectedEof.into()))),
            }
        }
    }

    /// Whether it runs and has said nothing unasked.
    pub fn is_ready(&mut self) -> bool {
        let Ok((answered, reported, _)) = self.wait(false, Duration::ZERO) else { return false };
        self.received.is_empty() && !answered && !reported
    }

    /// Sends a line and waits for one. After an error it must not be asked again.
    pub fn ask(&mut self, request: &[u8], patience: &Patience<'_>) -> Result<Vec<u8>, Unanswered> {
        if !self.is_ready() && (self.take_what_is_there()? || !self.received.is_empty()) {
            return Err(Unanswered::Unasked);
        }
        let mut left = request;
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let rest = self.received.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.received, rest));
            }
            if self.received.len() > LONGEST {
                return Err(Unanswered::TooLong);
            }
            if patience.cancel.is_cancelled() {
                return Err(Unanswered::Cancelled);
            }
            if patience.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Unanswered::TimedOut);
            }
            let (answered, reported, writable) = self.wait(!left.is_empty(), LOOK)?;
            if writable {
                left = &left[self.send(left)..];
            }
            // What it wrote comes first: it may have ended right after its answer.
            let wrote = answered && self.take_what_is_there()?;
            if reported && !wrote {
                self.arranged(self.report()?)?;
            }
        }
    }

    /// What it wrote beyond its answers.
    pub fn said(&self) -> &[u8] {
        &self.received
    }

    /// Waits a moment: whether it wrote, whether process 1 has something to say, whether it reads.
    fn wait(&self, writes: bool, moment: Duration) -> Result<(bool, bool, bool), Unanswered> {
        let moment = Timespec { tv_sec: 0, tv_nsec: i64::from(moment.subsec_nanos()) };
        let mut watched =
            vec![PollFd::new(&self.answers, PollFlags::IN), PollFd::new(&self.session.channel, PollFlags::IN)];
        if writes {
            watched.push(PollFd::new(&self.requests, PollFlags::OUT));
        }
        match poll(&mut watched, Some(&moment)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Unanswered::Failed(SandboxError::Lost(error.into()))),
        }
        let ready = |index: usize| watched.get(index).is_some_and(|descriptor| !descriptor.revents().is_empty());
        Ok((ready(0), ready(1), ready(2)))
    }

    /// Sends as much as it takes. One that no longer reads has ended or will be waited for in vain.
    fn send(&mut self, bytes: &[u8]) -> usize {
        match self.requests.write(bytes) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(_) => bytes.len(),
        }
    }

    /// Whether it wrote something.
    fn take_what_is_there(&mut self) -> Result<bool, Unanswered> {
        let mut buffer = [0; 16 << 10];
        match self.answers.read(&mut buffer) {
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(count > 0)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(Unanswered::Failed(SandboxError::Lost(error))),
        }
    }
}

impl Drop for Persistent {
    fn drop(&mut self) {
        self.session.end();
    }
}

fn status_of(status: ProgramStatus) -> Status {
    match status {
        ProgramStatus::Code(code) => Status::Code(code),
        ProgramStatus::Signal(signal) => Status::Signal(signal),
    }
}
