//! Stores that know no result of a workspace: for builds from nothing.
//!
//! They hold the shell of genrules already, so that it is fetched once a row and not for every clean build.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::Program;
use crate::workspace::Workspace;

/// Where folders are made, if it is there: in memory, since thousands of stores come and go.
const MEMORY: &str = "/dev/shm";

/// A store with the shell in it, to be copied.
pub struct Fresh {
    folder: TempDir,
    program: Program,
}

/// Workspaces of one try; they go with it.
pub struct Room<'a> {
    folder: TempDir,
    fresh: &'a Fresh,
}

impl Fresh {
    /// Fetches the shell.
    pub fn new(program: &Program) -> Result<Self, String> {
        let fresh = Self { folder: folder(), program: program.clone() };
        let workspace = Workspace::new(fresh.folder.path().join("w"), fresh.store(), program.clone());
        workspace.write("BUILD.star", "genrule(name = \"a\", outs = [\"a.txt\"], cmd = \": > $@\")\n");
        workspace.run(&["build", "//..."]).expect(0)?;
        Ok(fresh)
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A folder for the workspaces of one try.
    pub fn room(&self) -> Room<'_> {
        Room { folder: folder(), fresh: self }
    }
}

impl Room<'_> {
    /// A workspace without sources, with a store of its own in which there is the shell only.
    pub fn workspace(&self, name: &str) -> Workspace {
        let store = self.folder.path().join(format!("{name}.store"));
        copy(&self.fresh.store(), &store);
        Workspace::new(self.folder.path().join(name), store, self.fresh.program.clone())
    }

    /// A workspace without sources that uses the store of another one.
    pub fn beside(&self, name: &str, other: &Workspace) -> Workspace {
        Workspace::new(self.folder.path().join(name), other.store().to_owned(), self.fresh.program.clone())
    }
}

fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("reliability-");
    builder.tempdir_in(MEMORY).or_else(|_| builder.tempdir()).expect("a temporary folder can be made")
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Read-only folders of a store do not go by themselves.
        let _ = host::fs::remove_tree(self.folder.path());
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        // As above.
        let _ = host::fs::remove_tree(self.folder.path());
    }
}

/// Copies what a store holds of contents and results; kept states of requests name another workspace and stay behind.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder of the try");
    for entry in std::fs::read_dir(from).expect("a store").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("an entry of a store");
        match () {
            () if entry.file_name() == "requests" => {}
            () if kind.is_dir() => copy(&source, &target),
            () if kind.is_symlink() => {
                let link = std::fs::read_link(&source).expect("a link");
                std::os::unix::fs::symlink(link, &target).expect("a link");
            }
            // Contents are never written to again, so that one file can serve all stores.
            () if std::fs::metadata(&source).is_ok_and(|file| file.permissions().readonly()) => {
                std::fs::hard_link(&source, &target).expect("the same file system");
            }
            () => drop(std::fs::copy(&source, &target).expect("a file of the store")),
        }
    }
    let permissions = std::fs::metadata(from).expect("a folder").permissions();
    std::fs::set_permissions(to, permissions).expect("an own folder");
}
