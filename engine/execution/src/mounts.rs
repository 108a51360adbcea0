//! How the inputs of a process are mounted: each by itself when they are few, folder by folder when they are many.
//!
//! A mount costs microseconds, so ten thousand of them would cost more than most actions. A folder that holds inputs
//! only is made once in the store, as a tree of links, and mounted as a whole; large folders below it are trees of
//! their own, so that one changed input makes one folder anew and not all. Files beside outputs stay single mounts, since
//! their folder must be writable. A process cannot write into a folder that is mounted as a whole.

use std::collections::BTreeMap;

use model::{Artifact, RelPath, Tree, TreeEntry};
use sandbox::Mount;
use store::{Store, StoreError};

use crate::content::Content;

/// Up to so many input files are mounted one by one.
const FEW: usize = 16;

/// A folder with fewer files than this belongs to the tree around it.
const SMALL: usize = 64;

type Inputs = BTreeMap<RelPath, Content>;

/// Mounts for all inputs, parents before children.
pub(crate) fn of(store: &Store, inputs: &Inputs, outputs: &[Artifact]) -> Result<Vec<Mount>, StoreError> {
    let files = inputs.values().filter(|content| matches!(content, Content::File { .. })).count();
    if files <= FEW {
        return one_by_one(store, inputs);
    }
    let mut top = Folder { is_written_to: true, ..Folder::default() };
    for (path, content) in inputs {
        top.add(path, content);
    }
    for output in outputs {
        top.mark(output.path());
    }
    let mut mounts = Mounts { store, mounts: Vec::new() };
    mounts.open(&top, None)?;
    Ok(mounts.mounts)
}

/// A mount for each input.
pub(crate) fn one_by_one(store: &Store, inputs: &Inputs) -> Result<Vec<Mount>, StoreError> {
    inputs.iter().map(|(path, content)| single(store, path, content)).collect()
}

fn single(store: &Store, path: &RelPath, content: &Content) -> Result<Mount, StoreError> {
    let folder = matches!(content, Content::Tree(_));
    Ok(Mount { source: content.on_disk(store)?, target: path.clone(), folder })
}

/// A folder that inputs imply.
#[derive(Default)]
struct Folder<'a> {
    contents: BTreeMap<&'a str, (&'a RelPath, &'a Content)>,
    folders: BTreeMap<&'a str, Folder<'a>>,
    /// Input files here and below.
    files: usize,
    /// Whether an output is here or below.
    is_written_to: bool,
}

impl<'a> Folder<'a> {
    fn add(&mut self, path: &'a RelPath, content: &'a Content) {
        let mut folder = self;
        let mut names = path.as_str().split('/').peekable();
        while let Some(name) = names.next() {
            folder.files += usize::from(matches!(content, Content::File { .. }));
            if names.peek().is_none() {
                folder.contents.insert(name, (path, content));
                return;
            }
            folder = folder.folders.entry(name).or_default();
        }
    }

    /// Notes that there is an output at a path.
    fn mark(&mut self, path: &RelPath) {
        let mut folder = self;
        for name in path.as_str().split('/') {
            folder.is_written_to = true;
            match folder.folders.get_mut(name) {
                Some(next) => folder = next,
                None => return,
            }
        }
        folder.is_written_to = true;
    }
}

struct Mounts<'a> {
    store: &'a Store,
    mounts: Vec<Mount>,
}

impl Mounts<'_> {
    /// A folder that stays writable.
    fn open(&mut self, folder: &Folder<'_>, at: Option<&RelPath>) -> Result<(), StoreError> {
        for (path, content) in folder.contents.values() {
            self.mounts.push(single(self.store, path, content)?);
        }
        for (name, below) in &folder.folders {
            let path = join(at, name);
            // What lies in a tree that is an input itself has its place there.
            let inside_tree = folder.contents.contains_key(name);
            if below.is_written_to || inside_tree || below.files <= FEW / 4 {
                self.open(below, Some(&path))?;
            } else {
                self.closed(below, &path)?;
            }
        }
        Ok(())
    }

    /// A folder that is mounted as a tree, with what must be mounted inside of it afterwards.
    fn closed(&mut self, folder: &Folder<'_>, at: &RelPath) -> Result<(), StoreError> {
        let mut parts = Parts::default();
        parts.gather(folder, None);
        let digest = self.store.put_tree(&parts.tree)?;
        self.mounts.push(Mount { source: self.store.tree_path(&digest)?, target: at.clone(), folder: true });
        for (path, content) in parts.trees {
            self.mounts.push(single(self.store, path, content)?);
        }
        for (below, path) in parts.large {
            self.closed(below, &at.join_path(&path))?;
        }
        Ok(())
    }
}

/// What becomes of a folder that is mounted as a tree.
#[derive(Default)]
struct Parts<'a, 'f> {
    tree: Tree,
    /// Inputs that are trees themselves; `tree` has an empty folder for each to be mounted on.
    trees: Vec<(&'a RelPath, &'a Content)>,
    /// Folders that become trees of their own, likewise.
    large: Vec<(&'f Folder<'a>, RelPath)>,
}

impl<'a, 'f> Parts<'a, 'f> {
    fn gather(&mut self, folder: &'f Folder<'a>, at: Option<&RelPath>) {
        for (name, (path, content)) in &folder.contents {
            let entry = match content {
                Content::File { digest, size, executable } => {
                    TreeEntry::File { digest: *digest, size: *size, executable: *executable }
                }
                Content::Tree(_) => {
                    self.trees.push((path, content));
                    TreeEntry::EmptyFolder
                }
            };
            self.tree.entries.insert(join(at, name), entry);
        }
        for (name, below) in &folder.folders {
            let path = join(at, name);
            if folder.contents.contains_key(name) {
                // It lies in a tree that is an input itself: mounted there, file by file.
                self.trees.extend(below.all());
            } else if below.files >= SMALL {
                self.tree.entries.insert(path.clone(), TreeEntry::EmptyFolder);
                self.large.push((below, path));
            } else {
                self.gather(below, Some(&path));
            }
        }
    }
}

impl<'a> Folder<'a> {
    /// All inputs here and below.
    fn all(&self) -> Vec<(&'a RelPath, &'a Content)> {
        let below = self.folders.values().flat_map(Folder::all);
        self.contents.values().copied().chain(below).collect()
    }
}

fn join(at: Option<&RelPath>, name: &str) -> RelPath {
    let joined = at.map_or_else(|| RelPath::new(name), |at| at.join(name));
    joined.expect("a segment of a path can be a segment again")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn file(store: &Store, text: &str) -> Content {
        let digest = store.put_bytes(text.as_bytes()).unwrap();
        Content::File { digest, size: text.len() as u64, executable: false }
    }

    /// So many files in each of so many folders.
    fn inputs(store: &Store, folders: usize, files: usize) -> Inputs {
        let name = |number: usize| path(&format!("src/d{}/f{number}", number % folders));
        (0..folders * files).map(|number| (name(number), file(store, &number.to_string()))).collect()
    }

    fn targets(mounts: &[Mount]) -> Vec<&str> {
        mounts.iter().map(|mount| mount.target.as_str()).collect()
    }

    fn links(store: &Store, content: &Content) -> u64 {
        host::fs::lstat(&content.on_disk(store).unwrap()).unwrap().links
    }

    /// Folders of trees in the store.
    fn trees(store: &Store) -> usize {
        let list = |folder: &Path| host::fs::read_dir(folder).unwrap();
        let all = store.root().join("trees");
        list(&all).iter().map(|entry| list(&all.join(&entry.name)).len()).sum()
    }

    #[test]
    fn few_inputs_are_mounted_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(targets(&of(&store, &inputs(&store, 2, 2), &[]).unwrap()).len(), 4);
        assert_eq!(trees(&store), 0);
    }

    #[test]
    fn ten_thousand_inputs_are_a_mount_a_folder_and_one_change_links_one_folder_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut inputs = inputs(&store, 100, 100);
        let mounts = of(&store, &inputs, &[]).unwrap();
        assert_eq!((mounts.len(), trees(&store)), (101, 101), "src and its hundred folders");

        inputs.insert(path("src/d7/f7"), file(&store, "changed"));
        assert_eq!(of(&store, &inputs, &[]).unwrap().len(), 101);
        assert_eq!(trees(&store), 102);
        let twice = inputs.values().filter(|content| links(&store, content) == 3).count();
        assert_eq!(twice, 99, "only the other files of that folder were linked again");
    }

    #[test]
    fn files_beside_outputs_and_trees_keep_mounts_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut inputs: Inputs = (0..20).map(|number| (path(&format!("a/b/{number}")), file(&store, "x"))).collect();
        inputs.insert(path("out/c/p/gen"), file(&store, "y"));
        inputs.insert(path("a/tree"), Content::Tree(store.put_tree(&Tree::default()).unwrap()));
        let owner = model::Label::absolute("//p:t").unwrap();
        let output = Artifact::output(path("out/c/p/result"), false, &owner);
        let mounts = of(&store, &inputs, &[output]).unwrap();
        assert_eq!(targets(&mounts), ["a", "a/tree", "out/c/p/gen"]);
    }
}
