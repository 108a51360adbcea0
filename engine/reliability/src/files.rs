//! Source files as data: what a workspace holds by path, and how a folder is brought from one such state to another.
//!
//! Only what differs is touched, so that the engine finds out by itself what an edit left as it was.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Sources by their path in the workspace.
pub type Files = BTreeMap<String, Source>;

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file: its text, and whether it may be executed.
    File(String, bool),
    /// A symbolic link.
    Link(String),
}

impl Source {
    /// A file that may not be executed.
    pub fn text(text: impl Into<String>) -> Self {
        Self::File(text.into(), false)
    }
}

/// Changes a folder that holds `old` so that it holds `new`.
pub fn place(root: &Path, old: &Files, new: &Files) {
    for (path, _) in old.iter().filter(|(path, source)| new.get(*path) != Some(source)) {
        // What is written over stays the same file, as with most editors; what changes its kind cannot.
        let rewritten = matches!((old.get(path), new.get(path)), (Some(Source::File(..)), Some(Source::File(..))));
        if !rewritten {
            std::fs::remove_file(root.join(path)).expect("it was placed");
        }
    }
    // Folders that only held what is gone: a file may take the name of one.
    old.keys().filter(|path| !new.contains_key(*path)).for_each(|path| remove_empty_folders(root, path));
    for (path, source) in new.iter().filter(|(path, source)| old.get(*path) != Some(source)) {
        write(&root.join(path), source);
    }
}

fn remove_empty_folders(root: &Path, path: &str) {
    let mut folder = Path::new(path).parent();
    while let Some(path) = folder.filter(|path| !path.as_os_str().is_empty()) {
        if std::fs::remove_dir(root.join(path)).is_err() {
            return;
        }
        folder = path.parent();
    }
}

fn write(path: &Path, source: &Source) {
    std::fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
    match source {
        Source::File(text, executable) => {
            std::fs::write(path, text).expect("a file");
            let mode = if *executable { 0o755 } else { 0o644 };
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("an own file");
        }
        Source::Link(target) => symlink(target, path).expect("a link"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_follows_its_states() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &str| Source::text(text);
        let first = Files::from([("a/b".into(), file("1")), ("c".into(), Source::Link("a/b".into()))]);
        let second = Files::from([("a".into(), Source::File("2".into(), true)), ("c".into(), file("3"))]);
        place(folder.path(), &Files::new(), &first);
        assert_eq!(std::fs::read_to_string(folder.path().join("c")).unwrap(), "1");
        place(folder.path(), &first, &second);
        assert_eq!(std::fs::read_to_string(folder.path().join("a")).unwrap(), "2");
        assert!(!folder.path().join("c").is_symlink());
        place(folder.path(), &second, &first);
        assert_eq!(std::fs::read_to_string(folder.path().join("c")).unwrap(), "1");
    }
}
