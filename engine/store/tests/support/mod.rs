//! A store in a temporary folder, and what happens to its files.

#![allow(dead_code, reason = "each test takes a part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use model::RelPath;
use store::Store;

/// An empty store; it goes with the folder.
pub fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

/// A path of a tree.
pub fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

/// Writes to a file that is read-only.
pub fn overwrite(path: &Path, bytes: &[u8]) {
    let permissions = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, permissions).unwrap();
}

/// Makes a file look as if it had not been changed for a while.
pub fn age(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100)).unwrap();
}
