//! Running a command where no sandbox can be made: same arguments, environment and folder layout, but the process sees
//! the whole machine. Results of it are not hermetic; the caller must mark them so.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Instant;

use model::Cancel;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::command::{Command, Exit, Mount, Status};
use crate::error::SandboxError;
use crate::run::{LAST_WORDS, LOOK};

/// Runs a command without a sandbox, in its scratch folder. Inputs are hard links where possible, so they must be
/// read-only files. Processes that leave the process group may survive.
pub fn run_unsandboxed(command: &Command, cancel: &Cancel) -> Result<Exit, SandboxError> {
    command.mounts.iter().try_for_each(|mount| place(&command.workdir, mount))?;
    let (stdout, stderr) = outputs(command)?;
    let stdin = command.stdin.as_ref().map(|path| command.workdir.join(path.as_str()));
    let stdin = host::fs::open(stdin.as_deref().unwrap_or(Path::new("/dev/null")))?;
    let program = program(command)?;
    let start = |source| SandboxError::Start { program: program.clone(), source };
    let started = Instant::now();
    let mut child = host::process::command(&program)
        .args(command.argv.iter().skip(1))
        .env_clear()
        .envs(command.env.iter().map(|(name, value)| (name, on_host(command, name, value))))
        .current_dir(&command.workdir)
        .stdin(Stdio::from(stdin))
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let status = wait(&mut child, command, started, cancel).map_err(SandboxError::Lost)?;
    let wall = started.elapsed();
    Ok(Exit { status, wall, user: Default::default(), system: Default::default(), max_rss: 0 })
}

/// The files for standard output and standard error.
fn outputs(command: &Command) -> Result<(File, File), SandboxError> {
    let stdout = open_log(&command.stdout)?;
    if command.stdout != command.stderr {
        return Ok((stdout, open_log(&command.stderr)?));
    }
    let stderr = stdout.try_clone().map_err(|source| file_error(&command.stderr, source))?;
    Ok((stdout, stderr))
}

fn open_log(path: &Path) -> Result<File, SandboxError> {
    host::fs::create(path)?;
    // Appending keeps lines of several writers whole.
    OpenOptions::new().append(true).open(path).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> SandboxError {
    host::fs::FileError { operation: "open", path: path.to_owned(), source }.into()
}

fn place(workdir: &Path, mount: &Mount) -> Result<(), SandboxError> {
    let target = workdir.join(mount.target.as_str());
    if let Some(parent) = target.parent() {
        host::fs::create_dir_all(parent)?;
    }
    if mount.folder {
        // The caller may have made an empty folder for it to be mounted on.
        let made = host::fs::lstat(&target).is_ok_and(|stat| stat.kind == host::fs::FileKind::Folder);
        if made {
            host::fs::remove_dir(&target)?;
        }
        host::fs::symlink(&mount.source.to_string_lossy(), &target)?;
    } else if host::fs::hard_link(&mount.source, &target).is_err() {
        host::fs::copy(&mount.source, &target)?;
    }
    Ok(())
}

/// The program's path on the host: below the scratch folder, or in the root folder if that has it.
fn program(command: &Command) -> Result<PathBuf, SandboxError> {
    let Some(program) = command.argv.first() else {
        let source = io::ErrorKind::InvalidInput.into();
        return Err(SandboxError::Setup { step: "run an empty command".to_owned(), source });
    };
    let in_root = command.root.as_ref().map(|root| root.join(program.trim_start_matches('/')));
    match in_root.filter(|path| program.starts_with('/') && host::fs::exists(path)) {
        Some(path) => Ok(path),
        None => Ok(command.workdir.join(program)),
    }
}

/// The value of a variable: programs are looked for in the root folder before the machine's own.
fn on_host(command: &Command, name: &str, value: &str) -> String {
    let Some(root) = command.root.as_ref().filter(|_| name == "PATH") else { return value.to_owned() };
    let inside = value.split(':').filter(|folder| folder.starts_with('/'));
    let inside = inside.map(|folder| root.join(folder.trim_start_matches('/')).to_string_lossy().into_owned());
    inside.chain(std::iter::once(value.to_owned())).collect::<Vec<_>>().join(":")
}

fn wait(child: &mut Child, command: &Command, started: Instant, cancel: &Cancel) -> io::Result<Status> {
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let stopped = loop {
        if let Some(status) = child.try_wait()? {
            break Ok(status);
        }
        if cancel.is_cancelled() {
            break Err(Status::Cancelled);
        }
        if command.timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
            break Err(Status::TimedOut);
        }
        std::thread::sleep(LOOK.min(started.elapsed() / 8));
    };
    if matches!(stopped, Err(Status::TimedOut)) {
        let _ = killpg(group, Signal::SIGQUIT);
        let end = Instant::now() + LAST_WORDS;
        while Instant::now() < end && child.try_wait()?.is_none() {
            std::thread::sleep(LOOK);
        }
    }
    // The group is empty when everything has ended already.
    let _ = killpg(group, Signal::SIGKILL);
    match stopped {
        Ok(status) => Ok(status_of(status)),
        Err(status) => child.wait().map(|_| status),
    }
}

fn status_of(status: ExitStatus) -> Status {
    status.code().map_or_else(|| Status::Signal(status.signal().unwrap_or(0)), Status::Code)
}
