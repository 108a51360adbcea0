//! Runs of the program with an eye on its time and memory: what takes too much of either is ended, and the row told so.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How often a running program is looked at.
const PERIOD: Duration = Duration::from_millis(5);

/// What a run may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Seconds until its end.
    pub seconds: u64,
    /// Megabytes of resident memory.
    pub megabytes: u64,
}

/// What a run said and took.
#[derive(Debug)]
pub struct Bounded {
    /// The exit code; 128 + n for signal n.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub time: Duration,
    /// The most memory it held, in megabytes.
    pub megabytes: u64,
}

/// Runs a command to its end. What exceeds a bound is killed and an error. `folder` takes what the program prints.
pub fn run(command: &mut Command, bounds: Bounds, folder: &Path) -> Result<Bounded, String> {
    let (out, err) = (folder.join("printed.out"), folder.join("printed.err"));
    let create = |path: &Path| File::create(path).expect("a file of the try");
    let began = Instant::now();
    let mut child = command.stdout(create(&out)).stderr(create(&err)).spawn().expect("the program starts");
    let mut megabytes = 0;
    let (status, exceeded) = loop {
        megabytes = megabytes.max(peak(&child));
        if let Some(status) = child.try_wait().expect("the program is our child") {
            break (status, None);
        }
        let exceeded = if megabytes > bounds.megabytes {
            Some(format!("it takes more than {} MB of memory", bounds.megabytes))
        } else if began.elapsed().as_secs() >= bounds.seconds {
            Some(format!("it takes longer than {} s", bounds.seconds))
        } else {
            None
        };
        if exceeded.is_some() {
            let _ = child.kill();
            break (child.wait().expect("the program is our child"), exceeded);
        }
        std::thread::sleep(PERIOD);
    };
    let text = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let run = Bounded {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: text(&out),
        stderr: text(&err),
        time: began.elapsed(),
        megabytes,
    };
    match exceeded {
        Some(what) => Err(format!("{what}, and printed\n{}{}", run.stdout, run.stderr)),
        None => Ok(run),
    }
}

/// The most resident memory of a running program so far, in megabytes.
fn peak(child: &Child) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1024
}
