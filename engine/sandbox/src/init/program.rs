//! The last steps before the program itself runs.

use std::convert::Infallible;
use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, chroot, execve, fchdir, setsid};

use super::executable;
use super::privileges;
use super::raw;
use super::step::Step;
use crate::spec::{Failure, Spec};

/// Becomes the program. Returns only on failure.
pub(super) fn become_program(spec: &Spec) -> Failure {
    match attempt(spec) {
        Err(failure) => failure,
        Ok(never) => match never {},
    }
}

fn attempt(spec: &Spec) -> Result<Infallible, Failure> {
    setsid().step(|| "start a session")?;
    umask(Mode::from_bits_truncate(0o022));
    chdir(spec.cwd.as_str()).step(|| format!("enter the folder {}", spec.cwd))?;
    if spec.wire.is_none() {
        privileges::fix_limits()?;
        raw::reset_personality().step(|| "reset the personality")?;
    }
    hide_mounts()?;
    privileges::limit(&spec.limits)?;
    privileges::reset_signals()?;
    privileges::close_descriptors()?;
    privileges::drop_all()?;
    let program = spec.argv.first().ok_or(Errno::EINVAL).step(|| "run an empty command")?;
    let found = find(program, spec);
    executable::check(&found)?;
    let text =
        |text: &str| CString::new(text).map_err(|_| Errno::EINVAL).step(|| format!("pass {text:?} to {program}"));
    let argv = spec.argv.iter().map(|argument| text(argument)).collect::<Result<Vec<_>, _>>()?;
    let env = spec.env.iter().map(|(name, value)| text(&format!("{name}={value}"))).collect::<Result<Vec<_>, _>>()?;
    execve(&text(&found)?, &argv, &env).step(|| format!("run {program}"))
}

/// Leaves the namespace of the mounts, but stays among them: the program's own namespace is a copy that its root is not part
/// of, so that no list of mounts tells where on the machine each comes from. The mounts stay, since process 1 stays there.
fn hide_mounts() -> Result<(), Failure> {
    let step = || "hide the list of mounts";
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let [root, folder] = ["/", "."].map(|path| open(path, flags, Mode::empty()));
    let (root, folder) = (root.step(step)?, folder.step(step)?);
    unshare(CloneFlags::CLONE_NEWNS).step(step)?;
    fchdir(&root).and_then(|()| chroot(".")).and_then(|()| fchdir(&folder)).step(step)
}

/// Where the program is: as given, or in a folder of `PATH`.
fn find(program: &str, spec: &Spec) -> String {
    if program.contains('/') || !spec.search_path {
        return program.to_owned();
    }
    let path =
        spec.env.iter().find(|(name, _)| name == "PATH").map_or("/usr/local/bin:/usr/bin:/bin", |(_, path)| path);
    path.split(':')
        .map(|folder| format!("{folder}/{program}"))
        .find(|candidate| Path::new(candidate).is_file())
        .unwrap_or_else(|| program.to_owned())
}
