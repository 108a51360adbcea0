//! Trees: manifests as blobs, and the same as immutable folders of hard links, made once and shared.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use host::fs::{self, FileKind};
use model::{Digest, RelPath, Tree, TreeEntry};
use rayon::prelude::*;

use crate::blobs::{Store, is_executable};
use crate::error::StoreError;
use crate::files::{SEALED, TRIES, hash, is_as_put, link_or_copy};

/// The permission bits of folders in trees.
const FOLDER_MODE: u32 = 0o755;

impl Store {
    /// Stores a manifest. Its files must be in the store already.
    pub fn put_tree(&self, tree: &Tree) -> Result<Digest, StoreError> {
        tree.check()?;
        self.put_bytes(&tree.to_bytes())
    }

    /// Reads a manifest.
    pub fn tree(&self, digest: &Digest) -> Result<Tree, StoreError> {
        Ok(Tree::from_bytes(&self.read(digest)?)?)
    }

    /// Whether the manifest and all its files are there. A folder that was made from it counts as proof, unless the
    /// store is damaged.
    pub fn contains_tree(&self, digest: &Digest) -> Result<bool, StoreError> {
        if !self.contains(digest) {
            return Ok(false);
        }
        if !self.is_damaged() && fs::exists(&self.entry("trees", digest)) {
            return Ok(true);
        }
        let tree = match self.tree(digest) {
            Err(error) if error.is_missing() => return Ok(false),
            tree => tree?,
        };
        let files = tree.entries.par_iter().map(|(_, entry)| match entry {
            TreeEntry::File { digest, size, .. } => self.has(digest, *size),
            TreeEntry::Symlink { .. } | TreeEntry::EmptyFolder => Ok(true),
        });
        files.try_reduce(|| true, |a, b| Ok(a && b))
    }

    /// Whether the tree can be used: the folder that was made from it is unchanged, or all its files are there.
    pub fn is_usable(&self, digest: &Digest) -> Result<bool, StoreError> {
        if !self.contains_tree(digest)? {
            return Ok(false);
        }
        if !fs::exists(&self.entry("trees", digest)) {
            return Ok(true);
        }
        match self.tree_path(digest) {
            Err(error) if error.is_missing() => Ok(false),
            path => path.map(|_| true),
        }
    }

    /// The tree as a folder that must not be changed. It is checked once a process, and made again if it was changed.
    pub fn tree_path(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        let path = self.entry("trees", digest);
        if self.is_checked(digest) && fs::exists(&path) {
            return Ok(path);
        }
        let tree = self.tree(digest)?;
        if !fs::exists(&path) {
            self.make_folder(&tree, &path)?;
        } else if !self.is_sound(&tree, &path) {
            self.mend(&tree, &path)?;
        }
        self.set_checked(digest);
        Ok(path)
    }

    /// Whether a path that [`Store::blob_path`] or [`Store::tree_path`] gave still holds its content. A folder that does
    /// not is looked at again before it is next used.
    pub fn is_intact(&self, path: &Path) -> bool {
        match fs::lstat(path) {
            Ok(stat) if stat.kind == FileKind::Folder => {
                let digest = path.file_name().and_then(|name| name.to_str()?.parse::<Digest>().ok());
                let tree = |digest: &Digest| self.tree(digest).is_ok_and(|tree| self.is_sound(&tree, path));
                let intact = digest.as_ref().is_some_and(tree);
                if let (false, Some(digest)) = (intact, digest) {
                    self.0.checked_trees.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
                }
                intact
            }
            Ok(stat) => is_as_put(&stat, is_executable(path), self.0.owner),
            Err(_) => false,
        }
    }

    /// Makes the folder of a tree, unless somebody else was faster.
    fn make_folder(&self, tree: &Tree, path: &Path) -> Result<(), StoreError> {
        let made = self.0.scratch.path();
        self.fill(tree, &made)?;
        let mut tries = 1;
        loop {
            match self.rename(&made, path) {
                Ok(()) => return Ok(()),
                Err(_) if fs::exists(path) => return Ok(fs::remove_tree(&made)?),
                // What was in the way is not there any more: a collection of garbage has just taken it away.
                Err(StoreError::File(error)) if error.is_in_the_way() && tries < TRIES => tries += 1,
                Err(error) => {
                    fs::remove_tree(&made)?;
                    return Err(error);
                }
            }
        }
    }

    /// Makes a changed folder again. One at a time among all processes and after another look under the lock, so that
    /// nobody moves the folder away that another has just mended and uses.
    fn mend(&self, tree: &Tree, path: &Path) -> Result<(), StoreError> {
        let lock = self.root().join("mend.lock");
        let file = fs::open_append(&lock)?;
        self.0.waiting.lock(&file, &lock)?;
        if fs::exists(path) && !self.is_sound(tree, path) {
            self.remove_aside(path)?;
        }
        if fs::exists(path) { Ok(()) } else { self.make_folder(tree, path) }
    }

    /// Puts the tree at `to`, which must not exist or be an empty folder. Files are read-only hard links where
    /// possible.
    pub fn materialise_tree(&self, digest: &Digest, to: &Path) -> Result<(), StoreError> {
        self.fill(&self.tree(digest)?, to)
    }

    /// Moves the content of a folder into the store: afterwards the folder holds no files. Links are kept as links,
    /// modes reduced to executable or not.
    pub fn capture_tree(&self, folder: &Path) -> Result<(Digest, Tree), StoreError> {
        let mut found = Found::default();
        list(folder, &RelPath::new("").expect("the root is a path"), &mut found)?;
        let files: Result<Vec<(RelPath, TreeEntry)>, StoreError> = found
            .files
            .into_par_iter()
            .map(|(path, executable)| {
                let (digest, size) = self.put_file(&folder.join(&path))?;
                Ok((path, TreeEntry::File { digest, size, executable }))
            })
            .collect();
        let mut tree = Tree { entries: found.others.into_iter().collect() };
        tree.entries.extend(files?);
        Ok((self.put_tree(&tree)?, tree))
    }

    fn fill(&self, tree: &Tree, to: &Path) -> Result<(), StoreError> {
        tree.check()?;
        fs::create_dir_all(to)?;
        let folders = folders(tree);
        for folder in &folders {
            fs::create_dir_all(&to.join(folder))?;
        }
        tree.entries.par_iter().try_for_each(|(path, entry)| self.fill_entry(&to.join(path), entry))?;
        for folder in folders.iter().rev() {
            let path = to.join(folder);
            fs::seal(&fs::open(&path)?, &path, FOLDER_MODE, SEALED)?;
        }
        Ok(())
    }

    fn fill_entry(&self, path: &Path, entry: &TreeEntry) -> Result<(), StoreError> {
        match entry {
            TreeEntry::File { digest, executable, size } => {
                let blob = self.sized_blob_path(digest, *executable, *size)?;
                link_or_copy(&blob, path).map_err(|error| self.lost(digest, error))
            }
            TreeEntry::Symlink { target } => Ok(fs::symlink(target, path)?),
            TreeEntry::EmptyFolder => Ok(()),
        }
    }

    /// Whether the folder made from a tree is as it was made; by its contents too if `contents` were just checked.
    pub(crate) fn folder_is_whole(&self, digest: &Digest, contents: bool) -> bool {
        let path = self.entry("trees", digest);
        self.tree(digest)
            .is_ok_and(|tree| self.folder_is_sound(&tree, &path) && (!contents || self.is_linked(&tree, &path)))
    }

    /// Whether the folder can be used. In a damaged store a file of it may be a further name of a content that was found
    /// damaged and removed.
    fn is_sound(&self, tree: &Tree, path: &Path) -> bool {
        self.folder_is_sound(tree, path) && (!self.is_damaged() || self.is_linked(tree, path))
    }

    /// Whether no entry was added, removed, written to or given another mode: folders and files are as they were sealed.
    fn folder_is_sound(&self, tree: &Tree, path: &Path) -> bool {
        let sealed = i128::from(SEALED) * 1_000_000_000;
        let as_made = |stat: fs::FileStat| {
            stat.kind == FileKind::Folder
                && stat.mtime == sealed
                && stat.mode == FOLDER_MODE
                && stat.owner == self.0.owner
        };
        folders(tree).iter().all(|folder| fs::lstat(&path.join(folder)).is_ok_and(as_made))
            && tree.entries.par_iter().all(|(name, entry)| match entry {
                TreeEntry::File { size, executable, .. } => fs::lstat(&path.join(name))
                    .is_ok_and(|stat| is_as_put(&stat, *executable, self.0.owner) && stat.size == *size),
                TreeEntry::Symlink { .. } | TreeEntry::EmptyFolder => true,
            })
    }

    /// Whether every file is a link to its content in the store, or else has that content.
    fn is_linked(&self, tree: &Tree, path: &Path) -> bool {
        tree.entries.par_iter().all(|(name, entry)| match entry {
            TreeEntry::File { digest, executable, .. } => {
                let file = path.join(name);
                let same = |blob: fs::FileStat, own: fs::FileStat| (blob.device, blob.inode) == (own.device, own.inode);
                let blob = fs::lstat(&self.blob_file(digest, *executable));
                blob.is_ok_and(|blob| fs::lstat(&file).is_ok_and(|own| same(blob, own)))
                    || fs::open(&file).is_ok_and(|open| hash(&open, &file).is_ok_and(|actual| actual == *digest))
            }
            TreeEntry::Symlink { .. } | TreeEntry::EmptyFolder => true,
        })
    }

    fn is_checked(&self, digest: &Digest) -> bool {
        self.0.checked_trees.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    fn set_checked(&self, digest: &Digest) {
        self.0.checked_trees.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
    }
}

/// All folders of a tree, the root included, parents first.
fn folders(tree: &Tree) -> BTreeSet<RelPath> {
    let mut folders = BTreeSet::from([RelPath::new("").expect("the root is a path")]);
    for (path, entry) in &tree.entries {
        if *entry == TreeEntry::EmptyFolder {
            folders.insert(path.clone());
        }
        let mut parent = path.parent();
        while let Some(folder) = parent {
            parent = folder.parent();
            if !folders.insert(folder) {
                break;
            }
        }
    }
    folders
}

#[derive(Default)]
struct Found {
    files: Vec<(RelPath, bool)>,
    others: Vec<(RelPath, TreeEntry)>,
}

fn list(root: &Path, below: &RelPath, found: &mut Found) -> Result<(), StoreError> {
    let folder = root.join(below);
    if fs::lstat(&folder)?.mode & 0o700 != 0o700 {
        fs::set_mode(&folder, 0o755)?;
    }
    let entries = fs::read_dir(&folder)?;
    if entries.is_empty() && !below.as_str().is_empty() {
        found.others.push((below.clone(), TreeEntry::EmptyFolder));
    }
    for entry in entries {
        let unrepresentable = |reason| StoreError::Unrepresentable { path: folder.join(&entry.name), reason };
        let path = below.join(&entry.name).map_err(|error| unrepresentable(error.reason.to_owned()))?;
        if entry.is_folder {
            list(root, &path, found)?;
            continue;
        }
        let full = root.join(&path);
        if entry.is_symlink {
            let target = fs::read_link(&full)?;
            let target = target.to_str().ok_or_else(|| unrepresentable("the link's target is not UTF-8".to_owned()))?;
            found.others.push((path, TreeEntry::Symlink { target: target.to_owned() }));
            continue;
        }
        let stat = fs::lstat(&full)?;
        if stat.kind != FileKind::File {
            return Err(StoreError::NotAFile(full));
        }
        found.files.push((path, stat.mode & 0o111 != 0));
    }
    Ok(())
}
