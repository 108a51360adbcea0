//! What a user can do about an error of the machine: a full disk, a read-only file system, too few open files.
//!
//! Here, and not where errors are shown, since every crate that turns one into text loses what the system said.

use std::error::Error;
use std::io::{self, ErrorKind};

const INPUT_OUTPUT: i32 = 5;
const TOO_LONG: i32 = 7;
const MACHINE_FILES: i32 = 23;
const PROCESS_FILES: i32 = 24;

/// What to type against the cause of an error, if it is one that a user can end.
pub fn of(error: &dyn Error) -> Option<&'static str> {
    let mut cause = error.source();
    while let Some(error) = cause {
        // An error of the system may be wrapped in another one that names a path.
        let found = error.downcast_ref::<io::Error>().and_then(of_system);
        if found.is_some() {
            return found;
        }
        cause = error.source();
    }
    None
}

/// The same for an error of the system.
pub fn of_system(error: &io::Error) -> Option<&'static str> {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::StorageFull, _) => Some(FULL),
        (ErrorKind::QuotaExceeded, _) => Some(
            "your share of this file system is used up: `build gc --max_size=5G` removes what was not used for longest; \
             or keep the store elsewhere: `--store FOLDER`",
        ),
        (ErrorKind::ReadOnlyFilesystem, _) => Some(
            "mount the file system so that it can be written to; \
             or keep the store elsewhere: `--store FOLDER` or BUILD_STORE=FOLDER",
        ),
        (ErrorKind::AlreadyExists | ErrorKind::NotADirectory, _) => {
            Some("something else is at that path, or in the place of a folder above it: move it away")
        }
        (_, Some(TOO_LONG)) => Some(
            "the arguments and variables are more than the kernel takes (some 2 MB in all, 128 KB for one): write the names into a \
             file, and give the program that (`@file`, `--files-from`), or pass the folder; a long `cmd` becomes a script",
        ),
        (_, Some(PROCESS_FILES)) => Some("raise the limit of open files, for example `ulimit -n 4096`"),
        (_, Some(MACHINE_FILES)) => {
            Some("the machine has too many files open: end other programs, or `sysctl fs.file-max=1000000`")
        }
        (_, Some(INPUT_OUTPUT)) => {
            Some("the disk may be failing: see `dmesg`; then `build fsck` removes what is damaged")
        }
        _ => None,
    }
}

/// What to type when a file system has no room.
pub const FULL: &str = "make room on this file system (`df`, `df -i`): `build gc --max_size=5G` removes what was not used \
    for longest; or keep the store elsewhere: `--store FOLDER`";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fs::FileError;

    fn of_errno(errno: i32) -> Option<&'static str> {
        let source = io::Error::from_raw_os_error(errno);
        of(&FileError { operation: "write", path: Path::new("/x").to_owned(), source })
    }

    #[test]
    fn errors_of_the_machine_say_what_to_type() {
        let (full, read_only, quota) = (28, 30, 122);
        assert!(of_errno(full).unwrap().contains("build gc"));
        assert!(of_errno(quota).unwrap().contains("build gc"));
        assert!(of_errno(read_only).unwrap().contains("--store"));
        assert!(of_errno(PROCESS_FILES).unwrap().contains("ulimit"));
        assert!(of_errno(TOO_LONG).unwrap().contains("128 KB"));
        assert!(of_errno(MACHINE_FILES).unwrap().contains("sysctl"));
        assert!(of_errno(INPUT_OUTPUT).unwrap().contains("build fsck"));
        let (exists, no_folder) = (17, 20);
        assert!([exists, no_folder].into_iter().all(|errno| of_errno(errno).unwrap().contains("move it away")));
        assert_eq!(of_errno(2), None, "a file that is missing is no fault of the machine");
    }

    #[test]
    fn an_error_within_an_error_is_found() {
        let inner = FileError {
            operation: "open",
            path: Path::new("/x").to_owned(),
            source: io::Error::from_raw_os_error(PROCESS_FILES),
        };
        let outer = FileError { operation: "write", path: Path::new("/y").to_owned(), source: io::Error::other(inner) };
        assert!(of(&outer).unwrap().contains("ulimit"));
    }
}
