//! The last steps before the program itself runs.

use std::convert::Infallible;
use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, execve, setsid};

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
    privileges::limit(&spec.limits)?;
    privileges::reset_signals()?;
    privileges::close_descriptors()?;
    privileges::drop_all()?;
    let program = spec.argv.first().ok_or(Errno::EINVAL).step(|| "run an empty command")?;
    let text =
        |text: &str| CString::new(text).map_err(|_| Errno::EINVAL).step(|| format!("pass {text:?} to {program}"));
    let argv = spec.argv.iter().map(|argument| text(argument)).collect::<Result<Vec<_>, _>>()?;
    let env = spec.env.iter().map(|(name, value)| text(&format!("{name}={value}"))).collect::<Result<Vec<_>, _>>()?;
    execve(&text(&find(program, spec))?, &argv, &env).step(|| format!("run {program}"))
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
