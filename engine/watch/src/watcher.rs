//! The watcher: one thread that follows the folders and answers through the socket.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{Cancel, Digest};
use rustix::event::{PollFd, PollFlags, poll};

use crate::changes::{Changes, Token};
use crate::error::WatchError;
use crate::folders::Folders;
use crate::socket::Socket;

/// Whether a folder or a file, relative to the top of the workspace, is left out.
pub type Skip = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// How often a wait looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Changes that never cease are told after so many times the settling time.
const SETTLINGS: u32 = 40;

/// Watches the folders of a workspace and answers which paths may have changed since a token, here and to other processes.
/// Dropping it ends that.
pub struct Watcher {
    shared: Arc<Shared>,
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the users of a watcher share.
pub(crate) struct Shared {
    id: [u8; 16],
    folders: Mutex<Folders>,
    changed: Condvar,
}

impl Watcher {
    /// Watches all below `root` but what `skip` names, and answers at `socket` unless another watcher does.
    pub fn start(root: &Path, skip: Skip, socket: &Path) -> Result<Self, WatchError> {
        let folders = Folders::new(root, skip)?;
        let inotify = folders.descriptor();
        let mounts = folders.mount_table()?;
        let shared = Arc::new(Shared { id: id(), folders: Mutex::new(folders), changed: Condvar::new() });
        let socket = Socket::open(socket);
        let system = |source| WatchError::System { path: root.to_owned(), source };
        let (stop, stopped) = UnixStream::pair().map_err(system)?;
        let follower = Arc::clone(&shared);
        let follow = move || follow(&follower, (&*inotify, &mounts), socket.as_ref(), &stopped);
        let thread = std::thread::Builder::new().name("watcher".to_owned()).spawn(follow).map_err(system)?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Now.
    pub fn token(&self) -> Token {
        self.shared.token(&mut self.shared.folders())
    }

    /// What may have changed between a token and now.
    pub fn changes(&self, since: &Token) -> Changes {
        self.shared.answer(Some(since)).1
    }

    /// Waits until something changed since a token and nothing more does for a while. `None` when it was cancelled.
    pub fn wait(&self, since: &Token, settle: Duration, cancel: &Cancel) -> Option<Changes> {
        let mut settled: Option<(u64, Instant)> = None;
        let mut latest = None;
        let mut folders = self.shared.folders();
        loop {
            if cancel.is_cancelled() {
                return None;
            }
            folders.catch_up();
            let (event, now) = (folders.journal.event(), Instant::now());
            if event != since.event || folders.journal.is_lost() {
                let latest = *latest.get_or_insert(now + settle * SETTLINGS);
                match settled {
                    Some((seen, at)) if seen == event && now >= at => break,
                    Some((seen, _)) if seen == event => {}
                    _ => settled = Some((event, now + settle)),
                }
                if now >= latest {
                    break;
                }
            }
            let left = settled.map_or(LOOK, |(_, at)| at.saturating_duration_since(now)).clamp(MOMENT, LOOK);
            folders = self.shared.changed.wait_timeout(folders, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(folders);
        Some(self.changes(since))
    }
}

/// The shortest wait.
const MOMENT: Duration = Duration::from_millis(1);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It only fails if the thread panicked, which has been reported then.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn folders(&self) -> MutexGuard<'_, Folders> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, folders: &mut Folders) -> Token {
        folders.catch_up();
        Token { watcher: self.id, event: folders.journal.event() }
    }

    /// Now, and what may have changed since a token.
    pub(crate) fn answer(&self, since: Option<&Token>) -> (Token, Changes) {
        let mut folders = self.folders();
        let changes = match since {
            Some(since) if since.watcher == self.id => folders.since(since.event),
            _ => Changes::Unknown,
        };
        let token = match changes {
            Changes::Unknown => self.token(&mut folders),
            // Of the same moment: what happens from here on is in the next answer.
            Changes::Paths(_) => Token { watcher: self.id, event: folders.journal.event() },
        };
        (token, changes)
    }
}

/// The thread: takes events in so that the kernel's queue stays short, wakes those who wait, answers those who ask.
fn follow(shared: &Shared, (inotify, mounts): (&OwnedFd, &File), socket: Option<&Socket>, mut stopped: &UnixStream) {
    loop {
        let mut wanted = vec![PollFd::new(stopped, PollFlags::IN), PollFd::new(inotify, PollFlags::IN)];
        wanted.push(PollFd::new(mounts, PollFlags::PRI));
        wanted.extend(socket.map(|socket| PollFd::new(socket, PollFlags::IN)));
        match poll(&mut wanted, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return shared.folders().journal.lose(),
        }
        let ready: Vec<bool> = wanted.iter().map(|descriptor| !descriptor.revents().is_empty()).collect();
        if ready[0] && matches!(stopped.read(&mut [0]), Ok(0)) {
            return;
        }
        if ready[1] || ready[2] {
            shared.folders().catch_up();
            shared.changed.notify_all();
        }
        if let (Some(socket), Some(true)) = (socket, ready.get(3)) {
            socket.answer(shared);
        }
    }
}

/// An id that no other watcher has.
fn id() -> [u8; 16] {
    let random = host::fs::read_to_string(Path::new("/proc/sys/kernel/random/uuid")).unwrap_or_default();
    let text = format!("{random}{}{}", std::process::id(), host::clock::now());
    let mut id = [0; 16];
    id.copy_from_slice(&Digest::of(text.as_bytes()).as_bytes()[..16]);
    id
}
