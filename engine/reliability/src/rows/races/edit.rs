//! A source file, the versions it had, and the ways in which people and their programs change it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;

/// What an action reads first of its source.
pub const HEAD: usize = 24;
/// Longer than what the store reads in one piece.
const LONG: usize = (1 << 20) + 4096;

/// How a file is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Its bytes are overwritten; its size stays.
    InPlace,
    /// It is cut to nothing, and written a moment later.
    Truncated,
    /// Another file is renamed to its name.
    Renamed,
    /// It is overwritten, and gets its old time back.
    OldTime,
    /// Another file of the same size and time is renamed to its name.
    RenamedOldTime,
    /// It is changed, and changed back at once.
    ThereAndBack,
    /// It grows.
    Longer,
    /// It becomes a symbolic link to a file.
    Link,
    /// It becomes a folder.
    Folder,
    /// It is removed.
    Removed,
    /// It is removed and comes back with another content.
    Absent,
}

/// What is at the source's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A file, or a link to one.
    File,
    /// Something else, or nothing.
    NoFile,
}

/// A source file.
pub struct Source {
    path: PathBuf,
    number: usize,
    long: bool,
    /// The contents it had.
    versions: Vec<Vec<u8>>,
    current: usize,
    state: State,
    edits: Vec<Edit>,
}

impl Edit {
    /// One of them; most leave a file.
    pub fn any(dice: &mut Rng) -> Self {
        const ALL: [Edit; 11] = [
            Edit::InPlace,
            Edit::Truncated,
            Edit::Renamed,
            Edit::OldTime,
            Edit::RenamedOldTime,
            Edit::ThereAndBack,
            Edit::Longer,
            Edit::Link,
            Edit::Folder,
            Edit::Removed,
            Edit::Absent,
        ];
        ALL[dice.usize(0..ALL.len())]
    }
}

impl Source {
    /// A new file; a long one is read by the store piece by piece.
    pub fn new(path: PathBuf, number: usize, long: bool) -> Self {
        let mut source =
            Self { path, number, long, versions: Vec::new(), current: 0, state: State::File, edits: vec![] };
        source.renew();
        source
    }

    fn version(&self, version: usize) -> Vec<u8> {
        let (number, length) = (self.number, if self.long { LONG } else { 2 * HEAD });
        let line = format!("s{number:02} v{version:05} 0123456789\n");
        line.bytes().cycle().take(length).collect()
    }

    /// A new version, which is noted. It has the size of the others.
    fn next(&mut self) -> Vec<u8> {
        let content = self.version(self.versions.len());
        self.current = self.versions.len();
        self.versions.push(content.clone());
        content
    }

    /// A content that it has not had.
    pub fn another(&self) -> Vec<u8> {
        self.version(99_999)
    }

    /// Writes a new version.
    pub fn renew(&mut self) {
        let content = self.next();
        self.write(&content);
    }

    /// What it holds now.
    pub fn content(&self) -> Vec<u8> {
        self.versions[self.current].clone()
    }

    /// How many contents it had.
    pub fn versions(&self) -> usize {
        self.versions.len()
    }

    /// What is at its path.
    pub fn state(&self) -> State {
        self.state
    }

    /// All edits so far, for people.
    pub fn history(&self) -> String {
        format!("{:?}", self.edits)
    }

    /// Writes an earlier version, or the last one.
    pub fn put_back(&mut self, version: usize) {
        self.current = version.min(self.versions.len() - 1);
        self.write(&self.content());
    }

    /// Makes it a file again.
    pub fn restore(&mut self) {
        self.write(&self.content());
    }

    /// Changes it.
    pub fn edit(&mut self, edit: Edit, dice: &mut Rng) {
        self.edits.push(edit);
        if self.state == State::NoFile {
            return self.renew();
        }
        let old = self.content();
        let time = fs::metadata(&self.path).and_then(|metadata| metadata.modified()).expect("the source is there");
        match edit {
            Edit::InPlace => {
                let new = self.next();
                self.overwrite(&new);
            }
            Edit::Truncated => {
                let new = self.next();
                fs::write(&self.path, b"").expect("the source can be written");
                std::thread::sleep(Duration::from_millis(dice.u64(0..4)));
                fs::write(&self.path, new).expect("the source can be written");
            }
            Edit::Renamed => self.renew(),
            Edit::OldTime => {
                let new = self.next();
                self.overwrite(&new);
                self.set_time(time);
            }
            Edit::RenamedOldTime => {
                self.renew();
                self.set_time(time);
            }
            Edit::ThereAndBack => {
                let before = self.current;
                let new = self.next();
                self.overwrite(&new);
                self.current = before;
                self.overwrite(&old);
                self.set_time(time);
            }
            Edit::Longer => {
                let new = [self.next(), b"more\n".to_vec()].concat();
                self.versions[self.current].clone_from(&new);
                self.overwrite(&new);
            }
            Edit::Link => {
                let new = self.next();
                let target = format!("{}.v{}", self.path.display(), self.current);
                fs::write(&target, new).expect("a file");
                let link = self.path.with_extension("link");
                std::os::unix::fs::symlink(&target, &link).expect("a link");
                fs::rename(&link, &self.path).expect("a rename");
            }
            Edit::Folder => {
                self.clear();
                fs::create_dir(&self.path).expect("a folder");
                self.state = State::NoFile;
            }
            Edit::Removed => {
                self.clear();
                self.state = State::NoFile;
            }
            Edit::Absent => {
                self.clear();
                std::thread::sleep(Duration::from_millis(dice.u64(0..4)));
                self.renew();
            }
        }
    }

    fn clear(&self) {
        // It may be gone.
        let _ = if self.path.is_dir() { fs::remove_dir_all(&self.path) } else { fs::remove_file(&self.path) };
    }

    /// Puts a file with the content at the path in one step.
    fn write(&mut self, content: &[u8]) {
        let aside = self.path.with_extension("new");
        fs::write(&aside, content).expect("a file");
        if self.path.is_dir() {
            self.clear();
        }
        fs::rename(&aside, &self.path).expect("a rename");
        self.state = State::File;
    }

    /// Overwrites the file that is there, in steps, and cuts off what is left of it.
    fn overwrite(&self, content: &[u8]) {
        let mut file = OpenOptions::new().write(true).open(&self.path).expect("the source can be written");
        content.chunks(64 * 1024).for_each(|piece| file.write_all(piece).expect("the source can be written"));
        file.set_len(content.len() as u64).expect("the source can be written");
    }

    fn set_time(&self, time: std::time::SystemTime) {
        File::open(&self.path).and_then(|file| file.set_modified(time)).expect("the source's time can be set");
    }
}

/// A content for people: its size, head and tail.
pub fn shown(content: &[u8]) -> String {
    let tail = &content[content.len().saturating_sub(HEAD + 5)..];
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{} bytes {:?}..{:?}", content.len(), text(&content[..content.len().min(HEAD)]), text(tail))
}
