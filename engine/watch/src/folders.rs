//! The watched folders of a workspace: one inotify watch each, kept in step as folders come and go, and one for each file,
//! by which it is noticed that the file gets further names.
//!
//! A folder is watched first and listed then, so that what is created in between is seen twice rather than never.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::fs::{self, FileError, FileKind};
use host::mounts::{self, View};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::changes::Changes;
use crate::error::WatchError;
use crate::journal::Journal;
use crate::watcher::Skip;

/// Contents (`CLOSE_WRITE` shows memory maps when they end), modes, and entries that come and go.
const EVENTS: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK);

/// Of a file by itself: that it gets another name, by which it may be edited unseen by who watches its folder.
const LINKS: WatchFlags = WatchFlags::ATTRIB.union(WatchFlags::DONT_FOLLOW);

/// File systems that other machines or programs change without an event: NFS, SMB, CIFS, SMB2, 9P, FUSE, Ceph, AFS.
const REMOTE: [i64; 8] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x6573_5546, 0x00c3_6400, 0x5346_414f];

/// Where the kernel tells what is mounted where.
const MOUNTS: &str = "/proc/self/mountinfo";

/// The watched folders and what happened in them.
pub(crate) struct Folders {
    root: PathBuf,
    /// The table of mounts, which tells when it changes, and what it said of the root at first.
    mounts: (File, View),
    device: u64,
    skip: Skip,
    inotify: Arc<OwnedFd>,
    /// The watched folders and files, relative to the root, by watch. What is moved takes its watch along.
    paths: HashMap<i32, String>,
    watches: BTreeMap<String, i32>,
    /// What cannot be watched.
    uncovered: BTreeSet<String>,
    pub(crate) journal: Journal,
}

impl Folders {
    /// Watches everything below `root`.
    pub(crate) fn new(root: &Path, skip: Skip) -> Result<Self, WatchError> {
        let system = |error: Errno| WatchError::System { path: root.to_owned(), source: error.into() };
        let kind = rustix::fs::statfs(root).map_err(system)?.f_type;
        if REMOTE.contains(&kind) {
            return Err(WatchError::Remote(root.to_owned()));
        }
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|error| match error {
            Errno::MFILE => WatchError::TooManyWatchers,
            other => system(other),
        })?;
        let mut folders = Self {
            root: root.to_owned(),
            mounts: (fs::open(Path::new(MOUNTS))?, mounts::view(root)),
            device: fs::stat(root)?.device,
            skip,
            inotify: Arc::new(inotify),
            paths: HashMap::new(),
            watches: BTreeMap::new(),
            uncovered: BTreeSet::new(),
            journal: Journal::default(),
        };
        folders.watch(String::new())?;
        match folders.watches.contains_key("") {
            true => Ok(folders),
            false => Err(system(Errno::ACCESS)),
        }
    }

    /// Becomes readable when something happens.
    pub(crate) fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.inotify)
    }

    /// What changed after the change of number `since`, up to now.
    pub(crate) fn since(&mut self, since: u64) -> Changes {
        self.catch_up();
        self.journal.since(since, &self.uncovered)
    }

    /// Becomes readable, as it were, when something is mounted or unmounted anywhere.
    pub(crate) fn mount_table(&self) -> Result<File, FileError> {
        fs::open(Path::new(MOUNTS))
    }

    /// What is mounted over a folder hides it without an event.
    fn look_at_mounts(&mut self) {
        let mut wanted = [PollFd::new(&self.mounts.0, PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let is_changed = poll(&mut wanted, Some(&now)).is_ok_and(|ready| ready > 0);
        if is_changed && mounts::view(&self.root) != self.mounts.1 {
            self.journal.lose();
        }
    }

    /// Takes in all events that the kernel has queued.
    pub(crate) fn catch_up(&mut self) {
        self.look_at_mounts();
        let inotify = Arc::clone(&self.inotify);
        let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
        let mut reader = Reader::new(&*inotify, &mut buffer);
        while !self.journal.is_lost() {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
                    self.take(event.wd(), event.events(), name);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.journal.lose(),
            }
        }
    }

    fn take(&mut self, watch: i32, event: ReadFlags, name: Option<String>) {
        if event.intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::UNMOUNT) {
            return self.journal.lose();
        }
        if event.contains(ReadFlags::IGNORED) {
            return self.gone(watch);
        }
        // Events of a folder that was forgotten may still be queued.
        let Some(folder) = self.paths.get(&watch).cloned() else { return };
        if folder.is_empty() && event.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
            return self.journal.lose();
        }
        let Some(name) = name else {
            self.note_links(&folder);
            return self.journal.note(folder);
        };
        let path = join(&folder, &name);
        let is_folder = event.contains(ReadFlags::ISDIR);
        if (self.skip)(&path) {
            self.uncovered.insert(path);
            return;
        }
        if event.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            self.journal.note(folder);
            self.removed(path, is_folder);
        } else if event.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            self.journal.note(folder);
            self.appeared(path, is_folder);
        } else {
            self.journal.note(path);
        }
    }

    fn removed(&mut self, path: String, is_folder: bool) {
        let was_uncovered = self.uncovered.remove(&path);
        self.forget(&path);
        if is_folder || was_uncovered {
            self.journal.note(format!("{path}/"));
        }
        self.journal.note(path);
    }

    fn appeared(&mut self, path: String, is_folder: bool) {
        self.journal.note(path.clone());
        if !is_folder {
            self.watch_file(path);
            return;
        }
        self.journal.note(format!("{path}/"));
        self.uncovered.remove(&path);
        if self.watch(path).is_err() {
            // No more watches: from here on changes are missed.
            self.journal.lose();
        }
    }

    /// Follows the links to what is at a path and is no folder. If something else comes there, another event follows.
    fn watch_file(&mut self, path: String) {
        let was_uncovered = self.uncovered.remove(&path);
        // First the watch, then the look: what is linked in between is seen twice rather than never.
        match inotify::add_watch(&*self.inotify, self.root.join(&path), LINKS) {
            Ok(watch) => {
                self.watches.insert(path.clone(), watch);
                self.paths.insert(watch, path.clone());
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            // Without a watch it is looked at whenever somebody asks.
            Err(_) => drop(self.uncovered.insert(path.clone())),
        }
        self.note_links(&path);
        if was_uncovered && !self.uncovered.contains(&path) {
            self.journal.note(format!("{path}/"));
        }
    }

    /// Notes whether what is at a path may change unseen: a symbolic link, or a file that has other names.
    fn note_links(&mut self, path: &str) {
        let is_linked = |stat: fs::FileStat| match stat.kind {
            FileKind::Symlink => true,
            FileKind::File => stat.links > 1,
            FileKind::Folder | FileKind::Other => false,
        };
        if fs::lstat(&self.root.join(path)).is_ok_and(is_linked) {
            self.uncovered.insert(path.to_owned());
        }
    }

    /// Watches a folder and all below it. What vanishes meanwhile is left out: its parent's watch tells.
    fn watch(&mut self, folder: String) -> Result<(), WatchError> {
        let (mut open, mut files) = (vec![folder], Vec::new());
        while let Some(folder) = open.pop() {
            if self.watch_one(&folder)? {
                self.list(folder, &mut open, &mut files);
            }
        }
        // Where there are too few watches for all, folders need theirs more.
        files.into_iter().for_each(|file| self.watch_file(file));
        Ok(())
    }

    /// Watches one folder; whether that was possible.
    fn watch_one(&mut self, folder: &str) -> Result<bool, WatchError> {
        let path = self.root.join(folder);
        if fs::lstat(&path).is_ok_and(|stat| stat.device != self.device) {
            self.uncovered.insert(folder.to_owned());
            return Ok(false);
        }
        let events = if folder.is_empty() { EVENTS | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF } else { EVENTS };
        match inotify::add_watch(&*self.inotify, &path, events) {
            Ok(watch) => {
                self.watches.insert(folder.to_owned(), watch);
                self.paths.insert(watch, folder.to_owned());
                Ok(true)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(Errno::ACCESS | Errno::PERM) => {
                self.uncovered.insert(folder.to_owned());
                Ok(false)
            }
            Err(Errno::NOSPC) => Err(WatchError::TooManyFolders),
            Err(error) => Err(WatchError::System { path, source: error.into() }),
        }
    }

    /// Adds the folders of a folder to `open`, and its files to `files`.
    fn list(&mut self, folder: String, open: &mut Vec<String>, files: &mut Vec<String>) {
        let path = self.root.join(&folder);
        let entries = match fs::read_dir_with_odd_names(&path) {
            Ok(entries) => entries,
            // It is gone; for those who can list it, it is not covered.
            Err(_) => {
                self.forget(&folder);
                self.uncovered.insert(folder);
                return;
            }
        };
        for entry in entries {
            let path = join(&folder, &entry.name);
            match entry {
                // No label can name it, nor anything in it.
                _ if entry.is_odd => drop(self.uncovered.insert(path)),
                _ if entry.is_symlink || (self.skip)(&path) => drop(self.uncovered.insert(path)),
                _ if entry.is_folder => open.push(path),
                _ => files.push(path),
            }
        }
    }

    /// Forgets a folder and all below it, and ends their watches, unless they have been found elsewhere meanwhile.
    fn forget(&mut self, folder: &str) {
        let below = format!("{folder}/");
        let is_below = |path: &String| path == folder || path.starts_with(&below);
        self.uncovered.retain(|path| !is_below(path));
        let gone: Vec<(String, i32)> = self
            .watches
            .range(folder.to_owned()..)
            .take_while(|(path, _)| path.starts_with(folder))
            .map(owned)
            .collect();
        for (path, watch) in gone.into_iter().filter(|(path, _)| is_below(path)) {
            self.watches.remove(&path);
            if self.paths.get(&watch) == Some(&path) {
                self.paths.remove(&watch);
                // A folder that was deleted has lost its watch already.
                let _ = inotify::remove_watch(&*self.inotify, watch);
            }
        }
    }

    /// A watch has ended.
    fn gone(&mut self, watch: i32) {
        if let Some(path) = self.paths.remove(&watch)
            && self.watches.get(&path) == Some(&watch)
        {
            self.watches.remove(&path);
        }
    }
}

fn owned((path, watch): (&String, &i32)) -> (String, i32) {
    (path.clone(), *watch)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests;
