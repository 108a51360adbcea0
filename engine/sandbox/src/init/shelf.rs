//! What a running program is shown for a while: mounts that come and go in its working folder.
//!
//! They come from one folder of the host, the shelf, which lies mounted below the working folder where no path leads.
//! Process 1 holds it open. All paths are resolved inside of the sandbox, so a program that plants links in its working
//! folder misleads nobody but itself.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::root::restrict;
use super::step::Step;
use crate::spec::{Bind, Failure};

/// The shelf, and what is shown of it.
pub(super) struct Shelf {
    folder: File,
    /// Where something is mounted, in the order of the mounts.
    shown: Vec<String>,
}

impl Shelf {
    /// Takes hold of the folder at a path.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let flags = nix::libc::O_DIRECTORY | nix::libc::O_PATH;
        let folder = OpenOptions::new().read(true).custom_flags(flags).open(path);
        Ok(Self { folder: folder.step(|| "open the folder of later mounts")?, shown: Vec::new() })
    }

    /// Makes folders, and mounts what lies on the shelf, read-only.
    pub fn show(&mut self, folders: &[String], binds: &[Bind]) -> Result<(), Failure> {
        folders.iter().try_for_each(|path| make_folders(path))?;
        binds.iter().try_for_each(|bind| self.mount(bind))
    }

    fn mount(&mut self, bind: &Bind) -> Result<(), Failure> {
        let target = bind.target.as_str();
        if bind.folder {
            make_folders(target)?;
        } else {
            target.rsplit_once('/').map_or(Ok(()), |(parent, _)| make_folders(parent))?;
            make_file(target).step(|| format!("make a mount point at {target}"))?;
        }
        let source = Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(&bind.source);
        let step = || format!("mount {} at {target}", bind.source.display());
        mount(Some(&source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>).step(step)?;
        self.shown.push(target.to_owned());
        restrict(Path::new(target), false).step(step)
    }

    /// Takes away everything that was shown. Who holds it open keeps it.
    pub fn hide(&mut self) -> Result<(), Failure> {
        while let Some(target) = self.shown.pop() {
            let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
            umount2(target.as_str(), flags).step(|| format!("take {target} away"))?;
        }
        Ok(())
    }
}

/// Makes a folder and its parents.
fn make_folders(path: &str) -> Result<(), Failure> {
    let made = match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.rsplit_once('/').map_or(Ok(()), |(parent, _)| make_folders(parent))?;
            DirBuilder::new().mode(0o755).create(path)
        }
        made => made,
    };
    match made {
        // A link in its place is no folder.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_folder(path) => Ok(()),
        made => made.step(|| format!("make the folder {path}")),
    }
}

fn is_folder(path: &str) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Makes an empty file, unless one is there: inside of a folder that is mounted itself.
fn make_file(path: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Err(_) if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) => Ok(()),
        made => made.map(drop),
    }
}
