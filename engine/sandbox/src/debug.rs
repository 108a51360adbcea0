//! Entering the sandbox of a command that failed: the same mounts, variables, user and network, with a shell.
//!
//! What the sandbox was made of is kept as a file beside the command's folder, so that it can be made again later, by
//! another process, as often as wanted.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use model::Cancel;

use crate::cgroup::Groups;
use crate::command::{Command, Status};
use crate::disk::Disk;
use crate::error::SandboxError;
use crate::launcher::Launcher;
use crate::run::{Watch, follow};
use crate::spec::{Spec, Stream};

/// The file with the spec, in the folder that holds the working folder.
const FILE: &str = "sandbox.json";

/// The shell that is started.
const SHELL: &str = "/bin/sh";

/// Keeps in `folder` how to enter the sandbox of `command`, whose working folder is now `folder/work`.
pub fn keep(command: &Command, folder: &Path) -> Result<(), SandboxError> {
    let mut moved = command.clone();
    moved.workdir = folder.join("work");
    let text = serde_json::to_vec_pretty(&moved.spec()).map_err(|error| unreadable(folder, error.into()))?;
    Ok(host::fs::write(&folder.join(FILE), &text)?)
}

/// Starts a shell in a sandbox like that which [`keep`] was told of, with the standard streams of this process. Blocks
/// until the shell ends.
pub fn enter(launcher: &Launcher, folder: &Path) -> Result<Status, SandboxError> {
    let folder = host::fs::canonicalize(folder)?;
    let text = host::fs::read(&folder.join(FILE))?;
    let mut spec: Spec = serde_json::from_slice(&text).map_err(|error| unreadable(&folder, error.into()))?;
    spec.argv = vec![SHELL.to_owned()];
    // A shell may take long and use much; the limits were the failed command's.
    spec.limits = Default::default();
    spec.streams = [Stream::Sent, Stream::Sent, Stream::Sent];
    let session = launcher.start(&spec, streams().map_err(SandboxError::Lost)?)?;
    let cancel = Cancel::default();
    let disk = Disk::of(&folder);
    let watch = Watch { deadline: None, cancel: &cancel, groups: &Groups::default(), disk: &disk, cpu_time: None };
    let ended = follow(&session, &watch);
    session.end();
    ended.map(|exit| exit.status)
}

/// Input, output and errors.
fn streams() -> std::io::Result<Vec<OwnedFd>> {
    let (output, error, input) = (std::io::stdout(), std::io::stderr(), std::io::stdin());
    [input.as_fd(), output.as_fd(), error.as_fd()].into_iter().map(|stream| stream.try_clone_to_owned()).collect()
}

fn unreadable(folder: &Path, source: std::io::Error) -> SandboxError {
    SandboxError::Setup { step: format!("use {}", folder.join(FILE).display()), source }
}
