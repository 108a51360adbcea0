//! The scratch folders in which processes run, used again by one action after another.
//!
//! A file system that has just deleted many files and folders is slow to make new ones, so a place is not thrown away:
//! what an action left is removed, but folders stay, or wait aside until an action needs them at another path. Only a
//! place whose action succeeded is used again, after it was emptied of everything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use host::fs::FileError;
use model::RelPath;
use store::{Store, StoreError, TempDir};

/// What every folder has and is set back to: an action sees it, so it must not depend on the user's umask.
const MODE: u32 = 0o755;

/// The places that no action uses now.
#[derive(Default)]
pub(crate) struct Places(Mutex<Vec<Place>>);

/// The scratch folder of one process: `work` becomes its working folder, the logs lie beside it.
pub(crate) struct Place {
    scratch: TempDir,
    /// The folders in `work`.
    folders: BTreeSet<RelPath>,
    /// Empty folders beside it.
    spare: Vec<PathBuf>,
    /// How many folders were made for this place.
    made: usize,
}

impl Places {
    /// A place with exactly these folders, parents included, and nothing else.
    pub(crate) fn take(&self, store: &Store, folders: BTreeSet<RelPath>) -> Result<Place, StoreError> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut place = match free {
            Some(place) => place,
            None => Place::new(store)?,
        };
        place.arrange(folders)?;
        Ok(place)
    }

    /// Takes a place back. One that cannot be emptied is thrown away.
    pub(crate) fn give_back(&self, mut place: Place) {
        if place.empty().is_ok() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        }
    }
}

impl Place {
    fn new(store: &Store) -> Result<Self, StoreError> {
        let place = Self { scratch: store.scratch()?, folders: BTreeSet::new(), spare: Vec::new(), made: 0 };
        host::fs::create_dir_with_mode(&place.work(), MODE)?;
        Ok(place)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// The working folder.
    pub(crate) fn work(&self) -> PathBuf {
        self.at("work")
    }

    /// A path beside the working folder.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Makes the folders what they shall be: superfluous ones are put aside, missing ones come from there.
    fn arrange(&mut self, mut wanted: BTreeSet<RelPath>) -> Result<(), FileError> {
        let work = self.work();
        wanted.extend(wanted.clone().iter().flat_map(above));
        // Children follow their parents in this order, so the other way round folders are empty when their turn comes.
        for folder in self.folders.iter().rev().filter(|folder| !wanted.contains(*folder)) {
            let aside = self.scratch.path().join(format!("spare{}", self.spare.len()));
            host::fs::rename(&work.join(folder), &aside)?;
            self.spare.push(aside);
        }
        for folder in wanted.difference(&self.folders) {
            let path = work.join(folder);
            match self.spare.pop() {
                Some(aside) => host::fs::rename(&aside, &path)?,
                None => {
                    self.made += 1;
                    host::fs::create_dir_with_mode(&path, MODE)?;
                }
            }
        }
        self.folders = wanted;
        Ok(())
    }

    /// Removes everything from the working folder but its folders. The logs are truncated when they are opened.
    fn empty(&mut self) -> Result<(), FileError> {
        let (work, mut left) = (self.work(), BTreeSet::new());
        empty(&work, None, &self.folders, &mut left)?;
        self.folders = left;
        Ok(())
    }
}

/// Empties one folder of a place, and notes in `left` those below it that stay.
fn empty(
    work: &Path,
    at: Option<&RelPath>,
    known: &BTreeSet<RelPath>,
    left: &mut BTreeSet<RelPath>,
) -> Result<(), FileError> {
    let folder = at.map_or_else(|| work.to_owned(), |at| work.join(at));
    if host::fs::lstat(&folder)?.mode != MODE {
        host::fs::set_mode(&folder, MODE)?;
    }
    for entry in host::fs::read_dir(&folder)? {
        let path = match at {
            Some(at) => at.join(&entry.name),
            None => RelPath::new(&entry.name),
        };
        match path.ok().filter(|path| entry.is_folder && known.contains(path)) {
            Some(path) => {
                empty(work, Some(&path), known, left)?;
                left.insert(path);
            }
            None if entry.is_folder => host::fs::remove_tree(&folder.join(&entry.name))?,
            None => host::fs::remove_file(&folder.join(&entry.name))?,
        }
    }
    Ok(())
}

/// The folders above a path.
pub(crate) fn above(path: &RelPath) -> impl Iterator<Item = RelPath> + use<> {
    let parent = |path: &RelPath| path.parent().filter(|parent| !parent.as_str().is_empty());
    std::iter::successors(parent(path), parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(paths: &[&str]) -> BTreeSet<RelPath> {
        paths.iter().map(|path| RelPath::new(path).unwrap()).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        host::fs::read_dir(folder).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn a_place_is_used_again_without_a_trace_of_the_last_action() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let places = Places::default();
        let place = places.take(&store, folders(&["a/b", "out/a/b"])).unwrap();
        let (work, path) = (place.work(), place.path().to_owned());
        assert_eq!(place.made, 5);
        host::fs::write(&work.join("a/b/left"), b"behind").unwrap();
        host::fs::create_dir_all(&work.join("own/deep")).unwrap();
        host::fs::symlink("/", &work.join("link")).unwrap();
        host::fs::set_mode(&work.join("out/a"), 0o700).unwrap();
        host::fs::remove_tree(&work.join("out/a/b")).unwrap();
        places.give_back(place);

        let place = places.take(&store, folders(&["c", "out/c", "out/a"])).unwrap();
        assert_eq!(place.path(), path);
        assert_eq!(place.made, 5, "the folders a and a/b have become c and out/c");
        assert_eq!(names(&work), ["c", "out"]);
        assert_eq!(names(&work.join("out")), ["a", "c"]);
        assert!(names(&work.join("c")).is_empty() && names(&work.join("out/a")).is_empty());
        assert_eq!(host::fs::lstat(&work.join("out/a")).unwrap().mode, 0o755);
    }

    #[test]
    fn two_actions_at_once_have_two_places() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let places = Places::default();
        let (first, second) = (places.take(&store, folders(&[])).unwrap(), places.take(&store, folders(&[])).unwrap());
        assert_ne!(first.path(), second.path());
    }
}
