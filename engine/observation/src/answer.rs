//! Questions to the file system, their answers, and how to tell cheaply that an answer still holds.

use std::sync::Arc;

use host::fs::FileStat;
use model::Digest;

/// A file or folder changed less than this many nanoseconds before it was looked at may change again without a new time
/// stamp, since file systems keep times in steps of up to two seconds.
pub const SETTLED_AFTER: i128 = 2_000_000_000;

/// What was asked about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Question {
    /// The bytes of a file and whether it is executable.
    Content = 0,
    /// Whether there is a file, a folder, something else, or nothing.
    Kind = 1,
    /// The names of all entries of a folder and which of them are folders: what a glob sees.
    Listing = 2,
    /// The folders in a folder, and whether it is a package or a workspace: what the search for packages sees.
    Folders = 3,
}

/// An answer, by digest; equal answers are equal digests.
pub type Answer = Digest;

/// The part of a stat that differs whenever the file or folder may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fingerprint {
    /// Device and inode.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// Bytes; 0 for folders, where it means nothing.
    pub size: u64,
    /// Modification time in nanoseconds.
    pub mtime: i64,
    /// Change time in nanoseconds.
    pub ctime: i64,
    /// Type and permission bits; 0 when there is nothing at the path.
    pub mode: u32,
    /// Whether it may change unseen by whoever watches the path: a file by its other names, the listing of a folder by what
    /// the links in it lead to.
    pub linked: bool,
    /// Whether the times were old enough when it was taken for a later change to show in them.
    pub settled: bool,
}

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What was asked.
    pub question: Question,
    /// About which path: relative to the workspace, or absolute for a folder outside of it.
    pub path: Arc<str>,
    /// What was seen.
    pub answer: Answer,
    /// The state of the path when it was seen.
    pub fingerprint: Fingerprint,
}

impl Question {
    /// The question with this number.
    pub fn of(number: u8) -> Option<Self> {
        [Self::Content, Self::Kind, Self::Listing, Self::Folders].into_iter().find(|question| *question as u8 == number)
    }
}

impl Fingerprint {
    /// The fingerprint of a state that was seen at `now`.
    pub fn of(stat: &FileStat, now: i128) -> Self {
        let time = |nanoseconds: i128| i64::try_from(nanoseconds).unwrap_or(i64::MAX);
        let is_folder = stat.kind == host::fs::FileKind::Folder;
        Self {
            device: stat.device,
            inode: stat.inode,
            size: if is_folder { 0 } else { stat.size },
            mtime: time(stat.mtime),
            ctime: time(stat.ctime),
            mode: kind_bits(stat.kind) | stat.mode,
            linked: !is_folder && stat.links > 1,
            settled: now - stat.mtime.max(stat.ctime) > SETTLED_AFTER,
        }
    }

    /// Nothing is at the path. That is seen anew each time, and so always settled.
    pub fn absent() -> Self {
        Self { settled: true, ..Self::default() }
    }

    /// Whether there was nothing.
    pub fn is_absent(&self) -> bool {
        self.mode == 0
    }

    /// Whether the states are the same, whenever they were seen.
    pub fn same_state(&self, other: &Self) -> bool {
        let state = |print: &Self| Self { settled: true, linked: false, ..*print };
        state(self) == state(other)
    }

    /// Whether a file has an execute bit.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }
}

fn kind_bits(kind: host::fs::FileKind) -> u32 {
    use host::fs::FileKind::{File, Folder, Other, Symlink};
    match kind {
        File => 0o100_000,
        Folder => 0o040_000,
        Symlink => 0o120_000,
        Other => 0o010_000,
    }
}

/// The answer about the content of a file.
pub(crate) fn content(bytes: &Digest, executable: bool) -> Answer {
    // The plain digest for plain files keeps it comparable with what other parts of the engine know of the file.
    if executable { model::KeyBuilder::new("executable", 1).digest(bytes).finish() } else { *bytes }
}

/// The answer about a file that is not there.
pub(crate) fn absent() -> Answer {
    Digest::from_bytes([0; 32])
}

/// The answer about what is at a path.
pub(crate) fn kind(kind: Option<host::fs::FileKind>) -> Answer {
    let mut bytes = [0; 32];
    bytes[0] = kind.map_or(0, |kind| (kind_bits(kind) >> 12) as u8);
    Digest::from_bytes(bytes)
}

impl Observation {
    /// Nothing is known; every later look finds a difference.
    pub fn unknown(question: Question, path: Arc<str>) -> Self {
        let answer = Digest::from_bytes([0xff; 32]);
        Self { question, path, answer, fingerprint: Fingerprint::default() }
    }

    /// The observation of a source file whose bytes were read by somebody else.
    pub fn of_content(path: Arc<str>, bytes: &Digest, fingerprint: Fingerprint) -> Self {
        let answer = content(bytes, fingerprint.is_executable());
        Self { question: Question::Content, path, answer, fingerprint }
    }
}
