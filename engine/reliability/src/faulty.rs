//! The engine with faults: this program as a part that runs a command as a library, while a hook of [`host::faults`]
//! ends the process or fails a call.
//!
//! Which call it is, is its number among those that concern the try's folder, so that the same number is about the same
//! call in the next run. Threads make the order a little different each time; what was hit is written to a file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use host::faults::{Answer, Call, Hook, Operation};

/// A fault, at one call or from it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None; the calls are written down.
    Count,
    /// The process ends at this call.
    Death(u64, Moment),
    /// Calls fail, from this one on.
    Failure(u64, Errno, Span),
}

/// When a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the call.
    Before,
    /// After a part of what it writes, so many thousandths. A call that writes no bytes is made whole: it is one or none.
    Torn(u64),
    /// After it.
    After,
}

/// How many calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// This one.
    Once,
    /// All that come after too.
    Always,
}

/// What a call fails with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errno {
    /// The file system is full.
    NoSpace,
    /// The user's share is used up.
    Quota,
    /// The process has too many files open.
    Files,
    /// The disk does not answer.
    Disk,
    /// The file system is read-only.
    ReadOnly,
}

impl Errno {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::NoSpace, Self::Quota, Self::Files, Self::Disk, Self::ReadOnly];

    fn number(self) -> i32 {
        use rustix::io::Errno as System;
        match self {
            Self::NoSpace => System::NOSPC.raw_os_error(),
            Self::Quota => System::DQUOT.raw_os_error(),
            Self::Files => System::MFILE.raw_os_error(),
            Self::Disk => System::IO.raw_os_error(),
            Self::ReadOnly => System::ROFS.raw_os_error(),
        }
    }

    /// Whether such a call can fail so.
    pub fn concerns(self, operation: Operation) -> bool {
        use Operation as O;
        match self {
            Self::NoSpace | Self::Quota => {
                matches!(operation, O::Create | O::Write | O::Rename | O::Link | O::MakeFolder)
            }
            Self::Files => matches!(operation, O::Create | O::Read),
            Self::Disk => true,
            Self::ReadOnly => operation.persists(),
        }
    }
}

impl Fault {
    /// The fault as an argument, and back.
    pub fn to_argument(self) -> String {
        match self {
            Self::Count => "count".to_owned(),
            Self::Death(call, Moment::Before) => format!("before {call}"),
            Self::Death(call, Moment::Torn(part)) => format!("torn {call} {part}"),
            Self::Death(call, Moment::After) => format!("after {call}"),
            Self::Failure(call, errno, span) => {
                let errno = Errno::ALL.iter().position(|one| *one == errno).unwrap_or(0);
                format!("fail {call} {errno} {}", u8::from(span == Span::Always))
            }
        }
    }

    /// The fault that an argument says; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        match words[0] {
            "count" => Some(Self::Count),
            "before" => Some(Self::Death(number(1)?, Moment::Before)),
            "torn" => Some(Self::Death(number(1)?, Moment::Torn(number(2)?))),
            "after" => Some(Self::Death(number(1)?, Moment::After)),
            "fail" => {
                let errno = Errno::ALL.get(usize::try_from(number(2)?).ok()?)?;
                let span = if number(3)? == 1 { Span::Always } else { Span::Once };
                Some(Self::Failure(number(1)?, *errno, span))
            }
            _ => None,
        }
    }

    /// Whether a call is one of those that are numbered.
    fn concerns(self, operation: Operation) -> bool {
        match self {
            Self::Count => true,
            Self::Death(..) => operation.persists(),
            Self::Failure(_, errno, _) => errno.concerns(operation),
        }
    }
}

/// The hook that puts a fault in.
pub struct Injector {
    fault: Fault,
    /// Calls elsewhere are none of the try's.
    folder: PathBuf,
    /// Where it is written what was hit.
    record: PathBuf,
    calls: AtomicU64,
    /// The thread that is to end the process after its call.
    dying: AtomicU64,
}

impl Injector {
    /// A hook for calls in `folder`.
    pub fn new(fault: Fault, folder: &Path, record: &Path) -> Self {
        let (folder, record) = (folder.to_owned(), record.to_owned());
        Self { fault, folder, record, calls: AtomicU64::new(0), dying: AtomicU64::new(0) }
    }

    fn is_inside(&self, call: &Call<'_>) -> bool {
        // Paths of calls in an open folder are below it.
        call.path.is_relative() || call.path.starts_with(&self.folder)
    }

    fn note(&self, call: &Call<'_>) {
        use std::io::Write;
        let path = call.path.strip_prefix(&self.folder).unwrap_or(call.path);
        let line = format!("{:?} {} {}\n", call.operation, call.bytes, path.display());
        let file = std::fs::File::options().append(true).create(true).open(&self.record);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the record of calls can be written");
    }
}

impl Hook for Injector {
    fn before(&self, call: &Call<'_>) -> Answer {
        if !self.is_inside(call) || !self.fault.concerns(call.operation) {
            return Answer::GoOn;
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Count => self.note(call),
            Fault::Death(at, moment) if at == number => {
                self.note(call);
                match moment {
                    Moment::Before => die(),
                    Moment::After => self.dying.store(thread(), Ordering::SeqCst),
                    Moment::Torn(part) => {
                        self.dying.store(thread(), Ordering::SeqCst);
                        if call.operation == Operation::Write {
                            let written = call.bytes * usize::try_from(part).unwrap_or(0) / 1000;
                            return Answer::Fail { errno: Errno::Disk.number(), written };
                        }
                    }
                }
            }
            Fault::Failure(at, errno, span) if at == number || (span == Span::Always && at < number) => {
                if at == number {
                    self.note(call);
                }
                // What fits is written: half of it.
                return Answer::Fail { errno: errno.number(), written: call.bytes / 2 };
            }
            Fault::Death(..) | Fault::Failure(..) => {}
        }
        Answer::GoOn
    }

    fn after(&self, _: &Call<'_>) {
        if self.dying.load(Ordering::SeqCst) == thread() {
            die();
        }
    }
}

/// The number of this thread; never zero.
fn thread() -> u64 {
    u64::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(1)
}

/// Ends the process as a crash does: nothing is cleaned up.
fn die() -> ! {
    let own = rustix::process::getpid();
    _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}
