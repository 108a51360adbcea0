//! A run of the program that is watched, stopped or killed while it runs.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::workspace::{Run, Workspace};

/// Longer than anything here takes on a busy machine; what takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often something is looked at that is waited for.
pub const LOOK: Duration = Duration::from_millis(2);

/// The program, started.
pub struct Running {
    child: Child,
    events: PathBuf,
    stderr: PathBuf,
    began: Instant,
}

impl Running {
    /// Starts the program in a process group of its own.
    pub fn start(workspace: &Workspace, arguments: &[&str]) -> Self {
        let mark = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        let events = workspace.root().with_extension(format!("{mark}.events"));
        let stderr = workspace.root().with_extension(format!("{mark}.stderr"));
        let flag = format!("--event_file={}", events.display());
        let (first, rest) = arguments.split_first().expect("a command");
        let mut command = workspace.command(&[&[*first, flag.as_str()], rest].concat());
        command.stdout(Stdio::null()).stderr(File::create(&stderr).expect("a file of the try"));
        let child = command.process_group(0).spawn().expect("the program starts");
        Self { child, events, stderr, began: Instant::now() }
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn process(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid()).expect("ids of processes are small"))
    }

    /// Sends a signal to the process only.
    pub fn signal(&self, signal: Signal) {
        // It may have ended.
        let _ = kill(self.process(), signal);
    }

    /// Sends a signal to the process and those of its children that stayed in its group.
    pub fn signal_group(&self, signal: Signal) {
        // As above.
        let _ = killpg(self.process(), signal);
    }

    /// What it has reported so far.
    pub fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.events).unwrap_or_default();
        text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What it has said so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until its events fulfil a condition, or it has ended; whether they do.
    pub fn wait_for(&mut self, what: &str, mut holds: impl FnMut(&[Value]) -> bool) -> Result<bool, String> {
        let began = Instant::now();
        loop {
            let ended = self.has_ended();
            if holds(&self.events()) {
                return Ok(true);
            }
            if ended {
                return Ok(false);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("waited {} s for {what}:\n{}", PATIENCE.as_secs(), self.stderr()));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for its end. One that hangs is killed, and an error.
    pub fn end(&mut self) -> Result<Run, String> {
        while !self.has_ended() {
            if self.began.elapsed() > 2 * PATIENCE {
                return Err(format!("it hangs:\n{}", self.stderr()));
            }
            std::thread::sleep(LOOK);
        }
        let status: ExitStatus = self.child.wait().map_err(|error| error.to_string())?;
        Ok(Run {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: String::new(),
            stderr: self.stderr(),
            events: self.events(),
            time: self.began.elapsed(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.signal_group(Signal::SIGKILL);
            let _ = self.child.wait();
        }
        let _ = std::fs::remove_file(&self.events);
        let _ = std::fs::remove_file(&self.stderr);
    }
}
