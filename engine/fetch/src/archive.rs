//! Archives of strangers into trees of the store: every path is checked, sizes are bounded, nothing is ever written
//! at a path that an archive names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use archive::TarError;
use model::{Absolute, RelPath, Tree, TreeEntry, TreeError};
use store::{Store, StoreError};

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// A path leaves the tree.
    #[error("the entry `{path}` leads out of the archive: {reason}")]
    Outside {
        /// The path or link.
        path: String,
        /// How.
        reason: String,
    },
    /// A path comes twice.
    #[error("the entry `{0}` comes twice")]
    Duplicate(String),
    /// Neither a file, nor a folder, nor a link.
    #[error("the entry `{0}` is a {1}, which a package must not bring")]
    Special(String, &'static str),
    /// A hard link to something that is not there.
    #[error("the entry `{0}` is a hard link to `{1}`, which is not a file before it")]
    HardLink(String, String),
    /// It unpacks to more than is allowed.
    #[error("it unpacks to more than {0}")]
    TooLarge(String),
    /// It unpacks to much more than it should.
    #[error("{0}")]
    Bomb(String),
    /// It could be understood in more than one way.
    #[error("{0}")]
    Ambiguous(String),
    /// It is not laid out as its kind of package must be.
    #[error("{0}")]
    Layout(String),
    /// Entries contradict each other.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Self::Bomb(error.to_string()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}

impl From<TarError> for ArchiveError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Read(error) => error.into(),
            error @ TarError::Member { .. } => Self::Ambiguous(error.to_string()),
        }
    }
}

/// How much an archive may unpack to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub bytes: u64,
    pub entries: usize,
    pub path: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 30, entries: 200_000, path: 1024 }
    }
}

/// Which entries are left out: `a/b` a file or folder, `*_test.go` an ending, `**/testdata` a folder anywhere.
#[derive(Debug, Default)]
pub(crate) struct Exclude<'a>(pub &'a [String]);

/// Collects the entries of one archive.
pub(crate) struct Unpacker<'a> {
    store: &'a Store,
    exclude: Exclude<'a>,
    limits: Limits,
    seen: BTreeSet<String>,
    folders: BTreeSet<RelPath>,
    entries: BTreeMap<RelPath, TreeEntry>,
    bytes: u64,
}

const IN_MEMORY: u64 = 4 << 20;

impl Exclude<'_> {
    pub(crate) fn covers(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| {
            if let Some(name) = pattern.strip_prefix("**/") {
                return path.split('/').any(|segment| segment == name);
            }
            match pattern.strip_prefix('*') {
                Some(ending) => path.ends_with(ending),
                None => {
                    path.strip_prefix(pattern.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                }
            }
        })
    }
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(store: &'a Store, exclude: &'a [String], limits: Limits) -> Self {
        Self {
            store,
            exclude: Exclude(exclude),
            limits,
            seen: BTreeSet::new(),
            folders: BTreeSet::new(),
            entries: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Checks the path of an entry as the archive writes it. Every entry comes here once.
    pub(crate) fn path(&mut self, name: &str) -> Result<RelPath, ArchiveError> {
        let outside = |reason: &str| ArchiveError::Outside { path: name.to_owned(), reason: reason.to_owned() };
        if name.len() > self.limits.path {
            return Err(outside("its path is too long"));
        }
        if name.contains('\\') || name.chars().any(char::is_control) {
            return Err(outside("its path has a backslash or a control character"));
        }
        if name.is_empty() {
            return Err(ArchiveError::Layout("an entry that is no folder stands for the whole archive".to_owned()));
        }
        let path = RelPath::new(name).map_err(|error| outside(error.reason))?;
        if self.seen.len() >= self.limits.entries {
            return Err(ArchiveError::TooLarge(format!("{} entries", self.limits.entries)));
        }
        if !self.seen.insert(name.to_owned()) {
            return Err(ArchiveError::Duplicate(name.to_owned()));
        }
        Ok(path)
    }

    /// Adds a file with the content of `reader`, which is read to its end even when the file is left out.
    /// `declared` is the size that the archive gives it.
    pub(crate) fn file(
        &mut self,
        path: RelPath,
        declared: u64,
        reader: impl Read,
        executable: bool,
    ) -> Result<(), ArchiveError> {
        let allowed = self.limits.bytes - self.bytes;
        if declared > allowed {
            return Err(ArchiveError::TooLarge(format!("{} bytes", self.limits.bytes)));
        }
        let mut reader = reader.take(allowed + 1);
        let (digest, size) = if self.exclude.covers(path.as_str()) {
            (None, io::copy(&mut reader, &mut io::sink())?)
        } else {
            let (digest, size) = self.keep(&mut reader)?;
            (Some(digest), size)
        };
        if size > allowed {
            return Err(ArchiveError::TooLarge(format!("{} bytes", self.limits.bytes)));
        }
        if size != declared {
            return Err(ArchiveError::Damaged(format!("the entry `{path}` has {size} bytes and declares {declared}")));
        }
        self.bytes += size;
        if let Some(digest) = digest {
            self.entries.insert(path, TreeEntry::File { digest, size, executable });
        }
        Ok(())
    }

    fn keep(&self, reader: &mut impl Read) -> Result<(model::Digest, u64), ArchiveError> {
        let mut head = Vec::new();
        reader.by_ref().take(IN_MEMORY).read_to_end(&mut head)?;
        if (head.len() as u64) < IN_MEMORY {
            return Ok((self.store.put_bytes(&head)?, head.len() as u64));
        }
        self.store.put_reader(head.as_slice().chain(reader)).map_err(|error| match error {
            StoreError::Reader(error) => error.into(),
            error => error.into(),
        })
    }

    pub(crate) fn folder(&mut self, path: RelPath) {
        if !self.exclude.covers(path.as_str()) {
            self.folders.insert(path);
        }
    }

    /// Adds a symbolic link. An absolute target counts from the tree's root, as it would when the package is installed.
    pub(crate) fn symlink(&mut self, path: RelPath, target: &str) -> Result<(), ArchiveError> {
        let target = relative_target(&path, target)?;
        if !self.exclude.covers(path.as_str()) {
            self.entries.insert(path, TreeEntry::Symlink { target });
        }
        Ok(())
    }

    /// Adds another name for a file that came before.
    pub(crate) fn hard_link(&mut self, path: RelPath, original: &RelPath) -> Result<(), ArchiveError> {
        match self.entries.get(original) {
            Some(entry @ TreeEntry::File { .. }) => {
                let entry = entry.clone();
                if !self.exclude.covers(path.as_str()) {
                    self.entries.insert(path, entry);
                }
                Ok(())
            }
            _ => Err(ArchiveError::HardLink(path.to_string(), original.to_string())),
        }
    }

    /// The tree, with folders that stayed empty.
    pub(crate) fn finish(self) -> Result<Tree, ArchiveError> {
        let mut tree = Tree { entries: self.entries };
        let mut parents = BTreeSet::new();
        for path in tree.entries.keys().chain(&self.folders) {
            let mut parent = path.parent();
            while let Some(folder) = parent {
                parent = folder.parent();
                if !parents.insert(folder) {
                    break;
                }
            }
        }
        for folder in self.folders.into_iter().filter(|folder| !parents.contains(folder)) {
            if !folder.as_str().is_empty() {
                tree.insert(folder, TreeEntry::EmptyFolder)?;
            }
        }
        check(&tree)?;
        Ok(tree)
    }
}

/// Checks that no file is used as a folder, and that no link leads out of the tree by way of another one.
pub(crate) fn check(tree: &Tree) -> Result<(), ArchiveError> {
    tree.check()?;
    match tree.check_links(Absolute::Machine) {
        Err(TreeError::LeadsOut { path, target }) => {
            let reason = format!("it links to `{target}`, by way of another link");
            Err(ArchiveError::Outside { path: path.to_string(), reason })
        }
        checked => Ok(checked?),
    }
}

/// The target of a link at `path`, relative and inside the tree.
pub(crate) fn relative_target(path: &RelPath, target: &str) -> Result<String, ArchiveError> {
    let outside = || ArchiveError::Outside { path: path.to_string(), reason: format!("it links to `{target}`") };
    if target.is_empty() || target.contains('\0') {
        return Err(outside());
    }
    let parent = path.parent().unwrap_or_else(|| path.clone());
    let depth = parent.as_str().split('/').filter(|segment| !segment.is_empty()).count();
    let absolute = target.starts_with('/');
    let mut level = if absolute { 0 } else { depth };
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => level = level.checked_sub(1).ok_or_else(outside)?,
            _ => level += 1,
        }
    }
    if !absolute {
        return Ok(target.to_owned());
    }
    let rest = target.trim_start_matches('/');
    Ok(if rest.is_empty() && depth == 0 { ".".to_owned() } else { "../".repeat(depth) + rest })
}

#[cfg(test)]
mod tests;
