//! Running a command where no sandbox can be made: same arguments, environment and folder layout, but the process sees
//! the whole machine. Results of it are not hermetic; the caller must mark them so.
//!
//! Paths that exist in a sandbox only (`/work`, `/tmp`, what the root folder has) are replaced by those of this command's own
//! folders wherever arguments and variables name them. What files name is out of reach.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Instant;

use model::Cancel;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::command::{Command, Exit, Mount, Status, WORK};
use crate::error::SandboxError;
use crate::run::{LAST_WORDS, LOOK};

/// Runs a command without a sandbox, in its scratch folder. Inputs are hard links where possible, so they must be
/// read-only files. Processes that leave the process group may survive.
pub fn run_unsandboxed(command: &Command, cancel: &Cancel) -> Result<Exit, SandboxError> {
    command.mounts.iter().try_for_each(|mount| place(&command.workdir, mount))?;
    let (stdout, stderr) = outputs(command)?;
    let stdin = command.stdin.as_ref().map(|path| command.workdir.join(path.as_str()));
    let stdin = host::fs::open(stdin.as_deref().unwrap_or(Path::new("/dev/null")))?;
    let own = Own::of(command)?;
    let program = own.program(command)?;
    let start = |source| SandboxError::Start { program: program.clone(), source };
    let started = Instant::now();
    let mut child = host::process::command(&program)
        .args(command.argv.iter().skip(1).map(|argument| own.paths_of(argument)))
        .env_clear()
        .envs(command.env.iter().map(|(name, value)| (name, own.variable(name, value))))
        .current_dir(&command.workdir)
        .stdin(Stdio::from(stdin))
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let status = wait(&mut child, command, started, cancel).map_err(SandboxError::Lost)?;
    let wall = started.elapsed();
    host::fs::remove_tree(&own.temporary)?;
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

/// Where a command has on the host what would be at other paths in its sandbox.
struct Own {
    /// What is its `/tmp`: beside its working folder, for this run only.
    temporary: PathBuf,
    /// Path in a sandbox, path on the host.
    folders: Vec<(String, PathBuf)>,
    root: Option<PathBuf>,
}

impl Own {
    fn of(command: &Command) -> Result<Self, SandboxError> {
        let temporary = command.workdir.with_file_name("tmp");
        if host::fs::exists(&temporary) {
            host::fs::remove_tree(&temporary)?;
        }
        host::fs::create_dir_all(&temporary)?;
        let mut folders = vec![(WORK.to_owned(), command.workdir.clone()), ("/tmp".to_owned(), temporary.clone())];
        if let Some(root) = &command.root {
            let entries = if host::fs::exists(root) { host::fs::read_dir(root)? } else { Vec::new() };
            folders.extend(entries.into_iter().map(|entry| (format!("/{}", entry.name), root.join(&entry.name))));
        }
        Ok(Self { temporary, folders, root: command.root.clone() })
    }

    /// The program's path on the host: below the working folder, or in the root folder if that has it.
    fn program(&self, command: &Command) -> Result<PathBuf, SandboxError> {
        let Some(program) = command.argv.first() else {
            let source = io::ErrorKind::InvalidInput.into();
            return Err(SandboxError::Setup { step: "run an empty command".to_owned(), source });
        };
        let in_root = self.root.as_ref().map(|root| root.join(program.trim_start_matches('/')));
        match in_root.filter(|path| program.starts_with('/') && host::fs::exists(path)) {
            Some(path) => Ok(path),
            None => Ok(command.workdir.join(self.paths_of(program))),
        }
    }

    /// The value of a variable. Programs are looked for in the root folder before the machine's own.
    fn variable(&self, name: &str, value: &str) -> String {
        match &self.root {
            Some(root) if name == "PATH" => {
                let inside = value.split(':').filter(|folder| folder.starts_with('/'));
                let inside =
                    inside.map(|folder| root.join(folder.trim_start_matches('/')).to_string_lossy().into_owned());
                inside.chain(std::iter::once(value.to_owned())).collect::<Vec<_>>().join(":")
            }
            _ => self.paths_of(value),
        }
    }

    /// A text with the command's own paths in the place of those of a sandbox.
    fn paths_of(&self, text: &str) -> String {
        let (mut result, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find('/') {
            let (before, path) = rest.split_at(at);
            result.push_str(before);
            let found = self.folders.iter().find(|(inside, _)| begins_with(path, inside));
            match found.filter(|_| begins_path(&result)) {
                Some((inside, own)) => {
                    result.push_str(&own.to_string_lossy());
                    rest = &path[inside.len()..];
                }
                None => {
                    result.push('/');
                    rest = &path[1..];
                }
            }
        }
        result + rest
    }
}

/// Whether a text begins with this path, as a whole.
fn begins_with(text: &str, path: &str) -> bool {
    text.strip_prefix(path).is_some_and(|rest| !rest.starts_with(is_of_name))
}

/// Whether a path can begin after this text: where no other path or word goes on, or after an option of one letter.
fn begins_path(before: &str) -> bool {
    let word = before.rsplit(|c: char| !is_of_name(c) && c != '/').next().unwrap_or(before);
    word.is_empty() || matches!(word.as_bytes(), [b'-', letter] if letter.is_ascii_alphabetic())
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || "._-+~%".contains(c)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_sandbox_become_those_of_the_command() {
        let folder = |inside: &str, own: &str| (inside.to_owned(), PathBuf::from(own));
        let folders = vec![folder("/work", "/s/1/work"), folder("/tmp", "/s/1/tmp"), folder("/bin", "/r/bin")];
        let own = Own { temporary: PathBuf::new(), folders, root: None };
        let cases = [
            ("/work", "/s/1/work"),
            ("/work/a:/work/b:/tmp", "/s/1/work/a:/s/1/work/b:/s/1/tmp"),
            ("-pkgdir=/work/out", "-pkgdir=/s/1/work/out"),
            ("-I/work/include", "-I/s/1/work/include"),
            ("cat '/tmp/x' >/work/y; /bin/sh", "cat '/s/1/tmp/x' >/s/1/work/y; /r/bin/sh"),
            (
                "a/work/b ./tmp ../bin /workshop /usr/bin/x http://h/tmp",
                "a/work/b ./tmp ../bin /workshop /usr/bin/x http://h/tmp",
            ),
            ("/", "/"),
        ];
        for (text, expected) in cases {
            assert_eq!(own.paths_of(text), expected);
        }
    }
}
