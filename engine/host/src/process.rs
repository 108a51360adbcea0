//! Processes of the machine itself: package clients that are asked for their settings, programs that `build run` starts.
//! Actions never run through here; they go through `sandbox`.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How often the end of a process is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// A command that inherits the terminal, for `build run`.
pub fn interactive(program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Puts a program in the place of this process: signals, the terminal and the exit code are the program's own from then on.
/// Locks on `held` stay until the program and what it started have ended. Comes back only with the reason why not.
pub fn replace(command: &mut Command, held: &File) -> io::Error {
    match rustix::io::fcntl_setfd(held, rustix::io::FdFlags::empty()) {
        Ok(()) => command.exec(),
        Err(error) => error.into(),
    }
}

/// A command to be filled in by the caller.
pub fn command(program: &Path) -> Command {
    Command::new(program)
}

/// A program with a process group of its own, so that the processes it starts end with it. Those that leave the group,
/// as daemons do, are not reached.
#[derive(Debug)]
pub struct Group(Child);

impl Group {
    /// Starts a program without standard input, which belongs to the terminal's own group.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).process_group(0).spawn().map(Self)
    }

    /// Whether the program itself has ended.
    pub fn has_ended(&self) -> bool {
        // It is left to be waited for, so that its number stays taken while the group may have to be killed.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(Pid::from_child(&self.0)), options), Ok(None))
    }

    /// Asks all its processes to end, and makes them after a while. The exit code; `None` after a signal.
    pub fn stop(mut self, patience: Duration) -> Option<i32> {
        self.signal(Signal::TERM);
        let latest = Instant::now() + patience;
        while !self.has_ended() && Instant::now() < latest {
            std::thread::sleep(LOOK);
        }
        self.signal(Signal::KILL);
        self.0.wait().ok()?.code()
    }

    fn signal(&self, signal: Signal) {
        // All may have ended already.
        let _ = kill_process_group(Pid::from_child(&self.0), signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After `stop` the program was waited for, and its number may be another's.
        if let Ok(None) = self.0.try_wait() {
            self.signal(Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until a process is gone.
    fn is_gone(pid: &str) -> bool {
        (0..1000).any(|_| {
            std::thread::sleep(LOOK);
            // A zombie nobody waits for has no command line any more.
            std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty()
        })
    }

    #[test]
    fn a_group_ends_with_all_its_processes() {
        for (script, code) in
            [("sleep 600 & echo $! > pid; wait", None), ("sleep 600 & echo $! > pid; exit 3", Some(3))]
        {
            let folder = tempfile::tempdir().unwrap();
            let group = Group::start(command(Path::new("sh")).args(["-c", script]).current_dir(&folder)).unwrap();
            let pid = folder.path().join("pid");
            while !std::fs::read_to_string(&pid).unwrap_or_default().ends_with('\n')
                || (code.is_some() && !group.has_ended())
            {
                std::thread::sleep(LOOK);
            }
            assert_eq!(group.has_ended(), code.is_some());
            assert_eq!(group.stop(Duration::from_secs(20)), code);
            assert!(is_gone(std::fs::read_to_string(&pid).unwrap().trim()));
        }
    }
}
