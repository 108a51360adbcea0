//! The standard streams of a program. A descriptor leads wherever its file lies, around all mounts: `/proc/self/fd/0/..` is
//! the folder of the host, and its files can be opened anew for writing. So what comes along is only what has no folder (pipes,
//! a terminal); files are opened inside, where they are mounted as the program may see them.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::raw;
use super::step::Step;
use crate::channel::Channel;
use crate::spec::{Failure, Spec, Stream};

/// What the error messages call them.
const NAMES: [&str; 3] = ["standard input", "standard output", "standard error"];

/// Sets the streams whose descriptors came along, and lets go of everything else that belongs to other sandboxes.
pub(super) fn take_sent(spec: &Spec, channel: &Channel, sent: Vec<OwnedFd>) -> Result<(), Failure> {
    // What the process that forks has as its streams is its own. Its standard output is nothing, on the host.
    let nothing = io::stdout().as_fd().try_clone_to_owned().step(|| "hold standard output")?;
    let mut sent = sent.into_iter();
    for (number, stream) in spec.streams.iter().enumerate() {
        let taken = if *stream == Stream::Sent { sent.next() } else { None };
        set(number, taken.as_ref().unwrap_or(&nothing))?;
    }
    // They are closed while their owners know of it; the rest has owners that are never returned to.
    drop((sent, nothing));
    raw::close_all_but(channel.as_fd()).step(|| "close descriptors of other sandboxes")
}

/// The files that streams are logged to, each once.
pub(super) fn logs(spec: &Spec) -> BTreeSet<&str> {
    let names = spec.streams.iter().filter_map(|stream| match stream {
        Stream::Log(name) => Some(name.as_str()),
        Stream::Sent | Stream::Input(_) => None,
    });
    names.collect()
}

/// Sets the streams that are logs, which lie in `folder` now.
pub(super) fn open_logs(spec: &Spec, folder: &Path) -> Result<(), Failure> {
    for (number, stream) in spec.streams.iter().enumerate() {
        if let Stream::Log(name) = stream {
            // Appending keeps lines of several writers whole.
            let file = OpenOptions::new().append(true).open(folder.join(name));
            set(number, &file.step(|| format!("open {}", NAMES[number]))?.into())?;
        }
    }
    Ok(())
}

/// Sets the streams that are files inside, once this process is inside.
pub(super) fn open_inputs(spec: &Spec) -> Result<(), Failure> {
    for (number, stream) in spec.streams.iter().enumerate() {
        if let Stream::Input(path) = stream {
            set(number, &File::open(path).step(|| format!("open {} {path}", NAMES[number]))?.into())?;
        }
    }
    Ok(())
}

fn set(number: usize, descriptor: &OwnedFd) -> Result<(), Failure> {
    let set = match number {
        0 => dup2_stdin(descriptor),
        1 => dup2_stdout(descriptor),
        _ => dup2_stderr(descriptor),
    };
    set.step(|| format!("set {}", NAMES[number]))
}
