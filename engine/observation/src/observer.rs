//! The observer: asks the file system for one command, each question once, and remembers what it was told.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host::fs::{self, FileError, FileKind};
use model::{Digest, KeyBuilder};

use crate::answer::{self, Answer, Fingerprint, Observation, Question};

/// An entry of a folder, links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a folder, or a link to one.
    pub folder: bool,
    /// Whether it is a symbolic link.
    pub symlink: bool,
    /// Whether the name is not UTF-8, so that no label can name it; it has a sign where it is not.
    pub odd: bool,
}

/// Answers by question and path.
type Seen = HashMap<(Question, Arc<str>), (Answer, Fingerprint)>;

/// Looks at files and folders of one workspace. Shared by threads.
#[derive(Debug)]
pub struct Observer {
    root: PathBuf,
    seen: Mutex<Seen>,
}

impl Observer {
    /// An observer of the workspace in `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), seen: Mutex::default() }
    }

    /// How a path is named in observations: relative to the workspace if it is inside.
    pub fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// What was seen so far.
    pub fn get(&self, question: Question, path: &str) -> Option<Observation> {
        let path: Arc<str> = Arc::from(path);
        let (answer, fingerprint) = *self.lock().get(&(question, Arc::clone(&path)))?;
        Some(Observation { question, path, answer, fingerprint })
    }

    /// All that was seen so far, in no order.
    pub fn all(&self) -> Vec<Observation> {
        let seen = self.lock();
        let observation =
            |((question, path), (answer, fingerprint)): (&(Question, Arc<str>), &(Answer, Fingerprint))| Observation {
                question: *question,
                path: Arc::clone(path),
                answer: *answer,
                fingerprint: *fingerprint,
            };
        seen.iter().map(observation).collect()
    }

    /// The text of a file; `None` when there is none.
    pub fn read(&self, path: &Path) -> Result<Option<String>, FileError> {
        let now = host::clock::now();
        let Some(before) = stat(path)? else {
            self.note(Question::Content, path, answer::absent(), Fingerprint::absent());
            return Ok(None);
        };
        let text = match fs::read_text(path) {
            Err(error) if error.is_not_found() => {
                self.note(Question::Content, path, answer::absent(), Fingerprint::absent());
                return Ok(None);
            }
            text => text?,
        };
        let mut fingerprint = Fingerprint::of(&before, now);
        // A file that changed while it was read is looked at again by the next command.
        fingerprint.settled &= before.size == text.len() as u64;
        let answer = answer::content(&Digest::of(text.as_bytes()), fingerprint.is_executable());
        self.note(Question::Content, path, answer, fingerprint);
        Ok(Some(text))
    }

    /// What is at a path, links followed; `None` for nothing, or a broken link.
    pub fn kind(&self, path: &Path) -> Option<FileKind> {
        let found = stat(path).ok().flatten();
        let fingerprint = found.map_or(Fingerprint::absent(), |stat| Fingerprint::of(&stat, host::clock::now()));
        let kind = found.map(|stat| stat.kind);
        self.note(Question::Kind, path, answer::kind(kind), fingerprint);
        kind
    }

    /// The entries of a folder, sorted by name; empty when there is no such folder. Broken links, devices, sockets
    /// and pipes are left out.
    pub fn list(&self, path: &Path) -> Result<Vec<Entry>, FileError> {
        let (entries, fingerprint) = list(path, &[])?;
        self.note(Question::Listing, path, listing(&entries), fingerprint);
        Ok(entries)
    }

    /// The same for the search for packages, which only depends on the folders and what is named `marks`: a device of such
    /// a name is in the way of a package, which is told when it is read.
    pub fn folders(&self, path: &Path, marks: &[&str]) -> Result<Vec<Entry>, FileError> {
        let (mut entries, fingerprint) = list(path, marks)?;
        entries.retain(|entry| is_relevant(entry, marks));
        self.note(Question::Folders, path, listing(&entries), fingerprint);
        Ok(entries)
    }

    /// Asks a question whose answer does not matter now, but whether it will be the same later.
    pub fn look(&self, question: Question, name: &str, marks: &[&str]) {
        let path = self.root.join(name);
        if let Ok((answer, fingerprint)) = ask(question, &path, marks) {
            self.note(question, &path, answer, fingerprint);
        }
    }

    fn note(&self, question: Question, path: &Path, answer: Answer, mut fingerprint: Fingerprint) {
        let name: Arc<str> = Arc::from(self.name(path));
        fingerprint.linked |= is_behind_link(&self.root, &name);
        // The first answer is the one that was worked with.
        self.lock().entry((question, name)).or_insert((answer, fingerprint));
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the search for packages looks at the entry.
fn is_relevant(entry: &Entry, marks: &[&str]) -> bool {
    !entry.odd && (entry.folder && !entry.symlink) || (!entry.folder && marks.contains(&entry.name.as_str()))
}

fn stat(path: &Path) -> Result<Option<fs::FileStat>, FileError> {
    match fs::stat(path) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The entries of a folder with the fingerprint it had before they were read.
fn list(path: &Path, marks: &[&str]) -> Result<(Vec<Entry>, Fingerprint), FileError> {
    let now = host::clock::now();
    let Some(before) = stat(path)? else { return Ok((Vec::new(), Fingerprint::absent())) };
    let entries = match fs::read_dir_with_odd_names(path) {
        Err(error) if error.is_not_found() => return Ok((Vec::new(), Fingerprint::absent())),
        entries => entries?,
    };
    let mut fingerprint = Fingerprint::of(&before, now);
    // What a link leads to may change without a trace in the folder, also for who watches it.
    let has_links = entries.iter().any(|entry| entry.is_symlink);
    fingerprint.settled &= !has_links;
    fingerprint.linked |= has_links;
    let resolve = |entry: fs::FolderEntry| {
        let kind = match entry.is_symlink {
            // By its name with signs a link cannot be followed; whoever wants it is told that it has no proper name.
            true if !entry.is_odd => fs::stat(&path.join(&entry.name)).ok()?.kind,
            _ if entry.is_folder => FileKind::Folder,
            _ if entry.is_special => FileKind::Other,
            _ => FileKind::File,
        };
        let (folder, symlink, odd) = (kind == FileKind::Folder, entry.is_symlink, entry.is_odd);
        let is_listed = kind != FileKind::Other || marks.contains(&entry.name.as_str());
        is_listed.then_some(Entry { name: entry.name, folder, symlink, odd })
    };
    Ok((entries.into_iter().filter_map(resolve).collect(), fingerprint))
}

fn listing(entries: &[Entry]) -> Answer {
    let mut key = KeyBuilder::new("listing", 2);
    key.sequence(entries.len());
    for entry in entries {
        let flags = u64::from(entry.folder) | u64::from(entry.symlink) << 1 | u64::from(entry.odd) << 2;
        key.text(&entry.name).number(flags);
    }
    key.finish()
}

/// Whether a link leads to the folder of a path of the workspace: who watches it sees another path change.
fn is_behind_link(root: &Path, name: &str) -> bool {
    let folders = name.match_indices('/').map(|(at, _)| &name[..at]).filter(|folder| !folder.is_empty());
    let mut folders = folders.chain([name]);
    folders.any(|folder| {
        let is_link = |stat: fs::FileStat| stat.kind == FileKind::Symlink;
        folder != name && fs::lstat(&root.join(folder)).is_ok_and(is_link)
    })
}

/// Asks a question, for a state that is kept; `None` when the path cannot be looked at.
pub fn look(root: &Path, question: Question, name: &str, marks: &[&str]) -> Option<Observation> {
    let (answer, mut fingerprint) = ask(question, &root.join(name), marks).ok()?;
    fingerprint.linked |= is_behind_link(root, name);
    Some(Observation { question, path: Arc::from(name), answer, fingerprint })
}

/// Asks a question anew, without remembering the answer.
pub(crate) fn ask(question: Question, path: &Path, marks: &[&str]) -> Result<(Answer, Fingerprint), FileError> {
    let now = host::clock::now();
    match question {
        Question::Kind => {
            let found = stat(path)?;
            let fingerprint = found.map_or(Fingerprint::absent(), |stat| Fingerprint::of(&stat, now));
            Ok((answer::kind(found.map(|stat| stat.kind)), fingerprint))
        }
        Question::Listing => list(path, &[]).map(|(entries, fingerprint)| (listing(&entries), fingerprint)),
        Question::Folders => list(path, marks).map(|(mut entries, fingerprint)| {
            entries.retain(|entry| is_relevant(entry, marks));
            (listing(&entries), fingerprint)
        }),
        Question::Content => {
            let Some(before) = stat(path)?.filter(|stat| stat.kind == FileKind::File) else {
                return Ok((answer::absent(), Fingerprint::absent()));
            };
            let digest = hash(path)?;
            let mut fingerprint = Fingerprint::of(&before, now);
            fingerprint.settled &= stat(path)?.is_some_and(|after| after == before);
            Ok((answer::content(&digest, fingerprint.is_executable()), fingerprint))
        }
    }
}

fn hash(path: &Path) -> Result<Digest, FileError> {
    let file = fs::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let hashed = hasher.update_reader(&file).map(|_| ());
    hashed.map_err(|source| FileError { operation: "read", path: path.to_owned(), source })?;
    Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))
}
