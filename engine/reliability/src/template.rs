//! A store that is prepared once and copied for each try: fetching the shell takes longer than most tries.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::program::Program;
use crate::workspace::Workspace;

/// A store that has what every action needs, the shell.
pub struct Template {
    folder: TempDir,
}

impl Template {
    /// Fetches the shell.
    pub fn new(program: &Program) -> Result<Self, String> {
        Self::filled(program, |workspace| {
            workspace.write("BUILD.star", "genrule(name = \"a\", outs = [\"a.txt\"], cmd = \"echo a > $@\")\n");
            workspace.run(&["build", ":a"]).expect(0).map(drop)
        })
        .map_err(|error| format!("the shell cannot be had: {error}"))
    }

    /// A store that something was done with in a workspace.
    pub fn filled(program: &Program, fill: impl FnOnce(&Workspace) -> Result<(), String>) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("reliability-").tempdir().map_err(|error| error.to_string())?;
        let template = Self { folder };
        let top = template.folder.path();
        fill(&Workspace::new(top.join("w"), top.join("store"), program.clone()))?;
        // States of requests belong to that workspace.
        host::fs::remove_tree(&template.store().join("requests")).map_err(|error| error.to_string())?;
        Ok(template)
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store/v1")
    }

    /// Gives a workspace a store of its own that begins as this one.
    pub fn copy_to(&self, workspace: &Workspace) -> Result<(), String> {
        self.copy_to_store(workspace.store())
    }

    /// Makes a store that begins as this one.
    pub fn copy_to_store(&self, store: &Path) -> Result<(), String> {
        copy(&self.store(), store)
    }

    /// Removes what it holds; it is of no use afterwards.
    pub fn remove(&self) {
        // Read-only folders of a store do not go by themselves.
        let _ = host::fs::remove_tree(self.folder.path());
    }
}

/// Copies with links and times, by which a store knows its contents.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    host::fs::remove_tree(to).map_err(|error| error.to_string())?;
    std::fs::create_dir_all(to).map_err(|error| error.to_string())?;
    match Command::new("cp").arg("-a").arg(from).arg(to).status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("the store cannot be copied: {other:?}")),
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        self.remove();
    }
}
