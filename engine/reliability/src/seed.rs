//! A store that has what every action needs, the shell, to be copied for each try: fetching it takes longer than a try.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::program::Program;
use crate::workspace::Workspace;

/// A store with the shell and nothing else.
pub struct Seed {
    folder: TempDir,
}

impl Seed {
    /// Fetches the shell.
    pub fn new(program: &Program) -> Result<Self, String> {
        let folder =
            tempfile::Builder::new().prefix("reliability-seed-").tempdir().map_err(|error| error.to_string())?;
        let seed = Self { folder };
        let workspace = Workspace::new(seed.folder.path().join("w"), seed.store().to_owned(), program.clone());
        workspace.write("BUILD.star", "genrule(name = \"a\", outs = [\"a.txt\"], cmd = \"echo a > $@\")\n");
        workspace.run(&["build", ":a"]).expect(0).map_err(|error| format!("the shell cannot be had: {error}"))?;
        Ok(seed)
    }

    fn store(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a workspace a store of its own that begins as this one.
    pub fn plant(&self, workspace: &Workspace) -> Result<(), String> {
        host::fs::remove_tree(workspace.store()).map_err(|error| error.to_string())?;
        std::fs::create_dir_all(workspace.store()).map_err(|error| error.to_string())?;
        // With links and times, by which the store knows its contents.
        let copied = Command::new("cp").arg("-a").arg(self.store().join("v1")).arg(workspace.store()).status();
        match copied {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("the store cannot be copied: {other:?}")),
        }
    }

    /// The file of the store that holds the fetched package of the shell.
    pub fn package(&self) -> Result<Vec<u8>, String> {
        let shards = std::fs::read_dir(self.store().join("v1/blobs")).map_err(|error| error.to_string())?;
        let files = shards.flatten().flat_map(|shard| std::fs::read_dir(shard.path()).into_iter().flatten().flatten());
        let mut contents = files.filter_map(|file| std::fs::read(file.path()).ok());
        contents.find(|bytes| bytes.starts_with(b"!<arch>")).ok_or("no package is in the store".to_owned())
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        // Read-only folders of a store do not go by themselves.
        let _ = host::fs::remove_tree(self.folder.path());
    }
}
