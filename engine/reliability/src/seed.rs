//! A store that holds what nearly every try would else fetch from outside: the shell of actions.
//!
//! It is filled once for a run of this program, through the program under test, and copied for each try, so that thousands
//! of tries ask a registry once, and a registry that is down for a moment fails no try.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::program::Program;
use crate::workspace::Workspace;

static SEED: OnceLock<TempDir> = OnceLock::new();

/// Makes `store`, which must not exist, with a copy of the seed.
pub fn copy_to(store: &Path, program: &Program) {
    let seed = SEED.get_or_init(|| make(program));
    // The logs of results are appended to in place, so nothing may be shared with the original by hard links.
    let status = Command::new("cp").arg("-a").arg(seed.path().join("store")).arg(store).status();
    assert!(status.expect("cp can be started").success(), "the seed cannot be copied to {}", store.display());
}

fn make(program: &Program) -> TempDir {
    let folder =
        tempfile::Builder::new().prefix("reliability-seed-").tempdir().expect("a temporary folder can be made");
    let workspace = Workspace::new(folder.path().join("w"), folder.path().join("store"), program.clone());
    workspace.write("BUILD.star", "genrule(name = \"shell\", outs = [\"s\"], cmd = \"true > $@\")\n");
    if let Err(error) = workspace.run(&["fetch", "//..."]).expect(0) {
        panic!("what actions need cannot be fetched: {error}");
    }
    // What this workspace looked like is nobody's business.
    let _ = std::fs::remove_dir_all(folder.path().join("store/v1/requests"));
    folder
}

/// Removes the seed; statics are not dropped by themselves.
pub fn remove() {
    if let Some(seed) = SEED.get() {
        let _ = host::fs::remove_tree(seed.path());
    }
}
