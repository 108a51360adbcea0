//! One try: its own random numbers, its own folder, and the program to test.

use std::path::{Path, PathBuf};

use fastrand::Rng;
use tempfile::TempDir;

use crate::program::Program;
use crate::workspace::Workspace;

/// What a try came to: nothing to say, or what went wrong.
pub type Outcome = Result<(), String>;

/// One try of a row.
pub struct Attempt {
    /// Its number within the row; `--only` repeats it.
    pub index: u64,
    /// Random numbers that depend on the seed, the row and the index only.
    pub dice: Rng,
    program: Program,
    folder: TempDir,
}

impl Attempt {
    /// A try. The same seed, row and index give the same random numbers.
    pub fn new(seed: u64, row: u8, index: u64, program: Program) -> Self {
        let text = format!("{seed} {row} {index}");
        let digest = model::Digest::of(text.as_bytes()).to_hex();
        let start = u64::from_str_radix(&digest[..16], 16).expect("a digest is hexadecimal");
        let folder = tempfile::Builder::new().prefix("reliability-").tempdir().expect("a temporary folder can be made");
        Self { index, dice: Rng::with_seed(start), program, folder }
    }

    /// A folder that goes with the try.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program to test.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// An empty workspace `name` of this try with a store of its own.
    pub fn workspace(&self, name: &str) -> Workspace {
        let store = self.folder().join(format!("{name}.store"));
        Workspace::new(self.folder().join(name), store, self.program.clone())
    }

    /// An empty workspace `name` of this try with a store that outlives it.
    pub fn workspace_with_store(&self, name: &str, store: PathBuf) -> Workspace {
        Workspace::new(self.folder().join(name), store, self.program.clone())
    }

    /// An empty workspace `name` of this try that uses the store of another one.
    pub fn workspace_beside(&self, name: &str, other: &Workspace) -> Workspace {
        Workspace::new(self.folder().join(name), other.store().to_owned(), self.program.clone())
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Read-only folders of a store do not go by themselves.
        let _ = host::fs::remove_tree(self.folder.path());
    }
}
