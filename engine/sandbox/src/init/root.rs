//! The root file system of a sandbox: a small file system in memory on which everything visible is mounted.
//!
//! A folder of the host appears as one read-only mount, unless something else must appear inside it; then it is
//! spread: made anew, with a mount for each of its entries.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, umask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, pivot_root};

use super::shelf::Shelf;
use super::step::Step;
use super::streams;
use crate::spec::{Bind, Failure, Spec};

/// Where the new root is built. Any folder would do that hides no source of a mount; none lies in /proc.
const BASE: &str = "/proc";

/// Devices that every program may use. They are the machine's, as no user namespace may make its own; mounted read-only they
/// can be written to, but nothing of the inode can be changed.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Where /proc lets root change the machine, if they are there.
const SETTINGS: [&str; 5] = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];

/// What stands over a file of /proc that nobody needs there: while some of a /proc is hidden, no process inside can mount
/// another one, in namespaces of its own, that has all of the machine in it (mount_namespaces(7)).
const COVER: (&str, &str) = ("/dev/null", "/proc/1/environ");

/// Descriptors as files, which shells and runtimes expect.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Builds the root file system and moves into it. It can still be written to until [`seal`]. Returns the shelf, if the
/// spec names one.
pub(super) fn build(spec: &Spec) -> Result<Option<Shelf>, Failure> {
    umask(Mode::empty());
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).step(|| "make the mounts private")?;
    mount_memory(Path::new(BASE), "mode=0755").step(|| "mount the root in memory")?;

    let mut builder = Builder { folders: BTreeSet::new() };
    if let Some(root) = &spec.root {
        builder.spread(root, "", &reserved(spec))?;
    }
    builder.system(spec.wire.is_none())?;
    for path in &spec.memory {
        builder.folder(path)?;
        mount_memory(&inside(path), "mode=1777").step(|| format!("mount an empty folder at {path}"))?;
    }
    for (path, content) in &spec.files {
        builder.parent(path)?;
        fs::write(inside(path), content).step(|| format!("write {path}"))?;
    }
    if let Some(source) = &spec.logs {
        // The working folder is mounted over them, which no program can take away to look below.
        for name in streams::logs(spec) {
            let target = format!("{}/{name}", spec.cwd);
            builder.bind(&Bind { source: source.join(name), target, folder: false, writable: true })?;
        }
        streams::open_logs(spec, &inside(&spec.cwd))?;
    }
    let shelf = match &spec.shelf {
        None => None,
        Some(source) => {
            // Likewise.
            builder.bind(&Bind { source: source.clone(), target: spec.cwd.clone(), folder: true, writable: false })?;
            Some(Shelf::open(&inside(&spec.cwd))?)
        }
    };
    spec.binds.iter().try_for_each(|bind| builder.bind(bind))?;
    enter()?;
    streams::open_inputs(spec)?;
    Ok(shelf)
}

/// Makes the root itself read-only, and what root could change of the machine through /proc.
pub(super) fn seal(as_root: bool) -> Result<(), Failure> {
    if as_root {
        let (cover, covered) = COVER;
        mount(Some(cover), covered, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .step(|| format!("cover {covered}"))?;
    }
    restrict(Path::new("/"), false).step(|| "make the root read-only")?;
    // Settings of the kernel belong to the machine's root user, who the program is when root runs the engine. Others
    // cannot write them anyway, and may need a /proc without mounts on it to make namespaces of their own.
    let settings = SETTINGS.iter().map(Path::new).filter(|path| as_root && path.exists());
    settings.into_iter().try_for_each(|path| {
        let step = || format!("make {} read-only", path.display());
        mount(Some(path), path, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).step(step)?;
        restrict(path, false).step(step)
    })
}

/// Paths that the sandbox fills itself, so that nothing of the root folder may stand there.
fn reserved(spec: &Spec) -> BTreeSet<String> {
    let own = ["/proc", "/dev"].into_iter().map(str::to_owned);
    let files = spec.files.iter().map(|(path, _)| path.clone());
    own.chain(files)
        .chain(spec.memory.iter().cloned())
        .chain(spec.binds.iter().map(|bind| bind.target.clone()))
        .collect()
}

fn inside(path: &str) -> PathBuf {
    PathBuf::from(format!("{BASE}{path}"))
}

struct Builder {
    /// Folders that are known to exist inside.
    folders: BTreeSet<String>,
}

impl Builder {
    /// Makes a folder and its parents.
    fn folder(&mut self, path: &str) -> Result<(), Failure> {
        if path.is_empty() || path == "/" || self.folders.contains(path) {
            return Ok(());
        }
        match fs::create_dir(inside(path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.parent(path)?;
                fs::create_dir(inside(path)).step(|| format!("make the folder {path}"))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.step(|| format!("make the folder {path}"))?,
        }
        self.folders.insert(path.to_owned());
        Ok(())
    }

    fn parent(&mut self, path: &str) -> Result<(), Failure> {
        path.rsplit_once('/').map_or(Ok(()), |(parent, _)| self.folder(parent))
    }

    /// Makes the entries of a host folder appear at `path`, leaving out what is reserved.
    fn spread(&mut self, source: &Path, path: &str, reserved: &BTreeSet<String>) -> Result<(), Failure> {
        let step = || format!("list {}", source.display());
        for entry in fs::read_dir(source).step(step)? {
            let entry = entry.step(step)?;
            let target = format!("{path}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().step(step)?;
            let below = format!("{target}/");
            let is_opened = reserved.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below));
            if reserved.contains(&target) {
                continue;
            }
            if kind.is_symlink() {
                let link = fs::read_link(entry.path()).step(|| format!("read the link {}", entry.path().display()))?;
                symlink(link, inside(&target)).step(|| format!("make the link {target}"))?;
            } else if kind.is_dir() && is_opened {
                self.folder(&target)?;
                self.spread(&entry.path(), &target, reserved)?;
            } else {
                self.bind(&Bind { source: entry.path(), target, folder: kind.is_dir(), writable: false })?;
            }
        }
        Ok(())
    }

    /// Mounts a file or folder of the host.
    fn bind(&mut self, bind: &Bind) -> Result<(), Failure> {
        let target = inside(&bind.target);
        if bind.folder {
            self.folder(&bind.target)?;
        } else {
            self.parent(&bind.target)?;
            // One that is there already may be a link to something that must not be opened for writing.
            match OpenOptions::new().write(true).create_new(true).open(&target) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => drop(made.step(|| format!("make a mount point at {}", bind.target))?),
            }
        }
        let step = || format!("mount {} at {}", bind.source.display(), bind.target);
        mount(Some(&bind.source), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>).step(step)?;
        restrict(&target, bind.writable).step(step)
    }

    /// /proc and /dev. A command finds its own processes in /proc, and nothing of the machine, which would be an input
    /// that nobody declared; kernels before 5.8 cannot do that.
    fn system(&mut self, only_processes: bool) -> Result<(), Failure> {
        self.folder("/proc")?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let proc = |options: Option<&str>| mount(Some("proc"), &inside("/proc"), Some("proc"), flags, options);
        // Process 1 is the engine's: what /proc says of it is of the machine. It may do more than the program, which so cannot
        // trace it, and does not see it.
        let of_own = if only_processes { "subset=pid,hidepid=ptraceable" } else { "hidepid=ptraceable" };
        if proc(Some(of_own)).is_err() {
            proc(None).step(|| "mount /proc")?;
        }
        self.folder("/dev")?;
        for device in DEVICES {
            let (source, target) = (Path::new("/dev").join(device), inside(&format!("/dev/{device}")));
            let step = || format!("mount the device {}", source.display());
            File::create(&target).step(step)?;
            mount(Some(&source), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>).step(step)?;
            let flags =
                MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
            mount(None::<&str>, &target, None::<&str>, flags, None::<&str>).step(step)?;
        }
        DEVICE_LINKS.into_iter().try_for_each(|(name, target)| {
            symlink(target, inside(&format!("/dev/{name}"))).step(|| format!("make the link /dev/{name}"))
        })
    }
}

fn mount_memory(at: &Path, options: &str) -> nix::Result<()> {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options))
}

/// Sets the flags of a bind mount. Flags that the host's mount has may not be cleared from inside a user namespace, so
/// where the plain set is refused, `noexec` is kept too.
pub(super) fn restrict(target: &Path, writable: bool) -> nix::Result<()> {
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    if !writable {
        flags |= MsFlags::MS_RDONLY;
    }
    let remount = |flags| mount(None::<&str>, target, None::<&str>, flags, None::<&str>);
    remount(flags).or_else(|error| {
        let kept = statvfs(target)?.flags();
        if !kept.intersects(FsFlags::ST_NOEXEC | FsFlags::ST_RDONLY) {
            return Err(error);
        }
        if kept.contains(FsFlags::ST_NOEXEC) {
            flags |= MsFlags::MS_NOEXEC;
        }
        if kept.contains(FsFlags::ST_RDONLY) {
            flags |= MsFlags::MS_RDONLY;
        }
        remount(flags)
    })
}

/// Makes the new root the root, and lets go of the host's.
fn enter() -> Result<(), Failure> {
    chdir(BASE).step(|| "enter the new root")?;
    // The old root is stacked on the new one and can be detached at the same place (pivot_root(2)).
    pivot_root(".", ".").step(|| "change the root")?;
    umount2(".", MntFlags::MNT_DETACH).step(|| "let go of the host's root")?;
    chdir("/").step(|| "enter the root")
}
