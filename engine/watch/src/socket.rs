//! Asking a watcher in another process.
//!
//! The question is a version and a token, or zeros for none; the answer a token, whether the changes are known, and the
//! paths with their length before them, so that an answer that breaks off is none.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::fs::{self, FileError};
use host::lock::{self, Lock};
use host::mounts::View;
use model::Digest;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::changes::{Changes, Token};
use crate::watcher::Shared;

const VERSION: u8 = 1;
const QUESTION: usize = 1 + Token::LENGTH;
const HEAD: usize = Token::LENGTH + 1 + 8;
/// A longer answer is a broken one.
const LONGEST: u64 = 256 << 20;
/// Neither side waits longer for the other; to look at everything takes not much longer.
const PATIENCE: Duration = Duration::from_millis(50);

/// The file name of the socket of a workspace's watcher. Who sees other file systems there asks at another name: what is
/// mounted for one process need not be for the other.
pub fn socket_name(root: &Path, view: &View) -> String {
    let workspace = format!("{}\n{}", root.display(), view.text);
    format!("{}.socket", Digest::of(workspace.as_bytes()).to_hex())
}

/// The socket of a watcher, removed when dropped.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    _owner: Lock,
}

impl Socket {
    /// The socket at `path`; `None` if another watcher has it or it cannot be made: others then look for themselves.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        // The lock tells a living owner from one that was killed.
        let owner = lock::try_lock(&path.with_extension("lock"), 0).ok()??;
        let _ = fs::remove_file(path);
        let listener = at(path, |short| UnixListener::bind(short)).ok()?;
        fs::set_mode(path, 0o600).ok()?;
        listener.set_nonblocking(true).ok()?;
        Some(Self { listener, path: path.to_owned(), _owner: owner })
    }

    /// Answers the next question. Who does not ask quickly and in order is left alone.
    pub(crate) fn answer(&self, watcher: &Shared) {
        if let Ok((stream, _)) = self.listener.accept() {
            let _ = answer(&stream, watcher);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What cannot be removed is replaced by the next watcher.
        let _ = fs::remove_file(&self.path);
    }
}

/// Calls with a path that is short enough for a socket's address, which takes 107 bytes only.
fn at<T>(path: &Path, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = fs::open(folder).map_err(|FileError { source, .. }| source)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&folder);
    call(&Path::new("/proc/self/fd").join(number.to_string()).join(name))
}

fn limit(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

fn answer(mut stream: &UnixStream, watcher: &Shared) -> io::Result<()> {
    limit(stream)?;
    let mut question = [0; QUESTION];
    stream.read_exact(&mut question)?;
    let Some((&VERSION, token)) = question.split_first() else { return Ok(()) };
    let token = token.first_chunk().map(Token::from_bytes);
    // Only now, so that what was changed before the question is in the answer.
    let (now, changes) = watcher.answer(token.as_ref());
    stream.write_all(&encode(&now, &changes))
}

fn encode(now: &Token, changes: &Changes) -> Vec<u8> {
    let mut bytes = now.to_bytes().to_vec();
    match changes {
        Changes::Unknown => bytes.extend([0; 9]),
        Changes::Paths(paths) => {
            let text: String = paths.iter().map(|path| format!("{path}\0")).collect();
            bytes.push(1);
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.into_bytes());
        }
    }
    bytes
}

/// Asks the watcher behind `socket`, if one lives: for its token now, and for the changes since one that it gave before.
/// `None` when there is none, or none that answers at once.
pub fn ask(socket: &Path, since: Option<&Token>) -> Option<(Token, Changes)> {
    try_to_ask(socket, since).ok()
}

/// Connects, but not to one who lets others wait in line already.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn try_to_ask(socket: &Path, since: Option<&Token>) -> io::Result<(Token, Changes)> {
    let mut stream = at(socket, connect)?;
    limit(&stream)?;
    let mut question = vec![VERSION];
    question.extend(since.map_or([0; Token::LENGTH], |token| token.to_bytes()));
    stream.write_all(&question)?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head)?;
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let token = head.first_chunk().map(Token::from_bytes).ok_or_else(broken)?;
    let length = head[HEAD - 8..].try_into().map(u64::from_le_bytes).map_err(|_| broken())?;
    if head[Token::LENGTH] == 0 {
        return Ok((token, Changes::Unknown));
    }
    let mut text = vec![0; usize::try_from(length.min(LONGEST)).map_err(|_| broken())?];
    stream.read_exact(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| broken())?;
    match length <= LONGEST {
        true => Ok((token, Changes::Paths(text.split_terminator('\0').map(str::to_owned).collect()))),
        false => Err(broken()),
    }
}
