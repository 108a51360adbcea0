//! A program that is watched while it runs: its memory at the peak, and an end to its time.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What came of a program.
pub struct Watched {
    /// Exit status and output.
    pub output: Output,
    /// The most memory it had, in bytes.
    pub peak: u64,
    /// Whether it was killed because its time was over.
    pub killed: bool,
}

/// How often its memory is looked at. The kernel keeps the peak; only what comes after the last look is missed.
const LOOK: Duration = Duration::from_millis(10);

/// Runs a program to its end, or kills it after `time`.
pub fn run(command: &mut Command, time: Duration) -> Watched {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let (status, peak, killed) = wait(&mut child, Instant::now() + time);
    let text = |thread: std::thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
    Watched { output: Output { status, stdout: text(stdout), stderr: text(stderr) }, peak, killed }
}

fn wait(child: &mut Child, end: Instant) -> (std::process::ExitStatus, u64, bool) {
    let (mut peak, mut killed) = (0, false);
    loop {
        peak = peak.max(peak_of(child.id()));
        match child.try_wait() {
            Ok(Some(status)) => return (status, peak, killed),
            Err(_) => return (std::process::ExitStatus::from_raw(0), peak, killed),
            Ok(None) if Instant::now() > end && !killed => {
                killed = true;
                let _ = child.kill();
            }
            Ok(None) => std::thread::sleep(LOOK),
        }
    }
}

/// `VmHWM` of proc(5).
fn peak_of(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}
