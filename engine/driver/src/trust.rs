//! Which workspaces are believed, before anything of them is read: those of the user who types the command, and those that
//! the user has named.
//!
//! A workspace can declare programs that `build run` starts, and where outputs go. A folder that everybody may write to,
//! as /tmp, can hold one for all who work below it; a clone can bring a link where outputs belong.

use std::path::Path;

use crate::error::{Error, ErrorKind};

/// Names folders of workspaces, with `:` between them; `*` stands for all.
const VARIABLE: &str = "BUILD_TRUSTED_WORKSPACES";

/// Whether the user says that a workspace is to be believed, by the flag or by the variable.
pub(crate) fn is_trusted(root: &Path, flag: bool) -> bool {
    flag || names(&host::env::var(VARIABLE).unwrap_or_default(), root)
}

fn names(list: &str, root: &Path) -> bool {
    let is_root = |name: &str| host::fs::canonicalize(Path::new(name)).is_ok_and(|folder| folder == root);
    // A folder's own name may hold a colon.
    let is_whole = format!(":{list}:").contains(&format!(":{}:", root.display()));
    is_whole || list.split(':').filter(|name| !name.is_empty()).any(|name| name == "*" || is_root(name))
}

/// Refuses a workspace whose folder or WORKSPACE.star belongs to somebody else.
pub(crate) fn check_owner(root: &Path, trusted: bool) -> Result<(), Error> {
    if trusted {
        return Ok(());
    }
    check_owner_among(root, &host::env::trusted_users())
}

fn check_owner_among(root: &Path, users: &[u32]) -> Result<(), Error> {
    let file = root.join(loading::WORKSPACE_FILE);
    let folder = host::fs::stat(root).map(|stat| (root.to_owned(), stat.owner));
    let found = [folder, host::fs::lstat(&file).map(|stat| (file.clone(), stat.owner))];
    // What a link leads to; one that leads nowhere is an error of whoever reads it.
    let behind = host::fs::stat(&file).map(|stat| (file, stat.owner));
    match found.into_iter().chain([behind]).flatten().find(|(_, owner)| !users.contains(owner)) {
        Some((path, owner)) => Err(foreign(root, &path, owner)),
        None => Ok(()),
    }
}

fn foreign(root: &Path, path: &Path, owner: u32) -> Error {
    let message =
        format!("{} belongs to another user (number {owner}); nothing of this workspace is read", path.display());
    allow(Error::new(ErrorKind::Environment, message), root)
}

/// The error with what to type for a workspace that is to be believed all the same.
pub(crate) fn allow(error: Error, root: &Path) -> Error {
    error
        .hint(format!("if you trust it: `export {VARIABLE}={}`", root.display()))
        .hint("or for one command: `--trust_workspace`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_by_any_path_that_leads_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(folder.path()).unwrap();
        std::fs::create_dir(root.join("below")).unwrap();
        let named = root.join("below/..").display().to_string();
        assert!(names(&format!("/none:{named}"), &root));
        assert!(names("*", &root));
        let odd = root.join("a:b");
        std::fs::create_dir(&odd).unwrap();
        assert!(names(&format!("/none:{}:/other", odd.display()), &odd));
        assert!(!names(&format!("/none:{}c", odd.display()), &odd));
        assert!(!names("", &root) && !names(":", &root));
        assert!(!names(&named, &root.join("below")), "a folder above does not count");
    }

    #[test]
    fn a_workspace_of_another_user_is_refused_with_the_word_that_allows_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("WORKSPACE.star"), "").unwrap();
        let owner = host::fs::stat(folder.path()).unwrap().owner;
        assert!(check_owner_among(folder.path(), &[owner]).is_ok());
        let error = check_owner_among(folder.path(), &[owner + 1]).unwrap_err().to_string();
        for text in ["belongs to another user", "export BUILD_TRUSTED_WORKSPACES=", "--trust_workspace"] {
            assert!(error.contains(text), "{error}");
        }
        assert!(check_owner(folder.path(), true).is_ok());
    }

    /// The folder may be everybody's and the file a link to one of somebody else.
    #[test]
    fn the_file_that_makes_a_folder_a_workspace_counts() {
        let folder = tempfile::tempdir().unwrap();
        let own = host::fs::stat(folder.path()).unwrap().owner;
        let others = host::fs::stat(Path::new("/proc/1/status")).unwrap().owner;
        std::os::unix::fs::symlink("/proc/1/status", folder.path().join("WORKSPACE.star")).unwrap();
        assert_eq!(check_owner_among(folder.path(), &[own]).is_err(), own != others);
    }
}
